"""Text to train on: the King James Bible, Jane Austen's novels, personal names, and any text file or folder of them.

A file of short lines (names, words, titles) of 64 MiB at most is a list of items, split by hash; anything else is one
running text, whose last tenth validates. In a folder of lists, a file's name is the kind of its items. What is too
large for a list is decoded into a temporary file, and read from there piece by piece: it may be larger than memory.
"""

from __future__ import annotations

import codecs
import hashlib
import importlib.util
import io
import mmap
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np

from generators.data.packaged import name_of, packaged, warn_of_file
from generators.data.rdb import strings
from generators.data.splits import DataError, Pieces, Source, Splits, Stored, TextFile, Texts, hash_shares

SOURCES = {
    "kjv": "the King James Bible, 4.3 MB of running text; sudo apt-get install bible-kjv bible-kjv-text",
    "austen": "Jane Austen's six novels, 4.0 MB of running text; make setup-test (Debian package r-cran-janeaustenr)",
    "names": "94,293 surnames and female and male first names; pip install names",
}
SPLITS = ("train", "val", "test")
SUFFIXES = {".txt", ".text", ".md", ".rst", ".tex", ".csv", ".tsv", ".srt"}
HELD_BACK = 0.1  # share of a running text that validates, at its end
PIECE = 2**20  # characters that are decoded at once
LONGEST_LIST = 2**26  # bytes

# A list has at least MIN_ITEMS lines, half of them of at most MEDIAN_WORDS words and nine tenths of at most MOST_WORDS.
MIN_ITEMS, MEDIAN_WORDS, MOST_WORDS = 5, 3, 6

_NOVELS = ("sensesensibility", "prideprejudice", "mansfieldpark", "emma", "northangerabbey", "persuasion")
_CHAPTER = re.compile(r"^(?:volume|chapter) [ivxlc\d]+$", re.IGNORECASE | re.MULTILINE)
_NOT_HERS = re.compile(r"[(\[](?:At this point|End).*|the end|finis|Vide .*", re.IGNORECASE)  # paragraphs of editors
_NAME_FILES = {"surname": "dist.all.last", "female": "dist.female.first", "male": "dist.male.first"}
_IRISH = re.compile(
    r"^O(?=(?:Brien|Bryan|Bryant|Callaghan|Connell|Conner|Connor|Dea|Donnell|Donoghue|Driscoll|Dwyer|Flaherty|Gorman|"
    r"Grady|Halloran|Hara|Hare|Keefe|Keeffe|Leary|Loughlin|Mahony|Malley|Meara|Neal|Neil|Neill|Quinn|Regan|Reilly|"
    r"Riley|Rourke|Shaughnessy|Shea|Steen|Sullivan|Toole)$)",
    re.IGNORECASE,
)


def load(source: str | Path, val: str | Path | None = None, *, items: bool | None = None) -> Splits[Texts]:
    """The splits of a packaged source (see `SOURCES`), a text file, or a folder of text files.

    With `val`, all of `source` trains and all of `val` validates. `items` says whether a file is a list of items,
    one a line, or a running text; None looks at its lines. Raises `DataError` for what is missing, empty or binary.
    """
    if val is not None:
        train, origin = _whole(source, items)
        held_out, _ = _whole(val, train.running is False if items is None else items)
        return Splits(train, _renamed(held_out, train), source=origin)
    texts, origin = _read(source, items)
    if texts.running:
        front, back = _cut(texts)
        if back.blank:
            raise DataError(f"{source} is too short to keep some for validation; give more, or a file for --val.")
        return Splits(front, back, source=origin)
    pieces = [texts.take(share) for share in hash_shares(texts.items)]
    for kind in sorted(set(range(len(texts.names))) - set(pieces[0].labels)):
        raise DataError(
            f"The kind {texts.names[kind]} of {source} has no items to learn from; give it more, or leave its file out."
        )
    return Splits(pieces[0], pieces[1], pieces[2], origin)


