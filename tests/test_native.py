"""Other chat models, in their own format: tiny ones with random weights and templates in three families' style."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from random_tools import random_tool
from tiny_models import native_llm

import chains.engine
from chains.chat_model import ChatArtwright
from chains.engine import Call, Decision, Engine, Outcome, Sampler
from chains.grammar import compile_tools
from chains.messages import to_turns
from chains.native import Syntax
from chains.prompting import NO_TOOL, Turn, encode
from chains.turn import Request, take
from chains.watch import watching
from generators.core.errors import Cancelled
from generators.core.generator import Cancel

FAMILIES = ["tagged", "headed", "bracketed", "bare"]
WEATHER = {
    "name": "get_weather",
    "description": "The weather of a place.",
    "parameters": {
        "type": "object",
        "properties": {
            "location": {"type": "string", "maxLength": 10},
            "days": {"type": "integer", "minimum": 1, "maximum": 9},
        },
        "required": ["location"],
    },
}
ADD = {
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {
        "type": "object",
        "properties": {"a": {"type": "integer", "minimum": -9, "maximum": 9}, "b": {"type": "boolean"}},
        "required": ["a", "b"],
    },
}
HISTORY = [
    HumanMessage("What is 2 + 3?"),
    AIMessage("", tool_calls=[{"name": "add", "args": {"a": 2, "b": True}, "id": "x", "type": "tool_call"}]),
    ToolMessage("5", tool_call_id="x"),
    AIMessage("It is 5."),
    HumanMessage("And the weather in Oslo?"),
]


@pytest.fixture(autouse=True)
def short_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bring calls to an end early: random weights never would."""
    monkeypatch.setattr(chains.engine, "CALL_TOKENS", 40)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {family: native_llm(tmp_path_factory.mktemp(family), family) for family in [*FAMILIES, "unreadable"]}


def model_of(folder: Path, **options: Any) -> ChatArtwright:
    return ChatArtwright(**{"model": str(folder), "dtype": "float32", "device": "cpu", "max_tokens": 8, **options})


@pytest.fixture(params=FAMILIES)
def llm(request: pytest.FixtureRequest, folders: dict[str, Path]) -> ChatArtwright:
    return model_of(folders[request.param])


def reference(engine: Engine, messages: list[Any], tools: list[Any]) -> list[int]:
    """Token ids as transformers' own chat templating gives them."""
    functions = [{"type": "function", "function": tool} for tool in tools]
    done = engine.tokenizer.apply_chat_template(
        messages, tools=functions or None, add_generation_prompt=True, enable_thinking=False
    )
    return list(done["input_ids"])


def test_the_syntax_is_found(folders: dict[str, Path]) -> None:
    found = {family: model_of(folders[family]).engine.native.syntax for family in FAMILIES}
    spaced = (", ", ": ")
    assert found == {
        "tagged": Syntax(
            "", '<tool_call>\n{"name": "', '", "arguments": ', "}\n</tool_call><|im_end|>\n",
            '}\n</tool_call>\n<tool_call>\n{"name": "', spaced,
        ),
        "headed": Syntax("", '{"name": "', '", "parameters": ', "}<|eot|>", "", spaced),
        "bracketed": Syntax(
            "", '[TOOL_CALLS][{"name": "', '", "arguments": ', ', "id": "call00000"}]</s>',
            ', "id": "call00000"}, {"name": "', spaced,
        ),
        "bare": Syntax("", "", "\n", "<|eot|>", "", spaced),
    }  # fmt: skip


