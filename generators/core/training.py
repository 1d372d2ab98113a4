"""One training loop for every gradient-trained family, on Hugging Face Accelerate.

What is unusual: nothing of a run is hidden state. The batch and the noise of step i follow from (seed, i) alone
(`shuffled`, `torch_rng`), and the global generator that dropout reads is seeded anew at every step, so a checkpoint
holds weights, their average, optimisers, what a stepper remembers and a step number, and a run resumed under a step
budget ends in the very bits of the unbroken one. Under a time budget it goes on for the time that is left.

A family brings a `Stepper`: its modules, its optimisers, and a `step` that does its own forward, backward and
optimiser steps, so a GAN with two optimisers and a VAE with one fit the same loop.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from generators.core.errors import Cancelled
from generators.core.generator import Cancel
from generators.core.run_state import RunState, read_notes

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

DEFAULT_MINUTES = 5.0
SAVE_EVERY_S = 30.0
CHECKPOINT = "run.safetensors"
HISTORY = 200  # points of a curve


@dataclass(frozen=True)
class Event:
    """What a training run tells its callbacks.

    kind: `step` (a few a second), `val` (held-out figures), `sample` (`images`: (N, H, W[, 3]) uint8), `note`
    (`message`). step of `total` (0 under a time budget); `seconds` spent of `budget_seconds` (0 under a step budget).
    figures: losses with their unit in the name.
    """

    kind: Literal["step", "val", "sample", "note"]
    step: int = 0
    total: int = 0
    seconds: float = 0.0
    budget_seconds: float = 0.0
    figures: Mapping[str, float] = field(default_factory=dict)
    message: str = ""
    images: NDArray[np.uint8] | None = None

    @property
    def progress(self) -> float:
        """The share of the budget that is spent, in [0, 1]."""
        spent, budget = (self.step, self.total) if self.total else (self.seconds, self.budget_seconds)
        return min(1.0, spent / budget) if budget else 0.0


Callback = Callable[[Event], None]


@dataclass
class Run:
    """What one training run is, apart from the model.

    minutes: wall-clock budget; steps: step budget; neither means 5 minutes (or, on resume, what the run was started
    with), both is an error. folder: where the run keeps its resumable checkpoint (None: nowhere). resume: go on from
    that checkpoint. precision: `bf16`, `fp32`, or `auto` (bf16 where the device computes in it natively). cancel: set
    it to stop; the run is saved first.
    """

    seed: int = 0
    minutes: float | None = None
    steps: int | None = None
    folder: Path | None = None
    resume: bool = False
    cancel: Cancel = field(default_factory=Cancel)
    callbacks: tuple[Callback, ...] = ()
    precision: Literal["auto", "bf16", "fp32"] = "auto"

    def __post_init__(self) -> None:
        if self.minutes is not None and self.steps is not None:
            raise ValueError("A run has one budget: give minutes or steps, not both.")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ValueError(f"minutes is {self.minutes}; it must be above 0, for example 5.")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps is {self.steps}; it must be 1 or more.")
        if self.resume and self.folder is None:
            raise ValueError("A run without a folder keeps no checkpoint, so it cannot be resumed.")

    @property
    def budget_seconds(self) -> float:
        """The wall-clock budget in seconds; 0 under a step budget."""
        return 0.0 if self.steps is not None else 60.0 * (self.minutes or DEFAULT_MINUTES)

    def progress(self, step: int, seconds: float) -> float:
        """The share of the budget spent after `step` steps and `seconds` seconds, in [0, 1]."""
        return Event("step", step, self.steps or 0, seconds, self.budget_seconds).progress

    def event(self, kind: Literal["step", "val", "sample", "note"], step: int, seconds: float, **more: Any) -> Event:
        """An `Event` of this run."""
        return Event(kind, step, self.steps or 0, seconds, self.budget_seconds, **more)

    def tell(self, event: Event) -> None:
        """Pass `event` to every callback."""
        for callback in self.callbacks:
            callback(event)


class Stepper(Protocol):
    """What the loop needs of a family. The loop replaces `modules` by their prepared (device, distributed) versions.

    Some methods are used where they exist. `validate() -> dict[str, float]`, whose first figure chooses the weights
    that are kept, and `samples() -> (N, H, W[, 3]) uint8` to look at, see the averaged weights. `memory() -> dict[str,
    Tensor]` is what else goes from step to step and belongs in a checkpoint; `remember(memory)` goes on from it.
    """

    modules: dict[str, torch.nn.Module]
    optimizers: dict[str, torch.optim.Optimizer]

    def step(self, batch: Any, i: int, accelerator: Accelerator) -> dict[str, float]:
        """One training step on `batch`; returns losses. Noise: from `torch_rng(seed, i)` or the global generator."""
        ...


@dataclass(frozen=True)
class Trained:
    """How a run ended: steps taken, seconds spent over all its parts, the last figures of training and validation.

    history: `step`, and the figures of that step, at up to `HISTORY` steps of the run.
    """

    steps: int
    seconds: float
    figures: dict[str, float]
    history: list[dict[str, float]] = field(default_factory=list)


def lr_scale(progress: float, warmup: float = 0.05) -> float:
    """The learning rate's factor at `progress` in [0, 1] of the budget: linear warm-up, then cosine decay to 0.

    Being a function of the share of the budget, it fits 30 seconds as well as 3 days.
    """
    if progress < warmup:
        return max(progress / warmup, 1e-3)
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


def ema_decay(step: int, gamma: float = 16.0) -> float:
    """The decay of the weights' average at `step` (from 0): (1 - 1/(step + 1))^(gamma + 1).

    Power-function averaging (Karras et al. 2024, eq. 2-3): the window is a fixed share of the steps so far (about 5 %
    for gamma 16), so it needs no bias correction and no tuning to the budget.
    """
    return float((1 - 1 / (step + 1)) ** (gamma + 1))


def shuffled(count: int, batch: int, seed: int) -> Callable[[int], NDArray[np.int64]]:
    """Batches of indices as a function of the step: (batch,) int64 in [0, count), every item once an epoch.

    The incomplete last batch of an epoch is filled from its start; fewer items than `batch` repeat.
    """
    batch = max(1, batch)
    epoch_steps = max(1, math.ceil(count / batch))
    kept: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def indices(step: int) -> NDArray[np.int64]:
        nonlocal kept
        epoch, place = divmod(step, epoch_steps)
        if kept[0] != epoch:
            order = np.random.default_rng([seed, epoch]).permutation(count)
            kept = (epoch, np.resize(order, epoch_steps * batch))
        return kept[1][place * batch : (place + 1) * batch]

    return indices


def share(batch: int) -> slice:
    """Which of a step's `batch` items this process computes: all of them, or an equal part where there are several.

    A batch is the same whatever the number of processes, and so are losses that are means over it. Raises ValueError
    where it cannot be divided.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return slice(0, batch)
    from accelerate import PartialState

    state = PartialState()
    if batch % state.num_processes:
        raise ValueError(
            f"batch is {batch}, which {state.num_processes} processes cannot share: give a multiple, --set batch=..."
        )
    size = batch // state.num_processes
    return slice(size * state.process_index, size * (state.process_index + 1))


