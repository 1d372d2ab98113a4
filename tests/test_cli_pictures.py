"""A stranger's pictures, from the folder to the chat: training, drawing by class, varying one's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import generators
from chains import catalog
from generators.core.artifact import open_artifact

pytestmark = pytest.mark.usefixtures("home")
TINY = ["width=4", "discriminator_width=8", "hidden=16", "features=16", "latent=4", "label_width=4", "batch=16"]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Colour pictures of mixed sizes and formats in two folders, two of them damaged."""
    random = np.random.default_rng(0)
    for kind, colour in (("cat", (200, 120, 40)), ("dog", (40, 80, 200))):
        (tmp_path / "pets" / kind).mkdir(parents=True)
        for i in range(30):
            size = (int(random.integers(40, 130)), int(random.integers(40, 130)))
            pixels = np.clip(np.asarray(colour) + random.integers(-30, 30, (*size, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / kind / f"{i}.{('png', 'jpg', 'webp')[i % 3]}")
    (tmp_path / "pets" / "cat" / "torn.jpg").write_bytes((tmp_path / "pets" / "cat" / "1.jpg").read_bytes()[:150])
    (tmp_path / "pets" / "dog" / "notes.png").write_bytes(b"not a picture")
    return tmp_path / "pets"


def test_a_gan_of_ones_own_pictures(artwright, pets, home, tmp_path):
    settings = [part for option in TINY for part in ("--set", option)]
    done = artwright("train", "cgan", "--data", "pets", "--steps", "12", *settings)
    assert done.returncode == 0, done.stderr
    assert "2 of 62 pictures are left out" in done.stderr.replace("\n", " ")
    assert "torn.jpg" in done.stderr and "notes.png" in done.stderr and "samples.png" in done.stderr
    folder = home / "models" / "cgan-pets"
    assert {path.name for path in folder.iterdir()} >= {"samples.png", "curves.svg", "README.md"}
    card = (folder / "README.md").read_text()
    assert "artwright train cgan --data pets --steps 12" in card and "12 steps" in card
    assert catalog.choose("generate_image", given={"subject": "cats"})[0].name == "cgan-pets"  # the chat asks the same

    made = json.loads(
        artwright("generate", "generate_image", "--args", '{"subject": "dog", "seed": 1}', "--json").stdout
    )
    assert open_artifact(made["files"][0]).content.shape == (64, 64, 3) and "cgan-pets" in made["reply"]
    varied = artwright("generate", "vary_image", "--args", '{"image": "pets/cat/0.png", "count": 2, "model": "cgan"}')
    assert varied.returncode == 0 and "2 variations" in varied.stdout, varied.stderr
    sampled = artwright("sample", "cgan-pets", "--count", "4", "--out", "s.npz", "--label", "cat")
    assert sampled.returncode == 0, sampled.stderr
    with np.load(tmp_path / "s.npz") as arrays:
        assert arrays["images"].shape == (4, 64, 64, 3) and arrays["labels"].tolist() == [0] * 4
    assert generators.load("cgan-pets").info.labels == ["cat", "dog"]


def test_pictures_without_classes_are_for_dcgan(artwright, pets, home):
    done = artwright("train", "cgan", "--data", "pets/cat", "--steps", "2")
    assert done.returncode == 2 and "sub-folder of its own, or train dcgan" in done.stderr
    assert not list((home / "models").glob("*"))
