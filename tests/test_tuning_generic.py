"""Composed tools: requests say what the calls hold, replies say what the tools answered."""

from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import jsonschema

from chains.grammar import compile_tools
from chains.prompting import call_line
from chains.tuning import copied
from chains.tuning.answers import answer
from chains.tuning.generic import fields, generic_list, things, unseen_generic
from chains.tuning.generic_requests import GenericRequest
from chains.tuning.grammar import plain
from chains.tuning.packing import answer_text
from chains.tuning.toollists import ShownTool, pick_tools
from chains.tuning.writer import Example, Writer


def some_requests(lists: int) -> list[tuple[ShownTool, GenericRequest]]:
    made = []
    for seed in range(lists):
        rng = Random(f"requests {seed}")
        for tool in generic_list(rng, "train"):
            if tool.generic is not None:
                request = GenericRequest(tool.generic, rng)
                request.make()
                made.append((tool, request))
    return made


def strings_in(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for part in inner for text in strings_in(part)]


def test_requests_say_what_their_calls_hold() -> None:
    checked = 0
    for tool, request in some_requests(300):
        parameters = tool.schema["parameters"]
        jsonschema.validate(request.args, {**parameters, "additionalProperties": False})
        assert list(request.args) == [name for name in parameters["properties"] if name in request.args]
        said = plain(request.text)
        for name, field in tool.generic.args.items():
            if field.kind in ("text", "texts") and name in request.args:
                for text in strings_in(request.args[name]):
                    assert text in said
                    checked += 1
    assert checked > 300


def test_calls_survive_json_and_names_are_allowed() -> None:
    seen = set()
    for seed in range(60):
        tools = generic_list(Random(f"names {seed}"), "train")
        assert len(compile_tools([tool.shown for tool in tools])) == len(tools)
    for tool, request in some_requests(200):
        line = call_line(tool.shown["name"], request.args)
        assert "\n" not in line and json.loads(line.partition(" ")[2]) == request.args
        seen |= {mark for mark in ('\\"', "\\n", "\\\\") if mark in line}
    assert seen == {'\\"', "\\n", "\\\\"}


def test_lists_are_endless_and_follow_from_the_seed() -> None:
    names = {tool.shown["name"] for seed in range(200) for tool in generic_list(Random(seed), "train")}
    assert len(names) > 250
    assert generic_list(Random(5), "train") == generic_list(Random(5), "train")
    numbers = [copied.whole(Random(seed)) for seed in range(200)]
    assert min(numbers) < -1000 and max(numbers) > 10**6


def test_what_dev_asks_for_never_trains() -> None:
    dev = {thing.words for thing in things() if thing.dev and thing.words}
    assert 3 < len(dev) < len(things()) / 4
    for seed in range(100):
        for split in ("train", "dev"):
            tools = generic_list(Random(seed), split)
            assert {tool.task.startswith("generic:") for tool in tools} and len(
                {tool.shown["name"] for tool in tools}
            ) == len(tools)
    for _, request in some_requests(200):
        assert request.tool.thing.words not in dev


def test_every_row_is_used_and_every_argument_known() -> None:
    used = {arg.rstrip("!") for thing in things() for arg in thing.args}
    slots = {slot for thing in things() for phrase in thing.phrases for slot in re.findall(r"\{(\w+)\}", phrase)}
    assert used | slots <= set(fields())
    for thing in things():
        if thing.domain != "facts":
            assert all(
                set(re.findall(r"\{(\w+)\}", phrase)) <= {arg.rstrip("!") for arg in thing.args}
                for phrase in thing.phrases
            ), thing


def test_unserved_requests_have_no_tool_in_the_list() -> None:
    for seed in range(100):
        rng = Random(seed)
        tools = generic_list(rng, "train")
        here = {tool.generic.thing.words for tool in tools if tool.generic is not None}
        assert unseen_generic(tools, rng, "train").generic.thing.words not in here


def some_answers(count: int) -> list[Example]:
    made: list[Example] = []
    for seed in range(10 * count):
        rng = Random(f"answers {seed}")
        tools = generic_list(rng, "train") if seed % 3 else pick_tools(rng)
        one = answer(Writer(tools, rng, "train"))
        made += [one] if one is not None else []
        if len(made) == count:
            break
    return made


def test_replies_copy_what_the_tool_answered() -> None:
    examples = some_answers(300)
    for example in examples:
        assert not example.calls and example.turns[-1].role == "tool" and example.kind == "answer"
        told = " ".join(turn.text for turn in example.turns)
        asked = " ".join(str(args) for turn in example.turns for _, args in turn.calls)
        for figure in re.findall(r"-?\d+(?:\.\d+)?", example.reply):
            assert figure in told or figure in asked, example
        said = re.sub(r"\{[^{}]*\} ", "", answer_text([], example))  # without what the result calls its values
        assert said == f"no tool\n{example.reply}" and "<" not in example.reply.replace("<p ", "")
    assert sum(len(example.turns) > 3 for example in examples) > 5
    failed = [e for e in examples if re.search(r"[Ee]rror|not found", e.turns[-1].text)]
    assert failed and all("fail" in e.reply or "not" in e.reply or "Nothing" in e.reply for e in failed)
