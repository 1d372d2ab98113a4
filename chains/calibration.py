"""How sure the choice of a tool is: probabilities that mean what they say, and below what the agent asks instead.

A tuned model is surer of itself than it is right, and readier to answer `no tool` than the requests warrant. One
temperature and one handicap for `no tool`, fitted to requests with known answers, mend that: Platt scaling of
many classes by one scalar (Guo et al. 2017, section 4.2) and one bias. They belong to one adapter, so they stand in
that adapter's `artwright.json`:

    "calibration": {"temperature": 1.35, "handicap": 0.8, "ask_below": 0.45, "requests": 373}

Without it probabilities stay as the model gives them, and nothing is asked.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from chains import prompting
from chains.choice import Ranking
from chains.weights import SOURCE_FILE

KEY = "calibration"  # in an adapter's artwright.json
WORTH = 0.45  # a guess that is right less often than this is worth a question
HIGHEST = 0.6  # a threshold above it would ask too often, whatever the figures say
FEWEST = 5  # guesses below a threshold from which their share of right ones is told
BINS = 15
# Never sharper than the model itself: whoever taught it has looked at these requests too, so they flatter it.
TEMPERATURES = (1.0, 8.0)
# Nats. Above that, talk would lose to a tool which the model itself holds to be four times less likely.
HANDICAPS = (0.0, 1.4)


@dataclass(frozen=True)
class Calibration:
    """Of one adapter: log-probabilities, that of `no tool` less `handicap` (nats), over `temperature`; and the
    confidence `ask_below` which it asks."""

    temperature: float = 1.0
    ask_below: float = 0.0
    handicap: float = 0.0

    def of(self, ranking: Ranking) -> Ranking:
        """The ranking with calibrated probabilities, which sum to one, likeliest first."""
        if len(ranking) < 2 or (self.temperature == 1.0 and self.handicap == 0.0):
            return ranking
        scores = [
            (math.log(max(p, 1e-12)) - self.handicap * (name == prompting.NO_TOOL)) / self.temperature
            for name, p in ranking
        ]
        shares = [math.exp(score - max(scores)) for score in scores]
        again = [(name, share / sum(shares)) for (name, _), share in zip(ranking, shares, strict=True)]
        return tuple(sorted(again, key=lambda pair: -pair[1]))


def read(adapter: Path | None) -> Calibration:
    """The calibration that stands beside an adapter, else one that changes nothing. Raises ValueError if damaged."""
    file = adapter / SOURCE_FILE if adapter else None
    if file is None or not file.is_file():
        return Calibration()
    try:
        stored = json.loads(file.read_text()).get(KEY) or {}
        found = Calibration(**{one.name: float(stored.get(one.name, one.default)) for one in fields(Calibration)})
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"the calibration in {file} cannot be read ({error}); fit it anew") from error
    if not (found.temperature > 0 and 0 <= found.handicap <= 4 and 0 <= found.ask_below <= 1):
        raise ValueError(
            f"the calibration in {file} has {found}; the temperature must be above 0, the handicap from 0 to 4, "
            "ask_below from 0 to 1: fit it anew"
        )
    return found


def write(adapter: Path, found: Calibration, requests: int) -> None:
    """Keep a calibration, fitted to so many requests, beside its adapter. Raises OSError."""
    file = adapter / SOURCE_FILE
    note = json.loads(file.read_text()) if file.is_file() else {}
    note[KEY] = {**asdict(found), "requests": requests}
    file.write_text(json.dumps(note, indent=2) + "\n")


@dataclass(frozen=True)
class Judged:
    """The ranking of one request as the model gives it, uncalibrated, and the names that would be right."""

    ranking: Ranking
    right: frozenset[str]


def fit(judged: Sequence[Judged], handicap: float | None = None) -> Calibration:
    """The temperature and handicap under which the right names are likeliest, and the threshold that follows from them.

    A `handicap` that is given stays as it is. Raises ValueError for too few requests, or one that is out of range.
    """
    if len(judged) < 10 * FEWEST:
        raise ValueError(f"{len(judged)} requests are too few to calibrate with; give {10 * FEWEST} or more")
    low, high = HANDICAPS
    could_abstain = any(name == prompting.NO_TOOL for one in judged for name, _ in one.ranking)
    if handicap is not None and not low <= handicap <= high:
        raise ValueError(f"a handicap of {handicap} nats is out of range; give {low} to {high}")
    steps = range(round(10 * low), round(10 * high) + 1) if could_abstain else [0]
    tried = [step / 10 for step in steps] if handicap is None else [handicap]
    found = min((_tempered(judged, step) for step in tried), key=lambda one: loss(judged, one))
    return replace(found, ask_below=threshold(guesses(judged, found)))


def _tempered(judged: Sequence[Judged], handicap: float) -> Calibration:
    """The best temperature beside a handicap, by golden-section search in the one valley that its loss has."""
    low, high = TEMPERATURES
    golden = (math.sqrt(5) - 1) / 2
    while high - low > 0.005:
        a, b = high - golden * (high - low), low + golden * (high - low)
        if loss(judged, Calibration(a, handicap=handicap)) < loss(judged, Calibration(b, handicap=handicap)):
            high = b
        else:
            low = a
    return Calibration(round((low + high) / 2 - 0.002, 2), handicap=handicap)


def loss(judged: Sequence[Judged], calibration: Calibration) -> float:
    """Mean negative log-probability (nats) of the right names of a request, all together."""
    total = 0.0
    for one in judged:
        mass = sum(p for name, p in calibration.of(one.ranking) if name in one.right)
        total -= math.log(max(mass, 1e-9))
    return total / len(judged)


def guesses(judged: Sequence[Judged], calibration: Calibration) -> list[tuple[float, bool]]:
    """Confidence of the likeliest name of each request, and whether it is right."""
    likeliest = [(calibration.of(one.ranking)[0], one.right) for one in judged]
    return [(confidence, name in right) for (name, confidence), right in likeliest]


def threshold(guessed: Sequence[tuple[float, bool]]) -> float:
    """The confidence below which a question is worth more than a guess, from WORTH to HIGHEST.

    A question in a guess's place gains WORTH and loses the guess if it was right. Calibrated confidences say that this
    pays below WORTH; above it, it must pay on FEWEST guesses or more.
    """
    best, gained, most, count = WORTH, 0.0, 0.0, 0
    for confidence, good in sorted(guessed):
        if WORTH < confidence <= HIGHEST:
            gained += WORTH - good
            count += 1
            if count >= FEWEST and gained > most:
                best, most = math.ceil(100 * confidence) / 100, gained
    return best


def calibration_error(guessed: Sequence[tuple[float, bool]], bins: int = BINS) -> float:
    """Expected calibration error (Naeini et al. 2015) over `bins` bins of equal mass: mean gap, weighted by size."""
    ordered = sorted(guessed)
    gaps = 0.0
    for i in range(bins):
        part = ordered[i * len(ordered) // bins : (i + 1) * len(ordered) // bins]
        gaps += abs(sum(confidence - good for confidence, good in part))
    return gaps / max(1, len(ordered))


def right_names(case: Mapping[str, Any]) -> frozenset[str]:
    """What the first decision of a routing request may be, by `tests/bench/routing.py`'s rules."""
    wanted = case.get("calls") or []
    names = {str(wanted[0]["name"])} if wanted else {prompting.NO_TOOL}
    if wanted and case.get("about_ok"):
        names.add(prompting.NO_TOOL)
    if not wanted and (case.get("kind") == "talk" or case.get("about_ok")):
        names.add("about")
    return frozenset(names)


