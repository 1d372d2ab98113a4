"""Data for training: one module a medium, each with `load(source, val=None)`; see `splits` for what comes back."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from generators.data.packaged import packaged
from generators.data.splits import DataError, Images, Source, Splits, Texts, hash_split

__all__ = ["DataError", "Images", "Source", "Splits", "Texts", "hash_split", "load", "load_all", "sources"]


def load(source: str | Path, medium: str, *, val: str | Path | None = None, **options: Any) -> Splits[Any]:
    """The splits of a packaged source (by name), a file or a folder, for a family of `medium`.

    A packaged source goes before a file of its name, which a warning tells; `./names` or a `Path` is the file. With
    `val`, all of `source` trains and all of `val` validates. Raises `DataError` that names the fix.
    """
    _check_medium(source, medium)
    return _module(medium).load(source, val=val, **options)  # type: ignore[no-any-return]


def load_all(source: str | Path, medium: str, **options: Any) -> Any:
    """What `score` measures: a packaged source's test split, or all of a file or folder, unsplit."""
    _check_medium(source, medium)
    return _module(medium).load_all(source, **options)


def sources() -> dict[str, dict[str, str]]:
    """The packaged sources of each medium: name -> what it is, with the command that brings it."""
    return {medium: dict(_module(medium).SOURCES) for medium in _MODULES}


_MODULES = {"image": "images", "text": "text", "code": "code"}


def _check_medium(source: str | Path, medium: str) -> None:
    """Raise `DataError` for the packaged source of another medium, unless a file has its name."""
    for other in _MODULES:
        if other != medium and packaged(source, _module(other).SOURCES) and not Path(source).exists():
            raise DataError(
                f"{source} is {other} data, not {medium}; choose a family that makes {other}, or other data."
            )


def _module(medium: str) -> Any:
    if medium not in _MODULES:
        raise DataError(f"There is no loader for {medium} data; there are loaders for {', '.join(_MODULES)}.")
    return import_module(f"generators.data.{_MODULES[medium]}")
