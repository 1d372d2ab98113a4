"""What `artwright doctor` reports: what is installed, what is used, what is missing and the command that brings it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

PACKAGES = ("torch", "transformers", "langchain", "langgraph", "gradio", "accelerate", "peft", "llguidance")


def report(llm: str) -> Iterator[str]:
    """Lines to print, `ok`, `missing` or `note` first."""
    import generators
    from generators.core.paths import cache, home

    machine = f"{platform.system()} {platform.machine()}"
    yield f"ok       Artwright {_version('artwright')}, Python {platform.python_version()}, {machine}"
    for package in PACKAGES:
        version = _version(package)
        yield f"ok       {package} {version}" if version else f"missing  {package}: run make setup"
    if _version("torch"):
        yield from _device()
    yield from _llm(llm)
    for what, folder in (("models, artifacts, conversations", home()), ("cache", cache())):
        yield _writable(what, folder)
    try:
        names = generators.names()
        yield (
            f"ok       trained models: {', '.join(names)}"
            if names
            else "note     no trained models yet: artwright train"
        )
    except ValueError as error:
        yield f"missing  {error}"
    yield f"ok       families: {', '.join(generators.families())}"
    yield from _data()
    browser = next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
    )
    yield (
        f"ok       browser for the tests: {browser}"
        if browser
        else "note     no chromium, so browser tests skip: make setup-test"
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _device() -> Iterator[str]:
    import torch

    if torch.cuda.is_available():
        yield f"ok       device: {torch.cuda.get_device_name()} ({torch.cuda.device_count()} GPU)"
    else:
        capability = torch.backends.cpu.get_cpu_capability()
        yield f"ok       device: CPU, {torch.get_num_threads()} threads, {capability}"
    if shutil.which("nvidia-smi") and not torch.cuda.is_available():
        yield "note     there is an NVIDIA driver, but this torch is a CPU build: remove .venv and run make setup"


def _llm(llm: str) -> Iterator[str]:
    if llm == "embedded":
        from chains.weights import embedded_gguf

        try:
            yield f"ok       LLM: embedded, {embedded_gguf()}"
        except ValueError as error:
            yield f"missing  LLM: {error}"
    elif Path(llm).is_dir():
        yield f"ok       LLM: the folder {llm}"
    else:
        yield f"note     LLM: {llm}, checked when it is first used"


def _writable(what: str, folder: Path) -> str:
    there = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
    if not (there.is_dir() and os.access(there, os.W_OK)):
        return f"missing  {what}: {folder} cannot be written; set ARTWRIGHT_HOME to a folder of yours"
    free = shutil.disk_usage(there).free / 2**30
    return f"{'ok      ' if free > 1 else 'note    '} {what}: {folder}, {free:.1f} GiB free"


def _data() -> Iterator[str]:
    from generators.data import DataError, load_all, sources

    for medium, packaged in sources().items():
        for name, about in packaged.items():
            try:
                load_all(name, medium)
                yield f"ok       data source {name}: {about}"
            except DataError as error:
                yield f"note     data source {name}: {error}"
