"""What a text repeats of itself: a cache language model (Kuhn & De Mori 1990) of the symbols just read.

Names and phrases of a text come again in it, though no training text had them. The n-grams of what was read are looked
up in it at every symbol, so there is nothing to keep up to date.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from generators.core.kneser_ney import Floats

WINDOW = 20_000  # symbols that are looked back at
LONGEST = 5  # symbols, of the context that is looked for


def recent(history: NDArray[np.unsignedinteger], size: int, read: int | None = None) -> Floats:
    """(size,) probabilities of the next symbol by the n-grams of `history`, (N,), of which the last `WINDOW` count.

    read: how many of the first symbols are counted; None: all. The others are context only.

    Interpolated by method C of Witten & Bell 1991, from a uniform distribution on: a context that was seen N times,
    before U different symbols, leaves U / (N + U) to the shorter one.
    """
    read = max((len(history) if read is None else read) - max(len(history) - WINDOW, 0), 0)
    history = history[-WINDOW:]
    p, n = np.full(size, 1.0 / size), len(history)
    at = np.arange(read)  # of the symbols that followed the context
    for length in range(LONGEST + 1):
        if length:
            at = at[at >= length]
            at = at[history[at - length] == history[n - length]]
        if not len(at):
            break
        counts = np.bincount(history[at], minlength=size)
        kinds = np.count_nonzero(counts)
        p = (counts + kinds * p) / (len(at) + kinds)
    return p


def recents(symbols: NDArray[np.unsignedinteger], start: int, stop: int, size: int) -> NDArray[np.float32]:
    """(stop - start, size): what `recent` says before each of the symbols from `start` on, by all before it."""
    return np.stack([recent(symbols[:at], size) for at in range(start, stop)]).astype(np.float32)
