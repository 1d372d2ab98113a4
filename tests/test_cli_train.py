"""`artwright train`: what it makes of data and options, and what is left when it cannot finish."""

from __future__ import annotations

import json
import os
import pickle
import resource
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from commandline import ROOT, a_mistake

import generators
from chains import training
from chains.training import Training
from generators.core.artifact import open_artifact

pytestmark = pytest.mark.usefixtures("home")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.txt", b""),
        ("blank.txt", b"\n \n\n"),
        ("letter.txt", b"a"),
        ("binary.txt", bytes(range(256)) * 40),
        ("picture.txt", b"\x89PNG\r\n\x1a\n\0\0"),
    ],
)
def test_data_that_is_no_text(artwright, tmp_path, home, name, content):
    (tmp_path / name).write_bytes(content)
    a_mistake(artwright("train", "markov", "--data", name, "--name", "x"), name)
    assert not list((home / "models").glob("*")) and not list((home / "runs").glob("*"))


def test_train_then_use(artwright, mine, names, home, tmp_path):
    assert mine == home / "models" / "mine"
    info = json.loads((mine / "config.json").read_text())
    assert [score["data"] for score in info["scores"]] == ["names.txt:val"]
    assert "mine" in artwright("list").stdout
    scored = json.loads(artwright("score", "mine", "--data", str(names), "--json").stdout)
    assert scored["n"] > 0 and 0 < scored["nats_per_char"] < 3
    done = artwright("sample", "mine", "--count", "12", "--out", "s.npz", "--seed", "3")
    assert done.returncode == 0, done.stderr
    with np.load(tmp_path / "s.npz", allow_pickle=False) as arrays:
        assert arrays["texts"].shape == (12,)
    wanted = json.dumps({"count": 3, "model": "mine", "seed": 7})
    made = json.loads(artwright("generate", "invent_names", "--args", wanted, "--out", "d", "--json").stdout)
    assert set(made) == {"reply", "files"} and made["files"] and "mine" in made["reply"]
    for file in made["files"]:
        assert Path(file).parent == tmp_path / "d"
        assert artwright("regenerate", file).returncode == 0
    again = json.loads(artwright("generate", "invent_names", "--args", wanted, "--json").stdout)
    assert open_artifact(again["files"][0]).sha256 == open_artifact(made["files"][0]).sha256