def is_main() -> bool:
    """Whether this process is the one that prints, measures and writes: the only one, or the first of several."""
    return int(os.environ.get("RANK", "0")) == 0


def use_bf16(precision: str, device: torch.device) -> bool:
    """Whether to train in bf16 autocast: as asked, or under `auto` where the device multiplies bf16 natively."""
    import torch

    if precision != "auto":
        return precision == "bf16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type == "cpu":
        able = torch.cpu.get_capabilities()
        return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
    return False


def train(
    stepper: Stepper,
    batches: Callable[[int], Any],
    run: Run,
    *,
    identity: Mapping[str, Any] | None = None,
    warmup: float = 0.05,
    ema_gamma: float = 16.0,
    validations: int = 10,
    start_counts: bool = False,
) -> Trained:
    """Train `stepper` on `batches(step)` until the budget is spent; its modules then hold the best averaged weights.

    `batches(step)` is this process's part of a step's batch, see `share`; figures are means over all parts.
    Every optimiser's learning rates are scaled by `lr_scale`. `validations`: how often in a run the stepper's
    `validate` is called; the weights kept are those whose first figure was lowest (lower is better), the last ones
    where there is no `validate`. `start_counts`: the weights before the first step are judged too. `identity` (options,
    data hash) must be the same when the run is resumed.

    Raises `Cancelled` after saving when `run.cancel` was set or ctrl-C pressed; ValueError when the loss stops being
    finite, or the minutes given for a resume are spent already; `CheckpointError` when there is nothing to resume or it
    does not fit; OSError for a full disk.
    """
    import torch
    from accelerate import Accelerator

    if run.resume:
        run = _resumed(run)
    accelerator = Accelerator(mixed_precision="no", gradient_accumulation_steps=1)  # the loop casts by itself
    for name in stepper.modules:
        stepper.modules[name] = accelerator.prepare(stepper.modules[name])
    for name in stepper.optimizers:
        stepper.optimizers[name] = accelerator.prepare(stepper.optimizers[name])
    state = RunState(stepper, accelerator, {"seed": run.seed, "steps": run.steps, **(identity or {})})
    state.minutes = None if run.steps is not None else run.minutes or DEFAULT_MINUTES
    if run.resume:
        assert run.folder is not None
        state.load(run.folder / CHECKPOINT)
    bf16 = use_bf16(run.precision, accelerator.device)
    world, rank = accelerator.num_processes, accelerator.process_index
    devices = [accelerator.device] if accelerator.device.type == "cuda" else []
    began = time.monotonic() - state.seconds
    told = saved = time.monotonic()
    figures: dict[str, float] = {}
    with torch.random.fork_rng(devices=devices), _interruptible(run.cancel):
        try:
            if start_counts and state.step == 0:
                state.check(run)
            while (progress := _agreed(run, state, accelerator)) < 1:
                for name, optimizer in stepper.optimizers.items():
                    for group, base in zip(optimizer.param_groups, state.rates[name], strict=True):
                        group["lr"] = base * lr_scale(progress, warmup)
                place = state.step * world + rank
                torch.manual_seed(_mixed(run.seed, place))
                with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=bf16):
                    figures = _together(stepper.step(batches(state.step), state.step, accelerator), accelerator)
                if not all(math.isfinite(value) for value in figures.values()):
                    raise ValueError(
                        f"Training diverged at step {state.step + 1} ({spelled_figures(figures)}): give a smaller "
                        f"learning rate (--set learning_rate=...) or look for broken values in the data."
                    )
                state.average(ema_decay(state.step, ema_gamma))
                state.step += 1
                now = time.monotonic()
                state.seconds = now - began
                done = run.progress(state.step, state.seconds)
                if int(done * validations) > int(progress * validations):
                    state.check(run)
                if now - told > 0.2 or state.step == 1 or done >= 1:
                    told = now
                    state.note(figures, HISTORY)
                    run.tell(run.event("step", state.step, state.seconds, figures=figures))
                if run.folder is not None and now - saved > SAVE_EVERY_S:
                    state.save(run.folder / CHECKPOINT)
                    saved = time.monotonic()
        except Cancelled:
            if run.folder is not None:
                state.save(run.folder / CHECKPOINT)
            raise
    if run.folder is not None:
        state.save(run.folder / CHECKPOINT)
    state.keep_best()
    for name in stepper.modules:
        stepper.modules[name] = accelerator.unwrap_model(stepper.modules[name]).to("cpu")
    spent = f"{state.step:,} steps in {state.seconds:.0f} s"
    run.tell(run.event("note", state.step, state.seconds, figures=figures, message=f"Trained {spent}."))
    return Trained(state.step, state.seconds, {**figures, **state.best_figures}, state.history)


