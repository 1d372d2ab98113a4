"""What every sampler of a log-density asks of it and of its start, and how it tells where it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.generator import Cancel
from generators.core.kneser_ney import Floats

LogDensity = Callable[[Any], Any]
Progress = Callable[[int, int], None]
TOLD = 100  # times that a caller hears how far a run is


class Checked:
    """A person's log-density, batched: states (C, ...) -> (C,) float64 nats, -inf where a state is impossible.

    A call raises ValueError for values of another shape, NaN, or +inf. evaluations: how many states it was asked for.
    """

    def __init__(self, log_density: LogDensity) -> None:
        if not callable(log_density):
            raise ValueError(f"log_density is {log_density!r}; give a function of states (chains, ...).")
        self.log_density, self.evaluations = log_density, 0

    def __call__(self, states: NDArray[Any]) -> Floats:
        self.evaluations += len(states)
        return self.checked(self.log_density(states), states)

    def checked(self, values: Any, states: NDArray[Any]) -> Floats:
        """What it gave for `states`, as an array."""
        if hasattr(values, "detach"):
            values = values.detach().cpu()
        found: Floats = np.asarray(values, dtype=np.float64)
        if found.shape != states.shape[:1]:
            raise ValueError(
                f"The log-density gave shape {found.shape} for states of shape {states.shape}; it must give "
                f"({len(states)},), a number for each state."
            )
        wrong = np.isnan(found) | (found == np.inf)
        if wrong.any():
            at = int(wrong.argmax())
            raise ValueError(
                f"The log-density is {found[at]} at {told(states[at])}; it must be a number, or -inf where a state "
                "is impossible."
            )
        return found

    def at_start(self, states: NDArray[Any]) -> Floats:
        """Its values at the chains' first states. Raises ValueError where one of them is impossible."""
        return self.check_start(self(states), states)

    def check_start(self, values: Any, states: NDArray[Any]) -> Floats:
        """Values that it gave there, if they are finite."""
        found = self.checked(values, states)
        if np.isneginf(found).any():
            at = int(np.isneginf(found).argmax())
            raise ValueError(
                f"The log-density is -inf at the start of chain {at}, {told(states[at])}; start where it is finite."
            )
        return found


def told(state: Any) -> str:
    """A state in a few letters."""
    text = np.array2string(np.asarray(state), precision=4, threshold=6, edgeitems=3, separator=", ")
    return text if len(text) <= 80 else f"{text[:79]}\u2026"


def first_states(initial: Any, *, real: bool = False) -> NDArray[Any]:
    """The chains' first states, a copy. real: they must be (C, d) numbers, which become float64.

    Raises ValueError for others.
    """
    states = np.array(initial.detach().cpu() if hasattr(initial, "detach") else initial)
    if states.ndim == 0 or not states.size:
        raise ValueError(f"initial has shape {states.shape}; its first axis is the chains, 1 or more.")
    if not real:
        return states
    if states.ndim != 2 or states.dtype.kind not in "iuf":
        raise ValueError(
            f"initial has shape {states.shape} and type {states.dtype}; it must be numbers (chains, d): a row a chain."
        )
    if not np.isfinite(states).all():
        raise ValueError("initial has numbers that are not finite; start every chain at a finite point.")
    return states.astype(np.float64)


def check_counts(**counts: int) -> None:
    """Raise ValueError for `draws` or `thin` below 1 or `warmup` below 0, or one that is not whole."""
    for name, count in counts.items():
        least = 0 if name == "warmup" else 1
        if isinstance(count, bool) or not isinstance(count, int | np.integer) or count < least:
            raise ValueError(f"{name} is {count!r}; it must be a whole number, {least} or more.")


class Watch:
    """Checks for a cancel at every step of `total`, and tells the caller about a hundred times how far it is."""

    def __init__(self, total: int, cancel: Cancel | None, progress: Progress | None) -> None:
        self.total, self.cancel, self.progress = total, cancel or Cancel(), progress
        self.every = max(total // TOLD, 1)

    def step(self, done: int) -> None:
        """So many steps are done. Raises `Cancelled`."""
        self.cancel.check()
        if self.progress is not None and (done % self.every == 0 or done == self.total):
            self.progress(done, self.total)
