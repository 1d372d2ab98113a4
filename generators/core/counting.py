"""Counting the n-grams of a sequence, all lengths at once: sorted keys, no dictionary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass
class Grams:
    """The n-grams of one length in sorted order, one entry each; an n-gram's place in that order is its node."""

    symbols: Ints  # the last one
    begins: Ints  # the first one
    parents: Ints  # node of the n-gram without its last symbol
    suffixes: Ints  # node of the n-gram without its first symbol
    counts: Ints


def count_grams(sequence: Ints, size: int, starts: int, order: int, check: Callable[[], None]) -> Iterator[Grams]:
    """Count all n-grams of length 1 to `order` that have no start symbol after their first place.

    As many symbols as fit one int64 are packed into a key and sorted at once; each shorter n-gram is then a prefix of
    sorted keys. Digit 0 stands for "past the end", so that a gram that ends there is told from its prefix.
    """
    base, total = size + starts + 1, len(sequence)
    starting = np.append(np.flatnonzero(sequence >= size), total)
    room = starting[np.searchsorted(starting, np.arange(total), side="right")] - np.arange(total)
    digits = np.append(sequence + 1, np.zeros(order, dtype=np.int64))
    node = np.zeros(total + 1, dtype=np.int64)  # of the n-gram that begins at each place
    at, n = np.arange(total), 0
    while n < order:
        check()
        key = node[at]
        width = min(order - n, max(1, int((62 - np.log2(key.max(initial=0) + 1)) / np.log2(base))))
        for place in range(n, n + width):
            key = key * base + np.where(place < room[at], digits[at + place], 0)
        by = np.argsort(key)
        key, at = key[by], at[by]
        for left in range(width - 1, -1, -1):
            check()
            n += 1
            prefix = key // base**left
            whole = prefix % base > 0
            new = whole.copy()
            new[1:] &= prefix[1:] != prefix[:-1]
            ids = np.cumsum(new) - 1
            first = at[new]
            longer = np.full(total + 1, -1, dtype=np.int64)
            longer[at[whole]] = ids[whole]
            yield Grams(
                symbols=prefix[new] % base - 1,
                begins=sequence[first],
                parents=node[first],
                suffixes=node[first + 1] if n > 1 else np.zeros_like(first),
                counts=np.bincount(ids[whole], minlength=len(first)),
            )
            node = longer
        at = at[whole]
