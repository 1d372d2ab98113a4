"""Messages and conversations that are written as one: every line can be made, and says what its calls hold."""

from __future__ import annotations

from random import Random

import pytest

from chains.schemas import TASKS
from chains.tuning import grammar, whole
from chains.tuning.grammar import reserved, sections
from chains.tuning.toollists import PLAIN, pick_known, show
from chains.tuning.writer import Writer

FILES = ("whole.txt", "whole_follow.txt")


def writer() -> Writer:
    rng = Random(3)
    return Writer([show(task, pick_known(rng), PLAIN, rng) for task in TASKS], rng, "train")


def lines(file: str) -> list[tuple[str, str]]:
    return [(name, line) for name, found in sections(file).items() for line in found]


@pytest.mark.parametrize("file", ["whole.txt", "whole_one.txt"])
def test_messages(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here = writer()
    for name, line in lines(file):
        monkeypatch.setattr(whole, "sections", lambda _, own={name: [line]}: own)
        here.split = "dev" if reserved(line) else "train"
        made = next((made for _ in range(60) if (made := whole.whole(here, file))), None)
        assert made, line
        text, tasks, _ = made
        assert [task.tool.task for task in tasks] == name.split(", ")
        for task in tasks:
            seed = task.args.get("seed")
            assert seed is None or seed <= 100 or str(seed) in text, (text, task.args)
            for copied in ("prompt", "text", "melody"):
                assert str(task.args.get(copied, "")) in grammar.plain(text), line


def test_conversations(monkeypatch: pytest.MonkeyPatch) -> None:
    here = writer()
    for name, line in lines("whole_follow.txt"):
        monkeypatch.setattr(
            whole, "sections", lambda file, own={name: [line]}: own if file in FILES else sections(file)
        )
        here.split = "dev" if reserved(line) else "train"
        made = next((made for _ in range(60) if (made := whole.conversation(here))), None)
        assert made, line
        *_, last = name.split(", ")
        assert [call[0] for call in made.calls] == ([] if last == whole.TALK else [last])
        assert len([turn for turn in made.turns if turn.role == "user"]) == len(name.split(", "))
