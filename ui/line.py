"""The line in which requests wait for the one LLM."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from generators.core.generator import Cancel

WAKE = 0.1  # seconds between looks at the cancel switch


class Line:
    """First come, first served: one request at a time has the LLM."""

    def __init__(self) -> None:
        self._waiting: deque[object] = deque()
        self._moved = threading.Condition()

    @contextmanager
    def turn(self, cancel: Cancel, ahead: Callable[[int], None]) -> Iterator[None]:
        """Wait for our turn, calling `ahead` with the number before us whenever it changes; raises `Cancelled`."""
        ticket = object()
        with self._moved:
            self._waiting.append(ticket)
        try:
            with self._moved:
                told = 0
                while (place := self._waiting.index(ticket)) > 0:
                    if place != told:
                        ahead(place)
                        told = place
                    self._moved.wait(WAKE)
                    cancel.check()
            yield
        finally:
            with self._moved:
                self._waiting.remove(ticket)
                self._moved.notify_all()
