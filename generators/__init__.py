"""Trained models and the families they belong to, found by looking: nothing is registered by hand.

A family is a class in a file of this folder (or behind an entry point in the group `artwright.generators`) whose body
says `family = "..."`; files are read, not imported, to find it. A trained model is a folder with a config.json in
`$ARTWRIGHT_HOME/models`, in a folder that an entry point in `artwright.models` names, or in `generators/pretrained`.
"""

from __future__ import annotations

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from generators.core.generator import Generator, ModelInfo

HERE = Path(__file__).parent
PRETRAINED = HERE / "pretrained"


@cache
def declared() -> dict[str, tuple[str, str]]:
    """Family name -> (module, class) of every class in this folder whose body sets `family` to a string."""
    found: dict[str, tuple[str, str]] = {}
    for path in sorted(HERE.glob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef):
                for line in node.body:
                    match line:
                        case ast.Assign(targets=[ast.Name(id="family")], value=ast.Constant(value=str(family))):
                            found[family] = (f"generators.{path.stem}", node.name)
    return found


def families() -> list[str]:
    """The names of all families that can be trained, sorted."""
    from importlib.metadata import entry_points

    return sorted({*declared(), *(point.name for point in entry_points(group="artwright.generators"))})


def family(name: str) -> type[Generator]:
    """The class of a family. Raises ValueError that lists the families for an unknown one."""
    from importlib.metadata import entry_points

    if name in declared():
        module, cls = declared()[name]
        found: type[Generator] = getattr(importlib.import_module(module), cls)
        return found
    for point in entry_points(group="artwright.generators"):
        if point.name == name:
            plugin: type[Generator] = point.load()
            return plugin
    raise ValueError(f"There is no family {name!r}; there are {', '.join(families())}.")


def places() -> list[Path]:
    """The folders that hold trained models, in the order they are searched."""
    from importlib.metadata import entry_points

    from generators.core.paths import home

    plugged = [Path(str(point.load())) for point in entry_points(group="artwright.models")]
    return [home() / "models", *plugged, PRETRAINED]


def folders() -> dict[str, Path]:
    """Name -> folder of every trained model. Raises ValueError when two places hold the same name."""
    found: dict[str, Path] = {}
    for place in places():
        for config in sorted(place.glob("*/config.json")) if place.is_dir() else []:
            folder = config.parent
            if folder.name.startswith("."):
                continue
            if folder.name in found:
                raise ValueError(
                    f"Two models are named {folder.name}: {found[folder.name]} and {folder}; rename or remove one."
                )
            found[folder.name] = folder
    return found


def names() -> list[str]:
    """The names of all trained models, sorted."""
    return sorted(folders())


def find(name_or_folder: str | Path) -> Path:
    """The folder of a trained model, by name or as a path. Raises ValueError that lists what there is."""
    known = folders()
    if str(name_or_folder) in known:
        return known[str(name_or_folder)]
    path = Path(name_or_folder)
    if (path / "config.json").is_file():
        return path
    raise ValueError(f"There is no model {str(name_or_folder)!r}; there are {', '.join(sorted(known)) or 'none yet'}.")


def infos() -> list[ModelInfo]:
    """What is known of every trained model, from its config.json alone; a damaged one is left out with a warning."""
    import warnings

    from generators.core.errors import CheckpointError
    from generators.core.generator import read_info

    found = []
    for name, folder in sorted(folders().items()):
        try:
            info = read_info(folder)
        except CheckpointError as error:
            warnings.warn(str(error), stacklevel=2)
            continue
        info.name = name
        found.append(info)
    return found


def load(name_or_folder: str | Path) -> Generator:
    """A trained model, ready to generate. Raises ValueError for an unknown one, `CheckpointError` for a damaged one."""
    folder = find(name_or_folder)
    weights = folder / "model.safetensors"
    stamp = weights.stat().st_mtime_ns if weights.exists() else 0
    return _load(folder, stamp)


@cache
def _load(folder: Path, stamp: int) -> Generator:
    from generators.core.generator import read_info

    model = family(read_info(folder).family).from_pretrained(folder)
    if folders().get(folder.name) == folder:  # renamed, or copied from elsewhere: the name by which it is found
        model.info.name = folder.name
    return model
