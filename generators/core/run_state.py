"""What a checkpoint of a training run holds, and how it is written and read: one safetensors file, JSON in its header.

Weights, their running average, the best of it so far, the optimisers' moments, what the stepper remembers, step and
seconds. Nothing is pickled.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generators.core.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

    from generators.core.training import Run, Stepper


class RunState:
    """All of a run that a checkpoint holds; see the module's docstring.

    Of several processes the main one writes it, so what each remembers of its own part of the batch is not kept: they
    go on remembering nothing.
    """

    def __init__(self, stepper: Stepper, accelerator: Accelerator, identity: dict[str, Any]) -> None:
        self.stepper = stepper
        self.accelerator = accelerator
        self.identity = json.loads(json.dumps(identity, default=str))
        self.minutes: float | None = None  # the time budget, so that a resume need not name it
        self.step = 0
        self.seconds = 0.0
        self.ema = self.weights(copy=True)
        self.best: dict[str, torch.Tensor] = {}
        self.best_figures: dict[str, float] = {}
        self.history: list[dict[str, float]] = []
        self._stride, self._skipped = 1, 0  # one of so many notes is kept
        self.rates = {name: [g["lr"] for g in o.param_groups] for name, o in stepper.optimizers.items()}

    def weights(self, copy: bool = False) -> dict[str, torch.Tensor]:
        """Every module's tensors as `module/tensor`."""
        found = {}
        for name, module in self.stepper.modules.items():
            for key, value in self.accelerator.unwrap_model(module).state_dict().items():
                found[f"{name}/{key}"] = value.detach().clone() if copy else value.detach()
        return found

    def note(self, figures: Mapping[str, float], most: int) -> None:
        """Keep a step's figures for the curves; with `most` of them, every second goes and half as many come."""
        self._skipped += 1
        if self.history and self._skipped < self._stride:
            return
        self._skipped = 0
        self.history.append({"step": self.step, **figures})
        if len(self.history) >= most:
            self.history, self._stride = self.history[::2], 2 * self._stride

    def average(self, decay: float) -> None:
        """Move the average towards the weights; whole numbers (counters) are copied."""
        for key, value in self.weights().items():
            if value.is_floating_point():
                self.ema[key].lerp_(value, 1 - decay)
            else:
                self.ema[key].copy_(value)

    def put(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Set the modules' tensors."""
        for key, value in self.weights().items():
            value.copy_(tensors[key])

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The modules hold the average inside the block."""
        import torch

        raw = self.weights(copy=True)
        self.put(self.ema)
        try:
            with torch.no_grad():
                yield
        finally:
            self.put(raw)

    def check(self, run: Run) -> None:
        """Validate and show samples with the averaged weights, and remember them where they are the best so far."""
        validate, samples = getattr(self.stepper, "validate", None), getattr(self.stepper, "samples", None)
        if validate is None and samples is None:
            return
        with self.averaged():
            figures = validate() if validate else {}
            images = samples() if samples else None
        if figures:
            name = next(iter(figures))
            if figures[name] < self.best_figures.get(name, math.inf):
                self.best_figures = dict(figures)
                self.best = {key: value.clone() for key, value in self.ema.items()}
            run.tell(run.event("val", self.step, self.seconds, figures=figures))
        if images is not None:
            run.tell(run.event("sample", self.step, self.seconds, images=images))

    def keep_best(self) -> None:
        """Put the weights that the run ends with into the modules."""
        self.put(self.best or self.ema)

    def save(self, path: Path) -> None:
        """Write the checkpoint, whole or not at all. Raises OSError."""
        from safetensors.torch import save

        if not self.accelerator.is_main_process:
            return
        tensors = {f"weights/{key}": value for key, value in self.weights().items()}
        tensors |= {f"ema/{key}": value for key, value in self.ema.items()}
        tensors |= {f"best/{key}": value for key, value in self.best.items()}
        plain: dict[str, Any] = {}
        for name, optimizer in self.stepper.optimizers.items():
            moments, plain[name] = _flatten(optimizer.state_dict())
            tensors |= {f"optimizer/{name}/{key}": value for key, value in moments.items()}
        if hasattr(self.stepper, "memory") and self.accelerator.num_processes == 1:
            tensors |= {f"memory/{key}": value for key, value in self.stepper.memory().items()}
        notes = {
            "identity": self.identity,
            "minutes": self.minutes,
            "step": self.step,
            "seconds": self.seconds,
            "best_figures": self.best_figures,
            "history": self.history,
            "stride": self._stride,
            "optimizers": plain,
        }
        data = save({key: value.cpu().contiguous() for key, value in tensors.items()}, {"run": json.dumps(notes)})
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".run-", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def load(self, path: Path) -> None:
        """Go on from a checkpoint. Raises `CheckpointError`."""
        from safetensors import SafetensorError, safe_open

        notes = read_notes(path)
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 -- not a dict
            changed = sorted(
                key
                for key in notes["identity"].keys() | self.identity.keys()
                if notes["identity"].get(key) != self.identity.get(key)
            )
            if changed:
                raise CheckpointError(
                    f"The run in {path.parent} had other {', '.join(changed)}: resume it as it was started, "
                    f"or start anew without --resume."
                )
            self.put(_under(tensors, "weights/"))
            self.ema = {key: value.to(self.ema[key].device) for key, value in _under(tensors, "ema/").items()}
            self.best = _under(tensors, "best/")
            for name, optimizer in self.stepper.optimizers.items():
                optimizer.load_state_dict(_unflatten(_under(tensors, f"optimizer/{name}/"), notes["optimizers"][name]))
                _match_layout(optimizer)
            memory = _under(tensors, "memory/")
            if memory and self.accelerator.num_processes == 1 and hasattr(self.stepper, "remember"):
                self.stepper.remember({key: value.to(self.accelerator.device) for key, value in memory.items()})
            self.step, self.seconds = int(notes["step"]), float(notes["seconds"])
            self.best_figures = notes["best_figures"]
            self.history, self._stride = notes.get("history", []), int(notes.get("stride", 1))  # older ones have none
        except (SafetensorError, OSError, KeyError, TypeError, RuntimeError) as error:
            raise CheckpointError(f"{path} is damaged; start the run anew without --resume.") from error


def read_notes(path: Path) -> dict[str, Any]:
    """What a checkpoint's header says of its run, without reading the weights. Raises `CheckpointError`."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise CheckpointError(f"There is no run to resume in {path.parent}; start it without --resume.")
    try:
        with safe_open(path, framework="pt") as file:
            notes = json.loads(file.metadata()["run"])
        minutes = notes.get("minutes")  # older checkpoints do not say
        figures = {"seconds": float(notes["seconds"]), "minutes": None if minutes is None else float(minutes)}
        return {**notes, **figures, "identity": dict(notes["identity"])}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged; start the run anew without --resume.") from error


def _flatten(state: dict[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """An optimiser's state as tensors (`index/name`) and the rest as JSON can say it."""
    import torch

    tensors, plain = {}, {}
    for index, moments in state["state"].items():
        for key, value in moments.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}/{key}"] = value
            elif value is not None:
                plain[f"{index}/{key}"] = value
    return tensors, {"state": plain, "groups": state["param_groups"]}


def _unflatten(tensors: Mapping[str, torch.Tensor], plain: Mapping[str, Any]) -> dict[str, Any]:
    """What `_flatten` took apart."""
    state: dict[int, dict[str, Any]] = {}
    for path, value in [*tensors.items(), *plain["state"].items()]:
        index, key = path.split("/", 1)
        state.setdefault(int(index), {})[key] = value
    groups = [{k: tuple(v) if k == "betas" else v for k, v in group.items()} for group in plain["groups"]]
    return {"state": state, "param_groups": groups}


def _match_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give each loaded moment its parameter's memory layout: fused optimisers walk both in the order they lie in."""
    import torch

    for parameter, moments in optimizer.state.items():
        for key, value in moments.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                moments[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _under(tensors: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
