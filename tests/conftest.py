"""Tests work in a home of their own, never in the person's; only derived things (the converted LLM) are shared."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from commandline import ROOT, SYLLABLES

from generators.core import paths
from generators.data import DataError, load

os.environ.update({"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1"})
REAL_CACHE = paths.cache()


def _new_home(folder: Path) -> Path:
    """A home whose cache is the real one, since converting the embedded LLM takes half a minute."""
    folder.mkdir(parents=True, exist_ok=True)
    REAL_CACHE.mkdir(parents=True, exist_ok=True)
    (folder / "cache").symlink_to(REAL_CACHE, target_is_directory=True)
    return folder


def pytest_configure(config: pytest.Config) -> None:
    """Before any test module is imported, so that fixtures of every scope are covered."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # inherited from a shell's "&", and on to what tests start
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.artwright_home = Path(tempfile.mkdtemp(prefix="artwright-tests-"))  # type: ignore[attr-defined]
    os.environ["ARTWRIGHT_HOME"] = str(_new_home(config.artwright_home / "home"))  # type: ignore[attr-defined]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the tests' home."""
    shutil.rmtree(config.artwright_home, ignore_errors=True)  # type: ignore[attr-defined]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty $ARTWRIGHT_HOME of this test's own."""
    folder = _new_home(tmp_path / "home")
    monkeypatch.setenv("ARTWRIGHT_HOME", str(folder))
    return folder


@pytest.fixture
def artwright(tmp_path: Path):
    """Run the command line in a process of its own, in `tmp_path`: `artwright("list", "--json").stdout`."""

    def run(*arguments: str, stdin: str = "", timeout: float = 240, **more) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, str(ROOT / "app.py"), *arguments],
            input=stdin,
            text=True,
            capture_output=True,
            timeout=timeout,
            cwd=tmp_path,
            **more,
        )

    return run


@pytest.fixture
def names(tmp_path: Path) -> Path:
    """A file of sixty names."""
    path = tmp_path / "names.txt"
    path.write_text("\n".join(name.capitalize() for name in SYLLABLES) + "\n")
    return path


@pytest.fixture
def mine(names: Path, artwright) -> Path:
    """A Markov model named `mine`, trained on them."""
    done = artwright("train", "markov", "--data", str(names), "--name", "mine")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


@pytest.fixture
def packaged():
    """Load a packaged source: `packaged("kjv", "text")`.

    Where it is missing the test skips; where CI is true it fails, since `make setup-test` brings every source.
    """

    def splits(name: str, medium: str):
        try:
            return load(name, medium)
        except DataError as error:
            if os.environ.get("CI") == "true":
                raise
            pytest.skip(str(error))

    return splits
