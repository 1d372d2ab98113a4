"""Long text that a call takes over whole: the model writes a mark, and the text comes from the message."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from chains.chat_model import ChatArtwright
from chains.engine import Call
from chains.grammar import Arguments, compile_tool
from chains.pointing import pasted, pointers, resolved, target
from chains.prompting import Turn, call_lines
from chains.quoting import MARK
from chains.spacing import takes_string
from chains.tuning.maker import Maker
from chains.tuning.packing import answer_text
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
        ("Translate:\n\nThe shop opens at nine.\nBring a bag.", None),  # whose is the last line?
        (
            "Explain:\nconst url = `https://a.example/${id}`;\nfetch(url)",
            "const url = `https://a.example/${id}`;\nfetch(url)",
        ),
        ("I don`t like this one, can`t you draw a nicer coat", None),
        ("Sum this up:\n# Tool\nInstall it.\n```\npip install artwright\n```\nThen run it.", None),
        ("explain this:\n```python\nprint(1)\nprint(2)", None),  # open
        ("explain\r\n```python\r\nprint(1)\r\nprint(2)\r\n```", "print(1)\r\nprint(2)"),
        ("explain `x = 1`", None),  # short
        ("subject: cat", None),
        ("at 10:30 the curtain rises and all is well", None),
        (f"```\n{CODE}\n``` and ```\n{CODE}\n```", None),  # which?
        ("draw a coat", None),
        (f"{CODE}\n\nwhat does this do?", CODE),
        ("if (a) {\n  go();\n}\nplease format it", "if (a) {\n  go();\n}"),
        ("run this: a = (1)\nreturn x or y", "a = (1)\nreturn x or y"),
        ("x = f(1)\ny = g(2)\nplease", "x = f(1)\ny = g(2)"),
        (f"Our web man wrote\n\n{CODE}\n\nand charged £40. What is it?", CODE),
        ("import os\n\ndef f():\n    return os\n\nwhat is this for?", None),  # or "tidy up"?
        (f"Tidy up\n\n{CODE}\n\nThanks for your help!", CODE),
        ("What does this do?\ndef add(a, b):\n    a += b\n    return a", "def add(a, b):\n    a += b\n    return a"),
        ("What is this\n\ndef f(a):\n    return a\n\nx = f(1)", "def f(a):\n    return a\n\nx = f(1)"),
        ('{"a": [1, 2],\n "b": "x/y"}\n\nis this key right?', '{"a": [1, 2],\n "b": "x/y"}'),
        ("a:\n  b: [1, 2]\n  c: 3\n\nis that valid yaml?", "a:\n  b: [1, 2]\n  c: 3"),
        (
            "Compare these:\n---\nThe first is here.\n---\nAnd the second",
            "---\nThe first is here.\n---\nAnd the second",
        ),
        ("Thanks! ;) can you draw a cat now for my little girl", None),
        (f"Quick one: explain this:\n\n{CODE}", CODE),
        ("Set a timer. (10 minutes) and then call me back again", None),
        ("Correct it\n\nI has a dog.\n\nHis name (Rex) are short.\n\nI loves him.", None),
        ("Say this in Greek:\n\nDear Anna,\n\nwe are closed.\n\nTom", "Dear Anna,\n\nwe are closed.\n\nTom"),
        ("Rewrite\n=SUM(B2:B40, C7)*2\nin R for our teacher.", "=SUM(B2:B40, C7)*2"),
        ('How many lines? {\n  "rooms": [1, 2', '{\n  "rooms": [1, 2'),
        ("Good morning. Explain this: x = f(12) + g(2)", "x = f(12) + g(2)"),
        (f"as comment, what is between the lines\n-----\n{CODE}\n-----\n", CODE),
    ],
)
def test_what_may_be_pointed_at(text: str, held: str | None) -> None:
    assert pasted(text) == held


def test_takes_little_time() -> None:
    start = time.perf_counter()
    for text in (
        "a" * 200_000,
        "word " * 40_000,
        "```" + "x " * 90_000,
        "do x:\nq" + "\n" * 200_000 + "A b.",
        "`a` " * 50_000,
        "(\n---" * 50_000,
        "word " * 40_000 + "? (x",
        "the cat\n\n(b\n\n" * 15_000,
        "\n \n" * 50_000,
    ):
        pasted(text)
    assert time.perf_counter() - start < 5


def test_only_what_is_equal_and_free() -> None:
    schema = TOOL["parameters"]
    args = {"code": CODE, "title": CODE[1:], "language": CODE}
    assert pointers(args, schema, CODE) == {"code": MARK, "language": MARK}
    assert pointers({"title": CODE}, schema, CODE) == {"title": MARK}
    assert pointers(args, schema, None) == {}
    assert resolved({**args, "code": MARK, "language": MARK}, schema, CODE) == args
    long = 20 * CODE
    assert resolved({"code": MARK, "language": MARK}, schema, long) == {"code": long, "language": MARK}
    assert target(["hello", f"explain this: {CODE}"]) == CODE
    assert target([f"explain this: {CODE}", "hello"]) is target([]) is None
    assert target(["what does \u2026 mean?", f"explain this: {CODE}"]) is None  # the mark means something else here


@pytest.mark.parametrize(
    ("field", "takes_it"),
    [
        ({"type": ["string", "null"]}, True),
        ({"anyOf": [{"type": "string", "minLength": 2}, {"type": "null"}]}, True),
        ({"type": "string", "maxLength": 20}, False),
        ({"type": "string", "pattern": "^x"}, False),
        ({"enum": ["a", "b"]}, False),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, False),
        ({"type": "array", "items": {"type": "string"}}, False),
        ({}, False),
    ],
)
def test_what_takes_any_text(field: dict[str, Any], takes_it: bool) -> None:
    assert takes_string(field, {"properties": {"x": field}}, CODE) == takes_it


def test_written_and_read_back() -> None:
    turns = [Turn("user", f"explain this: {CODE}")]
    line = call_lines([TOOL], [("explain", {"code": CODE, "title": "a\u2028b"})], turns, True)
    assert line.startswith(f'explain {{"code":"{MARK}","title":')
    tool = compile_tool(TOOL)
    request = Request(turns, "", [tool], "auto", max_calls=1, limit=1, stops=(), replies=False)
    call = _resolved(Call("explain", f'{{"code":"{MARK}"}}', 1.0), request)
    assert call == Call("explain", '{"code":"if x == \\"\\\\n\\":\\n    print(\'a\\\\\\\\b\')"}', 1.0)


def test_no_mark_where_nothing_is_quoted() -> None:
    vocabulary = ChatArtwright().engine.vocabulary
    for marks in (True, False):
        written = Arguments(compile_tool(TOOL), vocabulary, 99, marks)
        written._consume(vocabulary.lib.tokenize_str(' {"code":"'))
        assert bool((written.allowed() & vocabulary.mark).any()) == marks
        written._consume(vocabulary.lib.tokenize_str("x"))
        assert (written.allowed() & vocabulary.mark).any()  # within a text it is a character like any other


def test_what_is_taught_comes_back() -> None:
    maker, pointed = Maker(3), 0
    for index in range(180):
        group = maker.group(index, 8)
        tools = {tool["name"]: compile_tool(tool) for tool in group.tools}
        for example in group.examples:
            request = Request(example.turns, "", list(tools.values()), "auto", 9, 1, (), replies=False)
            lines = answer_text(group.tools, example).split("\n") if example.calls else []
            for line, (name, args) in zip(lines, example.calls, strict=True):
                given = tools[name].given(line.removeprefix(name))
                assert json.loads(_resolved(Call(name, given, 1.0), request).arguments) == args
                pointed += f'"{MARK}"' in line
    assert pointed > 20