def load_all(source: str | Path, *, items: bool | None = None) -> Texts:
    """What a score is measured on: a packaged source's test split (of a running text: val), or all of a file or folder.

    `kjv:val` or `names:train` names another split. Raises `DataError` as `load` does.
    """
    named = packaged(source, SOURCES)
    if named is None:
        return _read(source, items)[0]
    name, split = named
    if split not in ("", *SPLITS):
        raise DataError(f"{name} has no split {split!r}; there are {', '.join(SPLITS)}.")
    splits = load(name, items=items)
    wanted = {"train": splits.train, "val": splits.val, "test": splits.test, "": splits.test or splits.val}
    found = wanted[split]
    if found is None:
        raise DataError(f"{name} has no test split, it is one running text; ask for {name}:train or {name}:val.")
    return found


def _whole(source: str | Path, items: bool | None) -> tuple[Texts, Source]:
    """Everything `source` holds: all of a packaged source too, unless it names a split."""
    named = packaged(source, SOURCES)
    if named is not None and named[1]:
        return load_all(source, items=items), Source(str(source), _read(named[0], items)[1].licence)
    return _read(source, items)


def _renamed(texts: Texts, like: Texts) -> Texts:
    """`texts` with the kinds numbered as in `like`; without kinds where it has one that `like` lacks."""
    if texts.names == like.names or not texts.names:
        return texts
    if not set(texts.names) <= set(like.names):
        return Texts(texts.items, texts.running)
    return Texts(texts.items, texts.running, tuple(like.names.index(texts.names[i]) for i in texts.labels), like.names)


def _read(source: str | Path, items: bool | None) -> tuple[Texts, Source]:
    if source in SOURCES:
        warn_of_file(str(source))
        return {"kjv": _kjv, "austen": _austen, "names": _names}[str(source)]()
    path = Path(source).expanduser()
    if path.is_dir():
        files = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
        )
        if not files:
            raise DataError(f"The folder {path} holds no text files; it needs some that end in .txt or .md.")
    elif path.exists():
        files = [path]
    else:
        known = ", ".join(SOURCES)
        raise DataError(f"There is no file or folder {path}, and no packaged text of that name; packaged are {known}.")
    texts, digest = [], hashlib.sha256()
    size = sum(_size(file) for file in files)
    kept = TextFile() if size > LONGEST_LIST else None
    for file in files:
        data = _bytes(file) if kept is None else _mapped(file)
        digest.update(data)
        texts.append(_decode(data, file, kept))
    whole = Texts(_joined(texts), running=True)
    if whole.blank:
        raise DataError(f"{path} is empty; a model needs some text to learn from.")
    origin = Source(name_of(path, SOURCES), sha256=digest.hexdigest())
    if items or (items is None and size <= LONGEST_LIST):
        lists = ["".join(text) for text in texts]
        if items or all(is_list(text) for text in lists if text.strip()):
            return _lists(lists, [file.stem for file in files]), origin
    return whole, origin


def _joined(texts: list[Pieces]) -> Pieces:
    """Files one after the other, an empty line between."""
    if len(texts) == 1:
        return texts[0]
    held: list[bytes | Stored] = []
    for text in texts:
        first, *more = text.held or (b"",)
        parts = [bytes(first).lstrip(b"\n"), *more]
        held += [*parts[:-1], bytes(parts[-1]).rstrip(b"\n") + b"\n\n"]
    held[-1] = bytes(held[-1]).removesuffix(b"\n\n")
    return Pieces(tuple(piece for piece in held if isinstance(piece, Stored) or piece))


def is_list(text: str) -> bool:
    """Whether the lines of `text` are items of their own (names, words, short titles) rather than running text."""
    words = sorted(len(line.split()) for line in text.splitlines() if line.strip())
    if len(words) < MIN_ITEMS:
        return False
    return words[len(words) // 2] <= MEDIAN_WORDS and words[int(len(words) * 0.9)] <= MOST_WORDS


def _lists(texts: list[str], kinds: list[str]) -> Texts:
    """The lines of one list, or of several with a kind each."""
    lines = [[" ".join(line.split()) for line in text.splitlines() if line.strip()] for text in texts]
    items = tuple(item for group in lines for item in group)
    if len(texts) == 1:
        return Texts(items)
    return Texts(items, labels=tuple(i for i, group in enumerate(lines) for _ in group), names=tuple(kinds))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error


def _mapped(path: Path) -> bytes | mmap.mmap:
    """A file's bytes, read when they are needed."""
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if path.stat().st_size else b""
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}).") from error


