"""One turn of the agent, step by step: results that the next call uses, errors that are mended, limits, and truth."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from llms import Scripted, Streaming, call, says, text_of

from chains import agent as agent_package
from chains import watch
from chains.agent import Limits, agent, history, talk
from chains.events import Asked, Choice, Failed, Made, Progress, Reply, Word
from chains.memory import memory_path
from chains.store import Store
from chains.truth import MISSING, Truth
from generators.core.artifact import Image
from generators.core.errors import RequestError
from generators.core.generator import Cancel

assert agent_package  # the function; the modules are chains.agent's


@pytest.fixture(autouse=True)
def _home(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))


def run(llm: Scripted, text: str = "go", tools: list[Any] | None = None, **more: Any) -> list[Any]:
    return agent(llm, tools=tools, **more).invoke({"messages": [("user", text)]})["messages"]


def picture(shade: int) -> dict[str, str]:
    import numpy as np

    return Store().put(Image(np.full((4, 4), shade, np.uint8), None)).reference()


@tool(response_format="content_and_artifact")
def sketch(shades: list[int]) -> tuple[str, list[dict[str, str]]]:
    """Sketch something."""
    return f"Sketched {len(shades)}.", [picture(shade) for shade in shades]


seen: list[str] = []


@tool
def vary(image: str = "last", start: str = "") -> str:
    """Vary a picture."""
    seen[:] = [image, start]
    return f"Varied {image}."


def test_last_is_what_the_call_before_has_just_made() -> None:
    run(Scripted(lines=[says(call("sketch", 1, shades=[7, 8]), call("vary", 2))]), tools=[sketch, vary])
    assert seen[0] == picture(7)["id"]  # the first of the newest batch; the default is `last` too
    run(Scripted(lines=[says(call("sketch", 1, shades=[7, 8]), call("vary", 2, start="second"))]), tools=[sketch, vary])
    assert seen == [picture(7)["id"], picture(8)["id"]]


def test_last_is_also_a_picture_of_an_earlier_turn() -> None:
    graph = agent(Scripted(lines=[says(call("sketch", 1, shades=[5])), says(call("vary", 2))]), tools=[sketch, vary])
    state = graph.invoke({"messages": [("user", "sketch")]})
    graph.invoke({"messages": [*state["messages"], ("user", "vary it")]})
    assert seen[0] == picture(5)["id"]


def test_last_is_a_picture_that_came_with_the_request_until_something_newer_is_made() -> None:
    def brought(*shades: int) -> list[Any]:
        pictures = [Store().get(picture(shade)["id"]) for shade in shades]
        line = says(call("vary_image", 1, count=1, seed=1))
        return list(talk("vary it", llm=Scripted(lines=[line]), thread="brought", pictures=pictures))

    (made,) = [event for event in brought(30, 60) if isinstance(event, Made)]
    assert f"Made 1 variation of {picture(30)['id']}" in made.sentence
    (again,) = [event for event in brought() if isinstance(event, Made)]
    assert f"Made 1 variation of {made.artifacts[0].id}" in again.sentence
    asked = [event for event in history("brought") if isinstance(event, Asked)]
    assert [[one.id for one in event.pictures] for event in asked] == [[picture(30)["id"], picture(60)["id"]], []]


def test_without_a_picture_the_person_is_told() -> None:
    reply = run(Scripted(lines=[says(call("vary"))]), tools=[sketch, vary])[-1]
    assert reply.content == "There is no picture in this conversation yet; ask for one first."


def test_a_real_picture_is_morphed_by_what_was_just_drawn() -> None:
    calls = [call("generate_image", 1, subject="bag", seed=3), call("morph_images", 2, start="last", end="coat")]
    drawn, morphed, _ = run(Scripted(lines=[says(*calls)]), "draw a bag and morph it into a coat")[-3:]
    assert morphed.status != "error" and f"Morphed {drawn.artifact[0]['id']} into coat" in morphed.content


def test_calls_without_a_seed_differ_by_place_and_request_but_not_by_run() -> None:
    line = says(call("generate_image", 1, subject="bag"), call("generate_image", 2, subject="bag"))
    graph = agent(Scripted(lines=[line]))
    made = []
    for ident in ("one", "one", "two"):
        state = graph.invoke({"messages": [{"role": "user", "content": "two bags", "id": ident}]})
        made.append([m.artifact[0]["id"] for m in state["messages"] if isinstance(m, ToolMessage)])
    assert made[0] == made[1] and len({*made[0], *made[2]}) == 4


def fussy(*good: str) -> Any:
    tried: list[str] = []

    @tool
    def paint(subject: str) -> str:
        """Paint a subject."""
        tried.append(subject)
        if subject not in good:
            raise RequestError(f"Nobody knows {subject!r}; known are {', '.join(good)}.")
        return f"Painted a {subject}."

    paint.metadata = {"tried": tried}
    return paint


def test_an_error_goes_back_once_and_the_second_try_counts() -> None:
    paint = fussy("pullover")
    lines = [says(call("paint", 1, subject="jumper")), says(call("paint", 2, subject="pullover"))]
    llm = Scripted(lines=lines)
    messages = run(llm, "paint a jumper", [paint, vary])
    assert messages[-1].content == "Painted a pullover."
    first, second = llm.asked
    assert first[1]["tools"] == ["paint", "vary"] and second[1]["tools"] == [
        "paint"
    ]  # nothing else may follow an error
    assert "Nobody knows 'jumper'" in text_of(second[0]) and second[1]["plain_talk"] is False


def test_what_fails_twice_is_explained_and_never_tried_again() -> None:
    paint = fussy("pullover")
    lines = [says(call("paint", i, subject=word)) for i, word in enumerate(("jumper", "jersey", "sweater", "pullover"))]
    messages = run(Scripted(lines=lines), "paint a jumper", [paint])
    assert paint.metadata["tried"] == ["jumper", "jersey"]
    assert messages[-1].content == "Nobody knows 'jumper'; known are pullover."  # the person's own word


def test_the_same_call_again_is_not_run_again() -> None:
    paint = fussy("pullover")
    run(Scripted(lines=[says(call("paint", 1, subject="unicorn"))]), "paint a unicorn", [paint])
    assert paint.metadata["tried"] == ["unicorn"]


def test_each_call_of_a_turn_is_mended_by_itself() -> None:
    paint = fussy("bag", "coat")
    lines = [
        says(*[call("paint", i, subject=word) for i, word in enumerate(("purse", "bag", "mantle"))]),
        says(text="", choice={"name": "no tool"}),  # leaves the first
        says(call("paint", 9, subject="coat")),
    ]
    reply = run(Scripted(lines=lines), "paint three", [paint])[-1].content
    assert paint.metadata["tried"] == ["purse", "bag", "mantle", "coat"]
    assert "Nobody knows 'purse'" in reply and "Painted a bag." in reply and "Painted a coat." in reply


def test_a_broken_tool_is_no_matter_of_arguments() -> None:
    @tool
    def paint(subject: str) -> str:
        """Paint."""
        raise OSError("no paper left")

    llm = Scripted(lines=[says(call("paint", 1, subject="a")), says(call("paint", 2, subject="b"))])
    assert run(llm, tools=[paint])[-1].content == "no paper left" and len(llm.asked) == 1


def test_a_served_llm_that_fails_twice_must_explain() -> None:
    paint = fussy("pullover")
    words = (f"w{i}" for i in range(50))
    llm = Scripted(
        kind="other",
        lines=[
            lambda messages, more: (
                says(call("paint", len(messages), subject=next(words))) if more.get("tools") else says(text="I cannot.")
            )
        ],
    )
    assert run(llm, tools=[paint])[-1].content == "I cannot." and len(paint.metadata["tried"]) == 2


def test_calls_beyond_the_limit_are_refused_in_one_sentence() -> None:
    paint = fussy("a")
    line = says(*[call("paint", i, subject="a") for i in range(5)])
    messages = run(Scripted(lines=[line]), tools=[paint], limits=Limits(calls=3))
    assert len(paint.metadata["tried"]) == 3
    assert messages[-1].content == "Painted a a.\nOne turn makes at most 3 calls; ask for the rest in another message."


def test_an_llm_without_end_is_stopped_in_one_sentence() -> None:
    paint = fussy("a")
    llm = Scripted(kind="other", lines=[lambda m, _: says(call("paint", len(m), subject="a"))])
    assert "no end within 4 rounds" in run(llm, tools=[paint], limits=Limits(rounds=4))[-1].content


def test_a_slow_tool_meets_the_time_limit() -> None:
    @tool
    def crawl() -> str:
        """Look at the switch, as samplers do."""
        while True:
            time.sleep(0.01)
            watch.check()

    begin = time.monotonic()
    reply = run(Scripted(lines=[says(call("crawl"))]), tools=[crawl], limits=Limits(seconds=0.5))[-1]
    assert reply.content == "This took longer than 0.5 seconds and was stopped; ask for less at once."
    assert time.monotonic() - begin < 5


def test_a_hanging_llm_meets_the_time_limit() -> None:
    release = threading.Event()

    def hang(*_: Any) -> AIMessage:
        release.wait(60)
        return says(text="late")

    llm = Scripted(kind="other", lines=[hang])
    *_, failed, reply = talk("hi", llm=llm, thread="t", limits=Limits(seconds=0.3))
    release.set()
    assert isinstance(failed, Failed) and "longer than 0.3 seconds" in reply.text


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTWRIGHT_TURN_CALLS", "3")
    monkeypatch.setenv("ARTWRIGHT_TURN_SECONDS", "12.5")
    assert Limits.from_environment() == Limits(calls=3, seconds=12.5)
    monkeypatch.setenv("ARTWRIGHT_TURN_CALLS", "many")
    failed, _ = talk("hi", llm=Scripted(lines=[says(text="ok")]), thread="t")
    assert failed.sentence == "ARTWRIGHT_TURN_CALLS=many is no number; set it to one above 0, or not at all"


def patch_tools(monkeypatch: pytest.MonkeyPatch, *tools: Any) -> None:
    import sys

    monkeypatch.setattr(sys.modules["chains.agent"], "app_tools", lambda: {one.name: one for one in tools})


def test_steps_are_told_as_they_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()

    @tool
    def first() -> str:
        """Answer at once."""
        return "one"

    @tool
    def second() -> str:
        """Answer when the first answer was seen."""
        assert go.wait(30), "the first result was not told before the second call had ended"
        return "two"

    patch_tools(monkeypatch, first, second)
    told = []
    for event in talk("go", llm=Scripted(lines=[says(call("first", 1), call("second", 2))]), thread="t"):
        told.append(event)
        if isinstance(event, Made):
            go.set()
    kinds = [type(event) for event in told]
    assert kinds == [Choice, Choice, Made, Made, Reply]


def test_cancelling_stops_a_slow_sampler_within_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[float] = []

    @tool
    def slow() -> str:
        """Sample for a minute."""
        try:
            for step in range(600):
                time.sleep(0.1)
                if report := watch.listener():
                    from generators.core.generator import Partial

                    report(Partial("sampling", step, 600))
                watch.check()
        finally:
            stopped.append(time.monotonic())
        return "done"

    patch_tools(monkeypatch, slow)
    cancel, asked = Cancel(), 0.0
    for event in talk("go", llm=Scripted(lines=[says(call("slow"))]), thread="t", cancel=cancel):
        if isinstance(event, Progress) and not cancel.is_set():
            cancel.set()
            asked = time.monotonic()
    assert stopped and stopped[0] - asked < 1 and time.monotonic() - asked < 2.5


def test_replies_name_only_what_exists() -> None:
    kept = Store().put(Image(__import__("numpy").zeros((2, 2), "uint8"), None))
    truth = Truth("make photo.png smaller")
    true = f"It is {kept.id}, at {kept.path}, from photo.png; see https://example.com/a.png and notes.txt, 2,000 words."
    assert truth.correct(true) == true
    for lie in ("a1b2c3d4e5f6", "sneaker.png", "/mnt/data/tune.wav", "![it](coat.png)", f"{Store().root}/aa/none.txt"):
        assert truth.correct(f"Here: {lie}!") == f"Here: {MISSING}!", lie
    assert truth.correct("The year 20240101, a facade and 12:30.") == "The year 20240101, a facade and 12:30."


def test_a_made_up_file_reaches_nobody() -> None:
    llm = Streaming(lines=[says(text="Here is your picture: sneaker.png (id 0123456789ab). Enjoy!")])
    events = list(talk("show me", llm=llm, thread="t"))
    told = "".join(event.text for event in events if isinstance(event, Word))
    expected = f"Here is your picture: {MISSING} (id {MISSING}). Enjoy!"
    assert events[-1] == Reply(expected) and told == expected
    assert history("t")[-1] == Word(expected)


def test_run_again_answers_an_earlier_request_with_another_tool() -> None:
    lines = [says(call("generate_image", 1, subject="bag"))]
    list(talk("a bag", llm=Scripted(lines=lines), thread="t"))
    list(talk("thanks", llm=Scripted(lines=[says(text="Gladly.")]), thread="t"))
    asked = history("t")[0]
    assert isinstance(asked, Asked)
    llm = Scripted(lines=[says(call("invent_names", 2, count=2))])
    *_, reply = talk("", llm=llm, thread="t", again=asked.request, tool="invent_names")
    assert reply.text.startswith("Invented 2 names")
    messages, more = llm.asked[0]
    assert more["tool_choice"] == "invent_names"
    assert [message.content for message in messages] == ["a bag"], "it is understood where it was asked"
    told = [event for event in history("t") if isinstance(event, Asked)]
    assert told == [Asked("a bag"), Asked("thanks"), Asked("a bag", tool="invent_names")]


def test_an_unknown_request_cannot_run_again() -> None:
    failed, _ = talk("", llm=Scripted(lines=[says(text="ok")]), thread="t", again="nobody's")
    assert "not in this conversation" in failed.sentence


def test_a_stopped_turn_runs_again_in_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    @tool
    def wait() -> str:
        """Wait."""
        while True:
            time.sleep(0.01)
            watch.check()

    patch_tools(monkeypatch, wait)
    cancel = Cancel()
    for event in talk("go", llm=Scripted(lines=[says(call("wait"))]), thread="t", cancel=cancel):
        if isinstance(event, Choice):
            cancel.set()
    asked = history("t")[0]
    assert isinstance(asked, Asked) and asked.is_open
    list(talk("", llm=Scripted(lines=[says(text="Done now.")]), thread="t", again=asked.request))
    assert history("t") == [Asked("go"), Word("Done now.")]
    assert memory_path().exists()
