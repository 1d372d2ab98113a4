"""The character vectors of an R package's data: a lazy-load database of an index (`.rdx`) and values (`.rdb`).

Both hold R's serialisation in its XDR form (R Internals, section 1.8), compressed by zlib. Only the kinds of objects
that such an index and character vectors are made of are read; nothing is evaluated.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

from generators.data.splits import DataError

SYMBOL, PAIRS, CHARACTERS, LOGICAL, INTEGER, STRINGS, LIST = 1, 2, 9, 10, 13, 16, 19  # kinds of objects
NULL, REFERENCE = 254, 255
HAS_ATTRIBUTES, HAS_TAG, LATIN_1 = 1 << 9, 1 << 10, 1 << 14  # flags beside the kind
MOST = 64_000_000  # bytes of one value
_GZIP_OR_ZLIB = 47  # zlib's window bits


def strings(index: Path) -> dict[str, list[str]]:
    """The character vectors of the database with the index file `index`, by name.

    Raises `DataError` for a file that is missing or damaged, and for data that is not strings alone.
    """
    values = index.with_suffix(".rdb")
    try:
        places = _Reader(_unpacked(index.read_bytes(), _GZIP_OR_ZLIB)).value()["variables"]
        data = values.read_bytes()
        # A value begins with its own size, four bytes.
        found = {name: _Reader(_unpacked(data[at + 4 : at + size])).value() for name, (at, size) in places.items()}
        for lines in found.values():
            if not (isinstance(lines, list) and all(isinstance(line, str) for line in lines)):
                raise ValueError("it holds more than strings")
    except OSError as error:
        raise DataError(f"{error.filename} cannot be read ({error.strerror}); unpack the package anew.") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, struct.error, zlib.error) as error:
        raise DataError(f"{values} cannot be read as R's strings ({error}); unpack the package anew.") from error
    return found


def _unpacked(data: bytes, form: int = zlib.MAX_WBITS) -> bytes:
    """Raises ValueError for what would come to more than `MOST` bytes."""
    unpacker = zlib.decompressobj(form)
    found = unpacker.decompress(data, MOST)
    if not unpacker.eof:
        raise ValueError("it is cut off or too large")
    return found


class _Reader:
    """One serialised object. Lists with names become dicts, other vectors lists, NULL and missing strings None."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 2
        self.symbols: list[str] = []  # that were named so far, for references to them
        if data[:2] != b"X\n":
            raise ValueError("it is not in XDR form")
        version = self._integers(3)[0]  # then R's own, and the oldest that reads it
        if version > 2:
            self._bytes(self._integers(1)[0])  # the encoding of strings that do not say theirs

    def value(self) -> Any:
        """The object that comes next. Raises ValueError for kinds that are not read."""
        (flags,) = self._integers(1)
        kind = flags & 0xFF
        if kind == NULL:
            return None
        if kind == PAIRS:
            return self._pairs(flags)
        if kind == REFERENCE:
            return self.symbols[(flags >> 8) - 1]
        if kind == SYMBOL:
            self.symbols.append(self.value())
            return self.symbols[-1]
        (size,) = self._integers(1)
        if kind == CHARACTERS:
            return None if size < 0 else self._bytes(size).decode("latin-1" if flags & LATIN_1 else "utf-8")
        if kind in (LOGICAL, INTEGER):
            found: list[Any] = list(self._integers(size))
        elif kind in (STRINGS, LIST):
            found = [self.value() for _ in range(size)]
        else:
            raise ValueError(f"it has an object of kind {kind}")
        names = self.value().get("names") if flags & HAS_ATTRIBUTES else None
        return dict(zip(names, found, strict=True)) if names else found

    def _pairs(self, flags: int) -> dict[str | None, Any]:
        """Pairs of a tag and a value, such as the attributes of an object."""
        found: dict[str | None, Any] = {}
        while flags & 0xFF == PAIRS:
            if flags & HAS_ATTRIBUTES:
                self.value()
            tag = self.value() if flags & HAS_TAG else None
            found[tag] = self.value()
            (flags,) = self._integers(1)
        return found

    def _integers(self, count: int) -> tuple[int, ...]:
        return struct.unpack(f">{count}i", self._bytes(4 * count))

    def _bytes(self, size: int) -> bytes:
        if size < 0 or self.at + size > len(self.data):
            raise ValueError("it ends too early")
        self.at += size
        return self.data[self.at - size : self.at]
