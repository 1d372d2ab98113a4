"""Whole requests for plugins' tools, and look-ups put together: what is taught is what was said."""

from __future__ import annotations

import json
import re
from random import Random

import pytest
from jsonschema import Draft202012Validator

from chains.tuning import grammar, records
from chains.tuning.answers import answer
from chains.tuning.complete import complete_tools, twins, whole_request
from chains.tuning.plugins import _show, plugin_list, unseen_plugin
from chains.tuning.toollists import ShownTool
from chains.tuning.writer import Writer


def shown(seed: int, split: str = "train") -> tuple[Writer, list[ShownTool]]:
    rng = Random(seed)
    tools = plugin_list(rng, split)
    return Writer(tools, rng, split), [tool for tool in tools if tool.plugin and tool.plugin.plugin.wholes]


def test_the_tables_are_whole() -> None:
    assert len(complete_tools()) > 180
    assert len({(tool.file, tool.names[0]) for tool in complete_tools()}) == len(complete_tools())
    for tool in complete_tools():
        assert len(tool.wholes) >= 8 and len(tool.abouts) == 2, tool.names
        required = {arg.id for arg in tool.args.values() if arg.required}
        for whole in tool.wholes:
            assert required <= whole.said <= set(tool.args), whole.text
            for name, value in whole.args.items():
                arg = tool.args[name]
                if arg.kind == "enum":
                    assert value in arg.choices(), (whole.text, name)
                elif arg.kind in ("int", "num"):
                    low, high = arg.bounds()
                    assert low <= float(value) <= high, (whole.text, name)
                elif arg.kind == "bool":
                    assert value in ("true", "false")
                else:
                    items = value.split(", ") if arg.kind == "list" else [value]
                    assert all(item.lower() in whole.text.lower() for item in items), (whole.text, value)


def test_some_tool_is_always_missing_from_a_list() -> None:
    rng = Random(5)
    one_of_each = {tool.file: tool for tool in complete_tools()}.values()
    tools = [_show(tool, rng) for tool in one_of_each]
    other = unseen_plugin(tools, rng, "train")
    assert other.plugin and other.shown["name"] not in {tool.shown["name"] for tool in tools}


@pytest.mark.parametrize("seed", range(24))
def test_calls_fit_the_schema_that_is_shown(seed: int) -> None:
    writer, tools = shown(seed)
    for tool in tools:
        check = Draft202012Validator(tool.shown["parameters"])
        for _ in range(8):
            text, (name, args), _ = writer.single(tool)
            assert name == tool.shown["name"] and text.strip() and "{" not in text
            assert check.is_valid(args), (text, args)


def test_copied_items_stand_in_the_message_as_in_the_call() -> None:
    checked = 0
    for seed in range(60):
        writer, tools = shown(seed)
        for tool in tools:
            made = whole_request(tool.plugin, writer.rng)
            if made is None:
                continue
            text = grammar.plain(writer.say(made[0]))
            for name, value in made[1].items():
                kind = tool.plugin.plugin.args[name].kind
                for item in value if kind == "list" else [value] if kind == "text" else []:
                    assert item.lower() in text.lower(), (text, item)
                    checked += 1
    assert checked > 60


def test_a_request_never_says_what_the_list_does_not_show() -> None:
    for seed in range(60):
        writer, tools = shown(seed)
        for tool in tools:
            for _ in range(4):
                made = whole_request(tool.plugin, writer.rng)
                assert made is None or set(made[1]) <= set(tool.plugin.shown)


def test_no_list_holds_two_tools_that_could_pass_for_one_another() -> None:
    for seed in range(400):
        _, tools = shown(seed)
        here = {tool.plugin.plugin.names[0] for tool in tools}
        assert all(twins(tool.plugin.plugin).isdisjoint(here) for tool in tools)


def test_records_fields_are_whole() -> None:
    assert len(records.domains()) >= 40
    for domain in records.domains():
        labels = [field.label for field in domain.fields]
        names = [name for field in domain.fields for name in field.names]
        assert len(labels) == len(set(labels)) >= 8 and len(names) == len(set(names)), domain.names
        needed = {domain.slots[name] for name in domain.parameters["required"]}
        assert all(slot in way for way in domain.ways for slot in needed), domain.names
        for field in domain.fields:
            assert all("{it}" in ask for ask in field.asks), field.label
            assert all(reply.count("*") == 1 for reply in (*field.replies, field.fragment)), field.label


@pytest.mark.parametrize("split", ["train", "dev"])
def test_the_reply_is_in_the_record(split: str) -> None:
    told = missing = 0
    for seed in range(150):
        rng = Random(seed)
        tools = records.record_tools(rng, split, 3)
        example = answer(Writer(tools, rng, split))
        assert example is not None
        _, call, result = example.turns
        schema = next(tool.shown for tool in tools if tool.shown["name"] == call.calls[0][0])
        assert Draft202012Validator(schema["parameters"]).is_valid(call.calls[0][1])
        assert not re.search(r"[{}*<>]", example.reply), example.reply
        words = set(re.findall(r"\w+", f"{result.text} {example.turns[0].text}"))
        facts = [word for word in re.findall(r"\w+", example.reply) if re.search(r"\d", word)]
        told += bool(facts) and set(facts) <= words
        missing += bool(facts) and not set(facts) <= words
    assert told > 60 and missing == 0


def test_records_come_in_many_shapes_and_json_stays_json() -> None:
    shapes = set()
    for seed in range(200):
        rng = Random(seed)
        (tool,) = records.record_tools(rng, "train", 1)
        text, _ = tool.lookup.request(rng).exchange()
        shapes.add(text[0] if text[0] in "{[<" else "lines" if "\n" in text else "prose")
        if text[0] in "{[":
            json.loads(text)
    assert shapes == {"{", "[", "<", "lines", "prose"}
