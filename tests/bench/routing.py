"""How well the agent's LLM chooses tools: held-out requests through the public `route`, right tool and right arguments.

    python tests/bench/routing.py [--file F]... [--sample N --seed S] [--limit N] [--llm SPEC] [--json] [--errors]

Without `--file`: all held-out files together. Exits with 1 where a target is missed. dev.jsonl is for looking at
errors; the held-out files are not.

A line of a file is `{"prompt", "calls": [{"name", "args"}], "kind"}` and perhaps `"history"` (earlier prompts),
`"tools"` (what is offered, see `offered`) and `"about_ok"` (a question that `about` may take or leave). Kinds:
tool, talk, multi, followup, unseen. An expected argument may be a list of accepted values (null: may be absent), "*"
for any, {">": 40} or {"<": 40} for a number beyond a bound, {"has": ["sort"]} for a text with these parts; where the
argument is itself a list, a list of accepted lists. `"args"` may be a list of such mappings, one of which has to fit.
A call is right when every expected argument is accepted and no other is given, after case, plural, hyphens and
defaults are set aside.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
HELDOUT = [HERE / f"heldout{part}.jsonl" for part in ("", "_full", "_single", "_steps", "_unseen", "_plugins")]
PLUGINS = HERE / "plugin_tools.json"
TARGETS = {  # least share, by kind and column
    ("tool", "right_tool"): 0.97,
    ("tool", "all_args_right"): 0.93,
    ("talk", "all_args_right"): 0.92,
    ("multi", "all_args_right"): 0.85,
    ("followup", "all_args_right"): 0.85,
    ("unseen", "all_args_right"): 0.80,
}
COLUMNS = {"right_tool": "right tool", "all_args_right": "all args"}


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


def args_right(
    got: Mapping[str, Any], wanted: Mapping[str, Any] | list[Mapping[str, Any]], default: Mapping[str, Any]
) -> bool:
    """Whether every argument is right, one that is not given being its default."""
    if isinstance(wanted, list):
        return any(args_right(got, one, default) for one in wanted)
    return all(
        _fits(got.get(name, default.get(name)), wanted.get(name, default.get(name)), default.get(name))
        for name in {*got, *wanted}
    )


def _fits(said: Any, expected: Any, default: Any) -> bool:
    if expected == "*":
        return True
    if isinstance(expected, dict) and len(expected) == 1 and set(expected) <= {"<", ">", "has"}:
        ((how, bound),) = expected.items()
        if how == "has":
            return isinstance(said, str) and all(word in said.lower() for word in bound)
        return isinstance(said, int | float) and (said < bound if how == "<" else said > bound)
    several = isinstance(expected, list) and (
        not isinstance(said, list) or any(isinstance(one, list) for one in expected)
    )
    accepted = [default if one is None else one for one in expected] if several else [expected]
    return normal(said) in [normal(one) for one in accepted]


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


@cache
def tool_sets() -> dict[str, dict[str, dict[str, Any]]]:
    """Tools by name: `app` (what the trained models serve), `table` (every task there is, served or not), `plugins`."""
    from chains.catalog import tool_specs
    from chains.schemas import TASKS, describe

    app = {tool["name"]: tool for tool in tool_specs()}
    plugins = {tool["name"]: tool for tool in json.loads(PLUGINS.read_text(encoding="utf-8"))}
    return {"app": app, "table": {task: app.get(task) or describe(task) for task in TASKS}, "plugins": plugins}


def offered(case: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tools of a case, `{"name", "description", "parameters"}` each.

    `"tools"` lists schemas, names of tools, or sets of them (`tool_sets`). Without it: the app's, or the whole table
    where a tool is meant that no model serves yet. Raises ValueError for an unknown name.
    """
    sets = tool_sets()
    known = sets["table"] | sets["plugins"]
    meant = {call["name"] for call in case.get("calls") or []}
    found: dict[str, dict[str, Any]] = {}
    for part in case.get("tools") or (["app"] if meant <= set(sets["app"]) else ["table"]):
        if isinstance(part, dict):
            found[part["name"]] = part
        elif part in sets:
            found |= sets[part]
        elif part in known:
            found[part] = known[part]
        else:
            raise ValueError(f"{part!r} is no tool; there are {', '.join([*sets, *known])}")
    return list(found.values())


