"""What every medium's data looks like once it is read, and how it is split.

One rule for all: items are split 80/10/10 by their own hash, so the same item never lands on two sides, whatever its
position or how often it occurs; a running text keeps its last tenth, contiguous, as validation.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, Self, TypeVar, overload

import numpy as np
from numpy.typing import NDArray


class DataError(ValueError):
    """The data cannot be used; the message says why and what to do."""


@dataclass(frozen=True)
class Source:
    """Where data came from: `name` (a packaged source, or the file's name), licence and sha256 of what was read."""

    name: str
    licence: str = "unknown"
    sha256: str = ""


@dataclass(frozen=True)
class Images:
    """Pictures of one size.

    pixels: (N, H, W) grey or (N, H, W, 3) colour, uint8, 0 is black. labels: (N,) int64, indices into `names`;
    zeros when `names` is empty. names: the classes' names, in the data set's own numbering.
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Images:
        """The pictures at `index` (positions or a mask)."""
        return Images(self.pixels[index], self.labels[index], self.names)


class TextFile:
    """Pieces of text in a file without a name among the temporary ones ($TMPDIR), which is gone with the object."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._size = 0

    def write(self, piece: bytes) -> Stored:
        """Add a piece. Raises OSError for a full disk."""
        with self._lock:
            self._file.seek(self._size)
            self._file.write(piece)
            stored = Stored(self, self._size, len(piece))
            self._size += len(piece)
        return stored

    def read(self, start: int, size: int) -> bytes:
        """The bytes from a place on."""
        with self._lock:
            self._file.seek(start)
            return self._file.read(size)


@dataclass(frozen=True)
class Stored:
    """Where in a file a piece is; bytes(...) reads it."""

    file: TextFile
    start: int
    size: int

    def __bytes__(self) -> bytes:
        return self.file.read(self.start, self.size)


@dataclass(frozen=True)
class Pieces(Sequence[str]):
    """A long text piece by piece, held as UTF-8, so that one odd character does not make all others four bytes wide.

    In memory or, where it may be longer than that, in a file.
    """

    held: tuple[bytes | Stored, ...]

    @classmethod
    def of(cls, text: Iterable[str], file: TextFile | None = None) -> Self:
        """The text that comes in these pieces, kept in `file` if there is one; empty ones are left out."""
        encoded = (piece.encode("utf-8", "surrogatepass") for piece in text if piece)
        return cls(tuple(encoded if file is None else map(file.write, encoded)))

    def __len__(self) -> int:
        return len(self.held)

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> Pieces: ...
    def __getitem__(self, at: int | slice) -> str | Pieces:
        return Pieces(self.held[at]) if isinstance(at, slice) else str(bytes(self.held[at]), "utf-8", "surrogatepass")

    def between(self, start: int, stop: int) -> Pieces:
        """The characters from `start` to before `stop`; whole pieces are shared, not copied."""
        held: list[bytes | Stored] = []
        at = 0
        for i, piece in enumerate(self):
            inside = piece[max(start - at, 0) : max(stop - at, 0)]
            held += [self.held[i]] if len(inside) == len(piece) else Pieces.of([inside]).held
            at += len(piece)
            if at >= stop:
                break
        return Pieces(tuple(held))


@dataclass(frozen=True)
class Texts:
    """Text: one running text, or a list of short items such as names.

    items: the texts; when `running`, the pieces of the one text. labels: one a item, indices into `names` (the kinds
    of item); empty when the items have no kinds.
    """

    items: Sequence[str]
    running: bool = False
    labels: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        """How many items; a running text is one."""
        return 1 if self.running else len(self.items)

    @property
    def text(self) -> str:
        """All of it as one string, items on lines of their own; of a long text, `pieces` takes less memory."""
        return ("" if self.running else "\n").join(self.items)

    @property
    def characters(self) -> int:
        """The length of `text`."""
        return sum(map(len, self.items)) + (0 if self.running else max(len(self.items) - 1, 0))

    @property
    def blank(self) -> bool:
        """Whether there is nothing but white space."""
        return not any(item.strip() for item in self.items)

    def pieces(self) -> Iterator[str]:
        """What `text` is put together of: a running text piece by piece, a list at once."""
        return iter(self.items if self.running else [self.text])

    def between(self, start: int, stop: int) -> Texts:
        """A running text's characters from `start` to before `stop`."""
        pieces = self.items if isinstance(self.items, Pieces) else Pieces.of(self.items)
        return Texts(pieces.between(start, stop), running=True)

    def take(self, index: NDArray[np.int64]) -> Texts:
        """The items of a list at `index`."""
        labels = tuple(self.labels[i] for i in index) if self.labels else ()
        return Texts(tuple(self.items[i] for i in index), False, labels, self.names)

    def head(self, characters: int) -> Texts:
        """The first `characters` characters of a running text; of a list, about so many, in whole items."""
        if self.running:
            return self.between(0, characters)
        some = max(1, characters * len(self) // max(self.characters, 1))
        return Texts(self.items[:some], False, self.labels[:some], self.names)


Data = TypeVar("Data", Images, Texts)


@dataclass(frozen=True)
class Splits(Generic[Data]):
    """Training, validation and (where there is one) test data of one source.

    What is chosen is chosen on `val`; `test` is only ever measured.
    """

    train: Data
    val: Data
    test: Data | None = None
    source: Source = field(default_factory=lambda: Source("unknown"))


def hash_split(items: Iterable[bytes]) -> NDArray[np.int64]:
    """0 (train, 80 %), 1 (val, 10 %) or 2 (test, 10 %) for every item, by the item's sha256: (N,) int64."""
    shares = [int.from_bytes(hashlib.sha256(item).digest()[:4], "big") % 10 for item in items]
    return np.asarray([0 if share < 8 else share - 7 for share in shares], dtype=np.int64)


def hash_shares(keys: Sequence[str]) -> list[NDArray[np.int64]]:
    """The positions of the train, val and test items by their keys' hashes; of few none is left empty if it can be."""
    unique = list(dict.fromkeys(keys))
    side = dict(zip(unique, hash_split(key.encode() for key in unique).tolist(), strict=True))
    for needed in (0, 1, 2)[: len(unique)]:
        if needed not in side.values():
            amounts = [list(side.values()).count(share) for share in range(3)]
            most = amounts.index(max(amounts))
            if amounts[most] > 1:
                candidates = [key for key in unique if side[key] == most]
                side[min(candidates, key=lambda key: hashlib.sha256(key.encode()).digest())] = needed
    sides = np.asarray([side[key] for key in keys])
    return [np.flatnonzero(sides == share) for share in range(3)]