def _decode(data: bytes | mmap.mmap, path: Path, file: TextFile | None = None) -> Pieces:
    """The text of a UTF-8, UTF-16 (with its mark) or Latin-1 file, line ends plain, kept in `file` if there is one.

    Raises `DataError` for binary data.
    """
    binary = DataError(f"{path} is not a text file; give plain text (.txt, UTF-8).")
    try:
        text = _pieces(data, "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", file)
    except UnicodeDecodeError:
        # Latin-1 decodes anything, so bytes that it has no printable character for tell pictures from old text.
        counts = np.zeros(256, np.int64)
        for start in range(0, len(data), PIECE):
            counts += np.bincount(np.frombuffer(data[start : start + PIECE], np.uint8), minlength=256)
        odd = sum(int(counts[byte]) for byte in (*range(9), *range(14, 32), *range(0x7F, 0xA0)) if byte not in _CP1252)
        if odd > len(data) // 500:
            raise binary from None
        windows = any(counts[b] for b in _CP1252)
        text = _pieces(data, "cp1252" if windows else "latin-1", file, errors="replace")
    controls = characters = 0
    for piece in map(bytes, text.held):
        controls += len(piece) - len(piece.translate(None, _CONTROLS))
        characters += len(str(piece, "utf-8", "surrogatepass"))
        if b"\0" in piece:
            raise binary
    if controls > characters // 500:
        raise binary
    return text


def _pieces(data: bytes | mmap.mmap, encoding: str, kept: TextFile | None, errors: str = "strict") -> Pieces:
    """Decoded text, line ends plain, cut where a line or a word begins if there is such a place."""

    def parts() -> Iterator[str]:
        decoder = codecs.getincrementaldecoder(encoding)(errors)
        lines = io.IncrementalNewlineDecoder(decoder, translate=True)
        rest = ""
        for start in range(0, len(data), PIECE):
            block = rest + lines.decode(data[start : start + PIECE])
            at = max(block.rfind("\n") + 1, block.rfind(" "), 0) if start + PIECE < len(data) else 0
            yield block[: at or None]
            rest = block[at:] if at else ""
        yield rest + lines.decode(b"", final=True)

    return Pieces.of(parts(), kept)


_CONTROLS = bytes([*range(9), *range(14, 32)])  # that no text has
_CP1252 = frozenset({0x80, 0x85, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97})  # its euro, dots, quotes and dashes


def _cut(texts: Texts) -> tuple[Texts, Texts]:
    """The first nine tenths and the rest of a running text."""
    characters = texts.characters
    at = max(int(characters * (1 - HELD_BACK)), 1)
    return texts.between(0, at), texts.between(at, characters)


def _places(name: str) -> list[Path]:
    """Where a person may have put a packaged source's file."""
    from generators.data.paths import home

    chosen = os.environ.get("ARTWRIGHT_DATA")
    return [*([Path(chosen).expanduser() / name] if chosen else []), home() / "data" / name]


def _kjv() -> tuple[Texts, Source]:
    text = _verses()
    licence = "public domain (outside the United Kingdom)"
    return Texts((text,), running=True), Source("kjv", licence, hashlib.sha256(text.encode()).hexdigest())


