"""Writing running text symbol by symbol: onwards from a context, or around a word that has to be in it.

Unusual here: from n-grams a text can grow backwards too, from what stood before them in the training text.
"""

from __future__ import annotations

from collections.abc import Generator as Progress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from generators.core.generator import Cancel
from generators.core.kneser_ney import UNKNOWN, Floats, Ints

ENDS, CLOSERS = ".!?\u2026", "\"'\u201d\u2019)]"
MIN_P = 0.05  # what is drawn has at least this share of the likeliest symbol's probability; not so in raw samples
TRIES = 12  # at a text that has a word in it


class Predictor(Protocol):
    """What predicts the next of `size` symbols from those before it."""

    def context(self, symbols: list[int]) -> Any:
        """What it needs to know of the symbols so far, as a value that `extend` leaves as it is."""

    def extend(self, context: Any, symbol: int) -> Any:
        """The context after one more symbol."""

    def distribution(self, context: Any, longest: int | None = None) -> Floats:
        """(size,) the next symbol's probabilities, the caller's own. `longest`: look back at most so many symbols."""

    def knows(self, symbols: list[int]) -> bool:
        """Whether it can tell what follows these symbols."""

    def familiarity(self, symbols: list[int]) -> float:
        """How usual it is that these symbols follow each other: only to be compared with others."""

    def before(self, symbols: list[int]) -> tuple[Ints, Floats] | None:
        """The symbols that may stand before these and their weights, (N,) each; None at a text's start."""

    def followers(self, symbol: int) -> NDArray[np.bool_] | None:
        """Which symbols may begin an item after this start symbol, (size,); None: any."""

    @property
    def reversible(self) -> bool:
        """Whether it has a `before`."""

    @property
    def lookbacks(self) -> Sequence[int | None]:
        """Values of `longest` to try one after the other by whoever needs something new; None: all there is."""


