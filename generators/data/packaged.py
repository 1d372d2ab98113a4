"""Packaged sources by name, and what is a file instead.

`names` is the packaged source, whatever lies in the current folder; `./names` (or a `Path`) is the file or folder.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path


def packaged(source: str | Path, sources: Collection[str]) -> tuple[str, str] | None:
    """The name and the part ("" for none) that `names` or `names:test` spells; None where `source` is a path."""
    name, _, part = str(source).partition(":")
    return (name, part) if isinstance(source, str) and name in sources else None


def warn_of_file(name: str) -> None:
    """Say that a file or folder named like the packaged source `name` is passed over, where there is one."""
    if Path(name).exists():
        what = "folder" if Path(name).is_dir() else "file"
        warnings.warn(
            f"{name!r} is a packaged source: the {what} of that name here was passed over; ./{name} is that {what}.",
            stacklevel=2,
        )


def name_of(path: Path, sources: Collection[str]) -> str:
    """What the data of a file or folder is called: never like a packaged source, whose figures do not compare."""
    name = path.resolve().name
    return f"./{name}" if name in sources else name
