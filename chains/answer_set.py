"""What a tool's results answer to a question, and what to say where the model is not sure.

A small model that is asked how hot it gets now and then tells the humidity, without a doubt in its words. Asked for
the value's name alone it knows that it wavers. So the names are compared by likelihood first, and where the likeliest
does not hold COVERAGE of the probability, the reply is no sentence: it is those lines of the result that do together,
a prediction set (Angelopoulos and Bates 2021, section 1; here from the model's own probabilities). Prose names no
values. There a reply is written, and said if each word that it takes from the result leaves the others that it could
have taken there no more than the rest (`Weighing`); else the result speaks for itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from chains.choice import candidates, choose
from chains.prompting import Segment, encode
from chains.results import Named, named

if TYPE_CHECKING:
    import torch

    from chains.engine import Engine
    from chains.grammar import Vocabulary
    from chains.prose import Picker
    from chains.session import Session

COVERAGE = 0.95  # least probability that what is told answers
MOST_VALUES = 64  # in results, beyond which they are not compared
MOST_LINES = 4  # that are told
QUOTED = 300  # characters of prose that may be told as they are
BARE = 3  # words of a result ("OK") up to which a reply need not take any of them
_OPENING = "It is {"  # a reply's, behind which a name comes (`chains.tuning.citing`)
_LENGTH = 16  # tokens of a value that tell it from others


def answer_set(engine: Engine, session: Session, result: str) -> list[str]:
    """Lines of `result`, shown as `results.as_lines` does, likeliest first; none where one value is sure to be meant.

    `session` stands where a reply begins, and is left so.
    """
    values = list(dict.fromkeys(named(result)))
    if not 1 < len(values) <= MOST_VALUES:
        return []
    often = Counter(value.name for value in values)
    said = [f"{value.name}}}" if often[value.name] == 1 else f"{value.name}}} {value.value}" for value in values]
    tokens = [encode(engine.tokenizer, [Segment(text)])[:_LENGTH] for text in said]
    opening = encode(engine.tokenizer, [Segment(_OPENING)])
    if len(session) + len(opening) + sum(map(len, tokens)) > engine.context:
        return []
    session.push(opening)
    choice = choose(session, candidates([str(i) for i in range(len(values))], tokens, [()] * len(values)), lambda _: ())
    session.rewind(len(opening) + (len(choice.candidate.tokens) if choice.written else 0))
    return _lines([(values[int(i)], p) for i, p in choice.ranking])


def _lines(ranking: Sequence[tuple[Named, float]]) -> list[str]:
    """What to tell of the likeliest values that make up COVERAGE; nothing for a single value."""
    told: list[Named] = []
    covered = 0.0
    for value, p in ranking:
        if covered >= COVERAGE or len({value.row or value for value in told}) == MOST_LINES:
            break
        told.append(value)
        covered += p
    return list(dict.fromkeys(_line(value, told) for value in told)) if len(told) > 1 else []


def _line(value: Named, told: Sequence[Named]) -> str:
    """The value with its name; of a row what is told of it, behind its first part, which tells it from others."""
    if not value.row:
        return f"{value.name}: {value.value}"
    parts = value.row.split("; ")
    shown = {parts[0], *(other.part for other in told if other.row == value.row)}
    return "; ".join(part for part in parts if part in shown)


class Weighing:
    """Picks as `sampler` does, and weighs the words taken from `result` against the others there.

    `share` is the product, over the tokens that stand in `result` and not in the `question`, of a token's probability
    among all such tokens.
    """

    def __init__(self, sampler: Picker, vocabulary: Vocabulary, result: str, question: str) -> None:
        self._sampler, self._result = sampler, result
        words = _pieces(vocabulary, result) - _pieces(vocabulary, question)
        self._told = {token for token, text in enumerate(vocabulary.bytes) if text.strip() in words}
        self.share = 1.0
        self.copied = False

    def pick(self, logits: torch.Tensor) -> int:
        """The sampler's choice from `logits` (V,)."""
        token = self._sampler.pick(logits)
        if token in self._told:
            p = logits.softmax(-1)
            self.share *= float(p[token] / p[[*self._told]].sum())
            self.copied = True
        return token

    @property
    def sure(self) -> bool:
        """Whether the reply may be said instead of the result itself."""
        copies = self.copied or len(self._result.split()) <= BARE
        return (copies and self.share >= COVERAGE) or len(self._result) > QUOTED


def _pieces(vocabulary: Vocabulary, text: str) -> set[bytes]:
    """The tokens of `text`, without blanks; those with letters or digits in them."""
    tokens = {*vocabulary.lib.tokenize_str(text), *vocabulary.lib.tokenize_str(f" {text}")}
    pieces = {vocabulary.bytes[token].strip() for token in tokens}
    return {piece for piece in pieces if any(char.isalnum() for char in piece.decode(errors="ignore"))}