@dataclass
class Writer:
    """One writing: what predicts, each symbol's text, whether symbols are words, and what it is drawn with.

    On the way it gives what it has written so far, after every symbol.
    """

    predictor: Predictor
    tokens: list[str]
    by_word: bool
    temperature: float
    random: np.random.Generator
    cancel: Cancel

    def onwards(self, context: list[int], words: int, *, after: Sequence[int] = ()) -> Progress[str, None, list[int]]:
        """About `words` words more, to a sentence's end if one is near.

        `after`: what was written since the context, to the end of a word.
        """
        state = self.predictor.context([*context, *after])
        made: list[int] = []
        text, boundary = self._text(after), bool(after)
        limit, count, inside, cut = words + max(4, words // 4), 0, boundary, 0
        ends: list[tuple[int, int]] = []  # words, symbols
        while count <= limit and len(made) < 40 * limit:
            p = self.predictor.distribution(state)
            if boundary:
                p[[token[:1].isalnum() for token in self.tokens]] = 0.0
                boundary = False
            symbol = pick(p, self.temperature, self.random)
            token = self.tokens[symbol]
            before = count
            for letter in token:
                count += not inside and not letter.isspace()
                inside = not letter.isspace()
            if count > before:
                self.cancel.check()
                if count > words:
                    cut = cut or len(made)
                    if ends and ends[-1][0] >= words:
                        break
            made.append(symbol)
            text += token
            yield text
            state = self.predictor.extend(state, symbol)
            last, after_end = token.strip(), bool(ends) and ends[-1][1] == len(made) - 1
            closed = last.rstrip(CLOSERS)
            if last and (closed[-1] in ENDS if closed else after_end and not token[0].isspace()):
                ends = [*ends[: -1 if after_end else None], (count, len(made))]
        good = [end for end in ends if end[0] >= 0.6 * words]
        if good:
            return made[: min(good, key=lambda end: abs(end[0] - words))[1]]
        return made[: cut or len(made)]

    def completed(self, context: list[int], ending: list[int]) -> list[int]:
        """`ending`, a text's last symbols, or fewer of them and then one longer token in place of the rest.

        A text that stops within a word has other tokens than the word would (Lundberg 2023).
        """
        state, before, logs = self.predictor.context(context), 0.0, []
        for i, symbol in enumerate(ending):
            rest = self._text(ending[i:])
            p = self.predictor.distribution(state)
            with np.errstate(divide="ignore"):
                log = np.log(p)
            logs.append(np.where([token.startswith(rest) for token in self.tokens], before + log, -np.inf))
            before += log[symbol]
            state = self.predictor.extend(state, symbol)
        weights = np.concatenate(logs)
        at = pick(np.exp(weights - weights.max()), self.temperature, self.random, barred=None)
        return [*ending[: at // len(self.tokens)], at % len(self.tokens)]

    def around(
        self, form: list[int], context: list[int], words: int, *, prompted: bool
    ) -> Progress[str, None, list[int]]:
        """A text with a sentence grown around the wanted word, backwards to its beginning, then forwards.

        Where nothing predicts backwards, one with the word put where it is likeliest in a text, which goes on from it.
        """
        if not self.predictor.reversible:
            text = yield from self.onwards(context, words)
            text = [*text[: self._best_place(form, context, text)], *form]
            left = max(words - len(self._text(text).split()), 2)
            rest = yield from self.onwards(context, left, after=text)
            return [*text, *rest]
        made: list[int] = []
        if prompted or words >= 40:
            for longer in (1, 2, 4):
                made = yield from self.onwards(context, max(words * longer // 3, 3))
                if self.tokens[made[-1]][-1:] in ENDS + CLOSERS:
                    break
            else:
                made = made if prompted else []
        head = self.backwards(form, max(words // 3, 8))
        if made:
            said = self.tokens[made[-1]]
            if said[-1:] not in ENDS + CLOSERS and "." in self.tokens:
                made = [*made, self.tokens.index(".")]
            if not self.tokens[head[0]][:1].isspace() and " " in self.tokens:
                made = [*made, self.tokens.index(" ")]
        made = [*made, *head]
        left = max(words - len(self._text(made).split()), 2)
        rest = yield from self.onwards(context, left, after=made)
        return [*made, *rest]

    def backwards(self, symbols: list[int], words: int) -> list[int]:
        """`symbols` with a sentence's beginning before them, drawn from what stands before the n-grams of the text."""
        best: list[int] = symbols
        for _ in range(TRIES):
            text = list(symbols)
            while len(self._text(text).split()) <= words:
                self.cancel.check()
                before = self._before(text)
                if before is None:
                    return text
                spaced = self.by_word or self.tokens[text[0]].isspace()
                if self.tokens[before][-1:] in ENDS and spaced:
                    return text
                text.insert(0, before)
            if best is symbols:  # no beginning in reach: cut after the first space
                at = next((i for i, symbol in enumerate(text) if self.tokens[symbol][:1].isspace()), 0)
                best = text[at:]
        return best

    def _before(self, text: list[int]) -> int | None:
        """A symbol that stands before `text`; None at the start of the text."""
        found = self.predictor.before(text)
        if found is None:
            return None
        symbol = int(found[0][pick(found[1], self.temperature, self.random, barred=None)])
        return None if symbol >= len(self.tokens) else symbol

    def _best_place(self, form: list[int], context: list[int], made: list[int]) -> int:
        """After how many symbols of `made` the word `form`, which begins with a space, is likeliest to stand."""
        state, best, place = self.predictor.context(context), -np.inf, 0
        for i, symbol in enumerate(made):
            if self.tokens[symbol][:1].isspace() and (i or not context):
                self.cancel.check()
                likely, at = 0.0, state
                for part in form:
                    likely += float(np.log(self.predictor.distribution(at)[part] + 1e-300))
                    at = self.predictor.extend(at, part)
                if likely > best:
                    best, place = likely, i
            state = self.predictor.extend(state, symbol)
        return place

    def _text(self, symbols: Sequence[int]) -> str:
        return "".join(self.tokens[symbol] for symbol in symbols)


def finished(steps: Progress[str, None, list[int]]) -> list[int]:
    """What a writing comes to in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return list(done.value)


def pick(p: Floats, temperature: float, random: np.random.Generator, barred: int | None = UNKNOWN) -> int:
    """A place of `p` (weights, any sum) drawn at `temperature`, never `barred`; at 0 the likeliest.

    Below temperature 1 the long tail of smoothed, never seen successions is cut (min-p: Nguyen et al. 2024).
    """
    if barred is not None:
        p[barred] = 0.0
    if temperature == 0:
        return int(np.argmax(p))
    p = p / p.max()
    sums = np.cumsum(np.where(p >= (MIN_P if temperature < 1 else 0.0), p ** (1.0 / temperature), 0.0))
    return int(min(np.searchsorted(sums, random.random() * sums[-1], side="right"), len(p) - 1))
