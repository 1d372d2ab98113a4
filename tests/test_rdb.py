"""Reading the character vectors of an R package, on databases written here."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path

import pytest

from generators.data.rdb import (
    CHARACTERS,
    HAS_ATTRIBUTES,
    HAS_TAG,
    INTEGER,
    LATIN_1,
    LIST,
    NULL,
    PAIRS,
    REFERENCE,
    STRINGS,
    SYMBOL,
    strings,
)
from generators.data.splits import DataError

HEADER = b"X\n" + struct.pack(">3i", 2, 0x040201, 0x020300)
HEADER_3 = b"X\n" + struct.pack(">4i", 3, 0x040201, 0x030500, 5) + b"UTF-8"


def integers(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}i", *numbers)


def characters(text: str, encoding: str = "utf-8") -> bytes:
    data = text.encode(encoding)
    return integers(CHARACTERS | (LATIN_1 if encoding == "latin-1" else 0), len(data)) + data


def vector(lines: list[str]) -> bytes:
    return integers(STRINGS, len(lines)) + b"".join(map(characters, lines))


def named(values: dict[str, bytes], again: bool) -> bytes:
    """A list with names; `again`: whether the symbol `names` was written before."""
    tag = integers(REFERENCE | 1 << 8) if again else integers(SYMBOL) + characters("names")
    body = integers(LIST | HAS_ATTRIBUTES, len(values)) + b"".join(values.values())
    return body + integers(PAIRS | HAS_TAG) + tag + vector(list(values)) + integers(NULL)


def write_database(index: Path, values: dict[str, bytes]) -> Path:
    """Serialised values, by name, as a lazy-load database."""
    places, data = {}, b""
    for name, value in values.items():
        packed = struct.pack(">I", len(value)) + zlib.compress(value)
        places[name] = integers(INTEGER, 2, len(data), len(packed))
        data += packed
    index.parent.mkdir(parents=True, exist_ok=True)
    index.with_suffix(".rdb").write_bytes(data)
    listed = {"variables": named(places, again=False), "references": integers(NULL)}
    index.write_bytes(gzip.compress(HEADER_3 + named(listed, again=True)))
    return index


def test_strings_in_their_encodings(tmp_path):
    old = HEADER + integers(STRINGS, 2) + characters("caf\xe9", "latin-1") + characters("noir")
    index = write_database(tmp_path / "Rdata.rdx", {"a": HEADER_3 + vector(["One,", "", "caf\xe9 \u2014"]), "b": old})
    assert strings(index) == {"a": ["One,", "", "caf\xe9 \u2014"], "b": ["caf\xe9", "noir"]}


@pytest.mark.parametrize(
    "value",
    [
        HEADER + integers(INTEGER, 2, 1, 2),
        HEADER + integers(STRINGS, 2) + characters("a") + integers(CHARACTERS, -1),  # a missing string
        HEADER + integers(STRINGS, 3) + characters("a"),
        HEADER + integers(14, 1) + b"\0" * 8,
        HEADER + named({"a": integers(REFERENCE | 9 << 8)}, again=False),
        b"A\n2\n",
        b"",
    ],
)
def test_other_data_is_told(tmp_path, value):
    with pytest.raises(DataError, match=r"Rdata\.rdb cannot be read as R's strings .*; unpack the package anew"):
        strings(write_database(tmp_path / "Rdata.rdx", {"a": value}))


def test_damaged_files_are_told(tmp_path):
    index = write_database(tmp_path / "Rdata.rdx", {"a": HEADER + vector(["one", "two"])})
    whole = index.read_bytes()
    for damaged in (b"", whole[:-20], gzip.compress(HEADER + integers(NULL)), gzip.compress(HEADER + vector(["a"]))):
        index.write_bytes(damaged)
        with pytest.raises(DataError, match="unpack the package anew"):
            strings(index)
    index.write_bytes(whole)
    index.with_suffix(".rdb").unlink()
    with pytest.raises(DataError, match=r"Rdata\.rdb cannot be read \(No such file"):
        strings(index)
