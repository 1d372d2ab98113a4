"""No long runs copied from the training text: what a predictor writes has no stretch of so many symbols from it.

Every stretch of one symbol more than may be copied is known by a 32-bit hash, so none gets through; one in a few
thousand that is not in the text is taken for one that is, and only costs a choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.errors import DataError
from generators.core.hashing import powers, stretch_sums
from generators.core.kneser_ney import Floats, Ints
from generators.core.writing import Predictor

MOST = 50_000_000  # symbols that are hashed
MIX = np.uint64(0xD1342543DE82EF95)

Hashes = NDArray[np.uint32]


def stretch_hashes(pieces: Iterable[NDArray[np.integer]], length: int) -> Hashes:
    """The hashes of all stretches of `length` symbols of a sequence that comes in pieces, sorted, each once: (N,).

    Raises `DataError` for a sequence of more than `MOST` symbols.
    """
    found, total, rest = [], 0, np.zeros(0, np.int64)
    for piece in pieces:
        total += len(piece)
        if total > MOST:
            raise DataError(f"max_copied takes a text of at most {MOST:,} symbols; leave it at 0 for this one.")
        rest = np.concatenate([rest, piece.astype(np.int64)])
        found.append(np.unique(_hashed(rest, length)))
        rest = rest[max(len(rest) - length + 1, 0) :]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint32)


def _hashed(sequence: Ints, length: int) -> Hashes:
    """(N - length + 1,) the hash of every stretch of a sequence, none where it is shorter than one."""
    starts = np.arange(len(sequence) - length + 1)
    return _mixed(stretch_sums(sequence, starts, starts + length))


def _mixed(sums: NDArray[np.uint64]) -> Hashes:
    """The upper half of each product: the sum's lower bits are those of few symbols."""
    mixed = (sums ^ (sums >> np.uint64(29))) * MIX
    return (mixed >> np.uint64(32)).astype(np.uint32)


class NoVerbatim:
    """A predictor that gives no probability to a symbol that would end a stretch of the training text.

    hashes: `stretch_hashes` of it, of stretches of `length` symbols. Contexts are pairs: the predictor's own, and the
    last `length` - 1 symbols.
    """

    def __init__(self, predictor: Predictor, hashes: Hashes, length: int) -> None:
        self.predictor, self.hashes, self.length = predictor, hashes, length
        self.powers = powers(length)

    def context(self, symbols: list[int]) -> Any:
        """What it needs to know of the symbols so far."""
        return self.predictor.context(symbols), tuple(symbols[len(symbols) - min(len(symbols), self.length - 1) :])

    def extend(self, context: Any, symbol: int) -> Any:
        """The context after one more symbol."""
        inner, tail = context
        return self.predictor.extend(inner, symbol), (*tail, symbol)[-(self.length - 1) :]

    def distribution(self, context: Any, longest: int | None = None) -> Floats:
        """(size,) the next symbol's probabilities, 0 for one that would copy; their sum may be below 1."""
        inner, tail = context
        p = self.predictor.distribution(inner, longest)
        if len(tail) == self.length - 1:
            before = ((np.asarray(tail, np.uint64) + np.uint64(1)) * self.powers[:-1]).sum(dtype=np.uint64)
            said = np.arange(1, len(p) + 1, dtype=np.uint64) * self.powers[-1]
            hashes = _mixed(before + said)
            at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
            fresh = p * (self.hashes[at] != hashes)
            p = fresh if fresh.any() else p
        return p

    def knows(self, symbols: list[int]) -> bool:
        """As the predictor."""
        return self.predictor.knows(symbols)

    def familiarity(self, symbols: list[int]) -> float:
        """As the predictor."""
        return self.predictor.familiarity(symbols)

    def followers(self, symbol: int) -> NDArray[np.bool_] | None:
        """As the predictor."""
        return self.predictor.followers(symbol)

    @property
    def lookbacks(self) -> Any:
        """As the predictor."""
        return self.predictor.lookbacks