def evaluate(cases: Sequence[Mapping[str, Any]], llm: Any = None) -> Iterator[dict[str, Any]]:
    """Each case with the calls that were made, the seconds they took and the verdict.

    `llm`: a SPEC or a LangChain chat model, see `artwright chat --help`.
    """
    from chains.agent import route

    for case in cases:
        tools = offered(case)
        answer = route(case["prompt"], case.get("history") or [], tools, llm)
        yield {
            **case,
            "got": answer["calls"],
            "seconds": answer["seconds"],
            **judge(case, answer["calls"], defaults(tools)),
        }


def brief(spec: str | None) -> Any:
    """The LLM that `spec` names; one that runs in this process does not write out its talk, only that it talks."""
    from chains.chat_model import ChatArtwright, chat_model

    llm = chat_model(spec)
    return llm.model_copy(update={"max_tokens": 1}) if isinstance(llm, ChatArtwright) else llm


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


def against_targets(table: Mapping[str, Mapping[str, float]]) -> list[tuple[str, str, float, float, bool]]:
    """Kind, column, measured share, target and whether it is met, for each target whose kind was measured."""
    return [
        (kind, column, table[kind][column], least, table[kind][column] >= least)
        for (kind, column), least in TARGETS.items()
        if kind in table
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Right tool and right arguments on held-out requests.")
    parser.add_argument(
        "--file", type=Path, action="append", help="JSON lines; may be given again (default: every held-out file)"
    )
    parser.add_argument("--llm", help="which LLM, as in `artwright chat --llm` (default: embedded)")
    parser.add_argument("--sample", type=int, help="only N requests, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, help="of --sample (default: 0)")
    parser.add_argument("--limit", type=int, help="only the first N requests")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--errors", action="store_true", help="print what went wrong on stderr; not for held-out files")
    args = parser.parse_args()
    files = [file.resolve() for file in args.file or HELDOUT]
    if args.errors and not set(files).isdisjoint(HELDOUT):
        parser.error("--errors would show held-out requests; use it with --file tests/bench/dev.jsonl")

    try:
        cases = [case for file in files for case in read_cases(file)]
        if args.sample is not None and args.sample < len(cases):
            drawn = random.Random(args.seed).sample(range(len(cases)), args.sample)
            cases = [cases[i] for i in sorted(drawn)]  # in order: neighbours share a tool list, which stays cached
        cases = cases[: args.limit]
        llm = brief(args.llm)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    results, start = [], time.monotonic()
    for result in evaluate(cases, llm):
        results.append(result)
        pace = (time.monotonic() - start) / len(results)
        print(f"\r{len(results)}/{len(cases)}  {pace:.2f} s each ", end="", file=sys.stderr, flush=True)
        if args.errors and not result["args"]:
            got = [{"name": call["name"], "args": call["args"]} for call in result["got"]]
            wrong = {"prompt": result["prompt"], "kind": result["kind"], "wanted": result.get("calls"), "got": got}
            print("\n" + json.dumps(wrong, ensure_ascii=False), file=sys.stderr)
    print(file=sys.stderr)
    table = summary(results)
    verdicts = against_targets(table)
    if args.json:
        print(json.dumps(table))
    else:
        print(f"{'kind':<14}{'n':>5}{'right tool':>12}{'all args':>10}{'median s':>10}")
        for kind, row in table.items():
            print(
                f"{kind:<14}{row['n']:>5}{row['right_tool']:>12.1%}{row['all_args_right']:>10.1%}"
                f"{row['median_seconds']:>10.2f}"
            )
        print(f"\n{'target':<24}{'at least':>9}{'measured':>10}{'n':>6}")
        for kind, column, share, least, met in verdicts:
            row = f"{kind + ', ' + COLUMNS[column]:<24}{least:>9.0%}{share:>10.1%}{table[kind]['n']:>6}"
            print(row if met else f"{row}  missed")
    raise SystemExit(not all(met for *_, met in verdicts))


if __name__ == "__main__":
    main()
