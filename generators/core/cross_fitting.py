"""N-gram predictions of a text by counts that leave the text's own place out.

Whatever learns to lean on n-grams has to see them on training text as they will be on new text. So the text is cut into
folds, and what comes next in each is predicted from the counts of all others (cross-fitting; stacked generalisation:
Wolpert 1992). The n-grams are sorted once; a fold's occurrences are taken off the counts of all.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.counting import Ints, count_grams
from generators.core.generator import rng
from generators.core.kneser_ney import Floats, KneserNey

TUNE_ON = 50_000  # symbols, at most, that the discounts are tuned on
TUNE_FROM = 2_000  # symbols, at least


def tuned_discounts(sequence: Ints, items: bool, options: dict[str, Any]) -> Floats | None:
    """Discounts tuned on a piece of `sequence` with the counts of its first half; None if there is too little of it.

    `options`: of `KneserNey.fit`. Of a list, pieces are items drawn by lot, since lists have an order of their own.
    """
    if items:
        each = np.split(sequence, np.flatnonzero(sequence >= options["size"])[1:])
        sequence = np.concatenate([each[i] for i in rng(0).permutation(len(each))])
    half = len(sequence) // 2
    held_back = sequence[half : half + min(half // 4, TUNE_ON)]
    if len(held_back) < TUNE_FROM:
        return None
    return KneserNey.fit(sequence[:half], **options).tune(held_back)


def cross_fitted(
    sequence: Ints,
    folds: Ints,
    *,
    size: int,
    starts: int,
    order: int,
    unknown: float | None = None,
    discounts: Floats | None = None,
    check: Callable[[], None] = lambda: None,
) -> tuple[KneserNey, NDArray[np.float16]]:
    """The model of all of `sequence` (see `KneserNey.fit`), and (N, size) what each symbol's predictions were without.

    folds: (K + 1,) where each fold begins, from 0 to N. Row i holds the probabilities of symbol i by the n-grams of all
    folds but its own; an n-gram is its last symbol's fold's.
    """
    grams = list(count_grams(sequence, size, starts, order, check))
    every = [gram.counts for gram in grams]
    model = KneserNey.of(grams, every, size, starts, unknown, discounts)
    nodes = model.nodes_of(sequence)
    found = np.empty((len(sequence), size), np.float16)
    for begin, stop in pairwise(folds):
        check()
        own = [at[begin:stop][at[begin:stop] >= 0] for at in nodes]
        others = [counts - np.bincount(at, minlength=len(counts)) for counts, at in zip(every, own, strict=True)]
        first = max(0, begin - order + 1)
        apart = KneserNey.of(grams, others, size, starts, unknown, discounts)
        found[begin:stop] = apart.distributions(sequence[first:stop])[begin - first :]
    return model, found
