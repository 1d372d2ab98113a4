"""The Berkeley Function Calling Leaderboard (v4) with our own answer checker: simple_python, multiple, irrelevance.

    python tests/bench/bfcl.py [--category multiple] [--limit N] [--llm SPEC] [--data WHEEL_OR_FOLDER] [--json]

Questions and accepted answers are read out of the wheel of the PyPI package bfcl-eval, which is neither installed nor
run (`make bench` downloads it). They serve for measuring alone: the adapter never saw them, and errors are not printed.

Tools are bound with the choice left to the model, in every category. The data's type names become JSON Schema's (dict:
object, float: number, tuple: array, any: string), a dict without properties takes any, and a dot in a name becomes an
underscore, as LangChain's providers require.

In irrelevance an answer is right when it calls nothing. Elsewhere it is right when it is exactly one call, of the
function that is meant, and:

1. every required parameter is given, and none that the schema or the accepted answer does not have;
2. a parameter that is left out has `""` among its accepted values, which marks it as optional;
3. a value has the declared type. An integer passes for a float, though not inside a list. `true` is no integer. A value
   of the type of the first accepted one (other than `""`) passes as well: that is how a formula or a variable stands
   for a number; then it must equal an accepted value as it is;
4. a string equals an accepted one after case, spaces and the characters , . / - _ * ^ are set aside; ' equals ";
5. a list equals an accepted one, item by item in order, its strings compared as in 4. Its items have the declared type,
   or that of the first item of an accepted list. An empty list or string counts as left out;
6. a mapping has only accepted keys, each with an accepted value (strings as in 4), and every key without `""` among its
   values. A list of mappings compares them one by one, in order;
7. any other value equals an accepted one.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / ".venv" / "bfcl"
PACKAGE = "bfcl-eval==2026.3.23"
BRING = f"{ROOT / '.venv/bin/python'} -m pip download --no-deps --only-binary :all: --dest {PLACE} {PACKAGE}"
# Single-turn accuracy in %, as FunctionGemma-270M's model card gives it.
PUBLISHED = {"simple_python": 61.6, "multiple": 63.5, "irrelevance": 73.7}
TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}
PYTHON = {"string": str, "any": str, "integer": int, "float": float, "boolean": bool,
          "array": list, "tuple": list, "dict": dict}  # fmt: skip
OPTIONAL = ""  # among the accepted values of a parameter that may be left out


def wheel_of(data: Path) -> Path:
    """The package's wheel, given it or its folder. Raises ValueError with the command that brings it."""
    wheels = sorted(data.glob("bfcl_eval-*.whl")) if data.is_dir() else [data]
    if not wheels or not wheels[-1].is_file():
        raise ValueError(f"there is no bfcl-eval wheel at {data}; bring it with: {BRING}")
    return wheels[-1]


def read_cases(wheel: Path, category: str) -> list[dict[str, Any]]:
    """The questions of a category: `messages` (role, content), `functions` and `answer` ({name: {parameter: accepted
    values}}, None where nothing is to be called). Raises ValueError where the wheel does not hold them.
    """
    questions = _lines(wheel, f"bfcl_eval/data/BFCL_v4_{category}.json")
    if category == "irrelevance":
        accepted: dict[str, Any] = {}
    else:
        found = _lines(wheel, f"bfcl_eval/data/possible_answer/BFCL_v4_{category}.json")
        accepted = {line["id"]: line["ground_truth"][0] for line in found}
    return [
        {
            "messages": [(message["role"], message["content"]) for message in question["question"][0]],
            "functions": question["function"],
            "answer": accepted[question["id"]] if accepted else None,
        }
        for question in questions
    ]


def _lines(wheel: Path, member: str) -> list[dict[str, Any]]:
    try:
        with zipfile.ZipFile(wheel) as archive:
            return [json.loads(line) for line in archive.read(member).decode("utf-8").splitlines() if line.strip()]
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"cannot read {member} in {wheel} ({error}); bring the wheel again with: {BRING}") from error


def as_tool(function: Mapping[str, Any]) -> dict[str, Any]:
    """A function of the data as a tool `{"name", "description", "parameters"}` in plain JSON Schema."""
    return {
        "name": tool_name(function["name"]),
        "description": function["description"],
        "parameters": json_schema(function["parameters"]),
    }


def tool_name(name: str) -> str:
    return name.replace(".", "_")


def json_schema(described: Mapping[str, Any]) -> dict[str, Any]:
    """A type of the data as JSON Schema; `optional`, which is not a keyword of it, goes: `required` says the same."""
    schema = {key: value for key, value in described.items() if key not in ("type", "optional", "properties", "items")}
    kind = described.get("type", "string")
    schema["type"] = TYPES.get(kind, kind)
    if "properties" in described:
        schema["properties"] = {name: json_schema(field) for name, field in described["properties"].items()}
    elif schema["type"] == "object":
        schema["additionalProperties"] = True
    if "items" in described:
        schema["items"] = json_schema(described["items"])
    return schema


def right(case: Mapping[str, Any], calls: Sequence[Mapping[str, Any]]) -> bool:
    """Whether `calls` ({"name", "args"} each) answer the case, by the rules at the head of this file."""
    if case["answer"] is None:
        return not calls
    ((name, accepted),) = case["answer"].items()
    if len(calls) != 1 or calls[0]["name"] != tool_name(name):
        return False
    args = calls[0]["args"]
    schema = next(function["parameters"] for function in case["functions"] if function["name"] == name)
    fields = schema["properties"]
    return (
        all(parameter in args for parameter in schema.get("required", ()))
        and all(p in fields and p in accepted and _value(v, accepted[p], fields[p]) for p, v in args.items())
        and all(parameter in args or OPTIONAL in values for parameter, values in accepted.items())
    )


