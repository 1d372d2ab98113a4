"""Finding the functions in Python, and splitting them by file."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from generators.data import load as load_any
from generators.data.code import functions_of, load, load_all
from generators.data.splits import DataError
from generators.data.text import load_all as load_text

MODULE = (
    '''
import os

@decorated
def first(x):
    """What it does.

    At length.
    """

    # why
    return x

class Thing:
    async def second(self):
        y = 1
        return y

    def short(self): return 1

    def only_said(self):
        """Nothing else
        at
        all."""

def outer():
    def inner(z):
        z += 1
        return z
    text = """
left
"""
    return inner

def long():
    def within(z):
        z += 1
        return z
'''
    + "    pass\n" * 20
)


def found(text: str) -> list[str]:
    return list(functions_of(ast.parse(text), text))


def written(folder: Path, files: int) -> Path:
    for i in range(files):
        body = "".join(f"def f{i}_{j}(x):\n    y = x + {j}\n    return y\n\n\n" for j in range(4))
        (folder / f"m{i}.py").write_text(body)
    return folder


def test_functions_and_methods_are_dedented_and_without_docstring():
    assert found(MODULE)[:2] == [
        "@decorated\ndef first(x):\n    # why\n    return x",
        "async def second(self):\n    y = 1\n    return y",
    ]


def test_of_functions_within_each_other_the_outermost_that_fits():
    assert [text.split("(")[0] for text in found(MODULE)[2:]] == ["def outer", "def within"]
    assert found("class A:\n    def f(self):\n        s = '''\nleft'''\n        return s\n") == []
    assert all(ast.parse(text) for text in found(MODULE))


def test_line_breaks_of_other_kinds_do_not_shift_lines():
    assert found("x = '\x0c\u2028'\n\x0c\ndef f():\n    y = 1\n    return y\n") == ["def f():\n    y = 1\n    return y"]


def test_the_functions_of_a_file_stay_together(tmp_path):
    splits = load(written(tmp_path, 12))
    sides = [{text.split("_")[0] for text in part.items} for part in (splits.train, splits.val, splits.test)]
    assert all(sides) and not sides[0] & sides[1] and not sides[1] & sides[2] and not sides[0] & sides[2]
    assert sum(map(len, (splits.train, splits.val, splits.test))) == 48 == len(load_all(tmp_path))


def test_one_file_is_split_by_function_and_copies_count_once(tmp_path):
    written(tmp_path, 1)
    (tmp_path / "copy.py").write_text((tmp_path / "m0.py").read_text())
    splits = load(tmp_path)
    assert len(splits.train) and len(splits.val) and len(splits.test)
    assert len(load_all(tmp_path)) == 4 and load_all(tmp_path) == load_all(tmp_path / "m0.py")
    given = load(tmp_path / "m0.py", tmp_path / "copy.py")
    assert given.train == given.val == load_all(tmp_path) and given.test is None and given.source.name == "m0.py"


def test_what_is_no_python_is_left_out_and_named(tmp_path):
    written(tmp_path, 1)
    (tmp_path / "two.py").write_text("print 'old'")
    (tmp_path / "odd.py").write_bytes(b"# coding: nonsense\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "three.py").write_text("print 'old'")
    with pytest.warns(UserWarning, match=r"left out: odd\.py, two\.py\."):
        assert len(load_all(tmp_path)) == 4


def test_missing(tmp_path):
    with pytest.raises(DataError, match="packaged is python-stdlib"):
        load(tmp_path / "none")
    with pytest.raises(DataError, match="no Python function of 3 to 20 lines"):
        load(tmp_path)


def test_data_of_another_medium_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="python-stdlib is code data, not text; choose a family that makes code"):
        load_any("python-stdlib", "text")
    (tmp_path / "python-stdlib").write_text("a file of one's own")
    assert load_text("python-stdlib").text and load_any("python-stdlib", "text")


def test_the_standard_library():
    splits = load("python-stdlib")
    assert len(splits.train) > 5 * len(splits.test) > 1000 and splits.source.licence == "PSF-2.0"
    assert not set(splits.train.items) & {*splits.val.items, *splits.test.items}
    assert all(ast.parse(text) for text in splits.test.items[:100])
    with pytest.raises(DataError, match="no split 'half'"):
        load_all("python-stdlib:half")
