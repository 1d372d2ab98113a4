"""Reading and splitting text."""

from __future__ import annotations

import importlib.util
import shutil
from itertools import pairwise
from pathlib import Path

import pytest
from test_rdb import HEADER, vector, write_database

from generators.data import text
from generators.data.splits import DataError, Pieces, Stored, Texts
from generators.data.text import is_list, load, load_all, proper_name

NAMES = [f"Name{chr(97 + i % 26)}{chr(97 + i // 26)}" for i in range(200)]
PROSE = "It was a dark and stormy night; the rain fell in torrents, except at occasional intervals.\n" * 20


def written(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_a_running_text_keeps_its_end(tmp_path):
    splits = load(written(tmp_path / "a.txt", PROSE))
    assert splits.train.running and splits.train.text + splits.val.text == PROSE
    assert len(splits.train.text) == int(len(PROSE) * 0.9) and splits.test is None


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_long_text_is_the_same_in_pieces(tmp_path, monkeypatch, line_end):
    prose = "".join(f"{i} caf\u00e9s, {line}" for i, line in enumerate(PROSE.splitlines(keepends=True)))
    file = written(tmp_path / "a.txt", (prose + "x" * 200 + " \U0001f642\n").replace("\n", line_end))
    whole = load(file)
    monkeypatch.setattr(text, "PIECE", 64)
    splits = load(file)
    assert len(splits.train.items) > 20 and len(whole.train.items) == len(splits.train) == 1
    assert splits.train.text == whole.train.text and splits.val.text == whole.val.text
    assert splits.source == whole.source and splits.train.characters == len(whole.train.text)
    assert all(last[-1] == "\n" or first[0] == " " for last, first in pairwise(splits.train.items))


def test_files_of_a_folder_are_the_same_in_pieces(tmp_path, monkeypatch):
    for name, content in (("a.txt", f"\n\n{PROSE}\n"), ("b.txt", ""), ("c.txt", PROSE), ("d.txt", "\n")):
        written(tmp_path / name, content)
    expected = f"{PROSE.strip()}\n\n\n\n{PROSE.strip()}\n\n"
    assert load_all(tmp_path).text == expected
    monkeypatch.setattr(text, "PIECE", 64)
    found = load_all(tmp_path)
    assert found.text == expected and all(found.items)


def test_a_part_of_a_text_is_that_of_its_string():
    words = "The \u4e16 rain \ud800 fell."
    for items in ((words,), Pieces.of((words[:5], "", words[5:9], words[9:]))):
        for start, stop in ((0, 3), (4, 12), (5, 5), (7, 99)):
            assert Texts(items, True).between(start, stop).text == words[start:stop]
    assert Texts(("Ada", "Eve", "Ida", "Ann"), labels=(0, 0, 1, 1), names=("a", "b")).head(8).labels == (0, 0)


def test_a_very_long_list_is_read_as_running_text(tmp_path, monkeypatch):
    file = written(tmp_path / "a.txt", "\n".join(NAMES))
    monkeypatch.setattr(text, "LONGEST_LIST", 100)
    assert load(file).train.running and not load(file, items=True).train.running


def test_a_list_is_split_by_hash(tmp_path):
    splits = load(written(tmp_path / "a.txt", "\n\n".join(NAMES)))
    parts = [set(part.items) for part in (splits.train, splits.val, splits.test)]
    assert set.union(*parts) == set(NAMES) and sum(map(len, parts)) == len(NAMES)
    assert 140 < len(parts[0]) < 180
    moved = load(written(tmp_path / "b.txt", "\n".join(reversed(NAMES))))
    assert set(moved.val.items) == parts[1]


@pytest.mark.parametrize("count", [5, 6, 7, 9])
def test_no_part_of_a_short_list_is_empty(tmp_path, count):
    splits = load(written(tmp_path / "a.txt", "\n".join(NAMES[:count])))
    assert len(splits.train) and len(splits.val) and len(splits.test)


def test_what_is_a_list():
    assert is_list("\n".join(NAMES)) and not is_list(PROSE) and not is_list("one\ntwo")
    poem = "Tyger Tyger, burning bright,\nIn the forests of the night;\nWhat immortal hand or eye,\n" * 3
    assert not is_list(poem)
    assert not is_list("ROMEO:\nIs the day so young?\nBut new struck nine.\n\nAy me! sad hours seem long to me.\n" * 9)


def test_val_given(tmp_path):
    one, two = written(tmp_path / "a.txt", "\n".join(NAMES[:50])), written(tmp_path / "b.txt", "Zoe\nZed")
    splits = load(one, two)
    assert len(splits.train) == 50 and splits.val.items == ("Zoe", "Zed") and not splits.val.running


def test_folders(tmp_path):
    written(tmp_path / "elves.txt", "\n".join(NAMES[:20]))
    written(tmp_path / "dwarves.txt", "\n".join(NAMES[20:40]))
    kinds = load_all(tmp_path)
    assert kinds.names == ("dwarves", "elves") and len(kinds) == 40 and kinds.labels[0] == 0
    written(tmp_path / "prose.txt", PROSE)
    assert load_all(tmp_path).running


def test_encodings(tmp_path):
    for data in (b"\xef\xbb\xbfcaf\xc3\xa9 noir\r\n", "café noir\n".encode("utf-16"), b"caf\xe9 noir\r"):
        assert load_all(written(tmp_path / "a.txt", data)).text == "café noir\n"


@pytest.mark.parametrize("data", [b"", b"  \n \n", b"\x89PNG\r\n\x1a\n\0\0", b"\x80\x04\x95" * 40])
def test_unusable_data(tmp_path, data):
    with pytest.raises(DataError):
        load(written(tmp_path / "a.txt", data))


def test_missing(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="packaged are kjv, austen, names"):
        load(tmp_path / "none.txt")
    with pytest.raises(DataError, match="no text files"):
        load(tmp_path)
    with pytest.raises(DataError, match="no split"):
        load_all("kjv:half")
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="sudo apt-get install bible-kjv bible-kjv-text"):
        load("kjv")
    with pytest.raises(DataError, match="pip install names"):
        load("names")
    if not Path("/usr/lib/R/site-library/janeaustenr").exists():
        with pytest.raises(DataError, match="make setup-test brings them"):
            load("austen")


