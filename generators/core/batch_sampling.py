"""Many texts at once from n-gram counts, a symbol of all of them a step: exact draws without a distribution.

An interpolated model is a mixture of what its n-grams of each length say. So a symbol is drawn by staying with the
longest context with the probability that it keeps, and by going on to the next shorter one otherwise: one search in
cumulated weights instead of a sum over the alphabet, for thousands of texts in the same few NumPy calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from generators.core.bounds import within
from generators.core.generator import rng
from generators.core.interpolation import Counts
from generators.core.kneser_ney import UNKNOWN, Floats, Ints, KneserNey
from generators.core.text_model import TextModel
from generators.core.writing import Pace

TOGETHER = 2048  # texts
BLOCK, ITEM_BLOCK = 64, 16  # symbols that a text, or an item, is drawn on by before it is asked whether it ends


class BatchSampler:
    """Draws from counts; where these are several models' each symbol is drawn from one of them, chosen by weight."""

    def __init__(self, counts: Counts) -> None:
        self.models: Sequence[KneserNey] = [counts] if isinstance(counts, KneserNey) else counts.wide
        self.chances = np.ones(1) if isinstance(counts, KneserNey) else np.cumsum(counts.weights)
        self.sums = [[np.cumsum(level.weights) for level in model.levels] for model in self.models]
        self.floors = [np.cumsum(model.floor) for model in self.models]

    def draw(
        self,
        contexts: list[list[int]],
        random: list[np.random.Generator],
        ended: Callable[[Ints], NDArray[np.bool_]],
        block: int = BLOCK,
    ) -> list[Ints]:
        """One sequence of symbols after each context, drawn with a generator of its own, never the unknown symbol.

        ended: of the symbols (B, T) drawn so far, T a multiple of `block`, which rows are long enough.
        """
        nodes = [self._nodes(model, contexts) for model in self.models]
        made = np.zeros((len(contexts), 0), np.int64)
        rows = np.arange(len(contexts))  # those that go on
        done: list[Ints] = [made[0]] * len(contexts)
        while len(rows):
            uniform = np.stack([random[i].random((block, 2)) for i in rows])  # which model, which symbol
            fresh = np.zeros((len(rows), block), np.int64)
            for t in range(block):
                symbols = self._symbols(nodes, uniform[:, t])
                while len(again := np.flatnonzero(symbols == UNKNOWN)):
                    others = np.stack([random[rows[i]].random(2) for i in again])
                    symbols[again] = self._symbols([each[:, again] for each in nodes], others)
                fresh[:, t] = symbols
                nodes = [self._extended(model, each, symbols) for model, each in zip(self.models, nodes, strict=True)]
            made = np.concatenate([made, fresh], 1)
            enough = ended(made)
            for i in np.flatnonzero(enough):
                done[rows[i]] = made[i]
            made, rows, nodes = made[~enough], rows[~enough], [each[:, ~enough] for each in nodes]
        return done

    @staticmethod
    def _nodes(model: KneserNey, contexts: list[list[int]]) -> Ints:
        """(order, B) the nodes of the last 0, 1, ... symbols of every context, -1 where there is none."""
        found = np.full((model.order, len(contexts)), -1, np.int64)
        for i, context in enumerate(contexts):
            nodes = model.context(context)[: model.order]
            found[: len(nodes), i] = nodes
        return found

    @staticmethod
    def _extended(model: KneserNey, nodes: Ints, symbols: Ints) -> Ints:
        """The nodes after one symbol (B,) more."""
        base, found = model.size + model.starts, np.full_like(nodes, -1)
        found[0] = 0
        for n in range(1, model.order):
            known = np.flatnonzero(nodes[n - 1] >= 0)
            found[n, known] = model.levels[n - 1].find(nodes[n - 1, known] * base + symbols[known])
        return found

    def _symbols(self, nodes: list[Ints], uniform: Floats) -> Ints:
        """(B,) symbols drawn with two uniform numbers each, (B, 2)."""
        if len(self.models) == 1:
            return self._of(0, nodes[0], uniform[:, 1])
        chosen = np.searchsorted(self.chances, uniform[:, 0], side="right").clip(max=len(self.models) - 1)
        found = np.zeros(len(uniform), np.int64)
        for k, each in enumerate(nodes):
            at = np.flatnonzero(chosen == k)
            found[at] = self._of(k, each[:, at], uniform[at, 1])
        return found

    def _of(self, k: int, nodes: Ints, uniform: Floats) -> Ints:
        """(B,) symbols of model k by one uniform number each: what is left of it after a context chooses below it."""
        model, found = self.models[k], np.full(nodes.shape[1], -1, np.int64)
        left, rows = uniform.copy(), np.arange(nodes.shape[1])
        for n in range(model.order - 1, -1, -1):
            context = nodes[n, rows]
            known = context >= 0
            at, context = rows[known], context[known]
            level, sums = model.levels[n], self.sums[k][n]
            backoff = level.backoff[context]
            kept = left[at] < 1.0 - backoff
            first, stop = level.first[context[kept]], level.first[context[kept] + 1]
            before = np.where(first > 0, sums[first - 1], 0.0)
            place = np.searchsorted(sums, before + left[at[kept]], side="right")
            found[at[kept]] = level.symbols[np.clip(place, first, stop - 1)]
            on = at[~kept]
            left[on] = (left[on] - (1.0 - backoff[~kept])) / backoff[~kept]
            rows = np.concatenate([rows[~known], on])
        floor = self.floors[k]
        found[rows] = np.minimum(np.searchsorted(floor, left[rows] * floor[-1], side="right"), model.size - 1)
        return found


