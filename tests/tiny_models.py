"""Tiny chat models with random weights, whose tokenizers and chat templates are in the style of well-known families.

They show that native tool calls work from the template alone: none of them is known to the code.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

WORDS = """What is the weather like in Oslo today? It is sunny, 21 degrees. {"name": "get_weather", "arguments":
{"location": "Paris", "days": 3, "unit": null}} Call a function: "parameters", true, false, null. Thank you!"""

# ChatML with calls between tags that are tokens, several a turn; results come back as a user's message.
TAGGED = """
{%- if tools %}<|im_start|>system
{% if messages[0].role == 'system' %}{{ messages[0].content + '\n\n' }}{% endif %}Functions:
{% for tool in tools %}{{ tool | tojson + '\n' }}{% endfor -%}
Call one so: <tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>
{% elif messages[0].role == 'system' %}<|im_start|>system
{{ messages[0].content }}<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'user' %}{{ '<|im_start|>user\n' + message.content + '<|im_end|>\n' }}
{%- elif message.role == 'assistant' %}{{ '<|im_start|>assistant\n' + message.content }}
{%- for call in message.tool_calls or [] %}
{%- if not loop.first or message.content %}{{ '\n' }}{% endif %}
{{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' + call.function.arguments | tojson }}
{{- '}\n</tool_call>' }}
{%- endfor %}{{ '<|im_end|>\n' }}
{%- elif message.role == 'tool' %}{{ '<|im_start|>user\n<tool_response>\n' + message.content }}
{{- '\n</tool_response><|im_end|>\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}
{%- if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"""

# Headers, and a call that is plain JSON, one a turn; the tools stand in the first user message.
HEADED = """
{{- bos_token }}{% if messages[0].role == 'system' %}{{ '<|start|>system<|stop|>\n\n' }}
{{- messages[0].content | trim + '<|eot|>' }}{% set messages = messages[1:] %}{% endif %}
{%- for message in messages %}
{%- if message.role == 'tool' %}{{ '<|start|>ipython<|stop|>\n\n' + message.content | tojson + '<|eot|>' }}
{%- elif message.tool_calls %}
{%- if message.tool_calls | length != 1 %}{{ raise_exception('one call at a time') }}{% endif %}
{%- set call = message.tool_calls[0].function %}
{{- '<|start|>assistant<|stop|>\n\n{"name": "' + call.name + '", "parameters": ' + call.arguments | tojson }}
{{- '}<|eot|>' }}
{%- else %}{{ '<|start|>' + message.role + '<|stop|>\n\n' }}
{%- if loop.first and tools %}Answer with a call, {"name": ..., "parameters": ...}, or in words.
{% for tool in tools %}{{ tool | tojson(indent=2) + '\n' }}{% endfor %}{% endif %}
{{- message.content | trim + '<|eot|>' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant<|stop|>\n\n' }}{% endif %}"""

# Instructions in brackets, no system role of its own, roles that alternate, calls in one list, each with an id.
BRACKETED = """
{{- bos_token }}{% set ns = namespace(asks=true) %}
{%- for message in messages %}
{%- if message.role == 'system' %}{{ raise_exception('no system messages here') }}
{%- elif message.role == 'user' %}
{%- if not ns.asks %}{{ raise_exception('roles must alternate') }}{% endif %}{% set ns.asks = false %}
{%- if tools and loop.last %}{{ '[AVAILABLE_TOOLS]' + tools | tojson + '[/AVAILABLE_TOOLS]' }}{% endif %}
{{- '[INST]' + message.content + '[/INST]' }}
{%- elif message.role == 'tool' %}
{%- if message.tool_call_id | length != 9 %}{{ raise_exception('ids have nine characters') }}{% endif %}
{{- '[TOOL_RESULTS]{"content": ' + message.content | tojson + ', "call_id": "' + message.tool_call_id }}
{{- '"}[/TOOL_RESULTS]' }}
{%- elif message.tool_calls %}{{ '[TOOL_CALLS][' }}
{%- for call in message.tool_calls %}{{ '{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson + ', "id": "' + call.id + '"}' + (', ' if not loop.last else ']') }}
{%- endfor %}{{ eos_token }}{% set ns.asks = true %}
{%- else %}{{ ' ' + message.content + eos_token }}{% set ns.asks = true %}
{%- endif %}
{%- endfor %}"""

# A call is the tool's name, a line break and the arguments, which the template takes as text.
BARE = """
{%- for tool in tools or [] %}{{ '<|start|>tool<|stop|>' + tool.function.name + '<|eot|>' }}{% endfor %}
{%- for message in messages %}{{ '<|start|>' + message.role + '<|stop|>' + message.content }}
{%- for call in message.tool_calls or [] %}{{ call.function.name + '\n' + call.function.arguments }}{% endfor %}
{{- '<|eot|>' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant<|stop|>' }}{% endif %}"""

# Arguments that are no JSON.
UNREADABLE = """
{%- for tool in tools or [] %}{{ '<|start|>developer<|stop|>' + tool.function.name + '<|eot|>' }}{% endfor %}
{%- for message in messages %}{{ '<|start|>' + message.role + '<|stop|>' + message.content }}
{%- for call in message.tool_calls or [] %}{{ 'call:' + call.function.name + '{' }}
{%- for key, value in call.function.arguments | items %}{{ key + ':<q>' + value | string + '<q>' }}{% endfor %}
{{- '}' }}{% endfor %}{{ '<|eot|>' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|start|>assistant<|stop|>' }}{% endif %}"""

_HEADS = ["<|begin|>", "<|start|>", "<|stop|>", "<|eot|>"]
_BRACKETS = ["[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]"]
FAMILIES: dict[str, dict[str, Any]] = {
    "tagged": {
        "template": TAGGED, "special": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], "eos": "<|im_end|>",
        "added": ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>"],
    },
    "headed": {"template": HEADED, "special": _HEADS, "bos": "<|begin|>", "eos": "<|eot|>"},
    "bracketed": {
        "template": BRACKETED, "special": ["<unk>", "<s>", "</s>", *_BRACKETS, "[/TOOL_RESULTS]"], "bos": "<s>",
        "eos": "</s>",
    },
    "bare": {"template": BARE, "special": _HEADS, "bos": "<|begin|>", "eos": "<|eot|>"},
    "unreadable": {"template": UNREADABLE, "special": _HEADS, "bos": "<|begin|>", "eos": "<|eot|>"},
}  # fmt: skip


def native_llm(folder: Path, family: str, seed: int = 0) -> Path:
    """Save a two-layer model with random weights and the tokenizer of `family` to `folder`."""
    import torch
    from tokenizers import AddedToken
    from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, PreTrainedTokenizerFast, Qwen2Config

    about = FAMILIES[family]
    backend = _pieces(about["special"]) if family == "bracketed" else _bytes(about["special"])
    backend.add_tokens([AddedToken(text, normalized=False) for text in about.get("added", ())])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token=about.get("bos"), eos_token=about["eos"],
        additional_special_tokens=about["special"], chat_template=about["template"],
    )  # fmt: skip
    kinds: dict[str, Any] = {"tagged": Qwen2Config, "bracketed": MistralConfig}
    config = kinds.get(family, LlamaConfig)(
        vocab_size=len(tokenizer) + 7, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, initializer_range=0.3, max_position_embeddings=4096,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _bytes(special: Sequence[str]) -> Any:
    """Byte-level BPE."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=list(special), initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator([WORDS] * 3, trainer)
    return tokenizer


def _pieces(special: Sequence[str]) -> Any:
    """Characters with a mark for spaces, bytes where there is none, as SentencePiece writes them."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers

    letters = sorted({"▁", *(chr(code) for code in range(33, 127))})
    pairs = [("▁", "t"), ("{", '"'), ('"', ":"), ("▁", '"'), ("n", "u"), ("l", "l"), ("nu", "ll")]
    texts = [*special, *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *("".join(pair) for pair in pairs)]
    vocabulary = {text: i for i, text in enumerate(texts)}
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in special])
    return tokenizer
