"""What LangChain's conformance suites do not see: copying, refraining, using a result, stopping; >= 100 cases each.

    python tests/bench/abilities.py [--dev] [--kind KIND]... [--sample N] [--llm SPEC] [--json] [--errors]
    python tests/bench/abilities.py --dev --requests    # the code cases, as lines for calibration

    numbers   a number, negative and decimal ones too, reaches the right argument of the right tool unchanged
    names     so does a name, in any of a dozen scripts
    code      so does a piece of code, with its quotes, backslashes and lines
    talk      small talk calls nothing, whatever tools are bound
    replies   after a tool's result nothing is called again, and the reply holds the result's key fact; how many
              quote the result, and in how many characters, is shown beside
    stop      text ends before the stop sequence and is otherwise what it would have been, streamed or not

Prints each kind's share of right cases beside the target; ends with status 1 where it is missed. The cases are put
together from abilities.json: sentences, tools and values that the tuning of the LLM has not seen. `--dev` takes those
of abilities_dev.json (numbers and replies, which have tools of their own there, and code), on which decisions are made
while the LLM is tuned.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from chains.chat_model import ChatArtwright

TARGET = 0.95  # least share of right cases, of each kind
DRAWS = 5  # numbers drawn for each sentence
OFFERED = 5  # tools bound in a case
CODE_CASES = 110
STOP_TOKENS = 16
DEV_KINDS = ("numbers", "code", "replies")
Material = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """What is said, which tools are bound, and what has to come back."""

    kind: str
    messages: tuple[BaseMessage, ...]
    tools: tuple[Mapping[str, Any], ...] = ()
    name: str = ""
    args: Mapping[str, Any] = field(default_factory=dict)
    fact: str = ""


@cache
def material(dev: bool = False) -> dict[str, Any]:
    """The sentences, tools and values."""
    file = Path(__file__).with_name("abilities_dev.json" if dev else "abilities.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def offered(given: Material, seed: str, *wanted: str) -> tuple[Mapping[str, Any], ...]:
    """The tools `wanted`, and others up to OFFERED, in any order."""
    rng, tools = random.Random(seed), given["tools"]
    own = [tool for tool in tools if tool["name"] in wanted]
    others = rng.sample([tool for tool in tools if tool["name"] not in wanted], OFFERED - len(own))
    return tuple(rng.sample([*own, *others], OFFERED))


def drawn(rng: random.Random) -> dict[str, float]:
    """A value for each letter of a sentence: d, e decimals and i, j integers of any sign, p positive, n small."""

    def decimal(least: float) -> float:
        digits = rng.choice((1, 1, 2, 2, 3))
        return round(rng.uniform(least, rng.choice((1, 10, 100, 1000))) or 0.5, digits)

    def integer() -> int:
        return rng.choice((-1, 1)) * rng.randint(1, rng.choice((9, 99, 999, 99999)))

    values = {"d": decimal(0.1), "e": decimal(0.1), "p": decimal(0.1), "i": integer(), "j": integer()}
    for letter in "de":
        values[letter] *= rng.choice((-1, 1))
    return values | {"n": rng.randint(0, 6)}


def numbers(given: Material) -> list[Case]:
    cases = []
    for draw in range(DRAWS):
        for i, frame in enumerate(given["numbers"]):
            seed = f"numbers {draw} {i}"
            values = drawn(random.Random(seed))
            prompt = frame["text"].format(**values)
            args = {name: values[letter] for name, letter in frame["args"].items()}
            tools = offered({"tools": given.get("numbers_tools", given["tools"])}, seed, frame["tool"])
            cases.append(Case("numbers", (HumanMessage(prompt),), tools, frame["tool"], args))
    return cases


def copied(
    given: Material, kind: str, values: Sequence[tuple[str, str]], frames: Mapping[str, Sequence[Mapping[str, str]]]
) -> list[Case]:
    """A case for each (group, value), in turn in each of the group's sentences."""
    cases = []
    for i, (group, value) in enumerate(values):
        frame = frames[group][i % len(frames[group])]
        prompt = frame["text"].replace("{v}", value)
        tools = offered(given, f"{kind} {i}", frame["tool"])
        cases.append(Case(kind, (HumanMessage(prompt),), tools, frame["tool"], {frame["argument"]: value}))
    return cases


