"""The training loop: budgets, schedule, averaging, exact resume, cancelling, divergence."""

from __future__ import annotations

import math
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from generators.core.errors import Cancelled, CheckpointError
from generators.core.generator import Cancel, torch_rng
from generators.core.progress import progress_bar
from generators.core.training import CHECKPOINT, Event, Run, ema_decay, lr_scale, shuffled, train


class Line:
    """A stepper that fits y = 3x with dropout (torch's global generator) and noise (an explicit one)."""

    def __init__(self, seed: int = 0, slow: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        net = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 1))
        for tensor in net.parameters():
            tensor.data = torch.randn(tensor.shape, generator=generator) * 0.5
        self.modules: dict[str, nn.Module] = {"net": net}
        self.optimizers = {"net": torch.optim.AdamW(net.parameters(), lr=1e-2)}
        self.slow = slow
        self.rates: list[float] = []

    def step(self, batch, i, accelerator):
        time.sleep(self.slow)
        x = batch + 0.1 * torch.randn(batch.shape, generator=torch_rng(1, i))
        loss = (self.modules["net"](x) - 3 * batch).square().mean()
        self.optimizers["net"].zero_grad()
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(self.modules["net"].parameters(), 1.0)
        self.optimizers["net"].step()
        self.rates.append(self.optimizers["net"].param_groups[0]["lr"])
        return {"loss": loss.item()}


def batches(step):
    return torch.linspace(-1, 1, 32)[torch.from_numpy(shuffled(32, 8, 0)(step))][:, None]


def weights(stepper):
    return torch.cat([tensor.flatten() for tensor in stepper.modules["net"].state_dict().values()])


def run_for(steps, **more):
    return Run(steps=steps, precision="fp32", **more)


def test_cancel_then_resume_ends_in_the_very_bits_of_the_unbroken_run(tmp_path: Path):
    whole = Line()
    train(whole, batches, run_for(40))

    cancel = Cancel()
    stop = lambda event: cancel.set() if event.step >= 1 else None  # noqa: E731
    with pytest.raises(Cancelled):
        train(Line(), batches, run_for(40, folder=tmp_path, cancel=cancel, callbacks=(stop,)))
    second = Line(seed=99)  # its first weights must not matter
    done = train(second, batches, run_for(40, folder=tmp_path, resume=True))
    assert done.steps == 40
    assert torch.equal(weights(whole), weights(second))


def test_same_seed_same_weights_other_seed_other_weights():
    results = []
    for seed in (0, 0, 1):
        stepper = Line()
        train(stepper, batches, run_for(10, seed=seed))
        results.append(weights(stepper))
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_training_leaves_the_global_generator_alone():
    stepper = Line()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train(stepper, batches, run_for(3))
    assert torch.equal(torch.rand(3), expected)


def test_resuming_another_run_names_what_differs(tmp_path: Path):
    train(Line(), batches, run_for(5, folder=tmp_path), identity={"width": 1})
    with pytest.raises(CheckpointError, match="other width"):
        train(Line(), batches, run_for(5, folder=tmp_path, resume=True), identity={"width": 2})


def test_nothing_to_resume_and_a_damaged_checkpoint_are_clear_errors(tmp_path: Path):
    with pytest.raises(CheckpointError, match="no run to resume"):
        train(Line(), batches, run_for(5, folder=tmp_path, resume=True))
    (tmp_path / CHECKPOINT).write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(CheckpointError, match="damaged"):
        train(Line(), batches, run_for(5, folder=tmp_path, resume=True))


def test_a_time_budget_is_kept_and_its_schedule_fits_it(tmp_path: Path):
    stepper = Line(slow=0.005)
    began = time.monotonic()
    done = train(stepper, batches, Run(minutes=0.02, folder=tmp_path, precision="fp32"))
    assert 1.2 <= time.monotonic() - began < 3
    assert done.seconds == pytest.approx(1.2, abs=0.5)
    assert max(stepper.rates) > 0.9e-2 and stepper.rates[-1] < 1e-3  # warmed up, and all but down to nothing
    again = Line(slow=0.005)
    assert train(again, batches, Run(minutes=0.02, folder=tmp_path, resume=True, precision="fp32")).steps == done.steps


def stopped_after(seconds, folder, **budget):
    cancel = Cancel()
    threading.Timer(seconds, cancel.set).start()
    with pytest.raises(Cancelled):
        train(Line(slow=0.005), batches, Run(folder=folder, cancel=cancel, precision="fp32", **budget))