def _resumed(run: Run) -> Run:
    """`run` with the budget that its checkpoint was started with, where it names none itself.

    Raises `CheckpointError`, and ValueError where the minutes it names are spent. A run that has spent the minutes it
    was started with is only finished by a resume (it was stopped after training), so naming the same ones is no error.
    """
    assert run.folder is not None
    notes = read_notes(run.folder / CHECKPOINT)
    minutes, steps = notes.get("minutes"), notes["identity"].get("steps")
    if run.minutes is None and run.steps is None:
        return replace(run, minutes=minutes, steps=steps)
    spent = notes["seconds"] / 60
    if run.minutes is not None and steps is None and run.minutes != minutes and spent >= run.minutes:
        rest = f", or leave --minutes out to go on to {minutes:g}" if minutes and minutes > spent else ""
        raise ValueError(
            f"The run in {run.folder} has spent {spent:.3g} minutes already, so --minutes {run.minutes:g} leaves none: "
            f"give more than that{rest}."
        )
    return run


def _mixed(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]) & (2**63 - 1)


def spelled_figures(figures: Mapping[str, float]) -> str:
    """Figures on one line, four digits each."""
    return ", ".join(f"{name} {value:.4g}" for name, value in figures.items())


def _together(figures: dict[str, float], accelerator: Accelerator) -> dict[str, float]:
    """The processes' figures on their parts of the batch as those of all of it."""
    if accelerator.num_processes == 1:
        return figures
    import torch

    mean = accelerator.reduce(torch.tensor(list(figures.values()), device=accelerator.device), reduction="mean")
    return dict(zip(figures, mean.tolist(), strict=True))


def _agreed(run: Run, state: RunState, accelerator: Accelerator) -> float:
    """The main process's progress, so that no two processes stop at different steps. Raises `Cancelled` in all."""
    progress = run.progress(state.step, state.seconds)
    if accelerator.num_processes == 1:
        run.cancel.check()
        return progress
    from accelerate.utils import broadcast_object_list

    progress, cancelled = broadcast_object_list([progress, run.cancel.is_set()])
    if cancelled:
        raise Cancelled
    return float(progress)


@contextmanager
def _interruptible(cancel: Cancel) -> Iterator[None]:
    """Ctrl-C inside the block sets `cancel`: the step under way ends and the run is saved; a second one kills."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        cancel.set()
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
