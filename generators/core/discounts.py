"""Discounts of n-grams that suit new text, from a piece of the training text that is held back."""

from __future__ import annotations

from typing import Any

import numpy as np

from generators.core.counting import Ints
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
