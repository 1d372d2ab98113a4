"""Writing running text onwards from a context, symbol by symbol, and what it asks of whatever predicts the next one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Generator as Progress
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from generators.core.generator import Cancel
from generators.core.kneser_ney import UNKNOWN, Floats, Ints

ENDS, CLOSERS = ".!?\u2026", "\"'\u201d\u2019)]"
MIN_P = 0.05  # what is drawn has at least this share of the likeliest symbol's probability; not so in raw samples


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

    def followers(self, symbol: int) -> NDArray[np.bool_] | None:
        """Which symbols may begin an item after this start symbol, (size,); None: any."""

    @property
    def lookbacks(self) -> Sequence[int | None]:
        """Values of `longest` to try one after the other by whoever needs something new; None: all there is."""


@runtime_checkable
class Parallel(Protocol):
    """A `Predictor` that goes on from one context in K ways at once. Whichever way, it says what `extend` comes to."""

    def advanced(self, context: Any, symbols: Sequence[int]) -> Any:
        """The context after these symbols."""

    def forked(self, context: Any, count: int) -> Any:
        """A context `count` times over, as one value."""

    def stepped(self, contexts: Any, rows: Ints, symbols: Ints) -> Any:
        """Of K contexts those of `rows` (M,), each after one more symbol (M,)."""

    def each_distribution(self, contexts: Any) -> Floats:
        """(K, size) the next symbol's probabilities in each of K contexts."""

    def foreseen(self, context: Any, rows: Sequence[Sequence[int]]) -> list[Floats]:
        """For every row of T symbols after the context, (T + 1, size): before each of them, and after the last."""


@dataclass(frozen=True)
class InTurn:
    """Any predictor as a `Parallel` one, a context after the other."""

    predictor: Predictor

    def advanced(self, context: Any, symbols: Sequence[int]) -> Any:
        """The context after these symbols."""
        for symbol in symbols:
            context = self.predictor.extend(context, symbol)
        return context

    def forked(self, context: Any, count: int) -> list[Any]:
        """A list of one context."""
        return [context] * count

    def stepped(self, contexts: list[Any], rows: Ints, symbols: Ints) -> list[Any]:
        """Those of `rows`, each after one more symbol."""
        return [self.predictor.extend(contexts[k], s) for k, s in zip(rows.tolist(), symbols.tolist(), strict=True)]

    def each_distribution(self, contexts: list[Any]) -> Floats:
        """(K, size) the next symbol's probabilities in each context."""
        return np.stack([self.predictor.distribution(context) for context in contexts])

    def foreseen(self, context: Any, rows: Sequence[Sequence[int]]) -> list[Floats]:
        """For every row (T,), (T + 1, size)."""
        found = []
        for row in rows:
            contexts = accumulate(row, self.predictor.extend, initial=context)
            found.append(self.each_distribution(list(contexts)))
        return found


@dataclass
class Pace:
    """Where a writing of about `words` words stops: at a sentence's end near that, else after a whole word.

    It is told the tokens one after the other.
    """

    words: int
    inside: bool = False  # of a word
    count: int = 0  # words begun
    made: int = 0  # tokens
    cut: int = 0  # tokens before the first word too many, 0 for none
    ends: list[tuple[int, int]] = field(default_factory=list)  # of sentences: words, tokens

    @property
    def limit(self) -> int:
        """Words at most."""
        return self.words + max(4, self.words // 4)

    def goes_on(self, token: str) -> bool:
        """Take in the next token; False where the writing stops before it."""
        before, after_end = self.count, bool(self.ends) and self.ends[-1][1] == self.made
        for letter in token:
            self.count += not self.inside and not letter.isspace()
            self.inside = not letter.isspace()
        if self.count > before and self.count > self.words:
            self.cut = self.cut or self.made
            if self.ends and self.ends[-1][0] >= self.words:
                return False
        self.made += 1
        last = token.strip()
        closed = last.rstrip(CLOSERS)
        if last and (closed[-1] in ENDS if closed else after_end and not token[0].isspace()):
            self.ends = [*self.ends[: -1 if after_end else None], (self.count, self.made)]
        return self.count <= self.limit and self.made < 40 * self.limit

    def length(self) -> int:
        """How many of the tokens are kept."""
        good = [end for end in self.ends if end[0] >= 0.6 * self.words]
        if good:
            return min(good, key=lambda end: abs(end[0] - self.words))[1]
        return self.cut or self.made


@dataclass
class Writer:
    """One writing: what predicts, each symbol's text, and what it is drawn with.

    On the way it gives what it has written so far, after every symbol.
    """

    predictor: Predictor
    tokens: list[str]
    temperature: float
    random: np.random.Generator
    cancel: Cancel
    shown: Callable[[str], str] = str  # what tokens put together read as

    def onwards(self, context: list[int], words: int) -> Progress[str, None, list[int]]:
        """About `words` words more, to a sentence's end if one is near."""
        state = self.predictor.context(context)
        made: list[int] = []
        text, pace, going = "", Pace(words), True
        while going:
            symbol = pick(self.predictor.distribution(state), self.temperature, self.random)
            token, before = self.tokens[symbol], pace.count
            going = pace.goes_on(token)
            if pace.count > before:
                self.cancel.check()
            if pace.made == len(made):
                break
            made.append(symbol)
            text += token
            yield self.shown(text)
            if going:
                state = self.predictor.extend(state, symbol)
        return made[: pace.length()]

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
