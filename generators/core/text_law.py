"""What running text is drawn from, as a probability of every text: what word moves sample under conditions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.kneser_ney import UNKNOWN, Floats
from generators.core.vocabulary import Vocabulary
from generators.core.writing import CLOSERS, ENDS, MIN_P, InTurn, Parallel, Predictor

LOOSE = 1e-4  # of f: share that the model's untempered distribution has
TINY = 1e-300  # added before a logarithm is taken
WHITE = frozenset(" \t\n\r\f\v")

Unit = tuple[int, ...]  # a word's symbols: the white space before it, itself, and the marks after it


@dataclass(frozen=True)
class TextLaw:
    """What free text is drawn from, and a little of the model as it is, so that every text has a probability.

    f = (1 - LOOSE) q + LOOSE p, where p is the model's distribution without the unknown symbol, and q its power
    1 / temperature over the symbols that `generators.core.writing.pick` draws from. At temperature 1 f is p.
    before: the symbols of the prompt, or whatever stands before the text.
    """

    predictor: Predictor
    vocabulary: Vocabulary
    before: list[int]
    temperature: float

    @cached_property
    def parallel(self) -> Parallel:
        """The predictor, in several ways at once."""
        return self.predictor if isinstance(self.predictor, Parallel) else InTurn(self.predictor)

    @cached_property
    def start(self) -> Any:
        """The predictor's context before the text."""
        return self.predictor.context(self.before)

    @cached_property
    def last(self) -> str:
        """The last character before the text."""
        return self.vocabulary.decode(self.before)[-1:]

    @property
    def looks_back(self) -> int | None:
        """How many symbols the predictor looks back at, None for all there are."""
        return self.predictor.lookbacks[0]

    @cached_property
    def white(self) -> NDArray[np.bool_]:
        """(size,) which symbols begin with white space: before such a one a word is over."""
        return np.asarray([token[:1] in WHITE and token != "" for token in self.vocabulary.tokens])

    def of(self, p: NDArray[Any]) -> Floats:
        """f of probabilities (N, size), (N, size)."""
        known = np.maximum(p.sum(1) - p[:, UNKNOWN], TINY)
        if self.temperature == 1:
            f = p / known[:, None]
            f[:, UNKNOWN] = 0.0
            return np.asarray(f)
        f = LOOSE * p / known[:, None]
        f[:, UNKNOWN] = -1.0  # never the largest
        top = f.max(1)
        if self.temperature == 0:
            f[np.arange(len(f)), f.argmax(1)] += 1 - LOOSE
        else:
            rows, symbols = np.nonzero(f >= (MIN_P * top if self.temperature < 1 else 0 * top)[:, None])
            drawn = (f[rows, symbols] / top[rows]) ** (1 / self.temperature)
            f[rows, symbols] += (1 - LOOSE) * drawn / np.bincount(rows, drawn)[rows]
        f[:, UNKNOWN] = 0.0
        return np.asarray(f)

    def read(self, context: Any, rows: list[list[int]]) -> list[Floats]:
        """(2, T) of every row of T symbols after a context: ln f, then nats under the model."""
        found = self.parallel.foreseen(context, [row[:-1] for row in rows])
        return [said(self.of(p), p, row) for p, row in zip(found, rows, strict=True)]

    def split(self, symbols: Iterable[int]) -> list[Unit]:
        """Words with the white space before them and the marks after; white space at the end is left out."""
        found: list[list[int]] = []
        full = False
        for symbol in symbols:
            if not found or (full and self.white[symbol]):
                found.append([])
                full = False
            found[-1].append(symbol)
            full = full or self.is_said(symbol)
        return [tuple(unit) for unit in (found if full else found[:-1])]

    def ends(self, unit: Unit) -> bool:
        """Whether a sentence ends with a word and its marks."""
        return self.vocabulary.decode(unit).rstrip(CLOSERS)[-1:] in tuple(ENDS)

    def is_said(self, symbol: int) -> bool:
        """Whether a symbol is more than white space."""
        return bool(self.vocabulary.tokens[symbol].strip())


def said(f: Floats, p: NDArray[Any], row: list[int]) -> Floats:
    """(2, T) of T symbols: ln f, then nats, from f and p (at least T, size) before each."""
    places = np.arange(len(row)), np.asarray(row, np.int64)
    return np.stack([np.log(f[places] + TINY), -np.log(p[places] + TINY)])


def flat(units: Iterable[Unit]) -> list[int]:
    """The symbols of words."""
    return list(chain.from_iterable(units))
