"""No long runs copied from the training text: what a predictor writes has no stretch of so many symbols from it.

Every stretch of one symbol more than may be copied is known by a 32-bit hash of its tokens' texts, whatever numbers
they have. So none gets through unless nothing else can follow; of a text of a million symbols one stretch in four
thousand that is not in it is taken for one that is, which only costs a choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.errors import DataError
from generators.core.hashing import Sums, powers, stretch_sums, text_hash
from generators.core.kneser_ney import UNKNOWN, Floats
from generators.core.writing import Predictor

MOST = 50_000_000  # symbols that are hashed
MIX = np.uint64(0xD1342543DE82EF95)

Hashes = NDArray[np.uint32]


def token_values(tokens: Sequence[str]) -> Sums:
    """What stands for each token in a stretch's sum, (size + 1,); the last one for a start symbol."""
    return np.asarray([*map(text_hash, tokens), 1], np.uint64)


def stretch_hashes(pieces: Iterable[NDArray[np.integer]], length: int, values: Sums) -> Hashes:
    """The hashes of all stretches of `length` symbols of a sequence that comes in pieces, sorted, each once: (N,).

    values: `token_values` of the symbols. Raises `DataError` for a sequence of more than `MOST` symbols.
    """
    found, total, rest = [], 0, np.zeros(0, np.uint64)
    for piece in pieces:
        total += len(piece)
        if total > MOST:
            raise DataError(f"max_copied takes a text of at most {MOST:,} symbols; leave it at 0 for this one.")
        rest = np.concatenate([rest, values[piece]])
        found.append(np.unique(_hashed(rest, length)))
        rest = rest[max(len(rest) - length + 1, 0) :]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.uint32)


def _hashed(values: Sums, length: int) -> Hashes:
    """(N - length + 1,) the hash of every stretch of a sequence, none where it is shorter than one."""
    starts = np.arange(len(values) - length + 1)
    return _mixed(stretch_sums(values, starts, starts + length))


def _mixed(sums: NDArray[np.uint64]) -> Hashes:
    """The upper half of each product: the sum's lower bits are those of few symbols."""
    mixed = (sums ^ (sums >> np.uint64(29))) * MIX
    return (mixed >> np.uint64(32)).astype(np.uint32)


class NoVerbatim:
    """A predictor that gives no probability to a symbol that would end a stretch of the training text, unless all
    would.

    hashes: `stretch_hashes` of it, of stretches of `length` symbols. tokens: the vocabulary's. Contexts are pairs: the
    predictor's own, and the last `length` - 1 symbols.
    """

    def __init__(self, predictor: Predictor, hashes: Hashes, length: int, tokens: Sequence[str]) -> None:
        self.predictor, self.hashes, self.length = predictor, hashes, length
        self.powers, self.values = powers(length), token_values(tokens)

    def _is_copied(self, hashes: Hashes) -> NDArray[np.bool_]:
        at = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return self.hashes[at] == hashes if len(self.hashes) else np.zeros(len(hashes), bool)

    def copies(self, symbols: Sequence[int]) -> bool:
        """Whether there is a stretch of the training text in these symbols."""
        return bool(self._is_copied(_hashed(self.values[np.asarray(symbols, np.int64)], self.length)).any())

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
            before = (self.values[np.asarray(tail, np.int64)] * self.powers[:-1]).sum(dtype=np.uint64)
            fresh = p * ~self._is_copied(_mixed(before + self.values[: len(p)] * self.powers[-1]))
            p = fresh if np.delete(fresh, UNKNOWN).any() else p
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
        """As the predictor, but no less far than a stretch."""
        farthest, *others = self.predictor.lookbacks
        return [farthest if farthest is None else max(farthest, self.length - 1), *others]