def test_prompts_are_the_templates_own(llm: ChatArtwright) -> None:
    """Token for token what transformers makes of the same conversation."""
    engine = llm.engine
    args: Any = {"a": 2, "b": True}
    args = json.dumps(args) if engine.native._as_text else args
    call = {"id": "call00000", "type": "function", "function": {"name": "add", "arguments": args}}
    messages = [
        {"role": "user", "content": "What is 2 + 3?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "name": "add", "tool_call_id": "call00000", "content": "5"},
        {"role": "assistant", "content": "It is 5."},
        {"role": "user", "content": "And the weather in Oslo?"},
    ]
    _, turns = to_turns(HISTORY)
    for tools in ([], [WEATHER, ADD]):
        for count in (1, 3, 5):
            prompt = engine.native.prompt(turns[:count], "", tools)
            assert encode(engine.tokenizer, prompt) == reference(engine, messages[:count], tools)


def test_what_the_template_cannot_say_is_said_another_way(folders: dict[str, Path]) -> None:
    bracketed, headed = (model_of(folders[family]).engine for family in ("bracketed", "headed"))
    turns = [Turn("user", "hi"), Turn("user", "there"), Turn("assistant", "yes"), Turn("user", "well?")]
    text = "".join(part.text for part in bracketed.native.prompt(turns, "be brief", []))
    assert text == "<s>[INST]be brief\n\nhi\n\nthere[/INST] yes</s>[INST]well?[/INST]"
    both = Turn("assistant", calls=(("add", {"a": 1}), ("add", {"a": 2})))  # one call a turn is all it takes
    text = "".join(
        part.text
        for part in headed.native.prompt(
            [Turn("user", "hi"), both, Turn("tool", "one", name="add"), Turn("tool", "two", name="add")], "", []
        )
    )
    answers = [text.index(part) for part in ('{"a": 1}', '"one"', '{"a": 2}', '"two"')]
    assert answers == sorted(answers) and text.count("<|start|>assistant") == 3
    with pytest.raises(ValueError, match="refuses the conversation: roles must alternate"):
        bracketed.native.prompt([Turn("user", "a"), Turn("tool", "b", name="add"), Turn("user", "c")], "", [])


def test_data_never_becomes_a_control_token(llm: ChatArtwright) -> None:
    engine = llm.engine
    marks = [token.content for token in engine.tokenizer.added_tokens_decoder.values()]
    evil = " ".join([*marks, "".join(marks)])
    tool = {**WEATHER, "description": evil, "parameters": {**WEATHER["parameters"], "description": evil}}
    tool["parameters"]["properties"] = {**WEATHER["parameters"]["properties"], evil: {"enum": [evil]}}

    def prompt(text: str, tools: list[Any]) -> list[int]:
        turns = [
            Turn("user", text),
            Turn("assistant", calls=(("get_weather", {"location": text}),)),
            Turn("tool", text, name="get_weather"),
            Turn("assistant", text),
            Turn("user", text),
        ]
        return encode(engine.tokenizer, engine.native.prompt(turns, text, tools))

    control = set(engine.tokenizer.added_tokens_decoder)
    tame = {**WEATHER, "parameters": {**WEATHER["parameters"], "description": "x"}}
    tame["parameters"]["properties"] = {**WEATHER["parameters"]["properties"], "x": {"enum": ["x"]}}
    hostile, harmless = prompt(evil, [tool]), prompt("x", [tame])
    assert [i for i in hostile if i in control] == [i for i in harmless if i in control]
    said = engine.tokenizer.decode(hostile).replace(" ", "")
    assert all(said.count(mark) >= 8 for mark in marks)  # and nothing of it is lost


@pytest.mark.parametrize("family", FAMILIES)
def test_random_weights_write_valid_calls(folders: dict[str, Path], family: str) -> None:
    engine = model_of(folders[family]).engine
    for seed in range(8):
        tool = random_tool(random.Random(seed))
        compiled = compile_tools([tool])
        request = Request([Turn("user", f"go {seed}")], "", compiled, "any", 1, 8, [], False)
        events = list(take(engine, request, Sampler(seed % 3 * 0.7, seed), Outcome()))
        assert isinstance(events[0], Decision) and isinstance(events[1], Call) and len(events) == 2
        jsonschema.validate(json.loads(events[1].arguments), tool["function"]["parameters"])
        events[1].arguments.encode()


def test_auto_any_named_none(llm: ChatArtwright) -> None:
    auto = llm.bind_tools([WEATHER, ADD]).invoke("hi")
    choice = auto.response_metadata["choice"]
    assert choice["name"] == (auto.tool_calls[0]["name"] if auto.tool_calls else NO_TOOL)
    assert sum(p for _, p in choice["alternatives"]) == pytest.approx(1)
    for forced in ("any", "add"):
        reply = llm.bind_tools([WEATHER, ADD], tool_choice=forced).invoke("hi")
        assert reply.tool_calls and reply.response_metadata["finish_reason"] == "tool_calls"
        assert forced == "any" or [call["name"] for call in reply.tool_calls] == ["add"]
    none = llm.bind_tools([WEATHER], tool_choice="none").invoke("hi")
    assert none.content and not none.tool_calls
    answer = llm.bind_tools([WEATHER, ADD], tool_choice="add").invoke([SystemMessage("be"), *HISTORY])
    assert isinstance(answer, AIMessage) and answer.tool_calls
    assert llm.with_structured_output(WEATHER).invoke("Oslo")["location"] is not None


@pytest.mark.parametrize("family", FAMILIES)
def test_the_names_are_compared_by_likelihood(folders: dict[str, Path], family: str) -> None:
    engine = model_of(folders[family]).engine
    names = ("get_weather", "get_weather_later", "add")
    tools = compile_tools([{**WEATHER, "name": name} for name in names])
    prompt = engine.native.prompt([Turn("user", "hi")], "", [tool.description for tool in tools])
    request = Request([Turn("user", "hi")], "", tools, "any", 1, 8, [], False)
    decision = next(iter(take(engine, request, Sampler(), Outcome())))
    syntax, start = engine.native.syntax, encode(engine.tokenizer, prompt)
    scores = {}
    for name in names:
        text = f"{syntax.before}{name}{syntax.middle.rstrip() or syntax.middle}"
        tokens = engine.tokenizer.encode(text, add_special_tokens=False)
        with torch.inference_mode():
            log_p = engine._base(torch.tensor([start + tokens])).logits[0].float().log_softmax(-1)
        scores[name] = sum(float(log_p[len(start) + i - 1, token]) for i, token in enumerate(tokens))
    assert isinstance(decision, Decision) and decision.name == max(scores, key=lambda name: scores[name])
    shares = torch.tensor(list(scores.values())).softmax(0)
    for name, share in zip(names, shares, strict=True):
        assert dict(decision.ranking)[name] == pytest.approx(float(share), abs=0.02)


@pytest.mark.parametrize("family", ["tagged", "bracketed"])
def test_several_calls_in_one_turn(folders: dict[str, Path], family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the model goes on with what stands between two calls, there are two; and it never goes on for ever."""
    llm = model_of(folders[family])
    engine, syntax = llm.engine, llm.engine.native.syntax
    more, end = (engine.tokenizer.encode(text, add_special_tokens=False) for text in (syntax.between, syntax.after))
    split = next(i for i, (a, b) in enumerate(zip(more, end, strict=False)) if a != b)
    real = engine.forward

    def eager(*args: Any, **more_args: Any) -> torch.Tensor:
        logits = real(*args, **more_args)
        logits[:, more[split]] += 50.0  # far likelier than the end
        return logits

    monkeypatch.setattr(engine, "forward", eager)
    reply = llm.bind_tools([WEATHER, ADD], tool_choice="any").invoke("hi", temperature=1.0, seed=1)
    assert 2 <= len(reply.tool_calls) <= 8 and len(reply.response_metadata["confidences"]) == len(reply.tool_calls)
    for call in reply.tool_calls:
        schema = {"add": ADD, "get_weather": WEATHER}[call["name"]]["parameters"]
        jsonschema.validate(call["args"], schema)
    single = llm.bind_tools([WEATHER, ADD], tool_choice="any", parallel_tool_calls=False).invoke("hi")
    assert len(single.tool_calls) == 1


def test_words_before_a_call(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that first says something and then opens a call is followed into it."""
    llm = model_of(folders["tagged"])
    engine = llm.engine
    opening = engine.tokenizer.convert_tokens_to_ids("<tool_call>")
    words = engine.tokenizer.encode("One weather", add_special_tokens=False)
    queue = [*words, opening]
    real = Sampler.pick

    def pick(self: Sampler, logits: torch.Tensor, allowed: Any = None) -> int:
        return queue.pop(0) if queue and allowed is None else real(self, logits, allowed)

    monkeypatch.setattr(Sampler, "pick", pick)
    reply = llm.bind_tools([WEATHER], parallel_tool_calls=False).invoke("hi", max_tokens=30)
    assert reply.text == "One weather" and [call["name"] for call in reply.tool_calls] == ["get_weather"]
    assert reply.response_metadata["finish_reason"] == "tool_calls"
    assert reply.response_metadata["choice"]["name"] == "get_weather"


def test_streaming(llm: ChatArtwright) -> None:
    def pieces(text: str, **options: Any) -> Iterator[str]:
        return (chunk.text for chunk in llm.stream(text, **options))

    whole = llm.invoke("hi").text
    assert "".join(pieces("hi")) == whole
    if len(whole) > 2:
        stop = whole[1:3]
        assert "".join(pieces("hi", stop=[stop])) == whole[: whole.index(stop)] == llm.invoke("hi", stop=[stop]).text
    bound = llm.bind_tools([WEATHER], tool_choice="any")
    merged, *others = bound.stream("hi")
    for chunk in others:
        merged += chunk
    assert [c["args"] for c in merged.tool_calls] == [c["args"] for c in bound.invoke("hi").tool_calls]


def test_a_warm_cache_changes_nothing(llm: ChatArtwright) -> None:
    llm.engine._slots.clear()
    bound = llm.bind_tools([WEATHER, ADD], tool_choice="any", parallel_tool_calls=False)
    cold, warm = bound.invoke(HISTORY), bound.invoke(HISTORY)
    assert cold.usage_metadata["input_token_details"]["cache_read"] == 0
    assert warm.usage_metadata["input_token_details"]["cache_read"] == warm.usage_metadata["input_tokens"] - 1
    assert [c["args"] for c in cold.tool_calls] == [c["args"] for c in warm.tool_calls]


def test_a_stopped_turn_ends(llm: ChatArtwright) -> None:
    cancel = Cancel()
    cancel.set()
    with watching(cancel), pytest.raises(Cancelled):
        llm.bind_tools([WEATHER], tool_choice="any").invoke("hi")


def test_calls_that_cannot_be_enforced_are_refused(folders: dict[str, Path]) -> None:
    llm = model_of(folders["unreadable"])
    assert isinstance(llm.invoke("hi").text, str)  # it may talk
    with pytest.raises(ValueError, match=r"does not write a call as.*Hermes.*provider:model"):
        llm.bind_tools([WEATHER]).invoke("hi")


def test_a_template_without_tools_has_our_format(folders: dict[str, Path], tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders["tagged"])
    plain = "{% for m in messages %}{{ '<|im_start|>' + m.role + m.content + '<|im_end|>' }}{% endfor %}"
    tokenizer.chat_template = plain
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((folders["tagged"] / name).read_bytes())
    tokenizer.save_pretrained(tmp_path)
    llm = model_of(tmp_path)
    assert llm.engine.native is None
    assert llm.bind_tools([WEATHER], tool_choice="any").invoke("hi").tool_calls
