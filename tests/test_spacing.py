"""Strings as the model writes them, with the space that stands before a word, and the values that they mean."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from chains.grammar import Arguments, Vocabulary, compile_tool
from chains.pointing import resolved, target
from chains.prompting import Turn, call_lines, describe_tool
from chains.spacing import spaced, unspaced
from chains.tuning.maker import Maker
from chains.tuning.packing import answer_text
from chains.weights import embedded_base

FIELDS: dict[str, Any] = {
    "wood": {"enum": ["cedar", "rose wood", 3, None]},
    "line": {"type": "string"},
    "notes": {"type": "array", "items": {"$ref": "#/$defs/note"}},
    "code": {"type": "string", "pattern": "^[A-Z ]{3}$"},
    "either": {"anyOf": [{"type": "string", "minLength": 2, "maxLength": 4}, {"type": "integer"}, {"type": "null"}]},
    "more": {"type": "object", "additionalProperties": {"const": "on"}},
}
SCHEMA = {"type": "object", "properties": FIELDS, "$defs": {"note": {"type": "string", "minLength": 1}}}
TOOL = {"name": "carve", "description": "Carve.", "parameters": SCHEMA}


def either(kind: str, field: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"k": {"const": kind}, "v": field}, "required": ["k", "v"]}


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedded_base())
    return Vocabulary(tokenizer, len(tokenizer))


@pytest.mark.parametrize(
    ("said", "args", "written"),
    [
        ("a cedar box", {"wood": "cedar"}, {"wood": " cedar"}),
        ("wood=cedar", {"wood": "cedar"}, {"wood": " cedar"}),  # a listed value stands after a space in its list
        ("carve oak leaves", {"line": "oak"}, {"line": " oak"}),
        ('carve "oak" on it', {"line": "oak"}, {"line": "oak"}),
        ("carve:\noak", {"line": "oak"}, {"line": "oak"}),
        ("oak", {"line": "oak"}, {"line": " oak"}),
        ("soak it", {"line": "oak"}, {"line": " oak"}),  # inside a word is no place to copy from
        ('carve:\n"oak"', {"line": '"oak"'}, {"line": '"oak"'}),
        ("whatever", {"line": " oak"}, {"line": "  oak"}),
        ("'elm' and oak", {"notes": ["elm", "oak", "ash"]}, {"notes": ["elm", " oak", " ash"]}),
        ("it is ABC", {"code": "ABC"}, {"code": "ABC"}),  # a pattern says how the string begins
        ("it is  BC", {"code": " BC"}, {"code": " BC"}),
        ("so be it", {"either": "so"}, {"either": " so"}),
        ("7", {"either": 7, "wood": 3}, {"either": 7, "wood": 3}),
        ("light on", {"more": {"light": "on"}}, {"more": {"light": " on"}}),
    ],
)
def test_a_string_begins_as_the_words_that_it_copies(said: str, args: dict[str, Any], written: dict[str, Any]) -> None:
    line = call_lines([TOOL], [("carve", args)], [Turn("user", "hello"), Turn("user", said)])
    values = json.loads(line.removeprefix("carve "))
    assert {name: value for name, value in values.items() if value is not None} == written
    assert unspaced(written, SCHEMA) == args


def test_the_newest_message_that_says_it_is_the_one_copied() -> None:
    assert spaced("oak", FIELDS["line"], [" an oak", ' \\"oak\\"']) == "oak"
    assert spaced("oak", FIELDS["line"], [' \\"oak\\"', " an oak", " hello"]) == " oak"


@pytest.mark.parametrize(
    ("field", "written", "meant"),
    [
        ({"type": "string", "format": "password", "minLength": 3, "maxLength": 4}, " abcd", "abcd"),
        ({"examples": ["a"], "description": "d"}, " abcd", "abcd"),
        ({"type": "object", "additionalProperties": {}}, {"a": " abc"}, {"a": "abc"}),
        ({"enum": ["EUR", "USDX"], "maxLength": 4}, "USDX", "USDX"),
        ({"const": "a", "enum": ["a"], "type": "string"}, "a", "a"),
        ({"enum": [[" a"], " b"]}, [" a"], [" a"]),
        ({"anyOf": [{"type": "string", "maxLength": 3}, {"pattern": "^[A-Z ]{5}$"}]}, " ABCD", " ABCD"),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"pattern": "^[^x]{2,}$"}}]}, [" a"], [" a"]),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"pattern": "^[^x]{2,}$"}}]}, " a", "a"),
        ({"anyOf": [either("p", {"pattern": "^[^/]{2,}$"}), either("q", {"type": "string"})]},
         {"k": "p", "v": " a"}, {"k": "p", "v": " a"}),
    ],
)  # fmt: skip
def test_what_may_be_written_is_meant_validly(vocabulary: Vocabulary, field: Any, written: Any, meant: Any) -> None:
    tool = compile_tool({"name": "t", "parameters": {"type": "object", "properties": {"x": field}, "required": ["x"]}})
    arguments = Arguments(tool, vocabulary, budget=768)
    text = " " + json.dumps({"x": written}, separators=(",", ":"))
    assert arguments._matcher.consume_tokens(vocabulary.lib.tokenize_str(text)) and arguments.done
    assert json.loads(tool.given(text)) == {"x": meant}
    jsonschema.validate(meant, field)


def test_a_list_stands_without_quotes() -> None:
    described = describe_tool(
        {"name": "carve", "parameters": {"properties": {"wood": FIELDS["wood"] | {"default": "cedar"}}}}
    )
    assert "wood (one of cedar | rose wood | 3 | null, default cedar)" in described


def test_all_that_is_taught_can_be_written_and_means_what_was_asked(vocabulary: Vocabulary) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedded_base())
    maker, checked = Maker(5), 0

    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        return ids

    for number in range(6):
        group = maker.group(number)
        tools = {tool["name"]: compile_tool(tool) for tool in group.tools}
        for example in group.examples:
            if not example.calls:
                continue
            said = target(turn.text for turn in example.turns if turn.role == "user")
            for (name, args), line in zip(example.calls, answer_text(group.tools, example).split("\n"), strict=True):
                arguments = Arguments(tools[name], vocabulary, budget=768)
                wanted = encode(line)[len(encode(name)) :]
                written = arguments.forced()
                while not arguments.done and wanted[: len(written)] == written:
                    token = wanted[len(written)]
                    assert arguments.allowed()[token], line
                    written += arguments.accept(token)
                assert written == wanted, line
                schema = tools[name].description["parameters"]
                given = resolved(json.loads(tools[name].given(arguments.text)), schema, said)
                jsonschema.validate(given, schema)
                assert given == json.loads(json.dumps(args)), line
                checked += 1
    assert checked > 100
