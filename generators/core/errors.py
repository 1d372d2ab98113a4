"""Errors that are a person's to mend. All are ValueErrors with one clear sentence; the command line exits 2 on them."""

from __future__ import annotations

from generators.data.splits import DataError

__all__ = ["Cancelled", "CheckpointError", "DataError", "RequestError"]


class RequestError(ValueError):
    """A request that no generator can serve as asked; the message says what is allowed."""


class CheckpointError(ValueError):
    """A trained model that cannot be read, or not by this version."""


class Cancelled(Exception):  # an event, not an error
    """Raised inside long work after its `Cancel` was set."""