def test_a_network_is_measured_on_the_beginning_of_what_is_held_back(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_text("It was a dark and stormy night; the rain fell in torrents.\n" * 40)
    monkeypatch.setattr(training, "MEASURED", 50)
    small = ("layers=1", "width=8", "context=8", "batch=2")
    for family, settings, n in (("gru", small, 50), ("markov", (), len(path.read_text()) // 10)):
        folder = training.train(Training(family, str(path), steps=2, settings=settings))
        (score,) = json.loads((folder / "config.json").read_text())["scores"]
        assert score["n"] == pytest.approx(n, abs=1)


@pytest.mark.parametrize("budget", [("--minutes", "3"), ("--steps", "200")])
def test_a_budget_that_counting_has_no_use_for_is_told(artwright, names, budget):
    done = artwright("train", "markov", "--data", str(names), "--name", "x", *budget)
    assert done.returncode == 0 and Path(done.stdout.strip()).name == "x"
    (told,) = [line for line in done.stderr.splitlines() if "changes nothing" in line]
    assert told.startswith(" ".join(budget) + " ") and "markov" in told
    assert "without effect on markov" in " ".join(artwright("train", "--help").stdout.casefold().split())


def test_a_file_named_like_a_packaged_source(artwright, packaged, mine, names, tmp_path):
    packaged("names", "text")
    names.rename(tmp_path / "names")
    scored = artwright("score", "mine", "--data", "./names", "--json")
    assert scored.returncode == 0 and scored.stderr == ""
    other = artwright("score", "mine", "--data", "names", "--json")
    (told,) = other.stderr.splitlines()
    assert told.startswith("artwright: ") and "./names" in told
    assert other.stdout != scored.stdout
    trained = artwright("train", "markov", "--data", "./names", "--name", "again")
    assert trained.returncode == 0, trained.stderr
    assert json.loads((Path(trained.stdout.strip()) / "config.json").read_text())["data"] == "./names"


def test_a_mistake_spares_the_interrupted_run(artwright, home):
    kept = home / "runs" / "x" / "run.safetensors"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"hours of work")
    a_mistake(artwright("train", "markov", "--data", "missing.txt", "--name", "x"), "missing.txt")
    assert kept.exists()


def test_a_shipped_name_is_not_taken(artwright, names):
    done = artwright("train", "markov", "--data", str(names), "--name", "markov-names")
    a_mistake(done, "markov-names", "--name")


def test_out_does_not_swallow_a_folder(artwright, names, tmp_path, home):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "letter.txt").write_text("dear")
    a_mistake(artwright("train", "markov", "--data", str(names), "--out", "precious"), "precious")
    assert (tmp_path / "precious" / "letter.txt").read_text() == "dear"
    done = artwright("train", "markov", "--data", str(names), "--out", "new", "--name", "elsewhere")
    assert Path(done.stdout.strip()) == tmp_path / "new"
    assert not (home / "models" / "elsewhere").exists()
    assert artwright("score", "new", "--data", str(names)).returncode == 0


@pytest.mark.parametrize(
    ("files", "whose"),
    [
        ({}, True),
        ({"config.json": '{"format": 1}', "model.safetensors": "", "README.md": ""}, True),
        ({"config.json": '{"format": 1}', "letter.txt": "dear"}, False),
        ({"config.json": '{"name": "a web page"}'}, False),
        ({"config.json": "not json"}, False),
    ],
)
def test_out_replaces_nothing_but_a_model(tmp_path, files, whose):
    (tmp_path / "d").mkdir()
    for name, text in files.items():
        (tmp_path / "d" / name).write_text(text)
    asked = Training("markov", "names.txt", out=tmp_path / "d")
    if whose:
        assert training._places(asked)[0] == tmp_path / "d"
    else:
        with pytest.raises(ValueError, match="neither new nor empty nor a trained model"):
            training._places(asked)


@dataclass
class Opened:
    """Unpickling it leaves a file."""

    path: Path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("damage", ["pickle", "cut", "empty", "other", "config", "gone"])
def test_a_corrupt_checkpoint(artwright, mine, names, damage, tmp_path):
    weights = mine / "model.safetensors"
    match damage:
        case "pickle":
            weights.write_bytes(pickle.dumps(Opened(tmp_path / "opened")))
        case "cut":
            weights.write_bytes(weights.read_bytes()[:-10])
        case "empty":
            weights.write_bytes(b"")
        case "other":
            weights.write_bytes(weights.read_bytes()[:-1] + b"\xff\x00")
        case "config":
            (mine / "config.json").write_text("{not json")
        case "gone":
            weights.unlink()
    a_mistake(artwright("score", "mine", "--data", str(names)), "mine")
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize(
    "change", [{"labels": 5}, {"tasks": None}, {"scores": [{"metric": "nats_per_char", "value": "x"}]}, {"name": [1]}]
)
def test_a_config_with_wrong_types(artwright, mine, names, change):
    config = mine / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    a_mistake(artwright("score", "mine", "--data", str(names)), "mine", *change)
    done = artwright("list")
    assert done.returncode == 0 and "mine" not in done.stdout
    assert len(done.stderr.splitlines()) == 1 and "mine" in done.stderr


def test_a_full_disk_leaves_nothing_half_written(artwright, names, home, tmp_path):
    def little_space() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))

    more = {"preexec_fn": little_space, "env": {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}}
    a_mistake(artwright("train", "markov", "--data", str(names), "--name", "x", **more), "File too large")
    assert not list((home / "models").glob("*")) and not list((home / "models").glob(".*"))
    a_mistake(artwright("sample", "markov-names", "--count", "5000", "--out", "s.npz", **more), "File too large")
    wanted = json.dumps({"words": 900, "seed": 1})  # a text that does not fit beside its notes, which would
    a_mistake(artwright("generate", "write_text", "--args", wanted, "--out", "d", **more), "File too large")
    assert not [path for place in (tmp_path / "d", home / "store") for path in place.rglob("*") if path.is_file()]
    assert {path.name for path in tmp_path.iterdir()} == {"home", "names.txt", "d"}


def test_places_that_cannot_be_written(artwright, names, tmp_path):
    (tmp_path / "file").write_text("")
    blocked = {"env": {**os.environ, "ARTWRIGHT_HOME": str(tmp_path / "file")}}
    a_mistake(artwright("train", "markov", "--data", str(names), "--name", "x", **blocked), "file")
    a_mistake(artwright("generate", "invent_names", **blocked), "file")
    a_mistake(artwright("chat", "hello", **blocked), "file")
    a_mistake(artwright("generate", "invent_names", "--out", "file/below"), "file")
    a_mistake(artwright("sample", "markov-names", "--count", "2", "--out", "file/below/a.npz"), "file")


