"""The command line: its contract, and that a person's mistake is one line on stderr with exit code 2."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from commandline import ROOT, a_mistake

from chains import commands

pytestmark = pytest.mark.usefixtures("home")


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
        (["train", "vae", "--data", "x", "--from", "vae-digits"], ["--from"]),
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


def test_doctor_says_what_is_there(artwright):
    done = artwright("doctor")
    assert done.returncode == 0, done.stderr
    for word in ("torch", "device", "LLM", "families", "markov"):
        assert word in done.stdout
    data = [line for line in done.stdout.splitlines() if "data source" in line]
    assert len(data) == 6
    for line in data:  # what is there, or the command that brings it
        assert line.startswith("ok ") or "install" in line


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
