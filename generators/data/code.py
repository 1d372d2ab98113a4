"""Python to train on: the functions of the standard library, and those of any Python file or folder of them.

A function or method is an item of 3 to 20 lines, dedented, with its decorators and comments but without its docstring:
a small model would spend most of what it has on their English. Each text is kept once, wherever it stands. Nothing that
is read is run or imported: `ast` finds the functions.

Functions are split 80/10/10 by the hash of their file's path, since those of one file resemble each other; where there
are fewer than MIN_FILES files, by their own hash. They come in the order of their hashes, so a part is a fair sample.
"""

from __future__ import annotations

import ast
import hashlib
import sysconfig
import textwrap
import warnings
from collections.abc import Iterator
from importlib.util import decode_source
from pathlib import Path

from generators.data.packaged import name_of, packaged, warn_of_file
from generators.data.splits import DataError, Source, Splits, Texts, hash_shares

SOURCES = {"python-stdlib": "the functions of this Python's standard library, about 3 MB; they come with Python"}
LEAST_LINES, MOST_LINES = 3, 20  # of a function without its docstring
MIN_FILES = 10  # from which on whole files are split

_NOT_OURS = {"__pycache__", "site-packages", "dist-packages"}  # folders that are left out
_TESTS = {"test", "tests", "idle_test"}  # and in the standard library these too
_Functions = dict[str, str]  # the text -> the path of the file that has it, in order of the texts' hashes


def load(source: str | Path, val: str | Path | None = None) -> Splits[Texts]:
    """The splits of a packaged source (see `SOURCES`), a Python file, or a folder of them.

    With `val`, all of `source` trains and all of `val` validates. Raises `DataError` for what is missing or holds no
    function. Files that do not parse are left out with a warning.
    """
    if val is not None:
        train, origin = _whole(source)
        return Splits(train, _whole(val)[0], source=origin)
    functions, origin = _read(source)
    texts, files = list(functions), list(functions.values())
    by_file = len(set(files)) >= MIN_FILES
    train, validation, test = (Texts(tuple(texts[i] for i in at)) for at in hash_shares(files if by_file else texts))
    return Splits(train, validation, test, origin)


def load_all(source: str | Path) -> Texts:
    """What a score is measured on: a packaged source's test split, or all of a file or folder.

    `python-stdlib:val` names another split. Raises `DataError` as `load` does.
    """
    return _whole(f"{source}:test" if packaged(source, SOURCES) == (source, "") else source)[0]


def parsed(text: str) -> ast.Module | None:
    """The syntax tree of a text, None where it is not Python that this interpreter reads. It is not run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes that are deprecated
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def functions_of(tree: ast.Module, text: str) -> Iterator[str]:
    """The functions and methods of a text and its tree; of those within each other only the outermost that fits."""
    lines = text.split("\n")
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = _alone(node, lines)
            if function:
                yield function
                continue
        waiting += reversed(list(ast.iter_child_nodes(node)))


def _alone(node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str]) -> str:
    """A function's own text; "" for one that is too short or too long, or says nothing but its docstring."""
    begin = min(part.lineno for part in (node, *node.decorator_list)) - 1
    body, end = node.body, node.end_lineno
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        if len(body) == 1 or first.lineno == node.lineno or body[1].lineno == first.end_lineno:
            return ""
        rest = lines[first.end_lineno : end]
        while not rest[0].strip():
            rest = rest[1:]
        own = [*lines[begin : first.lineno - 1], *rest]
    else:
        own = lines[begin:end]
    function = textwrap.dedent("\n".join(own))
    # What is still indented has a string or a comment that stands further left; alone it would not parse.
    odd = function[:1].isspace() or not function.replace("\n", "").replace("\t", "").isprintable()
    return "" if odd or not LEAST_LINES <= len(own) <= MOST_LINES else function


def _whole(source: str | Path) -> tuple[Texts, Source]:
    """Everything `source` holds, or the split that it names."""
    named = packaged(source, SOURCES)
    if named is None or not named[1]:
        functions, origin = _read(source)
        return Texts(tuple(functions)), origin
    name, part = named
    splits = load(name)
    found = {"train": splits.train, "val": splits.val, "test": splits.test}.get(part)
    if found is None:
        raise DataError(f"{name} has no split {part!r}; there are train, val, test.")
    return found, Source(str(source), splits.source.licence, splits.source.sha256)


def _read(source: str | Path) -> tuple[_Functions, Source]:
    if source in SOURCES:
        warn_of_file(str(source))
        root, name, licence = Path(sysconfig.get_path("stdlib")), str(source), "PSF-2.0"
        missing = "The standard library's sources are not here; install all of Python (sudo apt-get install python3)."
        skipped = _NOT_OURS | _TESTS
    else:
        root = Path(source).expanduser()
        name, licence, skipped = name_of(root, SOURCES), "unknown", _NOT_OURS
        if not root.exists():
            known = ", ".join(SOURCES)
            raise DataError(
                f"There is no file or folder {root}, and no packaged code of that name; packaged is {known}."
            )
        missing = f"{root} holds no Python function of {LEAST_LINES} to {MOST_LINES} lines; give more .py files."
    found: dict[str, str] = {}
    lost = []
    for path in _files(root, skipped):
        try:
            text = decode_source(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path} cannot be read ({error.strerror}).") from error
        except (SyntaxError, LookupError, UnicodeError):
            text = "\0"
        tree = parsed(text)
        if tree is None:
            lost.append(path.name)
            continue
        for function in functions_of(tree, text):
            found.setdefault(function, path.relative_to(root).as_posix())
    if lost:
        rest = f" and {len(lost) - 10} more" if len(lost) > 10 else ""
        warnings.warn(f"Not Python that this interpreter reads, left out: {', '.join(lost[:10])}{rest}.", stacklevel=3)
    if not found:
        raise DataError(missing)
    ordered = sorted(found, key=lambda function: hashlib.sha256(function.encode()).digest())
    sha256 = hashlib.sha256("\0".join(ordered).encode()).hexdigest()
    return {function: found[function] for function in ordered}, Source(name, licence, sha256)


def _files(root: Path, skipped: set[str]) -> list[Path]:
    """The Python files under a folder, hidden ones and `skipped` folders left out; a file is itself."""
    if not root.is_dir():
        return [root]
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if not skipped & set(parts[:-1]) and not any(part.startswith(".") for part in parts) and path.is_file():
            found.append(path)
    return found
