"""A choice with a number: calibrated, and under a threshold one short question in place of a guess."""

from __future__ import annotations

import json
import math
from pathlib import Path
from random import Random
from typing import Any

import pytest
from langchain_core.messages import ToolMessage
from langchain_core.tools import tool
from llms import Scripted, call, says, text_of, unsure

from chains.agent import history, route, talk
from chains.calibration import (
    Calibration,
    Judged,
    calibration_error,
    fit,
    guesses,
    loss,
    read,
    right_names,
    threshold,
    write,
)
from chains.conversation import literal
from chains.events import Asked, Made, Question, Reply, Word
from chains.prompting import NO_TOOL
from chains.questions import in_words

QUESTION = "Which did you mean: 1. draw new pictures of a subject, or 2. only talk?"
DOUBT = unsure(("generate_image", 0.41), ("no tool", 0.39), ("about", 0.1))
DRAW = says(call("generate_image", 1, subject="coat"))


@pytest.fixture(autouse=True)
def _home(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))


def ask(llm: Scripted, text: str = "coat?") -> list[Any]:
    return list(talk(text, llm=llm, thread="t"))


def test_an_unsure_choice_becomes_one_question() -> None:
    llm = Scripted(lines=[DOUBT])
    question, reply = ask(llm)
    assert question == Question(
        QUESTION, (("generate_image", "draw new pictures of a subject"), ("no tool", "only talk"))
    )
    assert reply == Reply(QUESTION) and len(llm.asked) == 1 and llm.asked[0][1]["may_ask"] is True
    assert history("t") == [Asked("coat?"), question]


@pytest.mark.parametrize("answer", ["1", "first", "The first one.", "generate image", "Draw new pictures of a subject"])
def test_an_answer_that_is_an_option_calls_with_the_requests_own_arguments(answer: str) -> None:
    ask(Scripted(lines=[DOUBT]), "a coat, seed 7?")
    llm = Scripted(lines=[DRAW])
    assert any(isinstance(event, Made) for event in ask(llm, answer))
    messages, more = llm.asked[0]
    assert more["tool_choice"] == "generate_image" and [m.content for m in messages] == ["a coat, seed 7?"]


def test_talk_is_an_option_too() -> None:
    ask(Scripted(lines=[DOUBT]))
    llm = Scripted(lines=[says(text="A coat keeps you warm.")])
    assert ask(llm, "only talk")[-1] == Reply("A coat keeps you warm.")
    assert llm.asked[0][1]["tool_choice"] == "none" and llm.asked[0][0][-1].content == "coat?"


def test_an_answer_in_other_words_is_the_llms_to_read_and_nothing_is_asked_twice() -> None:
    ask(Scripted(lines=[DOUBT]))
    llm = Scripted(lines=[DRAW, DRAW])
    assert any(isinstance(event, Made) for event in ask(llm, "a picture, of course"))
    (first, deciding), (second, writing) = llm.asked
    assert deciding["may_ask"] is False and QUESTION in text_of(first) and first[-1].content == "a picture, of course"
    assert writing["tool_choice"] == "generate_image" and second[-1].content == "coat?\n(a picture, of course)"


def test_something_else_may_be_asked_for_after_a_question() -> None:
    ask(Scripted(lines=[DOUBT]))
    llm = Scripted(lines=[says(call("invent_names", 1, count=3))])
    assert ask(llm, "never mind, three names")[-1].text.startswith("Invented 3 names")
    assert len(llm.asked) == 1


def test_after_the_answer_a_new_request_may_be_asked_about() -> None:
    ask(Scripted(lines=[DOUBT]))
    ask(Scripted(lines=[says(text="Fine.")]), "no")
    assert isinstance(ask(Scripted(lines=[DOUBT]), "bag?")[0], Question)


def test_a_served_llm_is_not_asked_how_sure_it_is() -> None:
    llm = Scripted(kind="other", lines=[says(text="A coat.")])
    ask(llm)
    assert "may_ask" not in llm.asked[0][1]


