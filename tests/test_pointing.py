"""Long text that a call takes over whole: the model writes a mark, and the text comes from the message."""

from __future__ import annotations

from typing import Any

import pytest

from chains.chat_model import ChatArtwright
from chains.engine import Call
from chains.grammar import Arguments, compile_tool
from chains.pointing import pasted, pointers, resolved
from chains.prompting import Turn, call_lines
from chains.quoting import MARK
from chains.tuning.maker import Maker
from chains.turn import Request, _resolved

CODE = "if x == \"\\n\":\n    print('a\\\\b')"
TOOL: dict[str, Any] = {
    "name": "explain",
    "description": "Explain code",
    "parameters": {
        "type": "object",
        "properties": {
            "code": {"type": "string"},
            "title": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "language": {"type": "string", "maxLength": 400},
        },
    },
}


@pytest.mark.parametrize(
    ("text", "held"),
    [
        (f"what does\n```python\n{CODE}\n```\ndo?", CODE),
        (f"explain ```\n    {CODE}\n```", f"    {CODE}"),
        ("run ``` ls -la | head -n 3 ``` now", "ls -la | head -n 3"),
        ("what is `sorted(items, key=len)` for?", "sorted(items, key=len)"),
        (f"Tidy this up: {CODE}", CODE),
        (f"Please: explain\n{CODE}", f"explain\n{CODE}"),
        (f"How many tokens has this?\n\n{CODE}\n", CODE),
        (f"What is this:\n{CODE}\nCan you explain it?", CODE),
        (f"Tidy up\n\n{CODE}\nX = y.", f"{CODE}\nX = y."),
        ("explain `x = 1`", None),  # short
        ("subject: cat", None),
        ("at 10:30 the curtain rises and all is well", None),
        (f"```\n{CODE}\n``` and ```\n{CODE}\n```", None),  # which?
        (f"this \u2026 thing: {CODE}", None),  # the mark means something else here
        ("draw a coat", None),
    ],
)
def test_what_may_be_pointed_at(text: str, held: str | None) -> None:
    assert pasted(text) == held


def test_only_what_is_equal_and_free() -> None:
    said, schema = f"explain this: {CODE}", TOOL["parameters"]
    args = {"code": CODE, "title": CODE[1:], "language": CODE}
    assert pointers(args, schema, said) == {"code": MARK}
    assert pointers({"title": CODE}, schema, said) == {"title": MARK}
    assert pointers(args, schema, "hello") == pointers(args, schema, "") == {}
    written = {**args, "code": MARK, "language": MARK}
    assert resolved(written, schema, said) == {**args, "language": MARK}
    assert resolved({"code": MARK}, schema, "what does \u2026 mean?") == {"code": MARK}


def test_written_and_read_back() -> None:
    turns = [Turn("user", f"explain this: {CODE}")]
    line = call_lines([TOOL], [("explain", {"code": CODE, "title": "a\u2028b"})], turns)
    assert line.startswith(f'explain {{"code":"{MARK}","title":')
    tool = compile_tool(TOOL)
    request = Request(turns, "", [tool], "auto", max_calls=1, limit=1, stops=(), replies=False)
    call = _resolved(Call("explain", f'{{"code":"{MARK}"}}', 1.0), request)
    assert call == Call("explain", '{"code":"if x == \\"\\\\n\\":\\n    print(\'a\\\\\\\\b\')"}', 1.0)


def test_no_mark_where_nothing_is_quoted() -> None:
    vocabulary = ChatArtwright().engine.vocabulary
    for marks in (True, False):
        written = Arguments(compile_tool(TOOL), vocabulary, 99, marks)
        written._consume(vocabulary.lib.tokenize_str(' {"code":"x'))
        assert bool((written.allowed() & vocabulary.mark).any()) == marks


def test_what_is_taught_comes_back() -> None:
    maker, pointed = Maker(3), 0
    for index in range(60):
        group = maker.group(index, 8)
        schemas = {tool["name"]: tool["parameters"] for tool in group.tools}
        for example in group.examples:
            *_, said = [turn.text for turn in example.turns if turn.role == "user"]
            for name, args in example.calls:
                marks = pointers(args, schemas[name], said)
                pointed += len(marks)
                assert resolved({**args, **marks}, schemas[name], said) == args
    assert pointed > 5
