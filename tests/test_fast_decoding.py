"""What makes calls quick changes nothing about them: the lean Llama pass, the drafts, the cache."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from random_tools import random_tool, tiny_llm
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

import chains.engine
from chains.chat_model import ChatArtwright
from chains.drafting import Drafter, guess_arguments
from chains.engine import Engine
from chains.llama import BLOCK, Llama, is_llama
from chains.prompting import Turn, call_line, shown, tool_prompt
from chains.schemas import describe
from chains.weights import embedded_base

TOOLS = [describe(task) for task in ("generate_image", "morph_images", "write_text", "invent_names", "about")]
REQUESTS = [
    "draw two sneakers",
    "five names for a cat that begin with K",
    "write a verse about the cold sea of winter, then draw a boat",
    'turn a coat into a "rain jacket" in 12 steps with seed -3',
    "draw Ünlü's coat\nand 日本 in 7 pictures",
    "what can you do?",
]


def model(folder: Path, dtype: str = "float32") -> ChatArtwright:
    return ChatArtwright(model=str(folder), dtype=dtype, device="cpu", max_tokens=12)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_llm(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Tokens of each forward pass."""
    seen: list[int] = []
    forward = Engine.forward

    def counted(self: Engine, tuned: bool, tokens: Any, cache: Any, last: int, **more: Any) -> torch.Tensor:
        seen.append(len(tokens))
        return forward(self, tuned, tokens, cache, last, **more)

    monkeypatch.setattr(Engine, "forward", counted)
    return seen


