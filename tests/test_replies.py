"""The words after a tool's result: written by the tuned weights, in the same session, where they were taught to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from random_tools import tiny_llm
from safetensors.torch import save_file

import chains.engine
import chains.prose
from chains.chat_model import ChatArtwright
from chains.choice import Choice
from chains.grammar import compile_tools
from chains.lora import taught
from chains.messages import to_turns
from chains.prompting import NO_TOOL, Segment, encode, plain_prompt, tool_prompt
from chains.weights import base_sha256

ADD = {
    "name": "add",
    "description": "Add two numbers.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}}},
}
TOLD = [
    HumanMessage("What is 2 + 2?"),
    AIMessage("", tool_calls=[{"name": "add", "args": {"a": 2}, "id": "x", "type": "tool_call"}]),
    ToolMessage("4", tool_call_id="x"),
]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llm(tmp_path_factory.mktemp("tiny"))


def tuned(base: Path, folder: Path, teaches: list[str] | None) -> ChatArtwright:
    """The tiny model with a random adapter whose note says what it teaches."""
    weights = {"lora_A": torch.randn(2, 32, generator=torch.Generator().manual_seed(1))}
    weights["lora_B"] = torch.randn(64, 2, generator=torch.Generator().manual_seed(2))
    name = "base_model.model.model.layers.0.mlp.gate_proj"
    folder.mkdir()
    save_file(
        {f"{name}.{part}.weight": tensor for part, tensor in weights.items()}, folder / "adapter_model.safetensors"
    )
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    note: dict[str, Any] = {"base_sha256": base_sha256(base)}
    (folder / "artwright.json").write_text(json.dumps(note | ({"teaches": teaches} if teaches else {})))
    return ChatArtwright(model=str(base), adapter=str(folder), dtype="float32", device="cpu", max_tokens=10)


@pytest.fixture(scope="module")
def llm(base: Path, tmp_path_factory: pytest.TempPathFactory) -> ChatArtwright:
    return tuned(base, tmp_path_factory.mktemp("adapters") / "both", ["calls", "replies"])


def greedy(llm: ChatArtwright, model: Any, prompt: list[Segment], count: int = 10, penalty: bool = False) -> str:
    """What `model` writes after a prompt, by passes over everything, without a cache."""
    engine = llm.engine
    start = encode(engine.tokenizer, prompt)
    written: list[int] = []
    for _ in range(count):
        with torch.no_grad():
            logits = model(torch.tensor([start + written])).logits[0, -1].float().clone()
        if penalty and written:
            seen = torch.tensor(sorted(set(written)))
            factor = chains.prose.REPETITION_PENALTY
            logits[seen] = torch.where(logits[seen] > 0, logits[seen] / factor, logits[seen] * factor)
            logits[chains.prose._repeating(written, chains.prose.REPEATED_WORDS)] = -torch.inf
        if not written:
            logits[engine.special] = -torch.inf
        token = int(logits.argmax())
        if token in engine.special:
            break
        written.append(token)
    return str(engine.tokenizer.decode(written).lstrip())


def reply_prompt() -> list[Segment]:
    described = [tool.description for tool in compile_tools([ADD])]
    return [*tool_prompt(described, to_turns(TOLD)[1]), Segment(f"{NO_TOOL}\n")]


def chosen(monkeypatch: pytest.MonkeyPatch, written: bool) -> None:
    """Make the decision `no tool`, its tokens already `written` in the session or not."""

    def choose(session: Any, options: Any, tail: Any, calibrated: Any) -> Choice:
        option = next(option for option in options if option.name == NO_TOOL)
        if written:
            session.push([*option.tokens, *tail(NO_TOOL)])
            session.logits(len(option.tokens))
        else:
            session.logits()
        return Choice(option, 0.9, ((NO_TOOL, 0.9), ("add", 0.1)), written=written)

    monkeypatch.setattr(chains.engine, "choose", choose)


@pytest.mark.parametrize("written", [True, False])
def test_a_reply_goes_on_after_the_decision(llm: ChatArtwright, monkeypatch: pytest.MonkeyPatch, written: bool) -> None:
    llm.engine._slots.clear()
    chosen(monkeypatch, written)
    reply = llm.bind_tools([ADD]).invoke(TOLD)
    assert reply.text == greedy(llm, llm.engine._tuned, reply_prompt())
    assert reply.response_metadata["choice"]["name"] == NO_TOOL and not reply.tool_calls
    assert reply.usage_metadata["input_tokens"] == len(encode(llm.engine.tokenizer, reply_prompt()[:-1]))


def test_streaming_stop_and_limit_hold_there_too(llm: ChatArtwright, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen(monkeypatch, False)
    bound = llm.bind_tools([ADD])
    whole = bound.invoke(TOLD).text
    assert "".join(chunk.text for chunk in bound.stream(TOLD)) == whole
    stop = whole[3:6]
    assert bound.invoke(TOLD, stop=[stop]).text == whole[: whole.index(stop)]
    assert "".join(chunk.text for chunk in bound.stream(TOLD, stop=[stop])) == whole[: whole.index(stop)]
    short = bound.invoke(TOLD, max_tokens=2)
    assert short.usage_metadata["output_tokens"] == 2 and short.response_metadata["finish_reason"] == "length"
    assert not bound.invoke(TOLD, plain_talk=False).text


def test_without_being_asked_to_choose(llm: ChatArtwright) -> None:
    reply = llm.bind_tools([ADD], tool_choice="none").invoke(TOLD)
    assert reply.text == greedy(llm, llm.engine._tuned, reply_prompt()) and "choice" not in reply.response_metadata


def test_plain_talk_is_the_bases(llm: ChatArtwright, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen(monkeypatch, False)
    asked = [*TOLD, AIMessage("It is 4."), HumanMessage("thanks")]
    expected = greedy(llm, llm.engine._base, plain_prompt(to_turns([HumanMessage("thanks")])[1]), penalty=True)
    assert llm.bind_tools([ADD]).invoke(asked).text == expected
    assert llm.invoke("thanks").text == expected


def test_an_adapter_that_was_not_taught_it(
    base: Path, tmp_path: Path, llm: ChatArtwright, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen(monkeypatch, False)
    other = tuned(base, tmp_path / "calls", None)
    expected = greedy(other, other.engine._base, plain_prompt(to_turns(TOLD)[1]), penalty=True)
    assert other.bind_tools([ADD]).invoke(TOLD).text == expected


def test_what_an_adapter_says_it_teaches(tmp_path: Path) -> None:
    assert taught(None) == taught(tmp_path) == frozenset()
    (tmp_path / "artwright.json").write_text('{"base_sha256": "x"}')
    assert taught(tmp_path) == {"calls"}
    (tmp_path / "artwright.json").write_text('{"teaches": ["calls", "replies"]}')
    assert taught(tmp_path) == {"calls", "replies"}
