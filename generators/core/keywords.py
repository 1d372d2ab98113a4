"""The words that a text must include: how a request names them, how a model writes them, where they are in a text.

A request says `camels, well` or `mercy and truth` or `"house of David"`. What stands in quotes belongs together, and so
does a phrase that the model expects; of all else every word counts for itself.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from generators.core.errors import RequestError
from generators.core.kneser_ney import UNKNOWN
from generators.core.vocabulary import Vocabulary, capitalisations
from generators.core.writing import Predictor

MOST = 5  # words of a request, a phrase being one
EXPECTED = 1e-3  # probability of each next word of a phrase, at least
QUOTED = re.compile(r"\"([^\"]+)\"|\u201c([^\u201d]+)\u201d|(?<!\w)['\u2018]([^'\u2018\u2019]+)['\u2019](?!\w)")

QUOTE = "\0"  # stands for what was quoted
Spot = tuple[int, int]  # the words of a text that a keyword takes: the first, and the one after the last


@dataclass(frozen=True)
class Keyword:
    """A word or phrase as it was asked for, and as the model writes it: its symbols, white space first."""

    text: str
    symbols: tuple[int, ...]

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Finds it in any capitals, not within a longer word, even where two overlap."""
        words = r"\s+".join(map(re.escape, self.text.split()))
        return re.compile(rf"(?<!\w)(?=({words})(?!\w))", re.IGNORECASE)

    def is_in(self, text: str) -> bool:
        """Whether a text has it."""
        return self.pattern.search(text) is not None

    def spots(self, units: Sequence[tuple[int, ...]], vocabulary: Vocabulary, before: str = "") -> list[Spot]:
        """Where a text of these words has it. before: the character that stands before the text."""
        texts = [vocabulary.decode(unit) for unit in units]
        starts = [*accumulate(map(len, texts), initial=len(before))]
        found = (match.span(1) for match in self.pattern.finditer("".join([before, *texts])))
        return [(bisect_right(starts, begin) - 1, bisect_left(starts, end)) for begin, end in found]


def asked_for(request: str, expected: Callable[[list[str]], bool]) -> list[str]:
    """The words and phrases that a request names, each once. `expected`: whether words go together.

    Raises `RequestError` for none, or more than `MOST`.
    """
    found = list(dict.fromkeys(_named(request, expected)))
    if not found:
        raise RequestError(f"must_include is {request!r}, which names no word; give one to {MOST}.")
    if len(found) > MOST:
        raise RequestError(
            f"must_include names {len(found)} words; give at most {MOST}, or a phrase in double quotes as one."
        )
    return found


def _named(request: str, expected: Callable[[list[str]], bool]) -> Iterator[str]:
    quoted = [" ".join(_bare(match[match.lastindex or 0]).split()) for match in QUOTED.finditer(request)]
    phrases = iter(quoted)
    for part in re.split(r"[,;\n]", QUOTED.sub(f" {QUOTE} ", request)):
        words = [word if word == QUOTE else _bare(word) for word in part.split()]
        words = [word for word in words if word]
        if len(words) > 1 and QUOTE not in words and expected(words):
            yield " ".join(words)
            continue
        for word in words:
            named = next(phrases) if word == QUOTE else word
            if named and (len(words) == 1 or word.casefold() != "and"):
                yield named


def _bare(text: str) -> str:
    """A word or phrase without the marks and blanks around it."""
    return re.sub(r"^\W+|\W+$", "", text)


@dataclass(frozen=True)
class Spelling:
    """How a model writes words: what predicts, its vocabulary, and for messages its name and its data's."""

    predictor: Predictor
    vocabulary: Vocabulary
    model: str
    data: str

    def keyword(self, text: str) -> Keyword:
        """A word or phrase in its most usual capitals. Raises `RequestError` for one that the model cannot write."""
        symbols: list[int] = []
        for word in text.split():
            symbols += self._form(word, symbols)
        return Keyword(text, tuple(symbols))

    def expects(self, words: list[str]) -> bool:
        """Whether each next word of these is one that the model expects after those before it."""
        symbols: list[int] = []
        for word in words:
            forms = self._forms(word, bool(symbols))
            if not forms:
                return False
            if symbols and max(self._log_likely(symbols, form) for form in forms) < np.log(EXPECTED):
                return False
            symbols += self._form(word, symbols)
        return True

    def _form(self, word: str, before: list[int]) -> list[int]:
        """The likeliest way to write a word after others; the first of a phrase as is most usual, of the fewest tokens.

        Raises `RequestError` if there is none.
        """
        forms = self._forms(word, bool(before))
        if not forms:
            what = "is not one of the words" if self.vocabulary.by_word else "is not in the characters"
            raise RequestError(f"{word!r} {what} that {self.model} learnt from {self.data}; choose another.")
        if before:
            return max(forms, key=lambda form: self._log_likely(before, form))
        return min(forms, key=lambda form: (len(form), -self.predictor.familiarity(form)))

    def _forms(self, word: str, within: bool) -> list[list[int]]:
        """The ways to write a word after a space, or else at a line's beginning."""
        found: list[list[int]] = []
        for space in (" ",) if within else (" ", "\n"):
            encoded = [self.vocabulary.encode(space + form).tolist() for form in capitalisations(word)]
            found = [symbols for symbols in encoded if UNKNOWN not in symbols]
            if found:
                break
        return found

    def _log_likely(self, before: list[int], symbols: list[int]) -> float:
        """ln p of symbols after others."""
        context, log = self.predictor.context(before), 0.0
        for symbol in symbols:
            log += float(np.log(self.predictor.distribution(context)[symbol] + 1e-300))
            context = self.predictor.extend(context, symbol)
        return log
