"""What the terminal shows of work that goes on: only on stderr, only where that is a terminal."""

from __future__ import annotations

import json
import sys

import pytest

from chains import commands
from chains.terminal import Ticker
from generators.core.artifact import open_artifact
from generators.core.generator import Partial

ARGS = json.dumps({"model": "markov-scripture", "words": 20, "seed": 1})


def test_a_text_grows_and_starts_anew_on_a_line_of_its_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    ticker = Ticker()
    for text in ("A", "A cat", "A dog", "A dog sat"):
        ticker.tell(Partial("writing", 1, 9, text))
    ticker.close()
    ticker.tell(Partial("drawn", 1, 2))
    assert capsys.readouterr().err == "A cat\nA dog sat\n\rdrawn 1/2"


@pytest.mark.usefixtures("home")
def test_generate_shows_a_text_as_it_grows_and_json_stays_clean(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr("chains.watch.TEXT_S", 0.0)
    commands.generate("write_text", ARGS, None, True)
    shown = capsys.readouterr()
    (file,) = json.loads(shown.out)["files"]
    assert shown.err.startswith(open_artifact(file).content) and shown.err.endswith("\n")


@pytest.mark.usefixtures("home")
def test_where_stderr_is_no_terminal_nothing_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    commands.generate("write_text", ARGS, None, True)
    shown = capsys.readouterr()
    assert json.loads(shown.out)["files"] and not shown.err
