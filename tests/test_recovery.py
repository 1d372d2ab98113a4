"""The app is killed in mid-turn: the conversation is there, the turn can be run again, and nothing is doubled."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from commandline import ROOT
from langchain_core.messages import HumanMessage
from llms import Scripted, call, says

from chains.agent import history, talk
from chains.events import Asked, Choice, Made, Word
from chains.memory import memory_path, messages_of, saver
from chains.store import Store

CHILD = """
import sys, time
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from langchain_core.tools import tool
from llms import Scripted, call, says
import chains.agent
from chains.agent import talk
from chains.tools import tools

def hang(*_):
    Path({ready!r}).touch()
    time.sleep(600)

@tool
def wait() -> str:
    "Never answer."
    hang()

sys.modules["chains.agent"].app_tools = lambda: {{**tools(), "wait": wait}}
list(talk("hello", llm=Scripted(lines=[says(text="Good day.")]), thread="t"))
line = {line}
list(talk("draw two bags, then wait", llm=Scripted(lines=[line]), thread="t"))
"""
CALLS = 'says(call("generate_image", 1, subject="bag", count=2), call("wait", 2))'


@pytest.mark.parametrize(("where", "line"), [("in the LLM", "hang"), ("in a tool", CALLS)])
def test_a_kill_in_mid_turn_loses_and_doubles_nothing(
    where: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))
    saver.cache_clear()
    ready = tmp_path / "ready"
    code = CHILD.format(root=str(ROOT), tests=str(ROOT / "tests"), ready=str(ready), line=line)
    child = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "ARTWRIGHT_HOME": str(tmp_path)})
    deadline = time.monotonic() + 240
    while not ready.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert ready.exists(), "the turn never got to where it is killed"
    child.send_signal(signal.SIGKILL)
    child.wait(10)

    with sqlite3.connect(memory_path()) as memory:
        assert memory.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    past = history("t")
    assert past[:3] == [Asked("hello"), Word("Good day."), Asked("draw two bags, then wait")]
    assert isinstance(past[0], Asked) and not past[0].is_open
    asked = past[2]
    assert isinstance(asked, Asked) and asked.is_open
    kept = sorted(Store().root.rglob("*.png"))
    if where == "in a tool":
        assert len(kept) == 2 and sum(isinstance(event, Choice) for event in past) == 2

    again = Scripted(lines=[says(call("generate_image", 1, subject="bag", count=2))])
    events = list(talk("", llm=again, thread="t", again=asked.request))
    assert sum(isinstance(event, Made) for event in events) == 1
    messages: Any = messages_of(saver(memory_path()), "t")
    assert [m.content for m in messages if isinstance(m, HumanMessage)] == ["hello", "draw two bags, then wait"]
    assert [message.type for message in messages] == ["human", "ai", "human", "ai", "tool", "ai"]
    now = sorted(Store().root.rglob("*.png"))
    assert len(now) == 2 and (not kept or now == kept), "the pictures of the killed turn are there twice"
    assert not any(isinstance(event, Asked) and event.is_open for event in history("t"))
    # A new request after a kill, without running the old one again, works as well.
    list(talk("bye", llm=Scripted(lines=[says(text="Good night.")]), thread="t"))
    assert history("t")[-2:] == [Asked("bye"), Word("Good night.")]


def test_a_new_request_may_follow_a_killed_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))

    class Killed(BaseException):
        """Ends the turn where it stands, as a kill does to what is on disk."""

    def die(*_: Any) -> Any:
        raise Killed

    import threading

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    list(talk("first", llm=Scripted(lines=[die]), thread="t"))
    llm = Scripted(lines=[says(text="Two.")])
    list(talk("second", llm=llm, thread="t"))
    first, second, word = history("t")
    assert (first, second, word) == (Asked("first"), Asked("second"), Word("Two."))
    assert isinstance(first, Asked) and first.is_open and isinstance(second, Asked) and not second.is_open
    # It is not the last any more, so it is answered anew where the conversation stands now.
    list(talk("", llm=Scripted(lines=[says(text="One.")]), thread="t", again=first.request))
    assert history("t")[3:] == [Asked("first"), Word("One.")]
