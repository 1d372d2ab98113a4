"""The judges of tests/bench: what counts as right, on hand-made answers; and that the held-out files can be read."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import jsonschema
import pytest

BENCH = Path(__file__).parent / "bench"
sys.path.insert(0, str(BENCH))

import bfcl  # noqa: E402
import routing  # noqa: E402

from chains.grammar import compile_tools  # noqa: E402

DEFAULT = {"count": 1, "seed": None, "words": 60, "prompt": ""}


@pytest.mark.parametrize(
    ("got", "wanted", "right"),
    [
        ({"subject": "Ankle boots"}, {"subject": "ankle-boot", "count": 1}, True),
        ({"subject": "boot"}, {"subject": ["ankle-boot", "boot"]}, True),
        ({"subject": "coat", "seed": 7}, {"subject": "coat"}, False),
        ({"subject": "coat"}, {"subject": "coat", "count": [2, None]}, True),
        ({"count": 3}, {"count": [2, None]}, False),
        ({"count": True}, {"count": 2}, False),
        ({"words": 80}, {"words": {">": 60}}, True),
        ({}, {"words": {">": 60}}, False),
        ({"words": 20}, {"words": {"<": 60}}, True),
        ({"prompt": "Sort the list"}, {"prompt": {"has": ["sort", "list"]}}, True),
        ({"prompt": "Sort it"}, {"prompt": {"has": ["sort", "list"]}}, False),
        ({"list": ["Red", "blue"]}, {"list": ["red", "blue"]}, True),
        ({"list": ["blue", "red"]}, {"list": ["red", "blue"]}, False),
        ({"list": ["blue"]}, {"list": [["red"], ["blue"]]}, True),
        ({"prompt": "hope"}, [{"must_include": "hope"}, {"prompt": ["hope", "about hope"]}], True),
        ({}, [{"must_include": "hope"}, {"prompt": "hope"}], False),
    ],
)
def test_arguments_are_judged(got, wanted, right):
    assert routing.args_right(got, wanted, DEFAULT) is right


@pytest.mark.parametrize("file", [*routing.HELDOUT, BENCH / "dev_plugins.jsonl"], ids=lambda file: file.stem)
def test_what_requests_expect_can_be_called(file):
    """Every expected argument exists and every lone scalar value is allowed by its schema."""
    for case in routing.read_cases(file):
        schemas = {tool["name"]: tool["parameters"] for tool in routing.offered(case)}
        for call in case["calls"]:
            variants = call["args"] if isinstance(call["args"], list) else [call["args"]]
            for args in variants:
                fields = schemas[call["name"]]["properties"]
                assert set(args) <= set(fields), case["prompt"]
                for name, value in args.items():
                    if not isinstance(value, list | dict) and value != "*":
                        jsonschema.validate(value, fields[name])


def test_requests_that_no_tool_serves_can_be_asked():
    cases = routing.read_cases(BENCH / "dev_unserved.jsonl")
    assert len({case["prompt"] for case in cases}) == len(cases) >= 100
    assert not any(case["calls"] for case in cases)
    for case in cases:
        assert len(compile_tools(routing.offered(case))) == len(case["tools"])


def test_a_missed_target_is_named():
    table = routing.summary(
        [
            {"kind": "talk", "calls": [], "tool": True, "args": True, "seconds": 0.1},
            {"kind": "unseen", "calls": [{"name": "x"}], "tool": True, "args": False, "seconds": 0.1},
        ]
    )
    assert {kind: met for kind, _, _, _, met in routing.against_targets(table)} == {"talk": True, "unseen": False}


AREA = {
    "name": "shape.area",
    "description": "Area.",
    "parameters": {
        "type": "dict",
        "properties": {
            "width": {"type": "float"},
            "sides": {"type": "integer"},
            "unit": {"type": "string", "optional": True},
            "points": {"type": "tuple", "items": {"type": "float"}},
            "style": {"type": "dict"},
        },
        "required": ["width"],
    },
}
ACCEPTED = {
    "width": [2.0],
    "sides": [4],
    "unit": ["sq. cm", ""],
    "points": [[1.0, 2.5], ""],
    "style": [{"ink": ["red", ""]}, ""],
}
GIVEN = {"width": 2, "sides": 4}


@pytest.mark.parametrize(
    ("args", "right"),
    [
        (GIVEN, True),
        ({"sides": 4}, False),  # a required one is missing
        ({"width": 2}, False),  # one that is not marked as optional is missing
        ({**GIVEN, "colour": "red"}, False),
        ({**GIVEN, "sides": 4.0}, False),
        ({**GIVEN, "sides": "4"}, False),
        ({**GIVEN, "sides": True}, False),
        ({**GIVEN, "width": 3}, False),
        ({**GIVEN, "unit": "SQ CM"}, True),
        ({**GIVEN, "unit": "m"}, False),
        ({**GIVEN, "points": [1.0, 2.5]}, True),
        ({**GIVEN, "points": [1, 2.5]}, False),  # an integer is no float inside a list
        ({**GIVEN, "points": [2.5, 1.0]}, False),
        ({**GIVEN, "style": {"ink": "Red"}}, True),
        ({**GIVEN, "style": {}}, True),
        ({**GIVEN, "style": {"pen": "red"}}, False),
    ],
)
def test_bfcl_answers_are_judged(args, right):
    case = {"functions": [AREA], "answer": {"shape.area": ACCEPTED}}
    call = {"name": "shape_area", "args": args}
    assert bfcl.right(case, [call]) is right
    assert not bfcl.right(case, [call, call])
    assert not bfcl.right({**case, "answer": None}, [call])


def test_a_formula_stands_for_a_number_only_as_it_is():
    case = {"functions": [AREA], "answer": {"shape.area": {**ACCEPTED, "width": ["2*r"]}}}
    assert bfcl.right(case, [{"name": "shape_area", "args": {**GIVEN, "width": "2*r"}}])
    assert not bfcl.right(case, [{"name": "shape_area", "args": {**GIVEN, "width": "2r"}}])


def test_bfcl_types_become_json_schema():
    tool = bfcl.as_tool(AREA)
    assert tool["name"] == "shape_area"
    jsonschema.Draft202012Validator.check_schema(tool["parameters"])
    valid = {"width": 2.5, "sides": 4, "points": [1.5], "style": {"any": "thing"}}
    jsonschema.validate(valid, tool["parameters"])
    assert "optional" not in json.dumps(tool)


def test_bfcl_is_read_from_the_wheel(tmp_path):
    wheel = tmp_path / "bfcl_eval-1-py3-none-any.whl"
    question = {"id": "a", "question": [[{"role": "user", "content": "hi"}]], "function": [AREA]}
    answer = {"id": "a", "ground_truth": [{"shape.area": ACCEPTED}]}
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("bfcl_eval/data/BFCL_v4_multiple.json", json.dumps(question))
        archive.writestr("bfcl_eval/data/possible_answer/BFCL_v4_multiple.json", json.dumps(answer))
    (case,) = bfcl.read_cases(bfcl.wheel_of(tmp_path), "multiple")
    assert case == {"messages": [("user", "hi")], "functions": [AREA], "answer": answer["ground_truth"][0]}
    with pytest.raises(ValueError, match="pip download"):
        bfcl.read_cases(wheel, "irrelevance")


def test_without_bfcl_one_line_says_how_to_bring_it(tmp_path):
    script = [sys.executable, str(BENCH / "bfcl.py"), "--data", str(tmp_path)]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith("error:") and "pip download" in done.stderr and done.stderr.count("\n") == 1


def test_the_interval_is_wilsons():
    assert bfcl.interval(50, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert bfcl.interval(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
