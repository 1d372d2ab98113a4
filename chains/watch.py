"""What watches the work of this context: a switch that stops it, and a listener to its progress.

Context variables, since LangGraph and LangChain stand between the turn that is watched and the sampler that looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from generators.core.errors import Cancelled
from generators.core.generator import Cancel, Partial

Report = Callable[[Partial], None]
TEXT_S = 0.05  # between two looks at a text that grows, or they would flood the page and the terminal
_CANCEL: ContextVar[Cancel | None] = ContextVar("artwright_cancel", default=None)
_REPORT: ContextVar[Report | None] = ContextVar("artwright_report", default=None)


class Deadline(Cancel):
    """A switch that is set with `outer`, and by itself at `at` (seconds of `time.monotonic`)."""

    def __init__(self, outer: Cancel, at: float) -> None:
        super().__init__()
        self._outer, self._at = outer, at

    def set(self) -> None:
        """Set `outer`."""
        self._outer.set()

    @property
    def is_late(self) -> bool:
        """Whether the time is up, and nobody stopped the work before."""
        return time.monotonic() >= self._at and not self._outer.is_set()

    def is_set(self) -> bool:
        """Whether the stop was asked for, or the time is up."""
        return self._outer.is_set() or time.monotonic() >= self._at

    def check(self) -> None:
        """Raise `Cancelled` if it is set."""
        if self.is_set():
            raise Cancelled


@contextmanager
def watching(cancel: Cancel | None = None, report: Report | None = None) -> Iterator[None]:
    """Within it, tools and the LLM of this process stop when `cancel` is set; tools tell their progress to `report`."""
    tokens = _CANCEL.set(cancel), _REPORT.set(report)
    try:
        yield
    finally:
        _CANCEL.reset(tokens[0])
        _REPORT.reset(tokens[1])


def switch() -> Cancel:
    """What stops the work of this context; nobody's where nothing watches."""
    return _CANCEL.get() or Cancel()


def listener() -> Report | None:
    """Who hears of the progress, if anybody; of a text that grows every TEXT_S seconds at most."""
    report = _REPORT.get()
    return paced(report) if report else None


def paced(report: Report) -> Report:
    """`report`, which misses what would come less than TEXT_S seconds after the text that it was told last."""
    told = -TEXT_S

    def tell(part: Partial) -> None:
        nonlocal told
        now = time.monotonic()
        if part.text:
            if now - told < TEXT_S:
                return
            told = now
        report(part)

    return tell


def check() -> None:
    """Raise `Cancelled` if the work of this context is to stop."""
    if cancel := _CANCEL.get():
        cancel.check()