def _value(value: Any, accepted: Sequence[Any], field: Mapping[str, Any]) -> bool:
    declared = PYTHON[field["type"]]
    if declared is float and type(value) is int:
        value = float(value)
    first = _first_type(accepted)
    if type(value) not in (declared, first):
        return False
    if first not in (None, declared):
        return value in accepted
    if declared is dict:
        return any(_mapping(value, one) for one in accepted if one != OPTIONAL)
    if declared is str:
        return _bare(value) in [_bare(one) for one in accepted if isinstance(one, str)]
    if declared is list:
        return _list(value, accepted, PYTHON[field["items"]["type"]] if "items" in field else None)
    return value in accepted


def _first_type(accepted: Sequence[Any]) -> type | None:
    return next((type(one) for one in accepted if one != OPTIONAL), None)


def _list(value: list[Any], accepted: Sequence[Any], inner: type | None) -> bool:
    if not value and OPTIONAL in accepted:
        return True
    lists = [one for one in accepted if one != OPTIONAL]
    if inner is dict:
        return any(
            len(value) == len(one) and all(_mapping(*pair) for pair in zip(value, one, strict=True)) for one in lists
        )
    typed = inner is None or any(all(type(item) in (inner, _first_type(one)) for item in value) for one in lists)
    return typed and [_bare(item) for item in value] in [[_bare(item) for item in one] for one in lists]


def _mapping(value: Any, accepted: Mapping[str, Sequence[Any]]) -> bool:
    return (
        isinstance(value, dict)
        and all(key in accepted and _bare(v) in [_bare(one) for one in accepted[key]] for key, v in value.items())
        and all(key in value or OPTIONAL in values for key, values in accepted.items())
    )


def _bare(value: Any) -> Any:
    """A string without what rule 4 sets aside; anything else as it is."""
    return re.sub(r"[ ,./\-_*^]", "", value).lower().replace("'", '"') if isinstance(value, str) else value


def interval(hits: int, n: int) -> tuple[float, float]:
    """Wilson's 95 % interval (1927) of a share, as two shares."""
    z = 1.959964
    centre = (hits + z * z / 2) / (n + z * z)
    half = z * math.sqrt(hits * (n - hits) / n + z * z / 4) / (n + z * z)
    return max(0.0, centre - half), min(1.0, centre + half)


def calls_of(cases: Sequence[Mapping[str, Any]], llm: Any) -> Iterator[list[dict[str, Any]]]:
    """The calls that a LangChain chat model makes for each case, the choice of calling at all left to it."""
    for case in cases:
        bound = llm.bind_tools([as_tool(function) for function in case["functions"]])
        yield [{"name": call["name"], "args": call["args"]} for call in bound.invoke(case["messages"]).tool_calls]


def main() -> None:
    parser = argparse.ArgumentParser(description="BFCL v4 single-turn accuracy, with our own answer checker.")
    parser.add_argument("--category", action="append", choices=list(PUBLISHED), help="may be given again; default: all")
    parser.add_argument("--limit", type=int, help="only the first N questions of each category")
    parser.add_argument("--llm", help="which LLM, as in `artwright chat --llm` (default: embedded)")
    parser.add_argument("--data", type=Path, default=PLACE, help="bfcl-eval's wheel, or the folder it lies in")
    parser.add_argument("--json", action="store_true", help="print the table as JSON")
    args = parser.parse_args()
    try:
        wheel = wheel_of(args.data)
        chosen = {name: read_cases(wheel, name)[: args.limit] for name in args.category or PUBLISHED}
        from chains.chat_model import ChatArtwright, chat_model

        llm = chat_model(args.llm)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    if isinstance(llm, ChatArtwright):
        llm = llm.model_copy(update={"max_tokens": 1})  # only whether it talks counts, not what it says

    rows = []
    for category, cases in chosen.items():
        hits, start = 0, time.monotonic()
        for number, (case, calls) in enumerate(zip(cases, calls_of(cases, llm), strict=True), 1):
            hits += right(case, calls)
            pace = (time.monotonic() - start) / number
            print(f"\r{category}: {number}/{len(cases)}  {pace:.2f} s each ", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        low, high = (round(100 * bound, 1) for bound in interval(hits, len(cases)))
        rows.append(
            {
                "category": category,
                "n": len(cases),
                "accuracy": round(100 * hits / len(cases), 1),
                "low": low,
                "high": high,
                "seconds": round(time.monotonic() - start, 1),
                "functiongemma_270m": PUBLISHED[category],
            }
        )
    if args.json:
        print(json.dumps(rows))
        return
    print(f"{'BFCL v4, %':<16}{'n':>5}{'accuracy':>10}{'95 % interval':>16}{'seconds':>9}  FunctionGemma-270M's card")
    for row in rows:
        span = f"{row['low']:.1f} to {row['high']:.1f}"
        print(
            f"{row['category']:<16}{row['n']:>5}{row['accuracy']:>10.1f}{span:>16}{row['seconds']:>9.0f}"
            f"  {row['functiongemma_270m']:.1f}"
        )


if __name__ == "__main__":
    main()
