"""The same agent and tools over any LLM: a scripted fake in this process, and an OpenAI-compatible server on loopback.

The server is a stand-in (tests/standin.py), reached through LangChain's own `openai:` provider, streamed and whole.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from commandline import ROOT, a_mistake
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from standin import HANG, HANG_IN_STREAM, StandIn, call, stand_in

from chains import chat_model, tools
from chains.agent import agent, history, route, talk
from chains.events import Asked, Choice, Failed, Made, Reply, Word
from chains.repair import UNREADABLE
from chains.served import WAIT_S
from generators.core.generator import Cancel

KEY = "sk-stand-in-0123456789"
NAMES = {"count": 3, "starts_with": "Ma", "seed": 1}


class Fake(FakeMessagesListChatModel):
    """Says its lines in this process; to the agent it is a model like any other."""

    def bind_tools(self, tools: Any, **more: Any) -> Any:
        return self


@pytest.fixture
def server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """The stand-in, where `openai:` finds it."""
    with stand_in() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


@pytest.fixture(params=["fake", "served"])
def saying(request: pytest.FixtureRequest, server: StandIn) -> Callable[..., BaseChatModel]:
    """An LLM that will say these lines: texts, or lists of calls."""

    def model(*lines: Any) -> BaseChatModel:
        if request.param == "served":
            server.replies = list(lines)
            return chat_model("openai:stand-in", max_retries=0)
        return Fake(responses=[AIMessage(x) if isinstance(x, str) else _spoken(x) for x in lines])

    return model


def _spoken(calls: list[dict[str, Any]]) -> AIMessage:
    return AIMessage(
        "",
        tool_calls=[
            {"name": c["function"]["name"], "args": json.loads(c["function"]["arguments"]), "id": c["id"]}
            for c in calls
        ],
    )


def _asked(llm: BaseChatModel, text: str = "go") -> list[AnyMessage]:
    """The whole turn, not streamed."""
    return agent(llm).invoke({"messages": [("user", text)]})["messages"][1:]


def test_a_tool_runs_and_the_models_words_are_the_reply(saying: Any) -> None:
    events = list(talk("three names", llm=saying([call("invent_names", NAMES)], "Three names for you."), thread="t"))
    choice, made = events[0], next(event for event in events if isinstance(event, Made))
    assert choice == Choice("invent_names", NAMES) and len(made.artifacts) == 1 and made.artifacts[0].path.is_file()
    words = "".join(event.text for event in events if isinstance(event, Word))
    assert words in ("", events[-1].text)  # the fake says everything at once
    assert events[-1].text.strip() == "Three names for you."
    _, answer, reply = _asked(saying([call("invent_names", NAMES)], "Three names for you."))
    assert isinstance(answer, ToolMessage) and answer.content == made.sentence and answer.status == "success"
    assert reply.text == "Three names for you."


def test_several_calls_of_one_turn_run_in_order(saying: Any) -> None:
    calls = [call("generate_image", {"subject": "coat"}, "a"), call("invent_names", NAMES, "b")]
    events = list(talk("a coat and names", llm=saying(calls, "Done."), thread="t"))
    assert [event.tool for event in events if isinstance(event, Choice)] == ["generate_image", "invent_names"]
    assert [event.tool for event in events if isinstance(event, Made)] == ["generate_image", "invent_names"]


def test_a_wrong_argument_goes_back_and_is_put_right(saying: Any) -> None:
    wrong, right = call("invent_names", {"count": 0}, "a"), call("invent_names", NAMES, "b")
    events = list(talk("names", llm=saying([wrong], [right], "Done."), thread="t"))
    assert [type(event) for event in events if not isinstance(event, Word)] == [Choice, Failed, Choice, Made, Reply]
    messages = _asked(saying([wrong], [call("no_such_tool", {}, "b")], "I cannot."))
    assert [message.status for message in messages if isinstance(message, ToolMessage)] == ["error"] * 2
    assert "invent_names" in messages[3].text and messages[-1].text == "I cannot."


def test_a_conversation_is_remembered(saying: Any) -> None:
    assert list(talk("hello", llm=saying("Good day."), thread="t"))[-1].text.strip() == "Good day."
    assert list(talk("names", llm=saying([call("invent_names", NAMES)], "There."), thread="t"))[-1]
    told = history("t")
    assert [event.text.strip() for event in told if isinstance(event, Asked | Word)] == [
        *("hello", "Good day.", "names", "There.")
    ]
    assert sum(isinstance(event, Made) for event in told) == 1


@pytest.mark.parametrize("streamed", [True, False])
def test_what_the_server_is_asked(server: StandIn, streamed: bool) -> None:
    server.replies = [[call("generate_image", {"subject": "coat", "count": 2})], "Two coats."]
    llm = chat_model("openai:stand-in")
    assert list(talk("two coats", llm=llm, thread="t")) if streamed else _asked(llm, "two coats")
    first, second = server.asked
    assert bool(first.get("stream")) is streamed and first["model"] == "stand-in"
    assert server.headers[0]["authorization"] == f"Bearer {KEY}"
    assert [tool["function"]["name"] for tool in first["tools"]] == list(tools())
    assert [message["role"] for message in second["messages"]] == ["system", "user", "assistant", "tool"]
    told = second["messages"][-1]["content"]
    assert "2 pictures of coat" in told and len(json.dumps(second)) < 20_000  # a sentence, no pictures


def test_route_asks_a_served_model_and_runs_nothing(server: StandIn, home: Path) -> None:
    server.replies = [[call("generate_image", {"subject": "coat", "count": 1})], "Done."]
    answer = route("a coat", llm="openai:stand-in")
    assert answer["calls"] == [{"name": "generate_image", "args": {"subject": "coat"}, "confidence": None}]
    assert not (home / "store").exists()


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (401, "needs a key that it accepts: set OPENAI_API_KEY and start again"),
        (429, "takes no more requests for now: wait a minute"),
        (500, "has a fault of its own (status 500): ask again later"),
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
def test_an_error_is_one_sentence_and_the_next_turn_works(
    server: StandIn, status: int, says: str, streamed: bool
) -> None:
    llm = chat_model("openai:stand-in", max_retries=0)
    server.replies = [status, "Good day."]
    if streamed:
        failed, reply = talk("hello", llm=llm, thread="t")
        assert isinstance(failed, Failed) and reply == Reply(failed.sentence)
        sentence = failed.sentence
    else:
        with pytest.raises(ValueError) as error:
            _asked(llm)
        sentence = str(error.value)
    assert says in sentence and server.url.removesuffix("/v1") in sentence and KEY not in sentence
    assert list(talk("hello", llm=llm, thread="t"))[-1].text.strip() == "Good day."


def test_a_busy_server_is_asked_again(server: StandIn) -> None:
    server.replies = [429, 500, "Good day."]
    assert list(talk("hello", llm="openai:stand-in", thread="t"))[-1].text.strip() == "Good day."
    assert len(server.asked) == 3


def test_a_server_that_hangs_is_not_waited_for_without_end(server: StandIn) -> None:
    assert chat_model("openai:stand-in").request_timeout == WAIT_S  # type: ignore[attr-defined]
    assert chat_model("openai:stand-in", timeout=7).request_timeout == 7  # type: ignore[attr-defined]
    server.replies = [HANG]
    failed, _ = talk("hello", llm=chat_model("openai:stand-in", timeout=0.3, max_retries=0), thread="t")
    assert "did not answer in time" in failed.sentence


@pytest.mark.parametrize("how", [HANG, HANG_IN_STREAM])
def test_stopping_does_not_wait_for_a_server_that_hangs(server: StandIn, how: str) -> None:
    server.replies = [how, "Good day."]
    stop = Cancel()
    stopped: list[float] = []

    def press() -> None:
        while not server.asked:
            time.sleep(0.01)
        stopped.append(time.monotonic())
        stop.set()

    threading.Thread(target=press, daemon=True).start()
    events = list(talk("hello", llm="openai:stand-in", thread="t", cancel=stop))
    assert events[-1] == Reply("Stopped.") and time.monotonic() - stopped[0] < 3
    assert list(talk("hello again", llm="openai:stand-in", thread="t"))[-1].text.strip() == "Good day."
    assert sum(isinstance(event, Asked) and event.text == "hello again" for event in history("t")) == 1


@pytest.mark.parametrize("written", ['{"count": three}', "count=3", '{"count": 3}}', "[1]"])
def test_a_call_that_cannot_be_read_is_asked_for_once_more(server: StandIn, written: str) -> None:
    server.replies = [[call("invent_names", written)], [call("invent_names", NAMES)], "There."]
    events = list(talk("names", llm="openai:stand-in", thread="t"))
    assert [type(event) for event in events if not isinstance(event, Word)] == [Choice, Made, Reply]
    *_, said, wrong = server.asked[1]["messages"]
    assert said["role"] == "assistant" and written in said["content"] and not said.get("tool_calls")
    assert "the arguments of invent_names are not JSON" in wrong["content"]
    assert written not in json.dumps(server.asked[2])  # it never was a part of the conversation
    server.replies = [[call("invent_names", written)]] * 2
    assert list(talk("names", llm="openai:stand-in", thread="u"))[-1] == Reply(UNREADABLE)


async def test_the_same_asynchronously_and_for_a_call_that_was_cut_off() -> None:
    cut = _spoken([call("invent_names", {"count": 3})])
    cut.response_metadata["finish_reason"] = "length"
    llm = Fake(responses=[cut, _spoken([call("invent_names", NAMES, "b")]), AIMessage("There.")])
    messages = (await agent(llm).ainvoke({"messages": [HumanMessage("names")]}))["messages"]
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai"]
    assert messages[1].tool_calls[0]["args"] == NAMES


def test_the_command_line_takes_it_from_the_environment(server: StandIn, artwright: Any) -> None:
    env = {**os.environ, "ARTWRIGHT_LLM": "openai:stand-in"}
    server.replies = [[call("invent_names", NAMES)], "Three names."]
    done = artwright("chat", "three names", "--json", env=env)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["reply"].strip() == "Three names." and Path(told["files"][0]).is_file()
    server.replies = [401]
    a_mistake(artwright("chat", "hello", env=env), "OPENAI_API_KEY")


def test_ctrl_c_does_not_wait_for_a_server_that_hangs(server: StandIn) -> None:
    server.replies = [HANG]
    command = [sys.executable, str(ROOT / "app.py"), "chat", "hello", "--llm", "openai:stand-in"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not server.asked:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr and "Traceback" not in process.stderr.read()


def test_what_is_missing_is_said_with_the_fix(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"LangChain knows no provider 'nobody'.*openai:NAME with OPENAI_BASE_URL"):
        chat_model("nobody:model")
    monkeypatch.setitem(sys.modules, "langchain_cohere", None)
    with pytest.raises(ValueError, match=r"'cohere:command' needs another package.*pip install langchain-cohere"):
        chat_model("cohere:command")


def test_a_missing_key_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ValueError, match="set OPENAI_API_KEY and start again"):
        chat_model("openai:gpt")
