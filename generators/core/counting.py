"""Counting the n-grams of a text of any length, all lengths at once: sorted keys, no dictionary.

Unusual here: only the n-grams of full length are counted, one at every place of the text; shorter ones are what these
begin with. So a table of one length holds all, tables of several texts are merged by sorting, and a text is counted
piece by piece in memory that its different n-grams take, not its length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

BITS = 62  # of a packed column
MOST = 12_000_000  # rows of a table
PIECE = 4_000_000  # symbols that are counted at once


@dataclass
class Grams:
    """The n-grams of one length in sorted order, one entry each; an n-gram's place in that order is its node."""

    symbols: Ints  # the last one
    begins: Ints  # the first one
    parents: Ints  # node of the n-gram without its last symbol
    counts: Ints
    before: Ints  # how many different symbols stand before it; zeros for the longest


class GramTable:
    """The n-gram of `order` symbols at every place of a text, each different one a row with its count, sorted.

    Symbols from `size` on start a sequence anew: no n-gram has one after its first place, and those that one or the
    text's end cut short are filled up. A row is one or more int64, into which as many digits (symbol + 1, 0 for what
    fills up) are packed as fit. A table of more than `most` rows is `thinned`.
    """

    def __init__(self, size: int, starts: int, order: int, most: int = MOST) -> None:
        self.size, self.starts, self.order, self.most = size, starts, order, most
        self.base = size + starts + 1
        width = max(1, int(BITS / np.log2(self.base)))
        self.widths = [min(width, order - first) for first in range(0, order, width)]
        self.columns: list[Ints] = [np.zeros(0, np.int64) for _ in self.widths]
        self.counts: Ints = np.zeros(0, np.int64)
        self.thinned = False
        self.rest: Ints = np.zeros(0, np.int64)  # of a sequence that goes on

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.counts)

    @classmethod
    def of(
        cls,
        sequence: NDArray[np.integer],
        size: int,
        starts: int,
        order: int,
        check: Callable[[], None] = lambda: None,
    ) -> Self:
        """The table of a whole sequence, (N,) integers in [0, size + starts). `check` is called now and then."""
        table = cls(size, starts, order)
        table.add((sequence[at : at + PIECE] for at in range(0, len(sequence), PIECE)), check)
        table.end()
        return table

    def add(self, pieces: Iterable[NDArray[np.integer]], check: Callable[[], None] = lambda: None) -> None:
        """Count what follows on what was added before, in pieces, up to its last n-grams, which `end` counts.

        `check` is called at every piece and may raise.
        """
        for piece in pieces:
            check()
            self.rest = np.concatenate([self.rest, piece.astype(np.int64)])
            whole = max(len(self.rest) - self.order + 1, 0)
            self._count(self.rest, whole)
            self.rest = self.rest[whole:]

    def end(self) -> None:
        """Count the last n-grams, which the sequence's end cuts short; what is added afterwards is another sequence."""
        self._count(self.rest, len(self.rest))
        self.rest = self.rest[:0]

    def _count(self, sequence: Ints, places: int) -> None:
        """Count the n-grams that begin at the first `places` of a sequence."""
        if not places:
            return
        digits = np.concatenate([sequence + 1, np.zeros(self.order, np.int64)])
        restart = digits > self.size
        goes_on = np.ones(places, dtype=bool) if restart[1:].any() else None
        columns, n = [], 0
        for width in self.widths:
            key = np.zeros(places, dtype=np.int64)
            for _ in range(width):
                digit = digits[n : n + places]
                if n and goes_on is not None:
                    goes_on &= ~restart[n : n + places]
                    digit = digit * goes_on
                key = key * self.base + digit
                n += 1
            columns.append(key)
        self.merge(columns, None)

    def merge(self, columns: list[Ints], counts: Ints | None) -> None:
        """Take in rows with their counts, or None for rows that come as often as they occur."""
        columns, counts = _different(columns, counts)
        if len(self) and len(columns) == 1:
            keys, more = self.columns[0], columns[0]
            at = np.searchsorted(keys, more)
            known = keys[np.minimum(at, len(keys) - 1)] == more
            self.counts[at[known]] += counts[known]
            new = ~known
            columns, counts = [np.insert(keys, at[new], more[new])], np.insert(self.counts, at[new], counts[new])
        elif len(self):
            pairs = zip(self.columns, columns, strict=True)
            columns = [np.concatenate(pair) for pair in pairs]
            columns, counts = _different(columns, np.concatenate([self.counts, counts]))
        self.columns, self.counts = columns, counts
        if len(self) > self.most:
            self._thin()

    def take(self, digits: Ints, counts: Ints) -> None:
        """Take in n-grams as digits, (N, order), with their counts."""
        columns, n = [], 0
        for width in self.widths:
            column = np.zeros(len(digits), np.int64)
            for digit in digits[:, n : n + width].T:
                column = column * self.base + digit
            columns.append(column)
            n += width
        self.merge(columns, counts)

    def _thin(self) -> None:
        """Cut the rarest rows shorter, a symbol at a time, until there is room again: shorter n-grams keep their
        counts.
        """
        for cut in range(1, self.order):
            self.thinned = True
            columns, counts = [column.copy() for column in self.columns], self.counts
            rare = counts <= np.partition(counts, len(counts) - self.most // 2)[len(counts) - self.most // 2]
            left = cut
            for column, width in zip(reversed(columns), reversed(self.widths), strict=True):
                unit = self.base ** min(left, width)
                column[rare] -= column[rare] % unit
                left -= min(left, width)
            self.columns, self.counts = _different(columns, counts)
            if len(self) <= 3 * self.most // 4:
                return

    def grams(self, check: Callable[[], None] = lambda: None) -> list[Grams]:
        """All n-grams, those of each length from 1 on."""
        columns, widths, counts = list(self.columns), list(self.widths), self.counts
        found: list[Grams] = []
        after: Ints | None = None  # the ends of those a symbol longer, packed and sorted
        for n in range(self.order, 0, -1):
            check()
            last, digits = np.divmod(columns[-1], self.base)
            whole = digits > 0
            if found:
                found[0].parents = (np.cumsum(whole) - 1)[found[0].parents]
            begins = columns[0][whole] // self.base ** (widths[0] - 1) - 1
            grams = Grams(digits[whole] - 1, begins, np.zeros_like(begins), counts[whole], np.zeros_like(begins))
            if len(self.columns) == 1:
                keys = columns[0][whole]
                if after is not None:
                    _note_before(grams, keys, after)
                after = np.sort(keys % self.base ** (n - 1), kind="stable")  # it comes in sorted runs
            found.insert(0, grams)
            if n == 1:
                break
            columns[-1], widths[-1] = last, widths[-1] - 1
            if not widths[-1]:
                columns, widths = columns[:-1], widths[:-1]
            new = _changes(columns)
            grams.parents = (np.cumsum(new) - 1)[whole]
            first = np.flatnonzero(new)
            columns, counts = [column[first] for column in columns], np.add.reduceat(counts, first)
        if len(self.columns) > 1:
            self._note_all_before(found)
        return found

    def _note_all_before(self, found: list[Grams]) -> None:
        """Count what stands before n-grams by looking their ends up, a length after the other."""
        suffixes = np.zeros_like(found[0].symbols)
        for shorter, longer in pairwise(found):
            keys = shorter.parents * self.base + shorter.symbols
            parents = suffixes[longer.parents]
            wanted = parents * self.base + longer.symbols
            at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
            suffixes = np.where((parents >= 0) & (keys[at] == wanted), at, -1)
            shorter.before = np.bincount(suffixes[suffixes >= 0], minlength=len(keys))


def _note_before(grams: Grams, keys: Ints, after: Ints) -> None:
    """Count what stands before n-grams, packed as `keys`, from the sorted ends of those a symbol longer."""
    first = np.flatnonzero(_changes([after]))
    at = np.searchsorted(keys, after[first])
    known = keys[np.minimum(at, len(keys) - 1)] == after[first]
    grams.before[at[known]] = np.diff(np.append(first, len(after)))[known]


def _different(columns: list[Ints], counts: Ints | None) -> tuple[list[Ints], Ints]:
    """Rows sorted, each once, with the sum of its counts."""
    if counts is None and len(columns) == 1:
        columns = [np.sort(columns[0])]
    else:
        by = np.lexsort(columns[::-1])
        columns = [column[by] for column in columns]
        counts = None if counts is None else counts[by]
    first = np.flatnonzero(_changes(columns))
    if counts is None:
        counts = np.diff(np.append(first, len(columns[0])))
    else:
        counts = np.add.reduceat(counts, first) if len(first) else counts
    return [column[first] for column in columns], counts


def _changes(columns: list[Ints]) -> NDArray[np.bool_]:
    """Where a row is another than the one before it; the first is."""
    new = np.zeros(len(columns[0]), dtype=bool)
    new[:1] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return new
