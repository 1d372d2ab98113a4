"""A number that was said once goes to one argument, unless the model is sure that it is meant twice."""

from __future__ import annotations

import json
from typing import Any

import pytest

import chains.engine
from chains.chat_model import ChatArtwright
from chains.choice import Choice
from chains.engine import CALL_TOKENS, Outcome
from chains.grammar import Arguments, compile_tool
from chains.numbers import untangled
from chains.prompting import Segment, Turn, encode, tool_prompt

NUMBER, INTEGER = {"type": "number"}, {"type": "integer"}
SWEEP = {
    "name": "sweep",
    "description": "Sweep a voltage from a start to an end.",
    "parameters": {
        "type": "object",
        "properties": {"start": NUMBER, "end": NUMBER, "stops": INTEGER, "note": {"type": "string"}},
        "required": ["start", "end", "stops"],
    },
}
SAID = "from 21.0 to -0.237 volts with 4 stops in between, start the sweep"


def ways(said: str, **arguments: Any) -> list[dict[str, Any]]:
    text = json.dumps(arguments, separators=(",", ":"), ensure_ascii=False)
    return [json.loads(way) for way in untangled(text, SWEEP["parameters"], said)]


def test_the_free_number_goes_to_either_argument() -> None:
    assert ways(SAID, start=21.0, end=4, stops=4) == [{"start": 21.0, "end": -0.237, "stops": 4}]
    assert ways("from 5 to 9 with 4 stops", start=5, end=4, stops=4) == [
        {"start": 5, "end": 9, "stops": 4},
        {"start": 5, "end": 4, "stops": 9},
    ]


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        (SAID, {"start": 21.0, "end": -0.237, "stops": 4}),  # as said
        ("from 4 to 4 with 9 stops", {"start": 4, "end": 4, "stops": 0}),  # said twice
        ("from 4 with as many stops", {"start": 4, "end": 4, "stops": 4}),  # none is free
        ("sweep 21.5 and 4", {"start": 0, "end": 0, "stops": 4}),  # 0 was not said
        ("from four to nine", {"start": 4, "end": 9, "stops": 1}),
        (SAID, {"start": 21.0, "end": -0.237, "stops": 4, "note": 'it says "stops":4,"end":4}'}),
        ("ends at 4, article 77", {"start": 4, "end": 4, "stops": 0, "note": " 77"}),  # held by a text
        ("set this one, start and end, to 4", {"start": 4, "end": 4, "stops": 0}),  # no number
        ("3.0 stops, start and end 4", {"start": 4, "end": 4, "stops": 3}),  # as a number, it is there
    ],
)
def test_other_calls_have_no_other_way(said: str, arguments: dict[str, Any]) -> None:
    assert ways(said, **arguments) == []


def test_number_words_count() -> None:
    assert ways("from two to seven with 4 stops", start=4, end=7, stops=4) == [
        {"start": 2, "end": 7, "stops": 4},
        {"start": 4, "end": 7, "stops": 2},
    ]


def settled(tool: dict[str, Any], said: str, **arguments: Any) -> dict[str, Any]:
    """What becomes of a call that the embedded LLM is made to write."""
    engine = ChatArtwright().engine
    compiled = compile_tool(tool)
    session = engine.session(tool_prompt([compiled.description], [Turn("user", said)]), True, Outcome())
    text = json.dumps(arguments, separators=(",", ":"))
    session.push(encode(engine.tokenizer, [Segment(f"{compiled.name} {text}")]))
    session.logits()
    best = engine._untangled(session, compiled, text, said)
    written = encode(engine.tokenizer, [Segment(f" {best}")])
    assert session.said()[-len(written) :] == written
    found: dict[str, Any] = json.loads(best)
    return found


def test_the_embedded_llm_mends_a_call() -> None:
    wrong = {"start": 21.0, "end": 4, "stops": 4, "note": None}
    assert settled(SWEEP, SAID, **wrong) == wrong | {"end": -0.237}


@pytest.mark.parametrize(("sure", "end"), [(0.9, -0.237), (0.999, 4)])
def test_a_number_may_be_meant_twice(monkeypatch: pytest.MonkeyPatch, sure: float, end: float) -> None:
    def choose(_: Any, options: Any, *__: Any) -> Choice:
        one, other = options
        return Choice(one, sure, ((one.name, sure), (other.name, 1 - sure)), written=False)

    monkeypatch.setattr(chains.engine, "choose", choose)
    call = {"start": 21.0, "end": 4, "stops": 4, "note": None}
    assert settled(SWEEP, SAID, **call) == call | {"end": end}


def test_what_the_grammar_forbids_is_no_way() -> None:
    tool = json.loads(json.dumps(SWEEP))
    tool["parameters"]["properties"]["end"] |= {"minimum": 0}
    wrong = {"start": 21.0, "end": 4, "stops": 4, "note": None}
    engine = ChatArtwright().engine
    tokens = encode(engine.tokenizer, [Segment(" " + json.dumps(wrong | {"end": -0.237}, separators=(",", ":")))])
    assert not Arguments(compile_tool(tool), engine.vocabulary, CALL_TOKENS).fits(*tokens)
    assert settled(tool, SAID, **wrong) == wrong