def judge(cases: Sequence[Mapping[str, Any]], adapter: Path | None = None) -> Iterator[Judged]:
    """What the embedded LLM with `adapter` (default: the shipped one) thinks of each request, uncalibrated.

    A case is a line of `tests/bench/dev.jsonl`; its earlier requests are answered as `chains.agent.route` does.
    """
    from langchain_core.messages import AnyMessage, HumanMessage
    from langchain_core.utils.function_calling import convert_to_openai_tool

    from chains.agent import answered
    from chains.chat_model import ChatArtwright
    from chains.conversation import seen
    from chains.engine import Decision, Outcome, Sampler
    from chains.grammar import compile_tools
    from chains.messages import to_turns

    model = ChatArtwright(adapter=str(adapter) if adapter else "auto")
    engine = model.engine
    kept, engine.calibration = engine.calibration, Calibration()
    try:
        for case in cases:
            offered = _offered(case)
            bound = model.bind_tools(offered, plain_talk=False)
            messages: list[AnyMessage] = []
            for earlier in case.get("history") or ():
                messages.append(HumanMessage(earlier))
                messages += answered(bound.invoke(seen(messages)))
            messages.append(HumanMessage(case["prompt"]))
            compiled = compile_tools([convert_to_openai_tool(tool) for tool in offered])
            segments = prompting.tool_prompt([tool.description for tool in compiled], to_turns(seen(messages))[1])
            outcome = Outcome()
            session = engine.session(segments, True, outcome)
            decision = next(engine.calls(session, compiled, Sampler(), outcome, must_call=False, max_calls=1))
            assert isinstance(decision, Decision)
            session.keep()
            yield Judged(decision.ranking, right_names(case))
    finally:
        engine.calibration = kept


def _offered(case: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The tools of a case: schemas, `app` (what the trained models serve; the default) or `table` (every task)."""
    from chains.agent import as_function
    from chains.catalog import tool_specs
    from chains.schemas import TASKS, describe

    app = {spec["name"]: spec for spec in tool_specs()}
    sets = {"app": list(app.values()), "table": [app.get(task) or describe(task) for task in TASKS]}
    meant = {call["name"] for call in case.get("calls") or ()}
    found: list[dict[str, Any]] = []
    for part in case.get("tools") or (["app"] if meant <= app.keys() else ["table"]):
        if isinstance(part, Mapping):
            found.append(as_function(part))
        elif part in sets:
            found += sets[part]
        else:
            raise ValueError(f"{part!r} is no set of tools; use app, table, or schemas")
    return found


def command(requests: Sequence[Path], adapter: Path, handicap: float | None = None) -> None:
    """`python -m chains.tuning calibrate`: fit to `requests` and keep it beside `adapter`. Raises ValueError."""
    import sys

    judged: list[Judged] = []
    cases: list[dict[str, Any]] = []
    for file in requests:
        try:
            cases += [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, ValueError) as error:
            raise ValueError(f"{file} cannot be read as lines of JSON: {error}") from error
    for one in judge(cases, adapter):
        judged.append(one)
        print(f"\r{len(judged)}/{len(cases)} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    found = fit(judged, handicap)
    write(adapter, found, len(judged))
    for name, calibration in (("before", Calibration()), ("after", found)):
        guessed = guesses(judged, calibration)
        print(f"{name}: loss {loss(judged, calibration):.4f} nats, calibration error {calibration_error(guessed):.4f}")
    print(
        f"temperature {found.temperature}, handicap of {prompting.NO_TOOL} {found.handicap} nats, "
        f"asks below {found.ask_below}; kept in {adapter / SOURCE_FILE}"
    )
