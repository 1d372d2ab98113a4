"""The command line: its contract, and that a person's mistake is one line on stderr with exit code 2."""

from __future__ import annotations

import json
import os
import pickle
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

import generators
from chains import commands, training
from chains.training import Training
from generators.core.artifact import open_artifact

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.usefixtures("home")
STARTS, ENDS = ("ka", "mi", "to", "ren", "sho"), ("n", "ka", "to")
SYLLABLES = [start + middle + end for start in STARTS for middle in ("ra", "ne", "lu", "vi") for end in ENDS]


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\n".join(name.capitalize() for name in SYLLABLES) + "\n")
    return path


@pytest.fixture
def mine(names, artwright, tmp_path):
    """A Markov model named `mine`."""
    done = artwright("train", "markov", "--data", str(names), "--name", "mine")
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def a_mistake(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2 and one clear line, no traceback and no result."""
    assert (done.returncode, done.stdout) == (2, ""), done
    said = [line for line in done.stderr.splitlines() if line.startswith("artwright:")]
    assert len(said) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(said[0]) < 1000
    for word in words:
        assert word in said[0], said[0]


def test_every_command_has_help(artwright):
    began = time.perf_counter()
    assert all(name in artwright("--help").stdout for name in commands.NAMES)
    assert time.perf_counter() - began < 5
    for name in commands.NAMES:
        assert "Usage: artwright " + name in artwright(name, "--help").stdout


def test_list_is_fast_and_loads_nothing_heavy():
    """Timed at the best of three, since other processes may be at work."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "app.py", "list"], cwd=ROOT, capture_output=True, text=True, check=True)
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 2
    assert "about" in done.stdout
    heavy = {"torch", "transformers", "langchain_core", "gradio"}
    code = f"import app, sys; app.main(['list']); assert not {heavy} & {{*sys.modules}}"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


def test_list_json_is_what_the_contract_says(artwright):
    found = json.loads(artwright("list", "--json").stdout)
    served = {task for model in found["models"] for task in model["tasks"]}
    assert {tool["name"] for tool in found["tools"]} == (served & set(_tasks())) | {"about"}
    for tool in found["tools"]:
        assert set(tool) == {"name", "description", "args"}
        assert tool["args"]["type"] == "object"
    for model in found["models"]:
        assert set(model) == {
            *("name", "family", "kinds", "medium", "tasks", "labels", "data", "licence", "parameters", "scores")
        }


def _tasks() -> list[str]:
    from chains.schemas import TASKS

    return list(TASKS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], ["nonsense"]),
        (["train"], ["FAMILY"]),
        (["train", "markow", "--data", "x.txt"], ["markow", "markov"]),
        (["train", "markov", "--data", "missing.txt"], ["missing.txt"]),
        (["train", "markov", "--data", "x.txt", "--name", "../up"], ["../up"]),
        (["train", "markov", "--data", "x.txt", "--set", "colour=3"], ["colour", "order"]),
        (["train", "markov", "--data", "x.txt", "--set", "order=many"], ["order", "whole number"]),
        (["train", "vae", "--data", "x", "--minutes", "1", "--steps", "2"], ["not both"]),
        (["train", "markov", "--data", "x.txt", "--seed", "-1"], ["--seed"]),
        (["train", "markov", "--data", "x.txt", "--resume"], ["--resume"]),
        (["train", "markov", "--data", "x.txt", "--from", "markov-names"], ["--from"]),
        (["score", "nobody", "--data", "x.txt"], ["nobody"]),
        (["sample", "nobody", "--count", "1", "--out", "a.npz"], ["nobody"]),
        (["sample", "nobody", "--count", "-1", "--out", "a.npz"], ["--count"]),
        (["sample", "nobody", "--count", "99999999999", "--out", "a.npz"], ["--count"]),
        (["sample", "nobody", "--count", "1", "--out", "a.png"], [".npz"]),
        (["generate", "draw_all", "--args", "{}"], ["draw_all", "generate_image"]),
        (["generate", "invent_names", "--args", "[1]"], ["object"]),
        (["generate", "invent_names", "--args", "{count: 2}"], ["JSON"]),
        (["generate", "invent_names", "--args", "[" * 20_000], ["JSON"]),
        (["sample", "markov-scripture", "--count", "1", "--out", "a.npz", "--label", "coat"], ["no labels", "coat"]),
        (["generate", "invent_names", "--args", '{"count": -3}'], ["count", "-3"]),
        (["generate", "invent_names", "--args", '{"count": 1e18}'], ["count"]),
        (["generate", "invent_names", "--args", '{"colour": "red"}'], ["colour"]),
        (["generate", "invent_names", "--args", '{"model": "nobody"}'], ["nobody"]),
        (["generate", "generate_image", "--args", '{"subject": "zeppelin"}'], ["zeppelin"]),
        (["regenerate", "missing.png"], ["missing.png"]),
        (["chat", "  "], ["nothing to answer"]),
        (["chat", "hello", "--llm", "nowhere"], ["nowhere"]),
        (["route", "--llm", "nowhere"], ["line 1"]),
        (["--host", "0.0.0.0"], ["ARTWRIGHT_AUTH"]),
        (["--port", "99999"], ["--port"]),
    ],
)
def test_a_mistake_is_one_line(artwright, tmp_path, arguments, words):
    a_mistake(artwright(*arguments, stdin="not json\n"), *words)
    assert {path.name for path in tmp_path.iterdir()} <= {"home"}


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


@dataclass
class Opened:
    """Unpickling it leaves a file."""

    path: Path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


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


def test_doctor_says_what_is_there(artwright):
    done = artwright("doctor")
    assert done.returncode == 0, done.stderr
    for word in ("torch", "device", "LLM", "families", "markov"):
        assert word in done.stdout


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


@pytest.mark.parametrize(
    ("host", "auth", "fine"),
    [
        ("127.0.0.1", "", True),
        ("localhost", "", True),
        ("::1", "", True),
        ("127.0.0.1", ":x", False),
        ("0.0.0.0", "", False),
        ("192.168.0.2", "", False),
        ("example.org", "", False),
        ("0.0.0.0", "ada", False),
        ("0.0.0.0", "ada:secret", True),
    ],
)
def test_other_computers_only_with_a_password(monkeypatch, host, auth, fine):
    monkeypatch.setenv("ARTWRIGHT_AUTH", auth)
    if fine:
        assert commands.authority(host) == (tuple(auth.split(":")) if auth else None)
    else:
        with pytest.raises(ValueError, match="ARTWRIGHT_AUTH"):
            commands.authority(host)
