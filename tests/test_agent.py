"""The agent's loop, with a scripted LLM: order, errors, memory, cancelling, and what the person is told."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import stat
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import Field

from chains import watch
from chains.agent import agent, forget, history, memory_path, route, talk
from chains.events import Asked, Choice, Failed, Made, Progress, Reply, Word
from chains.store import Store
from generators.core.errors import RequestError
from generators.core.generator import Cancel, Partial


class Scripted(FakeMessagesListChatModel):
    """Says its lines in order; stands for the in-process model unless `told` is set otherwise."""

    kind: str = "artwright"
    seen: list = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return self.kind

    def bind_tools(self, tools, **kwargs):
        return self

    def _generate(self, messages, *args, **kwargs):
        self.seen.append(list(messages))
        return super()._generate(messages, *args, **kwargs)


def call(name: str, number: int = 0, /, **args) -> dict:
    return {"name": name, "args": args, "id": f"call{number}"}


def says(*calls: dict, text: str = "", **metadata) -> AIMessage:
    return AIMessage(text, tool_calls=list(calls), response_metadata=metadata)


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))


def test_a_picture_request_ends_with_the_tools_own_sentence():
    llm = Scripted(responses=[says(call("generate_image", subject="sneakers", count=2, seed=7))])
    state = agent(llm).invoke({"messages": [("user", "draw two sneakers")]})
    answer, reply = state["messages"][-2:]
    assert isinstance(answer, ToolMessage) and len(answer.artifact) == 2
    assert set(answer.artifact[0]) == {"id", "path", "media_type", "sha256"}
    assert reply.content == answer.content
    assert "2 pictures of sneaker" in reply.content and "seed 7" in reply.content


def test_calls_of_one_turn_run_in_order_one_at_a_time():
    log: list[str] = []

    @tool
    def slow(name: str) -> str:
        """Wait, then answer."""
        log.append(f"start {name}")
        time.sleep(0.05)
        log.append(f"end {name}")
        return name

    calls = [call("slow", i, name=name) for i, name in enumerate("abc")]
    agent(Scripted(responses=[says(*calls)]), tools=[slow]).invoke({"messages": [("user", "go")]})
    assert log == [f"{part} {name}" for name in "abc" for part in ("start", "end")]


async def test_calls_run_in_order_asynchronously_too_however_many_there_are():
    log: list[str] = []

    @tool
    def note(name: str) -> str:
        """Note the name."""
        log.append(name)
        return name

    names = [str(i) for i in range(8)]
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(2))  # fewer threads than calls
    llm = Scripted(responses=[says(*[call("note", i, name=name) for i, name in enumerate(names)])])
    await asyncio.wait_for(agent(llm, tools=[note]).ainvoke({"messages": [("user", "go")]}), 10)
    assert log == names


@pytest.mark.parametrize(
    ("args", "says_what"),
    [
        ({"subject": "unicorn"}, "sneaker"),  # the error lists what there is
        ({"subject": "coat", "count": -1}, "count=-1"),
        ({"subject": "coat", "count": 10**9}, "count=1000000000"),
        ({"count": 2}, "subject is missing"),
        ({"subject": "coat", "model": "nosuch"}, "nosuch"),
    ],
)
def test_a_wrong_argument_becomes_one_clear_sentence(args, says_what):
    llm = Scripted(responses=[says(call("generate_image", **args))])
    reply = agent(llm).invoke({"messages": [("user", "draw")]})["messages"][-1].content
    assert says_what in reply and "\n" not in reply and "Traceback" not in reply


def test_anothers_tool_may_have_the_name_of_one_of_ours():
    @tool
    def write_code(language: str) -> str:
        """Write code."""
        return f"some {language}"

    llm = Scripted(responses=[says(call("write_code", language="BASIC"))])
    state = agent(llm, tools=[write_code]).invoke({"messages": [("user", "go")]})
    assert state["messages"][-1].content == "some BASIC"


def test_a_home_that_cannot_be_written_is_one_sentence(monkeypatch):
    monkeypatch.setenv("ARTWRIGHT_HOME", "/proc/nowhere")
    failed, _ = talk("hi", llm=Scripted(responses=[says(text="ok")]), thread="t")
    assert "/proc/nowhere" in failed.sentence and "set ARTWRIGHT_HOME" in failed.sentence


def test_an_exception_in_a_tool_does_not_stop_the_agent():
    @tool
    def broken() -> str:
        """Fail."""
        raise RuntimeError("no paper left")

    state = agent(Scripted(responses=[says(call("broken"))]), tools=[broken]).invoke({"messages": [("user", "go")]})
    assert state["messages"][-2].status == "error"
    assert "no paper left" in state["messages"][-1].content


def test_a_served_llm_is_asked_again_after_its_tools():
    lines = [says(call("invent_names", count=2)), says(text="There they are.")]
    state = agent(Scripted(responses=lines, kind="other")).invoke({"messages": [("user", "two names")]})
    assert state["messages"][-1].content == "There they are."


def test_calls_without_end_are_stopped():
    lines = [says(call("invent_names", i, count=1)) for i in range(50)]
    state = agent(Scripted(responses=lines, kind="other")).invoke({"messages": [("user", "names")]})
    assert sum(isinstance(m, ToolMessage) and m.status != "error" for m in state["messages"]) <= 8


def test_a_turn_is_told_as_events():
    line = says(
        call("generate_image", subject="bag"),
        confidences=[0.9],
        choice={"name": "generate_image", "confidence": 0.9, "alternatives": [["no tool", 0.06]]},
    )
    events = list(talk("draw a bag", llm=Scripted(responses=[line]), thread="t"))
    assert history("t") == [Asked("draw a bag"), *(event for event in events if isinstance(event, Choice | Made))]
    choice = next(event for event in events if isinstance(event, Choice))
    assert (choice.tool, choice.args, choice.confidence) == ("generate_image", {"subject": "bag"}, 0.9)
    assert choice.alternatives == (("no tool", 0.06),)
    made = next(event for event in events if isinstance(event, Made))
    assert made.artifacts[0].path.exists() and made.artifacts[0].open().provenance.generator
    assert isinstance(events[-1], Reply) and events[-1].text == made.sentence


def test_memory_survives_a_restart_and_belongs_to_its_owner():
    from chains.memory import saver

    list(talk("draw a bag", llm=Scripted(responses=[says(call("generate_image", subject="bag"))]), thread="mine"))
    saver.cache_clear()  # what a new process starts from
    llm = Scripted(responses=[says(text="Hello again.")])
    assert list(talk("hi", llm=llm, thread="mine"))[-1] == Reply("Hello again.")
    assert [m.content for m in llm.seen[0] if isinstance(m, HumanMessage)] == ["draw a bag", "hi"]
    asked, _choice, made, *rest = history("mine")
    assert [asked, *rest] == [Asked("draw a bag"), Asked("hi"), Word("Hello again.")]
    assert isinstance(made, Made) and made.artifacts[0].path.exists()
    assert stat.S_IMODE(os.stat(memory_path()).st_mode) == 0o600
    forget("mine")
    assert history("mine") == []


def test_the_model_sees_the_last_turns_only():
    for i in range(10):
        list(talk(f"turn {i}", llm=Scripted(responses=[says(text="ok")]), thread="long"))
    llm = Scripted(responses=[says(text="ok")])
    list(talk("now", llm=llm, thread="long"))
    asked = [m.content for m in llm.seen[0] if isinstance(m, HumanMessage)]
    assert asked[-1] == "now" and len(asked) == 6


def test_a_long_conversation_is_kept_once_not_once_a_step():
    for i in range(5):
        list(talk(f"turn {i}", llm=Scripted(responses=[says(call("about", i, topic="models"))]), thread="long"))
    with sqlite3.connect(memory_path()) as memory:
        assert memory.execute("SELECT COUNT(*) FROM checkpoints").fetchone() == (1,)
    assert [event.text for event in history("long") if isinstance(event, Asked)] == [f"turn {i}" for i in range(5)]


def test_a_damaged_memory_is_one_sentence(tmp_path):
    memory_path().write_bytes(b"this was a database once" * 100)
    failed, _ = talk("hi", llm=Scripted(responses=[says(text="ok")]), thread="t")
    assert isinstance(failed, Failed) and str(memory_path()) in failed.sentence and "\n" not in failed.sentence
    with pytest.raises(ValueError, match=r"memory\.sqlite"):
        history("t")


def test_a_memory_that_breaks_during_a_turn_is_one_sentence():
    list(talk("hi", llm=Scripted(responses=[says(text="ok")]), thread="t"))
    with sqlite3.connect(memory_path()) as memory:
        memory.execute("DROP TABLE checkpoints")
    failed, reply = talk("hi", llm=Scripted(responses=[says(text="ok")]), thread="t")
    assert isinstance(failed, Failed) and isinstance(reply, Reply) and "memory.sqlite" in reply.text


def test_a_finished_turn_does_not_look_cancelled():
    cancel = Cancel()
    list(talk("hi", llm=Scripted(responses=[says(text="ok")]), thread="t", cancel=cancel))
    assert not cancel.is_set()


def test_a_stopped_call_has_an_answer_for_the_next_llm():
    cancel = Cancel()
    llm = Scripted(responses=[says(call("morph_images", start="bag", end="coat", frames=64))])
    for event in talk("go", llm=llm, thread="t", cancel=cancel):
        if isinstance(event, Choice):
            cancel.set()
    llm = Scripted(responses=[says(text="ok")], kind="other")
    list(talk("again", llm=llm, thread="t"))
    assert [message.type for message in llm.seen[0]] == ["system", "human", "ai", "tool", "human"]


def test_half_a_character_is_replaced():
    llm = Scripted(responses=[says(text="ok")])
    assert list(talk("hi \ud83d", llm=llm, thread="t"))[-1] == Reply("ok")
    assert llm.seen[0][-1].content == "hi ?"


def test_an_llm_that_says_nothing_is_said():
    failed, reply = talk("hi", llm=Scripted(responses=[says(text="")], kind="other"), thread="t")
    assert isinstance(failed, Failed) and reply == Reply(failed.sentence)


def test_the_embedded_llm_is_brief_unless_told_otherwise():
    from chains.agent import TALK_TOKENS, _model
    from chains.chat_model import ChatArtwright

    assert _model(ChatArtwright()).max_tokens == _model("embedded").max_tokens == TALK_TOKENS
    assert _model(ChatArtwright(max_tokens=7)).max_tokens == 7


def test_cancelling_stops_the_running_sampler_within_a_second():
    cancel = Cancel()
    llm = Scripted(responses=[says(call("morph_images", start="bag", end="coat", frames=64))])
    events = []
    for event in talk("go", llm=llm, thread="c", cancel=cancel):
        events.append(event)
        if isinstance(event, Choice | Progress) and not cancel.is_set():
            cancel.set()
            begin = time.perf_counter()
    assert time.perf_counter() - begin < 1
    assert not any(isinstance(event, Made) for event in events)


@pytest.fixture
def slow_writing(monkeypatch):
    """Every symbol of a text takes 5 ms."""
    from generators.core import writing

    pick = writing.pick
    monkeypatch.setattr(writing, "pick", lambda *given, **more: time.sleep(0.005) or pick(*given, **more))


def test_a_text_is_told_while_it_is_written(slow_writing):
    llm = Scripted(responses=[says(call("write_text", words=30, seed=1, model="markov-scripture"))])
    events = list(talk("go", llm=llm, thread="t"))
    texts = [event.text for event in events if isinstance(event, Progress)]
    made = events[-2]
    assert isinstance(events[0], Choice) and isinstance(made, Made) and isinstance(events[-1], Reply)
    assert len(texts) > 3 and all(after.startswith(before) for before, after in itertools.pairwise(texts))
    assert made.artifacts[0].open().content.startswith(texts[1])


def test_cancelling_in_the_middle_of_a_text_keeps_nothing_of_it(slow_writing):
    cancel = Cancel()
    llm = Scripted(responses=[says(call("write_text", words=1000, model="markov-scripture"))])
    begin, events = time.perf_counter(), []
    for event in talk("go", llm=llm, thread="c", cancel=cancel):
        events.append(event)
        if isinstance(event, Progress) and event.text and not cancel.is_set():
            cancel.set()
            begin = time.perf_counter()
    assert time.perf_counter() - begin < 1 and events[-1] == Reply("Stopped.")
    assert not any(isinstance(event, Made) for event in events)
    assert not [path for path in Store().root.rglob("*") if path.is_file()]


def test_a_text_is_told_twenty_times_a_second_at_most():
    told = []
    with watch.watching(report=told.append):
        report = watch.listener()
        for part in ("a", "ab", "abc"):
            report(Partial("writing", 1, 9, part))
        report(Partial("2 of 9 pictures", 2, 9))
    assert [part.text for part in told] == ["a", ""]


def test_cancelling_stops_a_model_that_is_writing():
    class Slow(Scripted):
        def _generate(self, *args, **kwargs):
            for _ in range(500):
                time.sleep(0.01)
                watch.check()
            return super()._generate(*args, **kwargs)

    cancel = Cancel()
    timer = threading.Timer(0.2, cancel.set)
    begin = time.perf_counter()
    timer.start()
    assert list(talk("go", llm=Slow(responses=[says(text="ok")]), thread="c", cancel=cancel)) == [Reply("Stopped.")]
    assert time.perf_counter() - begin < 4  # it would write for 5 s


def test_a_turn_that_hangs_is_left_behind_and_spoils_nothing():
    release, ended = threading.Event(), threading.Event()

    class Hung(Scripted):
        def _generate(self, *args, **kwargs):
            release.wait(60)
            ended.set()
            return super()._generate(*args, **kwargs)

    list(talk("first", llm=Scripted(responses=[says(text="one")]), thread="h"))
    cancel = Cancel()
    threading.Timer(0.2, cancel.set).start()
    begin = time.perf_counter()
    llm = Hung(responses=[says(text="too late")], kind="other")
    assert list(talk("hang", llm=llm, thread="h", cancel=cancel)) == [Reply("Stopped.")]
    assert time.perf_counter() - begin < 3
    worker = next(thread for thread in threading.enumerate() if thread.name == "artwright-turn")
    assert list(talk("next", llm=Scripted(responses=[says(text="two")]), thread="h"))[-1] == Reply("two")
    release.set()
    worker.join(10)
    assert ended.is_set() and not worker.is_alive()
    assert history("h") == [Asked("first"), Word("one"), Asked("hang"), Asked("next"), Word("two")]
    list(talk("last", llm=Scripted(responses=[says(text="three")]), thread="h"))
    assert history("h")[-3:] == [Word("two"), Asked("last"), Word("three")]


def test_a_turn_that_hangs_before_it_begins_writes_nothing_afterwards():
    class Loading(Scripted):
        @property
        def _llm_type(self):
            time.sleep(2.5)
            return "other"

    cancel = Cancel()
    cancel.set()
    assert list(talk("hang", llm=Loading(responses=[]), thread="l", cancel=cancel)) == [Reply("Stopped.")]
    worker = next(thread for thread in threading.enumerate() if thread.name == "artwright-turn")
    list(talk("next", llm=Scripted(responses=[says(text="two")]), thread="l"))
    worker.join(10)
    assert not worker.is_alive()
    assert history("l") == [Asked("next"), Word("two")]


def test_an_error_of_the_llm_is_one_event():
    events = list(talk("hi", llm="/no/such/folder", thread="x"))
    assert isinstance(events[-2], Failed) and isinstance(events[-1], Reply)


def test_route_runs_no_tool(tmp_path):
    line = says(call("generate_image", subject="bag", count=2), confidences=[0.8])
    result = route("draw two bags", llm=Scripted(responses=[line]))
    assert result["calls"] == [{"name": "generate_image", "args": {"subject": "bag", "count": 2}, "confidence": 0.8}]
    assert not (tmp_path / "store").exists()


def test_route_answers_earlier_prompts_with_success():
    llm = Scripted(responses=[says(call("generate_image", subject="bag")), says(text="You are welcome.")])
    result = route("thanks", history=["draw a bag"], llm=llm)
    assert result["calls"] == [] and result["reply"] == "You are welcome."
    assert any(isinstance(m, ToolMessage) for m in llm.seen[1])


def test_unknown_tool_names_what_there_is():
    from chains import make

    with pytest.raises(RequestError, match="generate_image"):
        make("paint", subject="coat")
