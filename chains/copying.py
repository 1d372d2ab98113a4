"""Code that an argument copies stays what was said.

A small model that copies a long line now and then loses its place: a bracket more, a tag closed that was not, words
of its own. What has been code, word for word, for COPIED bytes may only go on as it does in the message, or end.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from chains.grammar import Arguments, Vocabulary

COPIED = 16  # bytes in a row that are no accident
SIGNS = 2  # of code in it; "pay $30" has one
_CODE = re.compile(rb"[(){}\[\]<>=;$|`]|\\\\")
_AHEAD = 32  # bytes; no token is longer that matters here


class Copying:
    """Narrows what may come next in a string to what `said`, a message as the prompt shows it, goes on with."""

    def __init__(self, vocabulary: Vocabulary, said: str) -> None:
        self._vocabulary, self._said = vocabulary, said.encode()

    def narrowed(self, arguments: Arguments, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """`allowed` (V,) without the tokens that would leave what is copied; at least one is left."""
        copied = arguments.string.removeprefix(b" ")
        if len(copied) < COPIED or len(_CODE.findall(copied)) < SIGNS:
            return allowed
        ahead = [self._said[place + len(copied) :][:_AHEAD] for place in _places(copied, self._said)]
        if not ahead:
            return allowed
        v = self._vocabulary
        kept = [v.whole[text[:n]] for text in ahead for n in range(1, len(text) + 1) if text[:n] in v.whole]
        kept += [token for token, head in v.closing if any(text.startswith(head) for text in ahead)]
        mask = np.zeros_like(allowed)
        mask[kept] = True
        mask &= allowed
        return mask if mask.any() else allowed


def _places(part: bytes, text: bytes) -> Iterator[int]:
    """Where `part` stands in `text`."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)