@pytest.fixture(autouse=True)
def short_calls(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Bring calls to an end early: random weights never would."""
    monkeypatch.setattr(chains.engine, "CALL_TOKENS", 60)
    yield


@pytest.mark.parametrize("shape", [
    {"num_attention_heads": 4, "num_key_value_heads": 2},
    {"num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 24, "tie_word_embeddings": False},
    {"num_attention_heads": 6, "num_key_value_heads": 1, "rope_parameters": {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
    }},
])  # fmt: skip
def test_the_lean_pass_equals_transformers(shape: dict[str, Any]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        config = LlamaConfig(vocab_size=97, hidden_size=48, intermediate_size=80, num_hidden_layers=3, **shape)
        theirs = LlamaForCausalLM(config).eval().requires_grad_(False)
        ids = torch.randint(0, 97, (2 * BLOCK + 40,))
    expected = theirs(ids[None]).logits[0]  # (T, V)
    assert is_llama(theirs)
    ours = Llama(theirs)
    assert torch.allclose(theirs(ids[None]).logits[0], expected, atol=1e-5)  # the modules hold the same weights still
    with torch.inference_mode():
        cache = ours.empty()
        n = 2 * BLOCK + 10
        close(ours.forward(ids[:n], cache, 4), expected[n - 4 : n])  # in blocks
        close(ours.forward(ids[n : n + 20], cache, 20), expected[n : n + 20])
        again = cache.copy(n)  # leaves the first as it is
        close(ours.forward(ids[n : n + 1], again, 1), expected[n : n + 1])
        cache.crop(-5)
        close(ours.forward(ids[n + 15 :], cache, 15), expected[n + 15 :])
        short = ours.empty()
        close(ours.forward(ids[: BLOCK + 3], short, BLOCK + 2), expected[1 : BLOCK + 3])  # more logits than a block


def close(ours: torch.Tensor, theirs: torch.Tensor) -> None:
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_the_embedded_model_takes_the_lean_pass_and_equals_transformers() -> None:
    engine = ChatArtwright(adapter=None, dtype="float32", device="cpu").engine
    ids = engine.tokenizer.encode("Draw two sneakers, please, one of them red: " * 3)
    cache = engine.cache(False, None, 0)
    first = engine.forward(False, ids[:20], cache, 5)
    second = engine.forward(False, ids[20:], cache, 3)
    with torch.inference_mode():
        expected = engine._base(torch.tensor([ids])).logits[0]
    assert engine._llamas
    torch.testing.assert_close(first, expected[15:20], rtol=0, atol=1e-4)
    torch.testing.assert_close(second, expected[-3:], rtol=0, atol=1e-4)


def test_other_models_are_left_to_transformers(tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedded_base())
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = Qwen2Config(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, tie_word_embeddings=True,
        )  # fmt: skip
        Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    llm = model(tmp_path)
    assert not llm.engine._llamas
    same_calls(llm, TOOLS, REQUESTS[:3])


def same_calls(llm: ChatArtwright, tools: list[dict[str, Any]], requests: list[str]) -> None:
    """Calls with drafts, with a cold cache and a warm one, are those without."""
    bound = llm.bind_tools(tools, tool_choice="any", parallel_tool_calls=False)
    for request in requests:
        replies = []
        for drafting in (False, True, True):
            with pytest.MonkeyPatch.context() as patch:
                if not drafting:
                    patch.setattr(Drafter, "draft", lambda *_: [])
                reply = bound.invoke(request)
            usage = reply.usage_metadata
            assert usage
            replies.append(([(c["name"], c["args"]) for c in reply.tool_calls], usage["output_tokens"]))
        assert replies[0] == replies[1] == replies[2], request


def test_drafts_change_no_call_of_random_weights(tiny: Path) -> None:
    rng = random.Random(5)
    llm = model(tiny)
    for i in range(12):
        tools = [random_tool(rng, f"tool_{i}_{j}") for j in range(2)]
        same_calls(llm, tools, [rng.choice(REQUESTS), f"say tool {rng.randint(0, 99)}"])


def test_drafts_change_no_call_of_the_real_model() -> None:
    llm = ChatArtwright(adapter=None, dtype="float32", device="cpu", max_tokens=16)
    same_calls(llm, TOOLS, REQUESTS)


def test_a_call_takes_few_passes(passes: list[int]) -> None:
    bound = ChatArtwright().bind_tools(TOOLS)
    bound.invoke("draw a hat")
    for request in ("Could you draw two pictures of a coat?", "Please invent five names for my coat."):
        passes.clear()
        assert bound.invoke(request).tool_calls
        assert len(passes) <= 6, passes


SCHEMA = describe("generate_image")["parameters"]


@pytest.mark.parametrize(("written", "guess"), [
    ("", '{"subject":"'),
    ('{"subject":" ', '{"subject":" '),
    ('{"subject":" sn', '{"subject":" sneaker","count":2,"model":null,"seed":7}'),
    ('{"subject":"sn', '{"subject":"sneaker","count":2,"model":null,"seed":7}'),
    ('{"subject":" sneaker","count":3', '{"subject":" sneaker","count":3,"model":null,"seed":2}'),
    ('{"subject":" sneaker","count":2,"model":null,"seed":7', '{"subject":" sneaker","count":2,"model":null,"seed":7}'),
    ('{"subject":" red sn', '{"subject":" red sn'),
    ('{"subject":" quite unheard', '{"subject":" quite unheard'),
    ('{"other', ""),
])  # fmt: skip
def test_guesses(written: str, guess: str) -> None:
    last = shown("Draw two pictures of a sneaker, with seed 7.")
    assert guess_arguments(SCHEMA, written, f" Hello.\n{last}", last) == guess


@pytest.mark.parametrize(
    "code", ['print("hi, you")', "if x:\n\treturn 'a\\tb'", 'grep -n "C:\\\\" *.log', '{"a": [1, "日本"]}']
)
def test_what_a_person_says_is_shown_as_an_argument_holds_it(code: str) -> None:
    prompt = "".join(segment.text for segment in tool_prompt([], [Turn("user", f"Run this: {code}")]))
    held = call_line("run", {"code": code}).removeprefix('run {"code":"').removesuffix('"}')
    assert f"Run this: {held}<|im_end|>" in prompt


def test_a_guess_copies_code_with_its_escapes() -> None:
    last = shown('run print("hi") twice')
    schema = {"properties": {"code": {"type": "string"}}, "required": ["code"]}
    assert guess_arguments(schema, '{"code":"print(\\"h', last, last) == '{"code":"print(\\"hi"}'
    schema = {"properties": {"code": {"type": "string"}, "count": {"type": "integer"}}, "required": ["code"]}
    last = shown("run\nprint\n5")
    assert guess_arguments(schema, '{"code":"pri', last, last) == '{"code":"print","count":5}'