def test_route_asks_as_the_agent_does() -> None:
    answer = route("coat?", llm=Scripted(lines=[DOUBT]))
    assert answer["calls"] == [] and answer["reply"] == QUESTION
    llm = Scripted(lines=[DRAW])
    route("and a bag", history=["a coat"], llm=llm)
    (_, earlier), (messages, now) = llm.asked
    assert earlier["may_ask"] is False and now["may_ask"] is True
    assert any(isinstance(message, ToolMessage) for message in messages)


def test_options_are_the_tools_own_words_whoever_made_them() -> None:
    @tool
    def plant_tree(kind: str) -> str:
        """Plant a tree of some kind in the person's garden (a real one). It takes a while."""
        return kind

    assert in_words("plant_tree", [plant_tree]) == "plant a tree of some kind in the person's garden"
    assert in_words("no tool", []) == "only talk"
    assert in_words("nobody_knows", []) == "nobody knows"
    long = {"title": "far", "description": "Go " + "very " * 40 + "far", "type": "object", "properties": {}}
    assert len(in_words("far", [long])) <= 72 and in_words("far", [long]).endswith("very …")
    assert in_words("pdf", [{**long, "title": "pdf", "description": "PDF files"}]) == "PDF files"


def test_only_an_options_own_words_are_matched() -> None:
    options = [("generate_image", "draw new pictures"), ("no tool", "only talk")]
    assert literal("2", options) == literal("Only talk!", options) == literal("the second", options) == "no tool"
    for other in ("yes", "draw it", "first of all, hello", "1 coat", "", "talk"):
        assert literal(other, options) == ""


def made_up(n: int, sharp: float, seed: int = 0) -> list[Judged]:
    """Rankings of a model that says `sharp` times the log-odds that are true."""
    rng = Random(seed)
    found = []
    for _ in range(n):
        odds = rng.uniform(0, 5)
        right = rng.random() < 1 / (1 + math.exp(-odds))
        said = 1 / (1 + math.exp(-sharp * odds))
        found.append(Judged((("a", said), ("b", 1 - said)), frozenset("a" if right else "b")))
    return found


def test_the_temperature_is_the_one_that_was_put_in() -> None:
    judged = made_up(4000, 2.0)
    found = fit(judged)
    assert found.temperature == pytest.approx(2.0, rel=0.1)
    assert loss(judged, found) < loss(judged, Calibration())
    before, after = (calibration_error(guesses(judged, c)) for c in (Calibration(), found))
    assert after < 0.02 < before
    assert fit(made_up(4000, 1.0)).temperature == pytest.approx(1.0, rel=0.1)


def test_a_temperature_keeps_the_order_and_the_sum() -> None:
    ranking = (("a", 0.9), ("b", 0.09), ("c", 0.01))
    for temperature in (0.5, 1.0, 3.0):
        again = Calibration(temperature).of(ranking)
        assert [name for name, _ in again] == ["a", "b", "c"] and sum(p for _, p in again) == pytest.approx(1)
    assert Calibration(3.0).of(ranking)[0][1] < 0.9 < Calibration(0.5).of(ranking)[0][1]


def test_a_handicap_is_found_and_changes_what_is_chosen() -> None:
    """A model that adds a nat of its own to `no tool`, and is right about everything else."""
    rng = Random(1)
    judged = []
    for _ in range(400):
        odds = rng.uniform(-3, 3)  # of the tool against `no tool`
        right = "draw" if rng.random() < 1 / (1 + math.exp(-odds)) else NO_TOOL
        said = 1 / (1 + math.exp(1.0 - odds))
        ranking = sorted([("draw", said), (NO_TOOL, 1 - said)], key=lambda pair: -pair[1])
        judged.append(Judged(tuple(ranking), frozenset([right])))
    found = fit(judged)
    assert found.handicap == pytest.approx(1.0, abs=0.35) and found.temperature == pytest.approx(1.0, abs=0.3)
    assert fit(judged, 0.4).handicap == 0.4
    with pytest.raises(ValueError, match=r"out of range; give 0\.0 to 1\.4"):
        fit(judged, 2.0)
    right_before, right_after = (sum(good for _, good in guesses(judged, c)) for c in (Calibration(), found))
    assert right_after > right_before
    assert Calibration(handicap=1.0).of(((NO_TOOL, 0.6), ("draw", 0.4)))[0][0] == "draw"
    assert Calibration(2.0, handicap=1.0).of((("a", 0.9), ("b", 0.1))) == Calibration(2.0).of((("a", 0.9), ("b", 0.1)))


