"""How well the agent's LLM chooses tools: held-out requests through the public `route`, right tool and right arguments.

    python tests/bench/routing.py [--file tests/bench/heldout.jsonl] [--llm SPEC] [--json] [--limit N] [--errors]

Exits with 1 where heldout.jsonl misses a target. dev.jsonl is for looking at errors; heldout.jsonl is not.

A line of the file is `{"prompt", "calls": [{"name", "args"}], "kind"}` and perhaps `"history"` (earlier prompts),
`"tools"` (JSON schemas in place of the app's) and `"about_ok"` (a question that `about` may take or leave). Kinds:
tool, talk, multi, followup, unseen. An expected argument may be a list of accepted values (null: may be absent), or
"*" for any. A call is right when every
expected argument is accepted and no other is given, after case, plural, hyphens and defaults are set aside.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

HELDOUT = Path(__file__).with_name("heldout.jsonl")
TARGETS = {
    ("= requests", "right_tool"): 0.88,
    ("= requests", "all_args_right"): 0.78,
    ("= left alone", "right_tool"): 0.80,
}


def normal(value: Any) -> Any:
    """A value without what does not matter: case, articles, hyphens, quotes, the plural of words; 3.0 is 3."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return float(value)
    if isinstance(value, list):
        return [normal(part) for part in value]
    if isinstance(value, str):
        words = value.strip(" .\"'").lower().replace("-", " ").replace("_", " ").split()
        words = words[1:] if words[:1] in (["a"], ["an"], ["the"]) and len(words) > 1 else words
        return " ".join(_singular(word) for word in words)
    return value


def _singular(word: str) -> str:
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x"), ("s", "")):
        if word.endswith(ending) and len(word) > len(ending) + 1 and not word.endswith("ss"):
            return word[: -len(ending)] + instead
    return word


def defaults(tools: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The default of each argument that has one, by tool."""
    schemas = {tool["name"]: tool.get("args") or tool.get("parameters") or {} for tool in tools}
    return {
        name: {arg: field["default"] for arg, field in (schema.get("properties") or {}).items() if "default" in field}
        for name, schema in schemas.items()
    }


def args_right(got: Mapping[str, Any], wanted: Mapping[str, Any], default: Mapping[str, Any]) -> bool:
    """Whether every argument is right, one that is not given being its default."""
    for name in {*got, *wanted}:
        said = got.get(name, default.get(name))
        expected = wanted.get(name, default.get(name))
        if expected == "*":
            continue
        several = isinstance(expected, list) and not isinstance(said, list)
        accepted = [default.get(name) if one is None else one for one in expected] if several else [expected]
        if normal(said) not in [normal(one) for one in accepted]:
            return False
    return True


def judge(
    case: Mapping[str, Any], calls: Sequence[Mapping[str, Any]], default: Mapping[str, Mapping[str, Any]]
) -> dict[str, bool]:
    """`tool`: the right tools in order, or none where none is wanted; `args`: that, and all arguments right."""
    wanted = case.get("calls") or []
    names = [call["name"] for call in calls]
    if not wanted:
        alone = not names or (names == ["about"] and (case["kind"] == "talk" or bool(case.get("about_ok"))))
        return {"tool": alone, "args": alone}
    if case.get("about_ok") and not names:
        return {"tool": True, "args": True}
    tool = names == [call["name"] for call in wanted]
    pairs = zip(calls, wanted, strict=False)
    return {
        "tool": tool,
        "args": tool and all(args_right(c["args"], w.get("args") or {}, default.get(c["name"], {})) for c, w in pairs),
    }


def read_cases(file: Path) -> list[dict[str, Any]]:
    """The requests of a JSON-lines file. Raises ValueError with the line that is wrong."""
    cases: list[dict[str, Any]] = []
    number = 0
    try:
        for line in file.read_text(encoding="utf-8").splitlines():
            number += 1
            if line.strip():
                case = json.loads(line)
                if not {"prompt", "kind"} <= set(case):
                    raise ValueError("it has no prompt or no kind")
                cases.append(case)
    except (OSError, ValueError) as error:
        where = f"line {number} of {file}" if isinstance(error, ValueError) else str(file)
        raise ValueError(f"cannot read {where}: {error}") from error
    return cases


def evaluate(
    cases: Sequence[Mapping[str, Any]], llm: str | None, tools: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Each case with the calls that were made, the seconds they took and the verdict."""
    from chains.agent import route

    for case in cases:
        offered = case.get("tools")
        answer = route(case["prompt"], case.get("history") or [], offered, llm)
        yield {
            **case,
            "got": answer["calls"],
            "seconds": answer["seconds"],
            **judge(case, answer["calls"], defaults(offered or tools)),
        }


def summary(results: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Shares by kind; `requests` are those that want a call, `left alone` those that want none."""
    rows: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        rows.setdefault(result["kind"], []).append(result)
        rows.setdefault("= requests" if result.get("calls") else "= left alone", []).append(result)
    rows["= all"] = list(results)
    return {
        kind: {
            "n": len(found),
            "right_tool": round(sum(r["tool"] for r in found) / len(found), 4),
            "all_args_right": round(sum(r["args"] for r in found) / len(found), 4),
            "median_seconds": round(median(r["seconds"] for r in found), 3),
        }
        for kind, found in sorted(rows.items())
        if found
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Right tool and right arguments on held-out requests.")
    parser.add_argument(
        "--file", type=Path, default=HELDOUT, help="JSON lines (default: heldout.jsonl beside this file)"
    )
    parser.add_argument("--llm", help="which LLM, as in `artwright chat --llm` (default: embedded)")
    parser.add_argument("--limit", type=int, help="only the first N requests")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--errors", action="store_true", help="print what went wrong, on stderr")
    args = parser.parse_args()
    from chains.catalog import tool_specs

    try:
        cases = read_cases(args.file)[: args.limit]
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    results, start = [], time.monotonic()
    for result in evaluate(cases, args.llm, tool_specs()):
        results.append(result)
        pace = (time.monotonic() - start) / len(results)
        print(f"\r{len(results)}/{len(cases)}  {pace:.2f} s each ", end="", file=sys.stderr, flush=True)
        if args.errors and not result["args"]:
            got = [{"name": call["name"], "args": call["args"]} for call in result["got"]]
            wrong = {"prompt": result["prompt"], "kind": result["kind"], "wanted": result.get("calls"), "got": got}
            print("\n" + json.dumps(wrong, ensure_ascii=False), file=sys.stderr)
    print(file=sys.stderr)
    table = summary(results)
    if args.json:
        print(json.dumps(table))
        return
    missed = [place for place, least in TARGETS.items() if table.get(place[0], {}).get(place[1], 1.0) < least]
    print(f"{'kind':<14}{'n':>5}{'right tool':>12}{'all args':>10}{'median s':>10}")
    for kind, row in table.items():
        print(
            f"{kind:<14}{row['n']:>5}{row['right_tool']:>12.1%}{row['all_args_right']:>10.1%}{row['median_seconds']:>10.2f}"
        )
    for (kind, column), least in TARGETS.items():
        print(f"target: {kind[2:]}, {column.replace('_', ' ')}, at least {least:.0%}")
    raise SystemExit(bool(missed) and args.file == HELDOUT)


if __name__ == "__main__":
    main()