def test_ctrl_c_then_resume_equals_the_unbroken_run(artwright, tmp_path, home):
    rng = np.random.default_rng(0)
    from PIL import Image

    for index in range(60):
        place = tmp_path / "pictures" / ("dark" if index % 2 else "light") / f"{index}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        low = 0 if index % 2 else 128
        Image.fromarray(rng.integers(low, low + 127, (28, 28), dtype=np.uint8)).save(place)
    common = ["train", "vae", "--data", "pictures", "--steps", "40", "--seed", "4"]
    whole = artwright(*common, "--out", "whole")
    assert whole.returncode == 0, whole.stderr
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "app.py"), *common, "--name", "broken"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "FORCE_COLOR": "1"},
    )  # fmt: skip
    assert process.stderr is not None
    seen = ""
    while "step" not in seen:
        seen = (seen + process.stderr.read(1))[-200:]
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == "" and "--resume" in err and "Traceback" not in err
    assert not (home / "models" / "broken").exists()
    resumed = artwright(*common, "--name", "broken", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    weights = [generators.load(folder).weights_sha256 for folder in (tmp_path / "whole", home / "models" / "broken")]
    assert weights[0] == weights[1]
    assert not list((home / "runs").glob("*/*"))


@dataclass
class Options:
    """One of each kind of option."""

    order: int = 3
    rate: float = 0.1
    wide: bool = False
    unit: Literal["char", "word"] = "char"
    sizes: tuple[int, ...] = (8,)
    cap: int | None = None


class Family:
    family = "toy"
    Config = Options


def test_settings_become_the_types_of_the_options():
    found = training.configured(Family, ("order=5", "rate=1e-3", "wide=true", "unit=word", "sizes=16,32", "cap=none"))
    assert found == Options(5, 1e-3, True, "word", (16, 32), None)


@pytest.mark.parametrize(
    "setting", ["order=2.5", "rate=nan", "wide=maybe", "unit=page", "sizes=a,b", "cap=x", "size=1", "order"]
)
def test_wrong_settings_say_what_is_right(setting):
    with pytest.raises(ValueError, match="--set " + setting.split("=")[0]):
        training.configured(Family, (setting,))


def test_the_command_to_resume_is_the_one_that_was_typed():
    asked = Training("vae", "my pictures", name="x", steps=60, settings=("latent=8",))
    assert asked.command("--resume") == (
        "artwright train vae --data 'my pictures' --name x --steps 60 --set latent=8 --resume"
    )
    assert Training("vae", "/data/My Pictures.zip").model_name == "vae-my-pictures"


def test_more_text_and_several_models(artwright, home, tmp_path):
    for name, line in (("sea", "She sold sea shells by the sea shore, and the shells were sea shells.\n"),
                       ("sky", "He saw the stars in the sky by night, and the sky was full of stars.\n")):  # fmt: skip
        (tmp_path / f"{name}.txt").write_text(line * 40)
    assert artwright("train", "markov", "--data", "sea.txt").returncode == 0
    done = artwright("train", "markov", "--data", "sky.txt", "--from", "markov-sea", "--name", "both")
    assert done.returncode == 0, done.stderr
    assert json.loads((home / "models" / "both" / "config.json").read_text())["base"]["name"] == "markov-sea"
    assert artwright("train", "markov", "--data", "sky.txt", "--set", "max_copied=20").returncode == 0
    a_mistake(artwright("merge", "markov-sea", "markov-sky"), "max_copied is 0 in markov-sea and 20 in markov-sky")
    assert artwright("train", "markov", "--data", "sky.txt").returncode == 0
    done = artwright("merge", "markov-sea", "markov-sky", "--weight", "2", "--weight", "1")
    assert done.returncode == 0, done.stderr
    merged = Path(done.stdout.strip())
    card = (merged / "README.md").read_text()
    assert merged == home / "models" / "markov-sea-sky" and "0.67 and 0.33" in card
    assert "Its parts: `markov-sea` (weights' sha256" in card
    for model in ("both", "markov-sea-sky"):
        scored = json.loads(artwright("score", model, "--data", "sky.txt", "--json").stdout)
        assert 0 < scored["nats_per_char"] < 1
        made = artwright("generate", "write_text", "--args", json.dumps({"model": model, "words": 8, "seed": 1}))
        assert made.returncode == 0, made.stderr
    a_mistake(artwright("merge", "markov-sea"), "two models or more")
    a_mistake(artwright("merge", "markov-sea", "both", "--name", "both"), "one of the models to merge")
    a_mistake(artwright("merge", "markov-sea", "markov-names"), "cannot be merged with")
    a_mistake(artwright("merge", "markov-sea", "lstm-names"), "is of the family lstm")
    a_mistake(artwright("merge", "vae-digits", "vae-fashion"), "vae models cannot be merged")
    a_mistake(artwright("merge", "markov-sea", "nobody"), "no model 'nobody'")
    a_mistake(artwright("merge", "markov-sea", "markov-sky", "--weight", "1"), "one a model")
