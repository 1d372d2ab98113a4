"""How much memory it takes to learn from a text of a gigabyte, beside what a laptop has to spare.

    python tests/bench/memory.py

The King James Bible again and again, each time with another word before every verse, in ASCII or with a few characters
of four bytes among them. A network learns from it for a few steps, a Markov model counts all of it, as `artwright
train` runs it, measuring included. What is resident holds what is mapped from files too, which can be given up.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from generators.data.text import load

APP = Path(__file__).parents[2] / "app.py"
SIZE = 10**9  # bytes
TARGET = 6.0  # GiB resident at most
RARE = " \u4e16 \U0001f642"
RUNS = (
    ("gpt", "ASCII", "", ["--steps", "20"]),
    ("lstm", "a few characters of four bytes", RARE, ["--steps", "20"]),
    ("markov", "ASCII", "", []),
    ("markov", "ASCII, by words", "", ["--set", "level=word"]),
)


def write_text(path: Path, size: int, rare: str = "") -> None:
    """Write about `size` bytes of text, with `rare` at the end of one verse in a thousand."""
    verses = load("kjv").train.text.splitlines()
    words = verses[0].split()
    with path.open("w", encoding="utf-8") as file:
        turn = 0
        while file.tell() < size:
            word = f"{words[turn % len(words)]} {turn}"
            lines = (f"{word} {verse}{rare if i % 1000 == 0 else ''}\n" for i, verse in enumerate(verses))
            file.write("".join(lines))
            turn += 1


def trained(family: str, path: Path, options: list[str]) -> tuple[float, float]:
    """GiB resident at most, and seconds, of a training, measuring included. Raises RuntimeError where it fails."""
    command = [sys.executable, str(APP), "train", family, "--data", str(path), "--out", str(path.parent / family)]
    began = time.perf_counter()
    process = subprocess.Popen([*command, *options], env={**os.environ, "TMPDIR": str(path.parent)})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed")
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return usage.ru_maxrss * unit / 2**30, time.perf_counter() - began


def main() -> int:
    """Print a table; returns 1 where the target is missed."""
    worst = 0.0
    print("| family | text of 1 GB | GiB resident | at most | seconds |\n|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.txt"
        for family, kind, rare, options in RUNS:
            write_text(path, SIZE, rare)
            peak, seconds = trained(family, path, options)
            worst = max(worst, peak)
            print(f"| `{family}` | {kind} | {peak:.2f} | {TARGET} | {seconds:.0f} |", flush=True)
    return int(worst > TARGET)


if __name__ == "__main__":
    sys.exit(main())
