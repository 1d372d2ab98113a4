"""A text's symbols in a file, so that a text of any length is learnt from in little memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.kneser_ney import Ints

BLOCK = 1_000_000  # symbols that are handled at once


def stored(
    parts: Iterable[Ints], size: int | None, check: Callable[[], None] | None = None
) -> tuple[NDArray[Any], Ints]:
    """Symbols that come part by part: all of them, (N,) of the smallest unsigned kind, and how often each is, (size,).

    They are mapped from a file without a name among the temporary ones ($TMPDIR), which is gone with the array.
    `size` is None where only the parts tell how many symbols there are. `check` is called at every part, to raise
    `Cancelled`. Raises OSError for a full disk.
    """
    kind = np.dtype(np.uint32) if size is None else np.min_scalar_type(size - 1)
    counts = np.zeros(size or 0, np.int64)
    with tempfile.TemporaryFile() as file:
        for symbols in parts:
            if check is not None:
                check()
            found = np.bincount(symbols, minlength=len(counts))
            found[: len(counts)] += counts
            counts = found
            file.write(symbols.astype(kind).data)
        file.flush()
        mapped = np.memmap(file, kind, "r") if counts.any() else np.zeros(0, kind)
    return np.asarray(mapped), counts


def blocks(sequence: NDArray[Any]) -> Iterable[NDArray[Any]]:
    """A sequence, mapped from a file or not, some symbols at a time."""
    return (sequence[at : at + BLOCK] for at in range(0, len(sequence), BLOCK))
