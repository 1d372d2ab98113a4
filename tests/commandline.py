"""What the tests of the command line share; `artwright`, `names` and `mine` are in conftest.py."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent
STARTS, ENDS = ("ka", "mi", "to", "ren", "sho"), ("n", "ka", "to")
SYLLABLES = [start + middle + end for start in STARTS for middle in ("ra", "ne", "lu", "vi") for end in ENDS]


def a_mistake(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2 and one clear line, no traceback and no result."""
    assert (done.returncode, done.stdout) == (2, ""), done
    said = [line for line in done.stderr.splitlines() if line.startswith("artwright:")]
    assert len(said) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(said[0]) < 1000
    for word in words:
        assert word in said[0], said[0]
