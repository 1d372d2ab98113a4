"""Pictures that a request names by id.

A request is plain JSON, which is also its provenance, so it carries a picture's id and the generator asks for the
pixels here. Whoever serves the request says where ids are looked up; a context variable, since `generate` and
`regenerate` stand in between.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from numpy.typing import NDArray

from generators.core.artifact import Artifact, Image
from generators.core.errors import RequestError

Reader = Callable[[str], Artifact]
_READER: ContextVar[Reader | None] = ContextVar("artwright_inputs", default=None)


@contextmanager
def reading(reader: Reader) -> Iterator[None]:
    """Within it, ids are opened with `reader`, which raises `RequestError` for an unknown one."""
    token = _READER.set(reader)
    try:
        yield
    finally:
        _READER.reset(token)


def is_id(text: str) -> bool:
    """Whether `text` is spelled like an artifact's id: 8 hexadecimal digits or more."""
    return re.fullmatch(r"[0-9a-fA-F]{8,64}", text) is not None


def picture(identifier: str) -> NDArray[np.uint8]:
    """The pixels of the picture with that id, (H, W) or (H, W, 3). Raises `RequestError` where there is none."""
    return image(identifier).content


def image(identifier: str) -> Image:
    """The picture with that id and its provenance, None for one from elsewhere. Raises `RequestError`."""
    reader = _READER.get()
    if reader is None:
        raise RequestError(
            f"{identifier} is a picture's id, and nothing here says where pictures are kept; call the tool instead."
        )
    artifact = reader(identifier)
    if not isinstance(artifact, Image):
        raise RequestError(f"{identifier} is the id of a {artifact.medium}, not of a picture; give a picture's id.")
    return artifact
