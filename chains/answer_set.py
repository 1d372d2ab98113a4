"""What a tool's result answers to a question, and what to say where the model is not sure.

A small model that is asked how hot it gets now and then tells the humidity, without a doubt in its words. Asked for
the value's name alone it knows that it wavers. So the names are compared by likelihood first, and where the likeliest
does not hold COVERAGE of the probability, the reply is no sentence: it is those lines of the result that do together,
a prediction set (Angelopoulos and Bates 2021, section 1; here from the model's own probabilities). Prose names no
values. There a reply is written, and said if it takes a figure or a name from the result, and the words that it takes
hold as much of what all words that it could have taken there hold (`Weighing`); else the result speaks for itself.
No sentence is said that tells another value as well, or a figure that nobody gave.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from chains.choice import candidates, choose
from chains.prompting import Segment, encode
from chains.results import Named, Shown, place

if TYPE_CHECKING:
    import torch

    from chains.engine import Engine
    from chains.prose import Picker
    from chains.session import Session

COVERAGE = 0.95  # least probability that what is told answers
MOST_VALUES = 64  # in a result, beyond which they are not compared
MOST_LINES = 4  # that are told
MORE = "\u2026"  # behind them where there are more
QUOTED = 300  # characters of a line, or of prose, that may be told as they are
_OPENING = "It is {"  # a reply's, behind which a name comes (`chains.tuning.citing`)
_WORD = re.compile(r"\w(?:[\w.:,/-]*\w)?")
_ENDS = (*".!?", "")  # what stands before a sentence's first word
_LENGTH = 16  # tokens of a value by which it is told from others, if they do


def comparable(result: Shown) -> list[Named]:
    """The values of a `result` where their names tell them apart: all of a record or its rows. None where something
    else stands between them, or nothing is to be chosen.
    """
    values = list(dict.fromkeys(result.values))
    alone = [value.name for value in values if not value.row]
    return values if 1 < len(values) <= MOST_VALUES and result.whole and len(set(alone)) == len(alone) else []


def answer_set(engine: Engine, session: Session, values: Sequence[Named]) -> tuple[list[Named], bool]:
    """The likeliest of `values` that make up COVERAGE, likeliest first, and whether one was enough (or several of which
    the result says the same); none where there is no room to compare them.

    `session` stands where a reply begins, and is left so.
    """
    often = Counter(value.name for value in values)
    said = [f"{value.name}}}" if often[value.name] == 1 else f"{value.name}}} {value.value}" for value in values]
    alike: dict[tuple[int, ...], list[Named]] = {}
    for tokens, value in zip(_cut([encode(engine.tokenizer, [Segment(text)]) for text in said]), values, strict=True):
        alike.setdefault(tokens, []).append(value)
    opening = encode(engine.tokenizer, [Segment(_OPENING)])
    if len(session) + len(opening) + sum(map(len, alike)) > engine.context:
        return [], False
    groups = {str(i): group for i, group in enumerate(alike.values())}
    ends = engine.vocabulary.breaks  # "1", not "14"
    session.push(opening)
    choice = choose(session, candidates([*groups], [*alike], [ends] * len(groups)), lambda _: ())
    session.rewind(len(opening) + (len(choice.candidate.tokens) if choice.written else 0))
    return _likeliest([(groups[name], p) for name, p in choice.ranking])


def _cut(texts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """As many tokens of each as tell it from the others, but _LENGTH where it has them."""
    different = sorted({tuple(text) for text in texts})
    needed = dict.fromkeys(different, _LENGTH)
    for one, other in pairwise(different):
        shared = next(
            (i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
        )
        needed[one], needed[other] = max(needed[one], shared + 1), max(needed[other], shared + 1)
    return [tuple(text)[: needed[tuple(text)]] for text in texts]


def _likeliest(ranking: Sequence[tuple[Sequence[Named], float]]) -> tuple[list[Named], bool]:
    told: list[Named] = []
    covered, used = 0.0, 0
    for values, p in ranking:
        if covered >= COVERAGE:
            break
        told += values
        covered, used = covered + p, used + 1
    return told, used == 1


def quotation(told: Sequence[Named]) -> str:
    """What the result says of the values that are `told`, a line each, MORE behind MOST_LINES of them; empty where one
    would be too long.
    """
    lines = list(dict.fromkeys(_line(value, told) for value in told))
    if len(lines) > MOST_LINES:
        lines = [*lines[:MOST_LINES], MORE]
    return "\n".join(lines) if all(len(line) <= QUOTED for line in lines) else ""


def _line(value: Named, told: Sequence[Named]) -> str:
    """The value with its name; of a row what is told of it, behind its first part, which tells it from others."""
    if not value.row:
        return f"{value.name}: {value.value}"
    parts = value.row.split("; ")
    shown = {parts[0], *(other.part for other in told if other.row == value.row)}
    return "; ".join(part for part in parts if part in shown)


def tells(reply: str, told: Sequence[Named], values: Iterable[Named], question: str) -> bool:
    """Whether `reply` tells one of the values that are `told` and, of the others, only what lies in the same row, in
    one of those `told`, or in the `question`.
    """
    rows = {value.row for value in told if value.row}
    free = [question, *(value.value for value in told)]
    said = [value for value in values if place(value.value, reply)]
    strange = [v for v in said if v.row not in rows and not any(place(v.value, text) for text in free)]
    return not strange and any(value in told for value in said)


def invents(reply: str, *sources: str) -> bool:
    """Whether `reply` has a figure that stands in none of the `sources`."""
    return any(
        any(char.isdigit() for char in word) and not any(place(word, text) for text in sources)
        for word in _WORD.findall(reply)
    )


class Weighing:
    """Picks as `sampler` does, and weighs the words taken from `result` against the others there.

    `share` is the product, over the tokens that stand in `result` and not in the `question` (digits in any case), of a
    token's probability among all such tokens.
    """

    def __init__(self, sampler: Picker, engine: Engine, result: str, question: str) -> None:
        self._sampler = sampler
        asked = {piece for piece in _pieces(engine, question) if not piece.isdigit()}
        words = _pieces(engine, result) - asked
        self._told = [token for token, text in enumerate(engine.vocabulary.bytes) if text.strip() in words]
        self.share = 1.0

    def pick(self, logits: torch.Tensor) -> int:
        """The sampler's choice from `logits` (V,)."""
        token = self._sampler.pick(logits)
        if token in self._told:
            p = logits.softmax(-1)
            self.share *= float(p[token] / p[self._told].sum())
        return token


def informs(reply: str, result: str, question: str) -> bool:
    """Whether `reply` has a figure or a name (a word with a capital, but a sentence's first) of `result` that
    `question` has not. In scripts without capitals any word may be a name.
    """
    known = {word.casefold() for word in _WORD.findall(question)}
    stated = set(_WORD.findall(result))
    for found in _WORD.finditer(reply):
        word, before = found[0], reply[: found.start()].rstrip()
        figure = any(char.isdigit() for char in word)
        first = before[-1:] in _ENDS
        name = not first and any(char.isupper() or char.lower() == char.upper() for char in word if char.isalpha())
        if (figure or name) and word in stated and word.casefold() not in known:
            return True
    return False


def _pieces(engine: Engine, text: str) -> set[bytes]:
    """The tokens of `text`, without blanks; those with letters or digits in them, of other scripts parts of them."""
    tokens = {*encode(engine.tokenizer, [Segment(text)]), *encode(engine.tokenizer, [Segment(f" {text}")])}
    pieces = {engine.vocabulary.bytes[token].strip() for token in tokens}
    return {piece for piece in pieces if not piece.isascii() or any(char.isalnum() for char in piece.decode())}
