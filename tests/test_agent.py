"""The agent's loop, with a scripted LLM: order, errors, memory, cancelling, and what the person is told."""

from __future__ import annotations

import os
import stat
import time

import pytest
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import Field

from chains.agent import agent, forget, history, memory_path, route, talk
from chains.events import Choice, Failed, Made, Progress, Reply
from generators.core.errors import RequestError
from generators.core.generator import Cancel


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
    choice = next(event for event in events if isinstance(event, Choice))
    assert (choice.tool, choice.args, choice.confidence) == ("generate_image", {"subject": "bag"}, 0.9)
    assert choice.alternatives == (("no tool", 0.06),)
    made = next(event for event in events if isinstance(event, Made))
    assert made.artifacts[0].path.exists() and made.artifacts[0].open().provenance.generator
    assert isinstance(events[-1], Reply) and events[-1].text == made.sentence


def test_memory_survives_a_restart_and_belongs_to_its_owner():
    import chains.agent  # noqa: F401
    from chains.agent import _saver

    list(talk("draw a bag", llm=Scripted(responses=[says(call("generate_image", subject="bag"))]), thread="mine"))
    _saver.cache_clear()  # what a new process starts from
    llm = Scripted(responses=[says(text="Hello again.")])
    assert list(talk("hi", llm=llm, thread="mine"))[-1] == Reply("Hello again.")
    assert [m.content for m in llm.seen[0] if isinstance(m, HumanMessage)] == ["draw a bag", "hi"]
    roles = [turn["role"] for turn in history("mine")]
    assert roles == ["user", "tool", "user", "assistant"]
    assert history("mine")[1]["artifacts"][0].path.exists()
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


def test_cancelling_stops_the_running_sampler_within_a_second():
    cancel = Cancel()
    llm = Scripted(responses=[says(call("write_text", words=1000, count=1))])
    llm = Scripted(responses=[says(call("morph_images", start="bag", end="coat", frames=64))])
    events = []
    for event in talk("go", llm=llm, thread="c", cancel=cancel):
        events.append(event)
        if isinstance(event, Choice | Progress) and not cancel.is_set():
            cancel.set()
            begin = time.perf_counter()
    assert time.perf_counter() - begin < 1
    assert not any(isinstance(event, Made) for event in events)


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