def test_calibration_error_by_hand() -> None:
    assert calibration_error([(1.0, True)] * 15) == 0
    assert calibration_error([(0.8, True)] * 8 + [(0.8, False)] * 2, bins=1) == pytest.approx(0)
    assert calibration_error([(0.9, False)] * 30) == pytest.approx(0.9)


def test_the_threshold_is_where_a_guess_is_not_worth_it() -> None:
    assert threshold([(0.9, True)] * 50) == 0.45
    wrong_below = [(0.3 + 0.002 * i, False) for i in range(100)] + [(0.55, True)] * 300
    assert threshold(wrong_below) == pytest.approx(0.5, abs=0.01)
    assert threshold([(0.5, False)] * 4) == 0.45, "four guesses say too little"
    assert threshold([(0.7, False)] * 50) == 0.45, "nobody wants to be asked that often"


def test_what_is_kept_beside_the_adapter_comes_back(tmp_path: Path) -> None:
    assert read(None) == read(tmp_path) == Calibration(1.0, 0.0)
    (tmp_path / "artwright.json").write_text('{"base_sha256": "x"}')
    write(tmp_path, Calibration(1.4, ask_below=0.47, handicap=0.8), 300)
    assert read(tmp_path) == Calibration(1.4, ask_below=0.47, handicap=0.8)
    assert json.loads((tmp_path / "artwright.json").read_text())["base_sha256"] == "x"
    for damaged in (
        '{"calibration": {"temperature": 0}}',
        '{"calibration": {"handicap": -1}}',
        '{"calibration": {"ask_below": "x"}}',
        "[]",
        "{",
    ):
        (tmp_path / "artwright.json").write_text(damaged)
        with pytest.raises(ValueError, match="calibration"):
            read(tmp_path)


def test_right_names_follow_the_benchmarks_rules() -> None:
    assert right_names({"kind": "tool", "calls": [{"name": "a"}, {"name": "b"}]}) == {"a"}
    assert right_names({"kind": "talk", "calls": []}) == {"no tool", "about"}
    assert right_names({"kind": "unseen", "calls": []}) == {"no tool"}
    assert right_names({"kind": "tool", "calls": [{"name": "about"}], "about_ok": True}) == {"about", "no tool"}


def test_the_embedded_llm_stops_where_it_may_ask() -> None:
    """The switch in the model itself: a threshold above any confidence ends every turn after its decision."""
    from chains.chat_model import ChatArtwright
    from chains.tools import tools

    model = ChatArtwright()
    kept, model.engine.calibration = model.engine.calibration, Calibration(1.3, 1.01)
    try:
        bound = model.bind_tools(list(tools().values()), may_ask=True)
        answer = bound.invoke("draw two sneakers")
        assert (
            answer.tool_calls == [] and answer.content == "" and answer.response_metadata["finish_reason"] == "unsure"
        )
        question, _ = talk("draw two sneakers", llm="embedded", thread="t")
        assert isinstance(question, Question) and question.options[0][0] == "generate_image"
        *_, reply = talk("1", llm="embedded", thread="t")
        assert reply.text.startswith("Drew 2 pictures of sneaker")
        assert not any(isinstance(event, Word) for event in history("t"))
    finally:
        model.engine.calibration = kept
