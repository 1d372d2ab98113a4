"""Interpolated modified Kneser-Ney smoothing over any alphabet, with counts in sorted arrays.

Unusual here: n-grams are not strings but nodes of a trie held in arrays, one level a length. A node's key is
`parent * base + symbol`; keys are sorted, so a whole text is looked up with one `searchsorted` a level, and a node's
children lie side by side, so the next symbol's distribution is a few slices.

Chen & Goodman 1999, eq. 27 to 29, with three discounts a level from its counts of counts and, below the highest order,
the number of distinct symbols before an n-gram in place of its count. The recursion ends in a uniform distribution
over the alphabet, of which symbol 0 stands for everything never seen. Sequences may begin with a start symbol (a
number of the alphabet's size or more), which is only ever context; n-grams that begin with one keep their plain count,
since nothing stands before them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from generators.core.counting import Grams, GramTable, Ints
from generators.core.errors import CheckpointError

__all__ = ["UNKNOWN", "Floats", "Ints", "KneserNey", "Level", "discounts_of"]

Floats = NDArray[np.float64]
UNKNOWN = 0
MARGIN = 0.05  # a discount stays this far from 0 and from the count it is taken off, whatever the counts of counts say


@dataclass
class Level:
    """All n-grams of one length, sorted by (parent, symbol).

    symbols, counts, weights: one a node. first: (parents + 1,) where each parent's children begin.
    removed, backoff: one a parent. weights are the discounted probabilities (eq. 27's first term); backoff is the
    share that the lower order gets, 1 minus the sum of the children's weights.
    """

    symbols: Ints
    first: Ints
    counts: Ints
    removed: Ints
    discounts: Floats  # (3,) for counts of 1, of 2, of 3 and more
    keys: Ints
    weights: Floats
    backoff: Floats

    @classmethod
    def of(cls, symbols: Ints, children: Ints, counts: Ints, removed: Ints, discounts: Floats, base: int) -> Self:
        """A level from what is stored of it; `children` and `removed` have one entry a parent."""
        first = np.concatenate([[0], np.cumsum(children)]).astype(np.int64)
        parents = np.repeat(np.arange(len(children)), children)
        totals = np.bincount(parents, weights=counts, minlength=len(children)) + removed
        off = np.concatenate([[0.0], discounts])[np.minimum(counts, 3)]
        weights = ((counts - off) / np.maximum(totals, 1)[parents]).astype(np.float64)
        backoff = (1.0 - np.bincount(parents, weights=weights, minlength=len(children))).astype(np.float64)
        return cls(symbols, first, counts, removed, discounts, parents * base + symbols, weights, backoff)

    @property
    def parents(self) -> Ints:
        """Each node's parent: (N,)."""
        return np.repeat(np.arange(len(self.first) - 1), np.diff(self.first))

    def find(self, keys: Ints) -> Ints:
        """The nodes with `keys`, -1 where there is none: (N,)."""
        at = np.searchsorted(self.keys, keys)
        at[at == len(self.keys)] = 0
        return np.where(self.keys[at] == keys, at, -1) if len(self.keys) else np.full(len(keys), -1)

    def child(self, parent: int, symbol: int) -> int:
        """One node's child, -1 if there is none."""
        start, stop = self.first[parent], self.first[parent + 1]
        at = start + int(np.searchsorted(self.symbols[start:stop], symbol))
        return int(at) if at < stop and self.symbols[at] == symbol else -1


def discounts_of(counts: Ints) -> Floats:
    """(3,) the discounts of counts 1, 2 and 3 or more from the counts of counts (Chen & Goodman 1999, eq. 26)."""
    n = np.bincount(np.minimum(counts, 5), minlength=6).astype(float)
    y = n[1] / (n[1] + 2 * n[2]) if n[1] else 0.5
    found = []
    for k in (1, 2, 3):
        estimate = k - (k + 1) * y * n[k + 1] / n[k] if n[k] and n[k + 1] else y * k
        found.append(min(max(estimate, MARGIN), k - MARGIN))
    return np.asarray(found)


class KneserNey:
    """An n-gram model. `size`: the alphabet's size, unknown included; `starts`: how many start symbols follow it."""

    def __init__(
        self, size: int, starts: int, levels: list[Level], unknown: float | None = None, thinned: bool = False
    ) -> None:
        """thinned: whether its table was, see `GramTable`."""
        self.size, self.starts, self.levels, self.thinned = size, starts, levels, thinned
        self.floor = np.full(size, 1.0 / size)  # order 0
        self.unknown = 1.0 / size if unknown is None else unknown
        if size > 1:
            self.floor[:] = (1.0 - self.unknown) / (size - 1)
            self.floor[UNKNOWN] = self.unknown

    @property
    def order(self) -> int:
        """The longest n-gram's length."""
        return len(self.levels)

    @property
    def nodes(self) -> int:
        """How many counts are stored."""
        return sum(len(level.symbols) for level in self.levels)

    @property
    def discounts(self) -> Floats:
        """(order, 3) what is taken off counts of 1, of 2, of 3 and more."""
        return np.stack([level.discounts for level in self.levels])

    @classmethod
    def fit(
        cls,
        sequence: NDArray[Any],
        *,
        size: int,
        starts: int,
        order: int,
        max_nodes: int = 0,
        unknown: float | None = None,
        discounts: Floats | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Self:
        """Count `sequence`, (N,) integers in [0, size + starts); every start symbol begins a new sequence.

        The rest as in `counted`.
        """
        table = GramTable.of(np.asarray(sequence), size, starts, order, check)
        return cls.counted(table, max_nodes=max_nodes, unknown=unknown, discounts=discounts, check=check)

    @classmethod
    def counted(
        cls,
        table: GramTable,
        *,
        max_nodes: int = 0,
        unknown: float | None = None,
        discounts: Floats | None = None,
        check: Callable[[], None] = lambda: None,
    ) -> Self:
        """The model of a table's n-grams.

        `max_nodes` > 0 prunes (see `_prune`). `unknown`: order 0's probability of symbol 0, uniform if None.
        `discounts`: (order, 3), estimated from the counts of counts if None. `check` is called now and then and may
        raise.
        """
        size, starts, order = table.size, table.starts, table.order
        grams, levels = table.grams(check), []
        for n, gram in enumerate(grams, start=1):
            counts = gram.counts
            if n < order:  # below the highest order: how many different symbols stand before it
                before = np.maximum(gram.before, 1) if table.thinned else gram.before
                counts = np.where(gram.begins >= size, counts, before)
            counts = np.where(gram.symbols >= size, 0, counts)  # a start symbol is never predicted
            children = np.bincount(gram.parents, minlength=1 if n == 1 else len(grams[n - 2].counts))
            off = discounts_of(counts[counts > 0]) if discounts is None else discounts[n - 1]
            levels.append(Level.of(gram.symbols, children, counts, np.zeros_like(children), off, size + starts))
        model = cls(size, starts, levels, unknown, table.thinned)
        if max_nodes and model.nodes > max_nodes:
            model._prune(max_nodes, grams)
        return model

    def _prune(self, max_nodes: int, grams: list[Grams]) -> None:
        """Keep the `max_nodes` n-grams whose loss would cost the training text the most nats.

        An n-gram's cost is its plain count times the change of its log probability when its weight goes to the lower
        order (weighted difference: Seymore & Rosenfeld 1996); a node with a kept child stays. Single symbols all stay.
        """
        base = self.size + self.starts
        below = np.where(
            self.levels[0].symbols < self.size, self.floor[np.minimum(self.levels[0].symbols, self.size - 1)], 0.0
        )
        probability = self.levels[0].weights + self.levels[0].backoff[0] * below
        costs = [np.full(len(self.levels[0].symbols), np.inf)]
        for level, gram, suffixes in zip(self.levels[1:], grams[1:], self.suffixes()[1:], strict=True):
            lower = np.where(suffixes >= 0, probability[suffixes], 1.0 / self.size)  # -1: cut from a thinned table
            backoff = level.backoff[gram.parents]
            probability = level.weights + backoff * lower
            costs.append(gram.counts * np.log(probability / ((backoff + level.weights) * lower)))
        for upper, lower_cost in zip(range(len(costs) - 1, 0, -1), reversed(costs[:-1]), strict=True):
            np.maximum.at(lower_cost, self.levels[upper].parents, costs[upper])
        every = np.concatenate(costs)
        limit = np.partition(every, len(every) - max_nodes)[len(every) - max_nodes]
        parent_stays = np.ones(1, dtype=bool)
        for n, (level, cost) in enumerate(zip(self.levels, costs, strict=True)):
            stays = cost > limit if n else np.ones(len(cost), dtype=bool)
            gone = np.bincount(level.parents, weights=level.counts * ~stays, minlength=len(parent_stays))
            children = np.bincount(level.parents[stays], minlength=len(parent_stays))[parent_stays]
            removed = (level.removed + gone.astype(np.int64))[parent_stays]
            self.levels[n] = Level.of(
                level.symbols[stays], children, level.counts[stays], removed, level.discounts, base
            )
            parent_stays = stays

    def walk(self, sequence: Ints) -> Iterator[tuple[Ints, Ints, Ints]]:
        """For each level, where a symbol's context of that length is known: place, context node, n-gram node or -1."""
        base, node = self.size + self.starts, np.zeros(len(sequence), dtype=np.int64)
        for n, level in enumerate(self.levels, start=1):
            context = node[: max(len(sequence) - n + 1, 0)]  # the n - 1 symbols that begin here
            last = sequence[n - 1 :]
            at = np.flatnonzero(context >= 0)
            grams = level.find(context[at] * base + last[at])
            node = np.full(len(context), -1, dtype=np.int64)
            node[at] = grams
            said = last[at] < self.size
            yield at[said] + n - 1, context[at[said]], grams[said]

    def log_probs(self, sequence: NDArray[Any]) -> Floats:
        """(N,) nats: log p(symbol | the symbols before it, back to its start symbol); 0 at the start symbols."""
        sequence = np.asarray(sequence, dtype=np.int64)
        scored = sequence < self.size
        p = np.where(scored, self.floor[np.where(scored, sequence, 0)], 1.0)
        for level, (at, contexts, nodes) in zip(self.levels, self.walk(sequence), strict=True):
            p[at] = level.backoff[contexts] * p[at] + np.where(nodes >= 0, level.weights[nodes], 0.0)
        return np.log(p)

    def shares(self, sequence: NDArray[Any]) -> Floats:
        """(order + 1, N): which share of each symbol's probability the n-grams of each length give; order 0 is first.

        An n-gram's part is its own weight times what all longer ones leave to shorter ones.
        """
        sequence = np.asarray(sequence, dtype=np.int64)
        parts = np.zeros((self.order + 1, len(sequence)))
        parts[0] = self.floor[np.where(sequence < self.size, sequence, 0)]
        for n, (level, (at, contexts, nodes)) in enumerate(zip(self.levels, self.walk(sequence), strict=True), 1):
            parts[:n, at] *= level.backoff[contexts]
            parts[n, at] = np.where(nodes >= 0, level.weights[nodes], 0.0)
        parts /= parts.sum(0)
        return parts

    def counted_at(self, sequence: NDArray[Any]) -> tuple[Ints, Ints]:
        """How often what stands in each place was counted: two arrays (order, N), row n for n-grams of n + 1 symbols.

        First the n-gram that ends there, then its context, followed by anything. Below the highest order a count is
        that of the different symbols before the n-gram, unless it begins with a start symbol.
        """
        sequence = np.asarray(sequence, dtype=np.int64)
        counts, totals = (np.zeros((self.order, len(sequence)), np.int64) for _ in range(2))
        for n, (level, (at, contexts, nodes)) in enumerate(zip(self.levels, self.walk(sequence), strict=True)):
            sums = np.append(0, np.cumsum(level.counts))
            totals[n, at] = sums[level.first[contexts + 1]] - sums[level.first[contexts]] + level.removed[contexts]
            counts[n, at] = np.where(nodes >= 0, level.counts[nodes], 0)
        return counts, totals

    def followed_by(self, symbols: list[int], most: int) -> tuple[int, list[tuple[int, int]]]:
        """What came after the longest n-gram at the end of `symbols` that anything came after: its length, and the
        commonest next symbols with their counts, at most so many.
        """
        context = self.context(symbols)
        for n in range(min(len(context), self.order) - 1, -1, -1):
            if context[n] < 0:
                continue
            level = self.levels[n]
            here = slice(level.first[context[n]], level.first[context[n] + 1])
            counts = level.counts[here]
            if counts.any():
                best = np.argsort(-counts, kind="stable")[:most]
                found = zip(level.symbols[here][best].tolist(), counts[best].tolist(), strict=True)
                return n, [(symbol, count) for symbol, count in found if count]
        return 0, []

    def distributions(self, sequence: NDArray[Any], part: int = 20_000) -> NDArray[np.float32]:
        """(N, size): what `distribution` says before each symbol of `sequence`, at most `part` of them at a time; order
        0's probabilities before a start symbol.
        """
        sequence = np.asarray(sequence, dtype=np.int64)
        found = np.empty((len(sequence), self.size), np.float32)
        reach = self.order - 1
        for begin in range(0, len(sequence), part):
            first = max(0, begin - reach)
            piece = sequence[first : begin + part]
            p = np.tile(self.floor, (len(piece), 1))
            for level, (at, contexts, _) in zip(self.levels, self.walk(piece), strict=True):
                p[at] *= level.backoff[contexts, None]
                starts, counts = level.first[contexts], level.first[contexts + 1] - level.first[contexts]
                children = np.arange(counts.sum()) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
                rows, symbols = np.repeat(at, counts), level.symbols[children]
                if symbols.max(initial=0) >= self.size:  # start symbols among the single symbols
                    kept = symbols < self.size
                    rows, symbols, children = rows[kept], symbols[kept], children[kept]
                p[rows, symbols] += level.weights[children]
            found[begin : begin + part] = p[begin - first :]
        return found

    def context(self, symbols: list[int]) -> list[int]:
        """What `distribution` needs to know of the symbols so far: their last 0, 1, ... symbols' nodes (-1: none)."""
        state = [0]
        for symbol in symbols[-max(self.order - 1, 1) :]:
            state = self.extend(state, symbol)
        return state

    def extend(self, context: list[int], symbol: int) -> list[int]:
        """The context after one more symbol."""
        pairs = zip(context[: self.order - 1], self.levels, strict=False)
        return [0, *(level.child(node, symbol) if node >= 0 else -1 for node, level in pairs)]

    def distribution(self, context: list[int], longest: int | None = None) -> Floats:
        """(size,) the next symbol's probabilities; they sum to 1. `longest`: look back at most so many symbols."""
        p = self.floor.copy()
        for node, level in zip(context[: None if longest is None else longest + 1], self.levels, strict=False):
            if node < 0:
                continue
            start, stop = level.first[node], level.first[node + 1]
            p *= level.backoff[node]
            symbols = level.symbols[start:stop]
            if node == 0 and len(symbols) and symbols[-1] >= self.size:  # start symbols among the single symbols
                stop -= int(np.count_nonzero(symbols >= self.size))
                symbols = level.symbols[start:stop]
            p[symbols] += level.weights[start:stop]
        return p

    def knows(self, symbols: list[int]) -> bool:
        """Whether these symbols' n-gram, cut to order - 1, was ever followed by anything."""
        return self.context(symbols)[-1] >= 0

    def familiarity(self, symbols: list[int]) -> float:
        """How much of `symbols`, back from its end, is an n-gram of the text: the share, in (0, 1]."""
        depth = sum(node >= 0 for node in self.context(symbols)) if len(symbols) > 1 else 2
        return depth / min(len(symbols), self.order)

    def followers(self, symbol: int) -> NDArray[np.bool_] | None:
        """Which symbols ever came after a start symbol, (size,); None where single symbols are all that is counted."""
        if self.order == 1:
            return None
        node, level = self.context([symbol])[1], self.levels[1]
        known = np.zeros(self.size, dtype=bool)
        known[level.symbols[level.first[node] : level.first[node + 1]]] = True
        return known

    @property
    def lookbacks(self) -> list[int]:
        """One symbol less far each time."""
        return list(range(self.order - 1, min(self.order - 1, 1) - 1, -1))

    def suffixes(self) -> list[Ints]:
        """For every level the node of each n-gram without its first symbol, one level down (-1: pruned)."""
        base = self.size + self.starts
        found = [np.zeros(len(self.levels[0].symbols), dtype=np.int64)]
        for n in range(1, self.order):
            level, above = self.levels[n], self.levels[n - 1]
            shorter = found[n - 1][level.parents]
            found.append(np.where(shorter >= 0, above.find(np.maximum(shorter, 0) * base + level.symbols), -1))
        return found

    def widened(self, places: Ints, size: int) -> KneserNey:
        """The same over an alphabet of `size` symbols, of which symbol i is number places[i], (self.size,) increasing.

        Symbols that it does not know share order 0's probability of the unknown one.
        """
        symbols, base = np.append(places, size + np.arange(self.starts)), size + self.starts
        levels = [
            Level.of(symbols[one.symbols], np.diff(one.first), one.counts, one.removed, one.discounts, base)
            for one in self.levels
        ]
        wide = KneserNey(size, self.starts, levels, self.unknown)
        wide.floor = np.full(size, self.floor[UNKNOWN] / (size - self.size + 1))
        wide.floor[places[1:]] = self.floor[1:]
        return wide

    def table(self, places: Ints, size: int) -> GramTable:
        """What it was counted from, over the alphabet of `widened`, so that more can be counted.

        Counts that no model of this order depends on may be others. Raises ValueError where it was pruned.
        """
        if any(level.removed.any() for level in self.levels):
            raise ValueError("A pruned model cannot count more; train it with max_mib 0.")
        found = GramTable(size, self.starts, self.order)
        found.thinned = self.thinned
        digits = np.append(places, size + np.arange(self.starts)) + 1
        path = np.zeros((1, self.order), np.int64)
        begins = np.zeros(1, np.int64)
        for n, level in enumerate(self.levels, start=1):
            path = path[level.parents]
            path[:, n - 1] = digits[level.symbols]
            begins = begins[level.parents] if n > 1 else level.symbols
            last = n == self.order
            ends = np.ones(len(path), bool) if last else np.diff(self.levels[n].first) == 0
            counts = np.where((begins >= self.size) | last, level.counts, 1)
            found.take(path[ends], np.maximum(counts[ends], 1))
        return found

    def state(self) -> dict[str, NDArray[Any]]:
        """As compact arrays, the levels one after the other."""
        kind = np.uint8 if self.size + self.starts <= 1 << 8 else np.uint16
        kind = kind if self.size + self.starts <= 1 << 16 else np.uint32  # type: ignore[assignment]
        levels = self.levels
        return {
            "shape": np.asarray([self.size, self.starts, *(len(level.symbols) for level in levels)], np.int64),
            "unknown": np.asarray([self.unknown]),
            "discounts": self.discounts,
            "symbols": np.concatenate([level.symbols for level in levels]).astype(kind),
            **_small("counts", np.concatenate([level.counts for level in levels])),
            **_small("children", np.concatenate([np.diff(level.first) for level in levels])),
            **_small("removed", np.concatenate([level.removed for level in levels])),
            **({"thinned": np.ones(1, np.uint8)} if self.thinned else {}),
        }

    @classmethod
    def from_state(cls, state: dict[str, NDArray[Any]]) -> Self:
        """The model back from `state()`. Raises `CheckpointError` where the arrays do not fit together."""
        try:
            size, starts, *lengths = (int(n) for n in state["shape"])
            parents = [1, *lengths[:-1]]
            columns = [state["symbols"].astype(np.int64), _large("counts", state)]
            symbols, counts = (np.split(column, np.cumsum(lengths)[:-1]) for column in columns)
            columns = [_large("children", state), _large("removed", state)]
            children, removed = (np.split(column, np.cumsum(parents)[:-1]) for column in columns)
            levels = [
                Level.of(*parts, base=size + starts)
                for parts in zip(symbols, children, counts, removed, state["discounts"], strict=True)
            ]
            return cls(size, starts, levels, float(state["unknown"][0]), "thinned" in state)
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise CheckpointError(f"The model's counts do not fit together ({error}); train it again.") from error


def _small(name: str, values: Ints) -> dict[str, NDArray[Any]]:
    """Non-negative integers as one byte each; those of 255 and more follow in an array of their own."""
    return {
        name: np.minimum(values, 255).astype(np.uint8),
        f"{name}.large": values[values >= 255].astype(np.uint32),
    }


def _large(name: str, state: dict[str, NDArray[Any]]) -> Ints:
    values = state[name].astype(np.int64)
    values[values == 255] = state[f"{name}.large"]
    return values
