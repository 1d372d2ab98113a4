"""Hashes of a sequence's stretches, all at once: differences of a polynomial's running sum (Karp & Rabin 1987).

The polynomial is taken modulo 2^64 at a fixed odd number, so a stretch's sum, moved back to its start by the inverse,
depends on its symbols alone.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Sums = NDArray[np.uint64]

BASE = 0x9E3779B97F4A7C15
INVERSE = pow(BASE, -1, 2**64)


@lru_cache(maxsize=4)
def _powers(base: int, count: int) -> Sums:
    """1, base, base^2, ...: (count,)."""
    found = np.full(count, np.uint64(base))
    found[:1] = 1
    return np.cumprod(found)


def powers(count: int) -> Sums:
    """What the symbols of a stretch are multiplied by: (count,)."""
    return _powers(BASE, 1 << max(count - 1, 1).bit_length())[:count]


def text_hash(text: str) -> int:
    """64 bits that stand for a text of any length."""
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def stretch_sums(values: Sums, starts: NDArray[np.int64], ends: NDArray[np.int64]) -> Sums:
    """The sum of value_i BASE^i over each stretch of values (T,), (N,), which begins at one of `starts` and stops
    before its end. Of stretches of a thousand and more, different ones can be built that have the same sum.
    """
    n = len(values)
    sums = np.zeros(n + 1, np.uint64)
    np.cumsum(values * powers(n), out=sums[1:])
    back = _powers(INVERSE, 1 << max(n - 1, 1).bit_length())
    return np.asarray((sums[ends] - sums[starts]) * back[starts])
