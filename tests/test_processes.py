"""Several processes on one machine compute what one does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from generators.core.training import share

SCRIPT = Path(__file__).parent / "train_tiny.py"


def losses(family: str, *launcher: str) -> list[dict[str, float]]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPT.parent.parent)}
    done = subprocess.run(
        [sys.executable, *launcher, str(SCRIPT), family, "20"],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.mark.parametrize("family", ["vae", "cgan"])
def test_two_processes_have_the_losses_of_one(family: str):
    one = losses(family)
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
    launch += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_ip", "127.0.0.1"]
    two = losses(family, *launch, "--main_process_port", free_port())
    assert len(one) == len(two) == 20
    for alone, shared in zip(one, two, strict=True):
        for name, value in alone.items():
            assert shared[name] == pytest.approx(value, rel=1e-4, abs=1e-4), name


def test_a_batch_that_cannot_be_shared_is_a_clear_error(monkeypatch):
    class Two:
        num_processes, process_index = 2, 1

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("accelerate.PartialState", Two)
    assert share(16) == slice(8, 16)
    with pytest.raises(ValueError, match="batch is 15, which 2 processes cannot share"):
        share(15)
