"""What a tool's result answers to a question, and what to say where the model is not sure.

A small model that is asked how hot it gets now and then tells the humidity, without a doubt in its words. Asked for
the value's name alone it knows that it wavers. So the names are compared by likelihood first, and where the likeliest
does not hold COVERAGE of the probability, the reply is no sentence: it is those lines of the result that do together,
a prediction set (Angelopoulos and Bates 2021, section 1; here from the model's own probabilities). Prose names no
values. There a reply is written, and said if it takes a figure or a name from the result, and the words that it takes
hold as much of what all words that it could have taken there hold (`Weighing`); else the result speaks for itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chains.choice import candidates, choose
from chains.prompting import Segment, encode
from chains.results import Named, named

if TYPE_CHECKING:
    import torch

    from chains.engine import Engine
    from chains.prose import Picker
    from chains.session import Session

COVERAGE = 0.95  # least probability that what is told answers
MOST_VALUES = 64  # in a result, beyond which they are not compared
MOST_LINES = 4  # that are told
QUOTED = 300  # characters of a line, or of prose, that may be told as they are
_OPENING = "It is {"  # a reply's, behind which a name comes (`chains.tuning.citing`)
_WORD = re.compile(r"\w(?:[\w.:,/-]*\w)?")
_LENGTH = 16  # tokens of a value that tell it from others


def comparable(result: str) -> list[Named]:
    """The values of a `result`, shown as `results.as_lines` does, where their names tell them apart: all of a record
    or its rows. None where something else stands between them, or nothing is to be chosen.
    """
    values = list(dict.fromkeys(named(result)))
    alone = [value.name for value in values if not value.row]
    whole = all(any(named(line)) for line in result.split("\n") if line.strip())
    return values if 1 < len(values) <= MOST_VALUES and whole and len(set(alone)) == len(alone) else []


def answer_set(engine: Engine, session: Session, values: Sequence[Named]) -> tuple[list[Named], bool]:
    """The likeliest of `values` that make up COVERAGE, likeliest first, and whether one was enough (or several of which
    the result says the same); none where there is no room to compare them.

    `session` stands where a reply begins, and is left so.
    """
    often = Counter(value.name for value in values)
    alike: dict[tuple[int, ...], list[Named]] = {}
    for value in values:
        said = f"{value.name}}}" if often[value.name] == 1 else f"{value.name}}} {value.value}"
        alike.setdefault(tuple(encode(engine.tokenizer, [Segment(said)])[:_LENGTH]), []).append(value)
    opening = encode(engine.tokenizer, [Segment(_OPENING)])
    if len(session) + len(opening) + sum(map(len, alike)) > engine.context:
        return [], False
    groups = {str(i): group for i, group in enumerate(alike.values())}
    ends = engine.vocabulary.breaks  # "1", not "14"
    session.push(opening)
    choice = choose(session, candidates([*groups], [*alike], [ends] * len(groups)), lambda _: ())
    session.rewind(len(opening) + (len(choice.candidate.tokens) if choice.written else 0))
    return _likeliest([(groups[name], p) for name, p in choice.ranking])


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
    """What the result says of the values that are `told`, a line each; empty where one would be too long."""
    lines = list(dict.fromkeys(_line(value, told) for value in told))[:MOST_LINES]
    return "\n".join(lines) if all(len(line) <= QUOTED for line in lines) else ""


def _line(value: Named, told: Sequence[Named]) -> str:
    """The value with its name; of a row what is told of it, behind its first part, which tells it from others."""
    if not value.row:
        return f"{value.name}: {value.value}"
    parts = value.row.split("; ")
    shown = {parts[0], *(other.part for other in told if other.row == value.row)}
    return "; ".join(part for part in parts if part in shown)


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
    """Whether `reply` has a figure or a name (a word with a capital, but for its first one) of `result` that `question`
    has not. In scripts without capitals any word may be a name.
    """
    known = {word.casefold() for word in _WORD.findall(question)}
    stated = set(_WORD.findall(result))
    for i, word in enumerate(_WORD.findall(reply)):
        figure = any(char.isdigit() for char in word)
        name = i > 0 and any(char.isupper() or char.lower() == char.upper() for char in word if char.isalpha())
        if (figure or name) and word in stated and word.casefold() not in known:
            return True
    return False


def _pieces(engine: Engine, text: str) -> set[bytes]:
    """The tokens of `text`, without blanks; those with letters or digits in them."""
    tokens = {*encode(engine.tokenizer, [Segment(text)]), *encode(engine.tokenizer, [Segment(f" {text}")])}
    pieces = {engine.vocabulary.bytes[token].strip() for token in tokens}
    return {piece for piece in pieces if any(char.isalnum() for char in piece.decode(errors="ignore"))}
