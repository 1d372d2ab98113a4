"""Discounts of n-grams that suit new text, from a piece of the training text that is held back.

Estimates from the counts of counts take the next text for a sample of the same text, and discount too little.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.generator import rng
from generators.core.kneser_ney import MARGIN, Floats, KneserNey

COUNTED = 5_000_000  # symbols, at most, of the quarter that is counted
TUNE_ON = 50_000  # symbols, at most, that the discounts are tuned on
TUNE_FROM = 1_000  # symbols, at least

_PLACES = np.asarray([0, 21, 42])  # of three numbers in one
_MASK = (1 << 21) - 1
_PACKED = np.append(0, 1 << _PLACES)

Lookups = tuple[Floats, list[tuple[Any, Any, Any, Any, Any]]]


def tuned_discounts(sequence: NDArray[Any], items: bool, options: dict[str, Any]) -> Floats | None:
    """Discounts tuned on a piece of `sequence` with the counts of its first quarter; None if there is too little of it.

    `options`: of `KneserNey.fit`. Of a list, pieces are items drawn by lot, since lists have an order of their own.
    """
    if items:
        each = np.split(sequence, np.flatnonzero(sequence >= options["size"])[1:])
        sequence = np.concatenate([each[i] for i in rng(0).permutation(len(each))])
    start, held_back = parted(sequence)
    return None if held_back is None else tune(KneserNey.fit(sequence[:start], **options), held_back)


def parted(sequence: NDArray[Any]) -> tuple[int, NDArray[Any] | None]:
    """How many symbols are counted before the discounts are tuned, and on which they are; none if there are too few."""
    start = min(len(sequence) // 4, COUNTED)
    held_back = sequence[start : start + min(len(sequence) // 16, TUNE_ON)]
    return start, None if len(held_back) < TUNE_FROM else held_back


def tune(model: KneserNey, sequence: NDArray[Any], rounds: int = 5) -> Floats:
    """The discounts, (order, 3), that suit the held-back `sequence` best, by Rprop (Riedmiller & Braun 1993)."""
    found = lookups(model, np.asarray(sequence, dtype=np.int64))
    limits = np.asarray([1.0, 2.0, 3.0])
    discounts = model.discounts
    logits = np.log(discounts / (limits - discounts))
    best, least = discounts, np.inf
    steps, before = np.full(logits.shape, 0.2), np.zeros(logits.shape)
    for _ in range(rounds):
        discounts = np.clip(limits / (1.0 + np.exp(-logits)), MARGIN, limits - MARGIN)
        loss, slopes = loss_and_slopes(found, discounts)
        if loss < least:
            best, least = discounts, loss
        slopes *= discounts * (1.0 - discounts / limits)
        steps = np.clip(steps * np.where(slopes * before >= 0, 1.2, 0.5), 1e-3, 1.0)
        logits, before = logits - steps * np.sign(slopes), slopes
    return best


def lookups(model: KneserNey, sequence: NDArray[np.int64]) -> Lookups:
    """Order 0's probabilities, and for each level where its contexts occur: place, count, that up to
    3, (N1, N2, N3+), total.
    """
    tables = []
    for level, (at, contexts, nodes) in zip(model.levels, model.walk(sequence), strict=True):
        kinds = np.minimum(level.counts, 3)
        first, stop = level.first[contexts], level.first[contexts + 1]
        packed, sums = (np.append(0, np.cumsum(part)) for part in (_PACKED[kinds], level.counts))
        several = ((packed[stop] - packed[first])[:, None] >> _PLACES) & _MASK
        totals = sums[stop] - sums[first] + level.removed[contexts]
        known = totals > 0
        counts = np.where(nodes >= 0, level.counts[nodes], 0)[known]
        tables.append((at[known], counts, np.minimum(counts, 3), several[known].astype(np.float64), totals[known]))
    scored = sequence < model.size
    return np.where(scored, model.floor[np.where(scored, sequence, 0)], 1.0), tables


def loss_and_slopes(found: Lookups, discounts: Floats) -> tuple[float, Floats]:
    """Mean nats of what was looked up with `discounts` in place of the model's, and their gradient, (order, 3)."""
    p, tables = found[0].copy(), found[1]
    passed = []
    for (at, counts, kinds, sizes, totals), off in zip(tables, discounts, strict=True):
        backoff, lower = sizes @ off / totals, p[at]
        p[at] = (counts - np.concatenate([[0.0], off])[kinds]) / totals + backoff * lower
        passed.append((lower, backoff))
    slopes = np.zeros_like(discounts)
    upstream = -1.0 / (p * len(p))
    for n in range(len(tables) - 1, -1, -1):
        (at, _, kinds, sizes, totals), (lower, backoff) = tables[n], passed[n]
        here = upstream[at] / totals
        taken = np.bincount(kinds, weights=here, minlength=4)[1:]
        slopes[n] = (here * lower) @ sizes - taken
        upstream[at] *= backoff
    return float(-np.log(p).mean()), slopes