def sampled_items(model: TextModel, counts: Counts, count: int, kind: int | None, seed: int) -> NDArray[np.str_]:
    """(count,) items of a kind (None: any, all alike), at temperature 1, given that each has a character and is no
    longer than the longest of the data.
    """
    size, end, longest = len(model.vocabulary), model.vocabulary.symbols["\n"], int(model.lengths[0])
    sampler = BatchSampler(counts)

    def ended(made: Ints) -> NDArray[np.bool_]:
        enough: NDArray[np.bool_] = (made == end).any(1)
        return enough if made.shape[1] < longest else np.ones_like(enough)

    items: list[str] = []
    for start in range(0, within("count", count, 1, 10**6), TOGETHER):
        random = [rng(seed, i) for i in range(start, min(start + TOGETHER, count))]
        some = [""] * len(random)
        while missing := [i for i, item in enumerate(some) if not item]:
            starts = [size + (int(random[i].integers(counts.starts)) if kind is None else kind) for i in missing]
            drawn = sampler.draw([[one] for one in starts], [random[i] for i in missing], ended, ITEM_BLOCK)
            for i, symbols in zip(missing, drawn, strict=True):
                ends = np.flatnonzero(symbols[:longest] == end)
                some[i] = model.vocabulary.decode(symbols[: ends[0]]).strip() if len(ends) else ""
        items += some
    return np.asarray(items)


def sampled_texts(model: TextModel, counts: Counts, count: int, words: int, seed: int) -> NDArray[np.str_]:
    """(count,) running texts of about so many words after a sentence's end, at temperature 1."""
    lead, tokens = model.lead(), model.vocabulary.tokens
    limit = Pace(words).limit
    inside = np.asarray([bool(token) and not token[-1].isspace() for token in tokens])
    begun = np.asarray([[_words(token, False), _words(token, True)] for token in tokens])
    sampler = BatchSampler(counts)

    def ended(made: Ints) -> NDArray[np.bool_]:
        before = np.pad(inside[made[:, :-1]], ((0, 0), (1, 0)))
        enough: NDArray[np.bool_] = begun[made, before.astype(int)].sum(1) > limit
        return enough if made.shape[1] < 40 * limit else np.ones_like(enough)

    texts: list[str] = []
    for start in range(0, within("count", count, 1, 10**6), TOGETHER):
        random = [rng(seed, i) for i in range(start, min(start + TOGETHER, count))]
        for symbols in sampler.draw([lead] * len(random), random, ended):
            pace = Pace(words)
            for symbol in symbols.tolist():
                if not pace.goes_on(tokens[symbol]):
                    break
            texts.append(model.vocabulary.decode(symbols[: pace.length()]).strip())
    return np.asarray(texts)


def _words(token: str, inside: bool) -> int:
    """How many words begin in a token that comes after a letter or a blank."""
    count = 0
    for letter in token:
        count += not inside and not letter.isspace()
        inside = not letter.isspace()
    return count
