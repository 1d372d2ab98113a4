"""Whatever the weights, a call obeys its tool's schema; what cannot be enforced is refused when the tool is bound."""

from __future__ import annotations

import json
import random
from typing import Any

import jsonschema
import pytest
from random_tools import random_tool, tiny_llm

from chains import engine
from chains.engine import CALL_TOKENS, Call, Engine, Outcome, Sampler
from chains.grammar import Arguments, Tool, compile_tool, compile_tools
from chains.prompting import Turn, tool_prompt
from chains.schemas import TASKS, describe


@pytest.fixture(autouse=True)
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring calls to an end early: random weights never would."""
    monkeypatch.setattr(engine, "CALL_TOKENS", 60)


@pytest.fixture(scope="module")
def random_engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(tiny_llm(tmp_path_factory.mktemp("tiny")), dtype="float32", device="cpu")


def tool_of(field: dict[str, Any], required: bool = True) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"x": field}, "required": ["x"] if required else []}
    return {"name": "tool", "description": "", "parameters": schema}


def one_call(llm: Engine, tool: Tool, seed: int, temperature: float = 1.0) -> Call:
    outcome = Outcome()
    session = llm.session(tool_prompt([tool.description], [Turn("user", "go")]), True, outcome)
    events = list(llm.calls(session, [tool], Sampler(temperature, seed), outcome, must_call=True, max_calls=1))
    assert isinstance(events[-1], Call)
    return events[-1]


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("seed", range(60))
def test_random_weights_write_valid_calls(random_engine: Engine, seed: int) -> None:
    described = random_tool(random.Random(seed))
    call = one_call(random_engine, compile_tool(described), seed, temperature=seed % 3 * 0.7)
    args = strict(call.arguments)
    jsonschema.validate(args, described["function"]["parameters"])
    call.arguments.encode("utf-8")
    assert call.arguments == json.dumps(args, ensure_ascii=False, separators=(",", ":")) or "." in call.arguments


@pytest.mark.parametrize("task", sorted(TASKS))
def test_the_apps_tools(random_engine: Engine, task: str) -> None:
    call = one_call(random_engine, compile_tool(describe(task)), seed=1)
    jsonschema.validate(strict(call.arguments), describe(task)["parameters"])
    TASKS[task].model_validate_json(call.arguments)


def allows(llm: Engine, tool: Tool, text: str) -> bool:
    """Whether the grammar takes `text` as the whole of the arguments."""
    arguments = Arguments(tool, llm.vocabulary, CALL_TOKENS)
    written = arguments.forced()
    tokens = llm.vocabulary.lib.tokenize_str(" " + text)
    if tokens[: len(written)] != written:
        return False
    for token in tokens[len(written) :]:
        if arguments.done or not arguments.allowed()[token]:
            return False
        arguments._consume([token])
    return arguments.done


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 64}, ["1", "64"], ["0", "65", "-1", "01", "1.0", "1e1", '"1"']),
        ({"type": "number", "minimum": 0, "maximum": 2}, ["0", "0.5", "2.0"], ["2.1", "-0.1", "1e0", "NaN"]),
        ({"type": "string", "maxLength": 3}, ['""', '"a\\n\\""', '"äöü"'], ['"abcd"', '"\\ud800"', '"\\u0000"']),
        ({"type": "string", "maxLength": 3}, ['" äöü"', '"  äö"'], ['" abcd"']),
        ({"type": "string", "minLength": 2}, ['"ab"', '" ab"'], ['""', '" "', '"a"', '" a"']),
        ({"enum": ["a", 1, None]}, ['" a"', "1", "null"], ['"a"', '" b"', "2"]),
        ({"type": "array", "items": {"type": "boolean"}, "maxItems": 1}, ["[]", "[true]"], ["[true,true]", "[1]"]),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, ["5", "null"], ['"5"']),
        ({"type": "object", "properties": {"y": {"type": "integer"}}}, ["{}", '{"y":1}'], ['{"z":1}', '{"y":1,"z":2}']),
    ],
)  # fmt: skip
def test_what_the_grammar_takes(random_engine: Engine, field: dict[str, Any], good: list[str], bad: list[str]) -> None:
    tool = compile_tool(tool_of(field))
    assert [value for value in good if not allows(random_engine, tool, f'{{"x":{value}}}')] == []
    assert [value for value in bad if allows(random_engine, tool, f'{{"x":{value}}}')] == []


@pytest.mark.parametrize(
    ("keyword", "field"),
    [
        ("not", {"not": {"type": "string"}}),
        ("uniqueItems", {"type": "array", "uniqueItems": True}),
        ("if", {"if": {"type": "string"}, "type": "string"}),
        ("dependentRequired", {"type": "object", "dependentRequired": {"a": ["b"]}}),
        ("propertyNames", {"type": "object", "propertyNames": {"maxLength": 3}}),
        ("multipleOf", {"type": "number", "multipleOf": 0.1}),
        ("minProperties", {"type": "object", "additionalProperties": True, "minProperties": 2}),
        ("look-around", {"type": "string", "pattern": "a(?=b)"}),
        ("oneOf", {"oneOf": [{"type": "string", "maxLength": 3}, {"type": "string", "maxLength": 5}]}),
        ("minimum", {"type": "integer", "minimum": 5, "maximum": 1}),
    ],
)
def test_what_cannot_be_enforced_is_refused(keyword: str, field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"tool tool.*{keyword}"):
        compile_tool(tool_of(field))


@pytest.mark.parametrize("name", ["no tool", "", "a b", "x" * 65, "a{b"])
def test_impossible_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        compile_tool({"name": name, "parameters": {"type": "object", "properties": {}}})


def test_two_tools_of_one_name_are_refused() -> None:
    assert len(compile_tools([describe("about"), describe("about")])) == 1
    with pytest.raises(ValueError, match="two different tools"):
        compile_tools([describe("about"), {**describe("write_code"), "name": "about"}])


def test_an_endless_schema_is_brought_to_an_end(random_engine: Engine) -> None:
    node_ref = {"$ref": "#/$defs/node"}
    node = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "children": {"type": "array", "items": node_ref}},
    }
    schema = {"type": "object", "properties": {"root": node_ref}, "required": ["root"], "$defs": {"node": node}}
    tool = compile_tool({"name": "tree", "parameters": schema})
    for seed in range(3):
        jsonschema.validate(strict(one_call(random_engine, tool, seed, temperature=1.5).arguments), schema)


def test_fractions_end_before_rounding_can_leave_the_range(random_engine: Engine) -> None:
    tool = compile_tool(tool_of({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}))
    for seed in range(10):
        call = one_call(random_engine, tool, seed, temperature=0.0 if seed == 0 else 2.0)
        assert 0 < strict(call.arguments)["x"] < 1
        assert len(call.arguments) < 40


@pytest.mark.parametrize("field", [{"enum": ["a\rb"]}, {"const": {"a\x01": 1}}, {"type": "string", "pattern": "\f"}])
def test_a_value_that_no_call_can_hold_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"tool tool.*control character"):
        compile_tool(tool_of(field))


@pytest.mark.parametrize("field", [{"enum": ["a\nb\t", 'x"\\u', "ünï"]}, {"type": "string", "pattern": "^\\d\\r?$"}])
def test_what_only_looks_like_a_control_character_is_allowed(field: dict[str, Any]) -> None:
    compile_tool(tool_of(field))
