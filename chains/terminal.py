"""What a person at the terminal sees of work that goes on: on stderr, and only where that is a terminal."""

from __future__ import annotations

import sys
from typing import Protocol


class Sign(Protocol):
    """A sign of life: `done` of `total`, and the text so far where one is written (`Partial`, `Progress`)."""

    @property
    def message(self) -> str: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...
    @property
    def text(self) -> str: ...


class Ticker:
    """Tells signs of life: a text as it grows, anything else on one line that is written again and again."""

    def __init__(self) -> None:
        self._written = ""

    def tell(self, sign: Sign) -> None:
        """Show `sign`. A text that starts anew begins a line of its own."""
        if not sys.stderr.isatty():
            return
        if not sign.text:
            self.close()
            end = "\n" if sign.done == sign.total else ""
            print(f"\r{sign.message} {sign.done}/{sign.total}", end=end, file=sys.stderr)
            return
        if not sign.text.startswith(self._written):
            self.close()
        print(_harmless(sign.text[len(self._written) :]), end="", flush=True, file=sys.stderr)
        self._written = sign.text

    def close(self) -> None:
        """End the line of a text, before anything else is told."""
        if self._written:
            print(file=sys.stderr)
        self._written = ""


def _harmless(text: str) -> str:
    """A text without the control characters by which it could do more to a terminal than be read."""
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text
    )
