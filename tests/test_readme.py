"""The README is true: its commands run, its Python runs, what it points to is there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
STARTS, MIDDLES, ENDS = ("Ka", "Mi", "To", "Ren"), ("ra", "ne", "lu", "vi"), ("n", "ka", "to")
NAMES = "\n".join(start + middle + end for start in STARTS for middle in MIDDLES for end in ENDS)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def place(tmp_path, home):
    """A folder with what the README's commands expect, and `artwright` on the path."""
    (tmp_path / "names.txt").write_text(NAMES)
    command = tmp_path / "bin" / "artwright"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{ROOT / "app.py"}" "$@"\n')
    command.chmod(0o755)
    return tmp_path


@pytest.fixture
def shell(place, home):
    def run(script: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PATH": f"{place / 'bin'}:{os.environ['PATH']}"}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=place, env=env, capture_output=True, text=True, timeout=280
        )

    return run


def test_the_commands_run(shell, place):
    """All of them, in the order of the page, in one home."""
    for line in filter(None, "\n".join(blocks("sh")).splitlines()):
        done = shell(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), line


def test_the_python_runs(place):
    for number, code in enumerate(blocks("python")):
        script = place / f"example{number}.py"
        script.write_text(code)
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, str(script)], cwd=place, env=env, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, f"{code}\n{done.stderr}"
        assert done.stdout.strip(), code
    assert (place / "sneaker.png").is_file()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_make_targets_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = set(re.findall(r"^make ([a-z-]+)", text, re.MULTILINE))
    assert targets
    defined = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets <= defined


def test_what_it_points_to_is_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_no_other_command_is_mentioned_than_there_is():
    from chains.commands import NAMES as commands

    mentioned = set(re.findall(r"`artwright ([a-z]+)", README)) | set(re.findall(r"^artwright ([a-z]+)", README, re.M))
    assert mentioned <= set(commands)
