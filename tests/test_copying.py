"""Code that an argument copies stays what was said."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from chains.copying import COPIED, Copying
from chains.engine import embedded_base
from chains.grammar import Arguments, Vocabulary, compile_tools

TOKENS = [b'"', b"; ", b"}", b"x", b'x"', b'}"}', b"; x", b'\\"', b"return", b"\xc3\xa9"]
SAID = r' run "if (a > b) { f(a); x }" and if (a > b) { f(a); return \"é\"; }'


def left(string: str, said: str = SAID, allowed: list[bytes] = TOKENS) -> list[bytes]:
    """The tokens of `allowed` that may come next in a string."""
    heads = [(i, text.partition(b'"')[0]) for i, text in enumerate(TOKENS) if b'"' in text]
    closing = [(i, head) for i, head in heads if not head.endswith(b"\\")]
    vocabulary: Any = SimpleNamespace(whole={text: i for i, text in enumerate(TOKENS)}, closing=closing)
    arguments: Any = SimpleNamespace(string=string.encode())
    mask = np.array([text in allowed for text in TOKENS])
    return [TOKENS[i] for i in np.flatnonzero(Copying(vocabulary, said).narrowed(arguments, mask))]


def test_it_goes_on_as_in_the_message_or_ends() -> None:
    assert left(" if (a > b) { f(a); x ") == [b'"', b"}", b'}"}']
    assert left("if (a > b) { f(a)") == [b'"', b"; ", b"; x"]  # either place that begins so
    assert left("if (a > b) { f(a); return ") == [b'"', b'\\"']  # a quote that was said has its escape
    assert left(r"if (a > b) { f(a); return \"") == [b'"', b"\xc3\xa9"]


def test_what_is_no_code_or_not_said_is_free() -> None:
    assert left("if (a > b) {") == TOKENS and len("if (a > b) {") < COPIED
    assert left(" call my sister and her x", "call my sister and her x again") == TOKENS
    assert left(" pay $30 to my sister x", "pay $30 to my sister x again") == TOKENS  # one sign is no code
    assert left(r" tell them \"we meet at x", r"tell them \"we meet at x again") == TOKENS
    assert left("if (a > b) { g(a);;") == TOKENS
    assert left("if (a > b) { f(a); x ", allowed=[b"return"]) == [b"return"]  # the grammar has the last word


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(embedded_base())
    return Vocabulary(tokenizer, len(tokenizer))


def test_the_string_that_is_being_written(vocabulary: Vocabulary) -> None:
    schema = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}
    tool = compile_tools([{"name": "run", "description": "Run.", "parameters": schema}])[0]
    arguments = Arguments(tool, vocabulary, 100)
    arguments.forced()
    seen = []
    for token in (b'":"', b" a", b"\\", b'"', b"("):
        arguments.accept(vocabulary.whole[token])
        seen.append(arguments.string)
    assert seen == [b"", b" a", b" a\\", b' a\\"', b' a\\"(']
    twin = arguments.copy()
    twin.accept(vocabulary.quote)
    assert twin.string == b"" and arguments.string == seen[-1]


def test_every_way_to_close_a_string_is_known(vocabulary: Vocabulary) -> None:
    assert vocabulary.whole[b'"'] == vocabulary.quote
    heads = dict(vocabulary.closing)
    assert heads[vocabulary.quote] == b"" and all(b'"' in vocabulary.bytes[token] for token in heads)
