"""What the arrays of a checkpoint hold besides numbers: parts of a model under a prefix each, and lists of texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


def under(prefix: str, state: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The arrays whose names begin with `prefix`, by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}


def packed(texts: list[str]) -> NDArray[np.uint8]:
    """Texts as the bytes of one JSON array: (N,)."""
    return np.frombuffer(json.dumps(texts, ensure_ascii=False).encode("utf-8", "surrogatepass"), np.uint8)


def unpacked(array: NDArray[Any]) -> list[str]:
    """The texts back from `packed`. Raises ValueError for other bytes."""
    return [str(text) for text in json.loads(array.tobytes().decode("utf-8", "surrogatepass"))]
