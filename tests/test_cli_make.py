"""The commands that make something: generate, sample, chat, route, and regenerate, which makes it again."""

from __future__ import annotations

import json
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from commandline import SYLLABLES, a_mistake

pytestmark = pytest.mark.usefixtures("home")


def test_generate_writes_one_picture_each_and_regenerate_agrees(artwright, tmp_path):
    wanted = json.dumps({"subject": "Sneakers", "count": 2, "seed": 1})
    made = json.loads(artwright("generate", "generate_image", "--args", wanted, "--out", "d", "--json").stdout)
    assert [Path(file).name for file in made["files"]] == ["generate_image-1.png", "generate_image-2.png"]
    assert artwright("regenerate", made["files"][1]).returncode == 0
    artwright("generate", "generate_image", "--args", wanted, "--out", "d")
    assert len(list((tmp_path / "d").glob("*.png"))) == 4


def test_sample_has_all_labels_in_turn(artwright, tmp_path):
    assert artwright("sample", "vae-fashion", "--count", "20", "--out", "s.npz").returncode == 0
    with np.load(tmp_path / "s.npz") as arrays:
        assert arrays["images"].shape == (20, 28, 28) and arrays["images"].dtype == np.uint8
        assert arrays["labels"].tolist() == [*range(10), *range(10)]
    assert artwright("sample", "vae-fashion", "--count", "3", "--label", "coat", "--out", "c.npz").returncode == 0
    with np.load(tmp_path / "c.npz") as arrays:
        assert len(set(arrays["labels"].tolist())) == 1
    a_mistake(artwright("sample", "vae-fashion", "--count", "3", "--label", "zeppelin", "--out", "z.npz"), "zeppelin")


def test_about_answers_without_files(artwright):
    told = json.loads(artwright("generate", "about", "--args", '{"topic": "how do I train a model"}', "--json").stdout)
    assert "artwright train" in told["reply"] and told["files"] == []


def test_chat_makes_the_files_that_regenerate_agrees_on(artwright, home):
    done = artwright("chat", "draw two sneakers", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert len(told["files"]) == 2 and "sneaker" in told["reply"]
    for file in told["files"]:
        assert Path(file).suffix == ".png"
        assert artwright("regenerate", file).returncode == 0


def test_route_answers_line_by_line(artwright):
    lines = [{"prompt": "draw two sneakers"}, {"prompt": "thank you", "history": ["draw two sneakers"]}]
    done = artwright("route", stdin="".join(json.dumps(line) + "\n" for line in lines))
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [set(answer) for answer in answers] == [{"prompt", "calls", "reply", "seconds"}] * 2
    call = answers[0]["calls"][0]
    assert call["name"] == "generate_image" and call["args"]["count"] == 2
    assert 0 <= call["confidence"] <= 1


def test_regenerate_tells_what_differs_and_why_it_cannot(artwright, mine, names, tmp_path):
    wanted = json.dumps({"count": 3, "model": "mine", "seed": 7})
    (file,) = json.loads(artwright("generate", "invent_names", "--args", wanted, "--out", "d", "--json").stdout)[
        "files"
    ]
    names.write_text("\n".join(name.upper() for name in SYLLABLES))
    assert artwright("train", "markov", "--data", str(names), "--name", "mine").returncode == 0
    done = artwright("regenerate", file)
    assert done.returncode == 1 and "trained anew" in done.stdout
    shutil.rmtree(mine)
    a_mistake(artwright("regenerate", file), "mine")
    (tmp_path / "plain.txt").write_text("hello\n")
    a_mistake(artwright("regenerate", "plain.txt"), "provenance")


def test_a_renamed_model_makes_what_regenerate_finds(artwright, mine):
    mine.rename(mine.with_name("yours"))
    wanted = json.dumps({"count": 3, "model": "yours", "seed": 7})
    made = json.loads(artwright("generate", "invent_names", "--args", wanted, "--json").stdout)
    assert artwright("regenerate", *made["files"]).returncode == 0


@pytest.mark.parametrize(
    "change",
    [{"index": "x"}, {"index": -1}, {"seed": -1}, {"args": [1]}, {"versions": [1]}, {"generator": ["x"]}, {"task": []}],
)
def test_damaged_provenance(artwright, tmp_path, change):
    from PIL import Image, PngImagePlugin

    how = {"generator": "vae-fashion", "weights_sha256": "", "task": "generate_image", "args": {"subject": "coat"}}
    notes = PngImagePlugin.PngInfo()
    notes.add_itxt("artwright", json.dumps({**how, "seed": 1, "index": 0, **change}))
    Image.new("L", (28, 28)).save(tmp_path / "a.png", pnginfo=notes)
    a_mistake(artwright("regenerate", "a.png"), "provenance is damaged")


def test_a_picture_too_large_to_open(artwright, tmp_path):
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    parts = [header, b"IDAT" + zlib.compress(b"\0" * 1000), b"IEND"]
    chunks = [struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    a_mistake(artwright("regenerate", "bomb.png"), "bomb.png")