def names(given: Material) -> list[Case]:
    part = given["names"]
    values = [(script, name) for script, group in part["values"].items() for name in group]
    return copied(given, "names", values, dict.fromkeys(part["values"], part["frames"]))


def code(given: Material) -> list[Case]:
    part = given["code"]
    values = [(language, text) for language, group in part["values"].items() for text in group]
    return copied(given, "code", [*values, *values[: max(0, CODE_CASES - len(values))]], part["frames"])


def talk(given: Material) -> list[Case]:
    return [Case("talk", (HumanMessage(text),), offered(given, f"talk {text}")) for text in given["talk"]]


def replies(given: Material) -> list[Case]:
    """The development set has 150 more that were written apart, with tools of their own."""
    more = {"tools": given.get("more_replies_tools", ()), "replies": given.get("more_replies", ())}
    return [*_told({**given, "tools": [*given["tools"], *given.get("replies_tools", ())]}), *_told(more)]


def _told(given: Material) -> list[Case]:
    cases = []
    for i, part in enumerate(given["replies"]):
        call = {"name": part["call"]["name"], "args": part["call"]["args"], "id": "1", "type": "tool_call"}
        messages = (
            HumanMessage(part["prompt"]),
            AIMessage("", tool_calls=[call]),
            ToolMessage(part["result"], tool_call_id="1", name=call["name"]),
        )
        cases.append(Case("replies", messages, offered(given, f"replies {i}", call["name"]), fact=part["fact"]))
    return cases


