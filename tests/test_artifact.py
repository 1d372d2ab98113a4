"""An artifact's file holds what was made, to the last character."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from generators.core.artifact import Code, Image, Provenance, Text, open_artifact
from generators.core.errors import RequestError


@pytest.mark.parametrize("text", ["And\r\nthe", "one\rtwo", "ends with\n", "", "caf\u00e9 \u2028 line"])
def test_a_text_comes_back_as_it_was(tmp_path: Path, text: str) -> None:
    path = Text(text, None).write(tmp_path / "it.txt")
    assert open_artifact(path).content == text


def test_code_comes_back_as_code_with_its_provenance(tmp_path: Path) -> None:
    made = Code("def f():\n    return 1", Provenance("gpt-code", "", "write_code", {"prompt": "def f():"}, 3, 0))
    path = made.write(tmp_path / "it.py")
    assert open_artifact(path) == made and (tmp_path / "it.py.json").is_file()


def test_a_picture_of_ones_own_comes_back_with_its_provenance(tmp_path: Path) -> None:
    how = Provenance("vae-test", "", "generate_image", {"subject": "coat"}, 3, 0)
    for shape in ((5, 4), (5, 4, 3)):
        made = Image(np.full(shape, 7, np.uint8), how)  # in colour, if of one: it stays so
        back = open_artifact(made.write(tmp_path / "made.png"))
        assert back.sha256 == made.sha256 and back.provenance == how


def test_a_picture_from_elsewhere_is_upright_opaque_and_of_two_kinds(tmp_path: Path) -> None:
    photo = Pillow.new("RGB", (40, 20), (200, 30, 30))
    turned = photo.getexif()
    turned[0x0112] = 6  # the camera was held on its side
    photo.save(tmp_path / "photo.jpg", exif=turned)
    assert open_artifact(tmp_path / "photo.jpg").content.shape == (40, 20, 3)
    Pillow.new("RGBA", (9, 9), (0, 0, 0, 0)).save(tmp_path / "clear.webp", lossless=True)
    clear = open_artifact(tmp_path / "clear.webp").content
    assert clear.shape == (9, 9) and (clear == 255).all()
    Pillow.new("P", (9, 9)).save(tmp_path / "few.gif")
    assert open_artifact(tmp_path / "few.gif").content.shape == (9, 9)


def test_a_picture_that_cannot_be_read_safely_is_refused(tmp_path: Path, monkeypatch) -> None:
    Pillow.new("L", (9, 9)).save(tmp_path / "it.tiff")
    (tmp_path / "torn.png").write_bytes((tmp_path / "it.tiff").read_bytes()[:20])
    for name in ("it.tiff", "torn.png"):
        with pytest.raises(RequestError, match=r"cannot be read|not a picture that can be read"):
            open_artifact(tmp_path / name)
    Pillow.new("L", (90, 90)).save(tmp_path / "big.png")
    monkeypatch.setattr("generators.core.artifact.MAX_FILE_BYTES", 20)
    with pytest.raises(RequestError, match="larger than"):
        open_artifact(tmp_path / "big.png")
    monkeypatch.undo()
    monkeypatch.setattr("generators.data.images.MAX_PIXELS", 80)
    with pytest.raises(RequestError, match="more than 80 pixels"):
        open_artifact(tmp_path / "big.png")
