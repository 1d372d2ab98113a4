"""Trained models on disk: config.json + model.safetensors + README.md in a folder, written whole or not at all.

Nothing here is unpickled or executed. A folder is written beside its place and moved there, so a full disk or a
crash leaves what was there before.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from generators.core.errors import CheckpointError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

FORMAT = 1
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
SHOWN = ("samples.png", "curves.svg", "states.png")  # what a card may show
Record = TypeVar("Record")


def versions() -> dict[str, str]:
    """The versions that a result depends on: python and the numeric packages."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in ("artwright", "torch", "numpy"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def checked(kind: type[Record], values: Any) -> Record:
    """`values`, read from JSON, as the dataclass `kind`. Raises ValueError that names the first field that is wrong."""
    from pydantic import ValidationError

    try:
        record: Record = _validator(kind).validate_python(values)  # type: ignore[arg-type]  # a class is hashable
        return record
    except ValidationError as error:
        wrong = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from error


@cache  # it takes milliseconds to make, and every request reads the information of every model
def _validator(kind: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def sha256(path: Path) -> str:
    """sha256 of a file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write(
    folder: Path,
    config: Mapping[str, Any],
    tensors: Mapping[str, NDArray[Any]],
    card: str,
    files: Mapping[str, bytes] = MappingProxyType({}),
) -> str:
    """Write a model folder, replacing an older one; returns the sha256 of its weights.

    `files`: what the card shows, by name, each one of `SHOWN`.

    Raises OSError where the disk is full or cannot be written; the folder is then as it was.
    """
    from safetensors.numpy import save

    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        weights = save({name: np.ascontiguousarray(array) for name, array in tensors.items()})
        (staging / WEIGHTS).write_bytes(weights)
        digest = hashlib.sha256(weights).hexdigest()
        record = {"format": FORMAT, **config, "weights_sha256": digest}
        (staging / CONFIG).write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        (staging / CARD).write_text(card, encoding="utf-8")
        for name, content in files.items():
            (staging / name).write_bytes(content)
        os.chmod(staging, 0o755)
        _swap(staging, folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return digest


def _swap(new: Path, place: Path) -> None:
    """Move `new` to `place`; what stood there goes only after that."""
    old = place.with_name(f".{place.name}-old")
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    try:
        new.rename(place)
    except OSError:
        if old.exists():
            old.rename(place)
        raise
    shutil.rmtree(old, ignore_errors=True)


def read_config(folder: Path) -> dict[str, Any]:
    """A model folder's config.json, without the format's own entries. Raises `CheckpointError`."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"There is no trained model in {folder}: {CONFIG} is missing.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); train the model again.") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} is of format {config.get('format') if isinstance(config, dict) else '?'}, this version reads "
            f"format {FORMAT}; train the model again or install the version that made it."
        )
    return {key: value for key, value in config.items() if key not in ("format", "weights_sha256")}


def read_tensors(folder: Path) -> dict[str, NDArray[Any]]:
    """A model folder's arrays.

    Raises `CheckpointError` when the file is damaged, not safetensors, or not the one the config names.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / WEIGHTS
    try:
        data = path.read_bytes()
        expected = json.loads((folder / CONFIG).read_text(encoding="utf-8")).get("weights_sha256")
        tensors = load(data)
    except FileNotFoundError:
        raise CheckpointError(f"{path} is missing; train the model again.") from None
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is damaged or not a safetensors file; train the model again.") from error
    if expected and hashlib.sha256(data).hexdigest() != expected:
        raise CheckpointError(f"{path} is not the file its {CONFIG} names (sha256 differs); train the model again.")
    return dict(tensors)