def stop(given: Material) -> list[Case]:
    """Plain questions, and results of tools to reply to."""
    asked = [Case("stop", (HumanMessage(text),)) for text in given["questions"]]
    told = [Case("stop", case.messages, case.tools) for case in replies(given)[:: 104 // len(asked)]]
    return [*asked, *told[: len(asked)]]


KINDS = {"numbers": numbers, "names": names, "code": code, "talk": talk, "replies": replies, "stop": stop}


def answered(llm: ChatArtwright, case: Case) -> AIMessage:
    """The model's answer."""
    options = {"plain_talk": False} if case.kind == "talk" else {}
    answer = llm.bind_tools(list(case.tools)).invoke(list(case.messages), max_tokens=60, **options)
    assert isinstance(answer, AIMessage)
    return answer


def flaw(llm: ChatArtwright, case: Case) -> str | None:
    """What is wrong with what the model does, or None."""
    return _stop_flaw(llm, case) if case.kind == "stop" else _flaw_of(answered(llm, case), case)


def _flaw_of(answer: AIMessage, case: Case) -> str | None:
    calls = [(call["name"], call["args"]) for call in answer.tool_calls]
    if case.kind == "talk":
        return f"calls {calls}" if calls else None
    if case.kind == "replies":
        said = str(answer.text)
        wanted = case.fact.lower()
        if calls or not (wanted in said.lower() or wanted in said.lower().replace(",", "")):
            return f"wanted {case.fact!r}, got {calls or said!r}"
        return None
    if len(calls) != 1 or calls[0][0] != case.name:
        return f"wanted {case.name}, got {calls or str(answer.text)!r}"
    wrong = {name: calls[0][1].get(name) for name, value in case.args.items() if not same(calls[0][1].get(name), value)}
    return f"wanted {dict(case.args)}, got {wrong}" if wrong else None


def same(got: Any, wanted: Any) -> bool:
    """Whether an argument is what was said, but for spaces around it."""
    if isinstance(wanted, str):
        return isinstance(got, str) and got.strip() == wanted.strip()
    return not isinstance(got, bool) and got == wanted


def _stop_flaw(llm: ChatArtwright, case: Case) -> str | None:
    bound = llm.bind_tools(list(case.tools), tool_choice="none") if case.tools else llm
    ask = {"input": list(case.messages), "max_tokens": STOP_TOKENS}
    bound.invoke(**{**ask, "max_tokens": 1})  # so that both runs below find the same in the cache, and round alike
    whole = str(bound.invoke(**ask).text)
    rng = random.Random(str(case.messages[0].content))
    length = rng.randint(1, 8)
    first = rng.randint(1, max(1, len(whole) - length))
    stops = [whole[first : first + length]] if len(whole) > 1 else ["."]
    ends = [whole.index(part) for part in stops if part in whole]
    wanted = whole[: min(ends, default=len(whole))]
    said = str(bound.invoke(**ask, stop=stops).text)
    streamed = "".join(str(chunk.text) for chunk in bound.stream(**ask, stop=stops))
    return None if said == streamed == wanted else f"{whole!r} with {stops}: {said!r}, streamed {streamed!r}"


def sample(kind: str, count: int | None = None, dev: bool = False) -> list[Case]:
    """The cases of a kind, or `count` of them, always the same."""
    cases = KINDS[kind](material(dev))
    return cases if count is None else random.Random(kind).sample(cases, min(count, len(cases)))


def requests(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Cases as `routing.py` reads them."""
    return [
        {
            "kind": case.kind,
            "prompt": str(case.messages[0].content),
            "calls": [{"name": case.name, "args": dict(case.args)}],
            "tools": list(case.tools),
        }
        for case in cases
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev", action="store_true", help="the development cases")
    parser.add_argument("--kind", action="append", choices=[*KINDS], help="default: all")
    parser.add_argument("--sample", type=int, metavar="N", help="of each kind")
    parser.add_argument("--llm", default="embedded")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--errors", action="store_true", help="show what went wrong")
    parser.add_argument("--requests", action="store_true", help="print the development cases for code, and end")
    options = parser.parse_args()
    if options.requests and not options.dev:
        parser.error("--requests is for the cases of --dev")
    if options.requests:
        for line in requests(sample("code", options.sample, dev=True)):
            print(json.dumps(line, ensure_ascii=False))
        return
    if options.dev and not set(options.kind or DEV_KINDS) <= set(DEV_KINDS):
        parser.error(f"--dev has cases for {', '.join(DEV_KINDS)} alone")

    llm = ChatArtwright(model=options.llm)
    shares = {}
    for kind in dict.fromkeys(options.kind or (DEV_KINDS if options.dev else KINDS)):
        cases = sample(kind, options.sample, options.dev)
        flaws, quoted = list[str](), list[int]()
        for i, case in enumerate(cases):
            if kind == "stop":
                found = _stop_flaw(llm, case)
            else:
                answer = answered(llm, case)
                found = _flaw_of(answer, case)
                quoted += [len(str(answer.text))] if answer.response_metadata.get("quoted") else []
            if found:
                flaws.append(f"  {case.messages[0].content!r}: {found}")
            print(f"\r{kind}: {i + 1}/{len(cases)} ", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        right = len(cases) - len(flaws)
        shares[kind] = {"share": round(right / len(cases), 4), "n": len(cases)}
        if kind == "replies":
            shares[kind] |= {"quoted": len(quoted), "characters": round(sum(quoted) / max(len(quoted), 1))}
        verdict = "met" if right >= TARGET * len(cases) else "MISSED"
        if not options.json:
            print(f"{kind}: {100 * right / len(cases):.1f} % ({right}/{len(cases)}; target {TARGET:.0%}: {verdict})")
            if quoted:
                print(f"  {len(quoted)} quote the result, in {shares[kind]['characters']} characters on average")
        if options.errors:
            print(*flaws, sep="\n", file=sys.stderr)
    if options.json:
        print(json.dumps(shares))
    sys.exit(any(part["share"] < TARGET for part in shares.values()))


if __name__ == "__main__":
    main()
