"""Imports go one way (data, core, families, chains, ui, app.py; see LAYERS) and cost little."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOPS = ("generators", "chains", "ui")
FILES = [ROOT / "app.py", *sorted(path for top in TOPS for path in (ROOT / top).rglob("*.py"))]
LAYERS = ("generators.data", "generators.core", "generators", "family", "chains", "ui", "app")
# The registry finds core's classes and core asks it for models by name, both inside functions; it imports no family.
REGISTRY = "generators"


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path) for path in FILES}


def layer(module: str) -> str | None:
    """The layer of one of our modules; None for other people's."""
    top, _, rest = module.partition(".")
    if top in ("chains", "ui", "app"):
        return top
    if top != "generators":
        return None
    head = rest.split(".")[0]
    return f"generators.{head}" if head in ("data", "core") else "family" if rest else REGISTRY


def imported(path: Path) -> set[str]:
    """The modules of ours that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the import in full"
            base = node.module or ""
            found |= {f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names}
    return {module for module in found if layer(module)}


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_go_one_way(path):
    own = layer(module_of(path))
    for module in imported(path):
        other = layer(module)
        if {own, other} == {"generators.core", REGISTRY}:
            continue
        assert LAYERS.index(other) <= LAYERS.index(own), f"{module_of(path)} ({own}) must not import {module} ({other})"
        assert not (own == "ui" and other == "family"), f"{module_of(path)} must not know the model file {module}"


def test_no_family_imports_one_that_imports_it():
    parts = {
        module_of(path): {module for module in imported(path) if layer(module) == "family"}
        for path in FILES
        if layer(module_of(path)) == "family"
    }
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, f"families import each other: {' -> '.join((*above, module))}"
        if module not in done:
            for part in parts.get(module, set()) - {module}:
                visit(part, (*above, module))
            done.add(module)

    for module in parts:
        visit(module, ())


@pytest.mark.parametrize("module", ["app", "chains", "chains.catalog", "chains.commands", "generators", "ui"])
def test_importing_costs_little(module):
    heavy = ("torch", "transformers", "langchain", "langchain_core", "langgraph", "gradio", "accelerate", "peft")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_nothing_that_could_run_foreign_code(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                assert not {alias.name for alias in names} & {"pickle", "dill", "joblib", "cloudpickle", "marshal"}
            case ast.Call(func=ast.Name(id="eval" | "exec" as name)):
                pytest.fail(f"{path}:{node.lineno} calls {name}")
            case ast.Call(func=ast.Attribute(value=ast.Name(id="torch"), attr="load")):
                pytest.fail(f"{path}:{node.lineno} unpickles with torch.load")
            case ast.keyword(arg="trust_remote_code", value=ast.Constant(value=True)):
                pytest.fail(f"{path}: trusts remote code")
