"""A few cases of tests/bench/abilities.py, which measures them all (`make bench`)."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import jsonschema
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "bench"))

from abilities import DEV_KINDS, KINDS, flaw, material, same, sample

from chains.chat_model import ChatArtwright
from chains.grammar import compile_tools

SAMPLE = {"numbers": 2, "names": 2, "code": 1, "talk": 2, "replies": 1}
LEAST = 6  # of these eight; the benchmark says how many of all are right


@pytest.mark.parametrize(("kind", "dev"), [*((kind, False) for kind in KINDS), *((kind, True) for kind in DEV_KINDS)])
def test_there_are_enough_cases(kind: str, dev: bool) -> None:
    cases = sample(kind, dev=dev)
    compile_tools(
        [
            tool
            for part in ("tools", "numbers_tools", "replies_tools", "more_replies_tools")
            for tool in material(dev).get(part, ())
        ]
    )
    assert len(cases) >= 100 and len({(str(case.messages), str(case.tools)) for case in cases}) == len(cases)
    for case in cases:
        names = Counter(tool["name"] for tool in case.tools)
        assert not case.tools or names.total() == 5
        if not case.name:
            continue
        assert names[case.name] == 1
        said = str(case.messages[0].content)
        schema = next(tool for tool in case.tools if tool["name"] == case.name)["parameters"]
        for name, value in case.args.items():
            assert str(value) in said
            jsonschema.validate(value, schema["properties"][name])


def test_how_answers_are_judged() -> None:
    assert same(-2.5, -2.5) and same(3.0, 3) and same(" a\n", "a")
    assert not same(True, 1) and not same("1", 1) and not same(2.5, -2.5) and not same(None, "a")


def test_a_sample() -> None:
    llm = ChatArtwright(model="embedded")
    flaws = [flaw(llm, case) for kind, count in SAMPLE.items() for case in sample(kind, count)]
    assert sum(found is None for found in flaws) >= LEAST, flaws


def test_stopping() -> None:
    llm = ChatArtwright(model="embedded")
    assert [flaw(llm, case) for case in sample("stop", 1)] == [None]
