"""A tiny random-weight LLM and random tools, to show that validity comes from the grammar, not from training."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from chains.weights import embedded_base


def tiny_llm(folder: Path, seed: int = 0) -> Path:
    """Save a two-layer Llama with random weights and the embedded tokenizer to `folder`."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(embedded_base())
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, initializer_range=0.3, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_tool(rng: random.Random, name: str = "tool") -> dict[str, Any]:
    """An OpenAI-style tool whose arguments use the supported part of JSON Schema."""
    properties = {_word(rng): random_schema(rng, depth=2) for _ in range(rng.randint(0, 4))}
    required = [key for key in properties if rng.random() < 0.5]
    schema = {"type": "object", "properties": properties, "required": required}
    if rng.random() < 0.2:
        schema["$defs"] = {"part": random_schema(rng, depth=1)}
        properties["part"] = {"$ref": "#/$defs/part"}
    return {"type": "function", "function": {"name": name, "description": "A tool.", "parameters": schema}}


def random_schema(rng: random.Random, depth: int) -> dict[str, Any]:
    """A random schema nested at most `depth` deep."""
    simple = [_string, _integer, _number, _enum, _plain, _pattern]
    nested = [_object, _array, _any_of]
    return rng.choice(simple + (nested if depth > 0 else []))(rng, depth)


def _word(rng: random.Random) -> str:
    stem = "".join(rng.choice("abcdefghijklmnop_") for _ in range(rng.randint(1, 8)))
    return stem + rng.choice(["", "", "é", " x", '"'])


def _string(rng: random.Random, depth: int) -> dict[str, Any]:
    low = rng.randint(0, 5)
    return rng.choice([
        {"type": "string"},
        {"type": "string", "maxLength": rng.randint(0, 30)},
        {"type": "string", "minLength": low, "maxLength": low + rng.randint(0, 20)},
        {"type": "string", "format": rng.choice(["date", "date-time", "uuid", "email", "ipv4"])},
    ])  # fmt: skip


def _integer(rng: random.Random, depth: int) -> dict[str, Any]:
    low = rng.randint(-1000, 1000)
    return rng.choice([
        {"type": "integer"},
        {"type": "integer", "minimum": low},
        {"type": "integer", "maximum": low},
        {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 10**6)},
        {"type": "integer", "exclusiveMinimum": low, "exclusiveMaximum": low + rng.randint(2, 50)},
        {"type": "integer", "minimum": 0, "maximum": 1000, "multipleOf": rng.randint(2, 9)},
    ])  # fmt: skip


def _number(rng: random.Random, depth: int) -> dict[str, Any]:
    low = round(rng.uniform(-10, 10), rng.randint(0, 3))
    return rng.choice([
        {"type": "number"},
        {"type": "number", "exclusiveMinimum": 0},
        {"type": "number", "maximum": low},
        {"type": "number", "minimum": low, "maximum": low + 1.5},
        {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 0.25},
    ])  # fmt: skip


def _enum(rng: random.Random, depth: int) -> dict[str, Any]:
    values: list[Any] = ["red", "dark green", 'a "quote"', "", 3, 2.5, None, True, "ünï"]
    picked = rng.sample(values, rng.randint(1, 5))
    return rng.choice([{"enum": picked}, {"const": picked[0]}])


def _plain(rng: random.Random, depth: int) -> dict[str, Any]:
    return {"type": rng.choice(["boolean", "null", ["string", "null"], ["integer", "boolean"]])}


def _pattern(rng: random.Random, depth: int) -> dict[str, Any]:
    patterns = ["^[a-z]+$", "^\\d{3}-\\d{4}$", "^(ab|cd)*e$", "[A-Z]", '^[^"\\\\]{2,}$', "^#[0-9a-f]{6}$"]
    return {"type": "string", "pattern": rng.choice(patterns)}


def _object(rng: random.Random, depth: int) -> dict[str, Any]:
    if rng.random() < 0.25:
        return {"type": "object", "additionalProperties": random_schema(rng, depth - 1)}
    properties = {_word(rng): random_schema(rng, depth - 1) for _ in range(rng.randint(0, 3))}
    return {"type": "object", "properties": properties, "required": [key for key in properties if rng.random() < 0.5]}


def _array(rng: random.Random, depth: int) -> dict[str, Any]:
    low = rng.randint(0, 2)
    limits = rng.choice([{}, {"minItems": low}, {"maxItems": low + 2}, {"minItems": low, "maxItems": low + 2}])
    return {"type": "array", "items": random_schema(rng, depth - 1), **limits}


def _any_of(rng: random.Random, depth: int) -> dict[str, Any]:
    return {"anyOf": [random_schema(rng, depth - 1) for _ in range(rng.randint(1, 3))]}