def _verses() -> str:
    """The King James Bible, one verse a line, a blank line between chapters."""
    from generators.data.paths import cache

    kept = cache() / "kjv.txt"
    for path in (*_places("kjv.txt"), kept):
        if path.is_file():
            return "".join(_decode(_bytes(path), path))
    program = shutil.which("bible")
    missing = DataError("The King James Bible is not here; sudo apt-get install bible-kjv bible-kjv-text brings it.")
    if program is None:
        raise missing
    try:
        said = subprocess.run(
            [program, "-f"], input="gen1:1-rev22:21\n", capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise missing from error
    chapters: dict[str, list[str]] = {}
    for chapter, verse, words in re.findall(r"^(\w+):(\d+) (.+)$", said, flags=re.MULTILINE):
        if chapter == "Ge1" and verse == "1":
            chapters.clear()  # the banner shows this verse before it is asked for
        chapters.setdefault(chapter, []).append(words.strip())
    if sum(map(len, chapters.values())) < 31_000:
        raise missing
    text = "\n\n".join("\n".join(verses) for verses in chapters.values()) + "\n"
    draft = kept.with_name(f".{kept.name}-{os.getpid()}")
    with suppress(OSError):  # a cache is a convenience
        kept.parent.mkdir(parents=True, exist_ok=True)
        try:
            draft.write_text(text, encoding="utf-8")
            draft.replace(kept)
        finally:
            draft.unlink(missing_ok=True)
    return text


def _austen() -> tuple[Texts, Source]:
    """Jane Austen's novels in the order of their publication, out of the R package `janeaustenr`.

    Its Debian package is looked for in folders named `austen`, unpacked with `dpkg-deb -x`, and where it is installed.
    """
    from generators.data.paths import cache

    for place in (*_places("austen"), cache() / "austen", Path("/")):
        index = place / "usr/lib/R/site-library/janeaustenr/data/Rdata.rdx"
        if not index.is_file():
            continue
        lines = strings(index)
        if not lines.keys() >= set(_NOVELS):
            raise DataError(f"{index} lacks some of the six novels; remove {place} and run make setup-test.")
        text = "\n".join(_novel("\n".join(lines[name])) for name in _NOVELS)
        licence = "public domain (as packaged: MIT)"
        return Texts((text,), running=True), Source("austen", licence, hashlib.sha256(text.encode()).hexdigest())
    raise DataError(
        "Jane Austen's novels are not here; make setup-test brings them (Debian package r-cran-janeaustenr)."
    )


def _novel(text: str) -> str:
    """A novel without its title, headings and editors' notes: a paragraph a line, a blank line between chapters."""
    text = re.sub("[_*]", "", text).partition("A NOTE ON THE TEXT")[0]  # the marks are of italics and breaks
    chapters = []
    for chapter in _CHAPTER.split(text)[1:]:
        paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", chapter)]
        paragraphs = [part for part in paragraphs if part and not _NOT_HERS.fullmatch(part)]
        if paragraphs:  # none between the headings of a volume and its first chapter
            chapters.append("\n".join(paragraphs) + "\n")
    return "\n".join(chapters)


def _names() -> tuple[Texts, Source]:
    """The names of the 1990 United States census, without their frequencies."""
    package = importlib.util.find_spec("names")
    roots = [*(path.with_suffix("") for path in _places("names.txt"))]
    if package is not None and package.submodule_search_locations:
        roots += [Path(place) for place in package.submodule_search_locations]
    for root in roots:
        files = {kind: root / name for kind, name in _NAME_FILES.items()}
        if not all(file.is_file() for file in files.values()):
            continue
        data = [_bytes(file) for file in files.values()]
        lists = [[proper_name(line.split()[0]) for line in raw.decode("ascii").splitlines() if line] for raw in data]
        items = tuple(name for group in lists for name in group)
        labels = tuple(i for i, group in enumerate(lists) for _ in group)
        origin = Source("names", "MIT", hashlib.sha256(b"".join(data)).hexdigest())
        return Texts(items, labels=labels, names=tuple(files)), origin
    raise DataError("The list of names is not here; pip install names brings it.")


def proper_name(name: str) -> str:
    """A name in capitals as it is written: `SMITH` Smith, `MCDONALD` McDonald, `OBRIEN` O'Brien."""
    name = name.capitalize()
    if name.startswith("Mc") and len(name) > 3:
        return "Mc" + name[2:].capitalize()
    match = _IRISH.match(name)
    return f"O'{name[1:].capitalize()}" if match else name