def test_a_packaged_source_goes_before_a_file_of_its_name(packaged, tmp_path, monkeypatch):
    official = packaged("names", "text")
    written(tmp_path / "names", "\n".join(NAMES))
    monkeypatch.chdir(tmp_path)
    for read, found in ((load, official), (load_all, official.test)):
        with pytest.warns(UserWarning, match=r"'names' is a packaged source.* \./names is that file"):
            assert read("names") == found
    for path in ("./names", Path("names"), tmp_path / "names"):
        assert set(load_all(path).items) == set(NAMES) and load(path).source.name == "./names"


def test_capitals():
    shown = [proper_name(name) for name in ("SMITH", "MCDONALD", "OBRIEN", "OLSON", "MACIAS")]
    assert shown == ["Smith", "McDonald", "O'Brien", "Olson", "Macias"]


def test_names(packaged):
    splits = packaged("names", "text")
    assert splits.train.names == ("surname", "female", "male")
    assert not set(splits.train.items) & set(splits.test.items)
    assert load_all("names:test") == splits.test == load_all("names")


def test_kjv(packaged):
    splits = packaged("kjv", "text")
    assert splits.train.text.startswith("In the beginning God created the heaven and the earth.\n")
    assert splits.val.text.endswith("Amen.\n") and load_all("kjv") == splits.val


NOVEL = """A TITLE

By Jane Austen



VOLUME I


CHAPTER I


It was a _dark_ and
stormy  night.

   "Indeed!"

* * * * *

She slept.--

[End volume one of this edition.
Printed by somebody]

Chapter 2

The chapter 3 was short.


THE END

A NOTE ON THE TEXT

Of an editor."""
READ = """It was a dark and stormy night.
"Indeed!"
She slept.--

The chapter 3 was short.
"""


def test_a_novel_keeps_its_paragraphs_and_chapters(tmp_path, monkeypatch):
    novels = ("emma", "mansfieldpark", "northangerabbey", "persuasion", "prideprejudice", "sensesensibility")
    index = tmp_path / "austen/usr/lib/R/site-library/janeaustenr/data/Rdata.rdx"
    write_database(index, {name: HEADER + vector(NOVEL.replace("dark", name).split("\n")) for name in novels})
    monkeypatch.setenv("ARTWRIGHT_DATA", str(tmp_path))
    splits = load("austen")
    order = ("sensesensibility", "prideprejudice", "mansfieldpark", "emma", "northangerabbey", "persuasion")
    assert splits.train.text + splits.val.text == "\n".join(READ.replace("dark", name) for name in order)
    write_database(index, {"emma": HEADER + vector(NOVEL.split("\n"))})
    with pytest.raises(DataError, match="lacks some of the six novels"):
        load("austen")


def test_austen(packaged):
    splits = packaged("austen", "text")
    text = splits.train.text + splits.val.text
    assert text.startswith("The family of Dashwood had long been settled in Sussex. Their estate was large,")
    assert text.endswith("than in its national importance.\n") and load_all("austen") == splits.val
    assert text.count("\n\n") == 50 + 61 + 48 + 55 + 31 + 24 - 1  # between the chapters
    assert "\n\n\n" not in text and "  " not in text and "_" not in text


def test_a_kind_with_nothing_to_learn_from_is_named(tmp_path):
    written(tmp_path / "town.txt", "\n".join(NAMES))
    written(tmp_path / "river.txt", "\n")
    with pytest.raises(DataError, match=r"The kind river .* has no items"):
        load(tmp_path, items=True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_a_text_in_a_file_is_the_text_in_memory(tmp_path, monkeypatch, encoding):
    line = "The caf\u00e9 \u201cat the end\u201d of a long street is open until late tonight, she said.\r\n"
    (tmp_path / "a.txt").write_bytes((line * 50).encode(encoding))
    (tmp_path / "b.txt").write_bytes(("\r\n" + line * 9).encode(encoding))
    in_memory = load(tmp_path)
    monkeypatch.setattr(text, "LONGEST_LIST", 1000)
    monkeypatch.setattr(text, "PIECE", 97)
    in_file = load(tmp_path)
    assert any(isinstance(piece, Stored) for piece in in_file.train.items.held)
    assert (in_file.train.text, in_file.val.text) == (in_memory.train.text, in_memory.val.text)
    assert "\r" not in in_file.train.text and in_file.source == in_memory.source
    (tmp_path / "c.txt").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(DataError, match=r"c\.txt is not a text file"):
        load(tmp_path)