def test_a_resume_takes_the_budget_that_the_run_was_started_with(tmp_path: Path):
    stopped_after(0.3, tmp_path, minutes=0.015)
    done = train(Line(slow=0.005), batches, Run(folder=tmp_path, resume=True, precision="fp32"))
    assert done.seconds == pytest.approx(0.9, abs=0.2)
    train(Line(), batches, run_for(7, folder=tmp_path / "steps"))
    assert train(Line(), batches, Run(folder=tmp_path / "steps", resume=True, precision="fp32")).steps == 7


def test_minutes_that_are_spent_already_are_refused_and_the_run_is_kept(tmp_path: Path):
    stopped_after(0.3, tmp_path, minutes=1)
    before = (tmp_path / CHECKPOINT).read_bytes()
    with pytest.raises(ValueError, match=r"has spent 0\.0\d+ minutes already.*leave --minutes out to go on to 1\."):
        train(Line(), batches, Run(minutes=0.001, folder=tmp_path, resume=True))
    assert (tmp_path / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_that_names_no_minutes_takes_the_usual_ones(tmp_path: Path, monkeypatch):
    from generators.core import training

    stopped_after(0.2, tmp_path, minutes=1)
    notes = training.read_notes(tmp_path / CHECKPOINT)
    monkeypatch.setattr(training, "read_notes", lambda path: {k: v for k, v in notes.items() if k != "minutes"})
    assert training._resumed(Run(folder=tmp_path, resume=True)).budget_seconds == 60 * training.DEFAULT_MINUTES


def test_cancel_from_another_thread_stops_within_a_step(tmp_path: Path):
    cancel = Cancel()
    threading.Timer(0.3, cancel.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        train(Line(slow=0.01), batches, Run(minutes=1, folder=tmp_path, cancel=cancel))
    assert time.monotonic() - began < 5
    assert (tmp_path / CHECKPOINT).is_file() and len(list(tmp_path.iterdir())) == 1


def test_divergence_is_one_clear_sentence():
    class Broken(Line):
        def step(self, batch, i, accelerator):
            return {"loss": math.nan if i == 3 else 1.0}

    with pytest.raises(ValueError, match=r"diverged at step 4 \(loss nan\).*smaller learning rate"):
        train(Broken(), batches, run_for(10))


def test_the_best_validated_weights_are_kept():
    class Judged(Line):
        figures = iter([5.0, 1.0, 7.0, 8.0])
        seen: list[torch.Tensor] = []  # noqa: RUF012

        def validate(self):
            self.seen.append(weights(self).clone())
            return {"val": next(self.figures)}

    stepper = Judged()
    done = train(stepper, batches, run_for(20), validations=4)
    assert done.figures["val"] == 1.0
    assert torch.equal(weights(stepper), stepper.seen[1])


@pytest.mark.parametrize(
    "bad",
    [
        {"minutes": 0},
        {"minutes": -1},
        {"minutes": math.nan},
        {"steps": 0},
        {"minutes": 1, "steps": 1},
        {"resume": True},
    ],
)
def test_impossible_budgets_are_refused(bad):
    with pytest.raises(ValueError):
        Run(**bad)


def test_schedule_and_average():
    assert lr_scale(0) < 0.01 and lr_scale(0.05) == 1 and lr_scale(1) == pytest.approx(0)
    assert all(lr_scale(p) <= 1 for p in np.linspace(0, 1, 101))
    assert ema_decay(0) == 0  # the first step's weights replace the random start
    average = 0.0
    for step in range(1000):  # the average of 1, 2, ..., 1000 under power-function weights (gamma + 1)/(gamma + 2) * n
        average = average * ema_decay(step) + (1 - ema_decay(step)) * (step + 1)
    assert average == pytest.approx(1000 * 17 / 18, rel=0.01)


def test_every_item_comes_once_an_epoch():
    order = shuffled(10, 5, seed=3)
    first, second = ([*order(2 * epoch), *order(2 * epoch + 1)] for epoch in range(2))
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert len(shuffled(3, 8, 0)(0)) == 8


def test_progress_bar_writes_to_stderr_only(capsys):
    with progress_bar("test") as bar:
        train(Line(), batches, run_for(5, callbacks=(bar,)))
    out, err = capsys.readouterr()
    assert out == "" and "Trained 5 steps" in err


def test_progress_of_events():
    assert Event("step", 5, 10).progress == 0.5
    assert Event("step", 5, 0, 30.0, 60.0).progress == 0.5
    assert Run(steps=10).progress(20, 0) == 1
