"""One turn of a conversation, as the model in this process takes it: what it decides, calls and says.

Two formats: our own, which an adapter is taught (`chains.prompting`), also for chat models whose template knows no
tools; and the model's native one (`chains.native`, `chains.native_calls`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from chains import prompting
from chains.answer_set import (
    COVERAGE,
    QUOTED,
    Weighing,
    answer_set,
    comparable,
    informs,
    invents,
    quotation,
    tells,
)
from chains.grammar import Tool
from chains.native_calls import NativeTurn
from chains.pointing import resolved, takes, target
from chains.prompting import Segment, Turn
from chains.prose import Citable, prose, recite
from chains.quoting import MARK
from chains.results import place, read

if TYPE_CHECKING:
    from chains.engine import Call, Decision, Engine, Outcome, Sampler
    from chains.native import Native
    from chains.prose import Picker
    from chains.session import Session

MOST_NAMES = 64  # in results, beyond which a reply cites none
DRAFTED = 64  # tokens within which a reply that is weighed has to end


@dataclass(frozen=True)
class Request:
    """What is asked of the model: `turns` after the caller's `system` message, and how to answer.

    `choice` is auto, any, none or a tool's name; `limit` bounds plain talk in tokens, which ends before any of
    `stops`. With `replies` the adapter was taught to answer with a tool's result, with `cites` to put in front of a
    value what the result calls it. With `may_ask` a choice below the adapter's threshold ends the turn ("unsure");
    without `plain_talk` the choice of no tool does.
    """

    turns: Sequence[Turn]
    system: str
    tools: Sequence[Tool]
    choice: str
    max_calls: int
    limit: int
    stops: Sequence[str]
    replies: bool
    cites: bool = False
    may_ask: bool = False
    plain_talk: bool = True

    @property
    def offered(self) -> list[Tool]:
        """The tools that may be called."""
        named = [tool for tool in self.tools if tool.name == self.choice]
        return named or ([] if self.choice == "none" else list(self.tools))

    @cached_property
    def target(self) -> str | None:
        """What the person pasted, which arguments may point at."""
        return target(turn.text for turn in self.turns if turn.role == "user")


def take(engine: Engine, request: Request, sampler: Sampler, outcome: Outcome) -> Iterator[Decision | Call | str]:
    """The turn, as it is written: decisions, finished calls, pieces of text. Counts go to `outcome`."""
    if engine.native:
        return _native(engine, engine.native, request, sampler, outcome)
    return _own(engine, request, sampler, outcome)


def _own(engine: Engine, request: Request, sampler: Sampler, outcome: Outcome) -> Iterator[Decision | Call | str]:
    from chains.engine import Call, Decision

    replies = request.replies and bool(request.tools) and request.turns[-1].role == "tool"
    if request.offered or replies:
        shown = [tool.description for tool in request.tools]
        prompt = fitting(engine, request.turns, lambda part: prompting.tool_prompt(shown, part, request.system))
        session = engine.session(prompt, True, outcome)
        asked = len(session)
        if request.offered:
            decided = prompting.NO_TOOL
            for event in engine.calls(
                session,
                request.offered,
                sampler,
                outcome,
                must_call=request.choice != "auto",
                max_calls=request.max_calls,
                marked=_marked(request),
                last=next((prompting.shown(turn.text) for turn in reversed(request.turns) if turn.role == "user"), ""),
            ):
                yield _resolved(event, request) if isinstance(event, Call) else event
                if isinstance(event, Decision):
                    decided = event.name
                    if _unsure(engine, request, event, outcome):
                        session.keep()
                        return
            if decided != prompting.NO_TOOL or not request.plain_talk:
                return
        if replies:  # the words after a tool's result are taught, those of plain talk are the base model's
            decision = prompting.encode(engine.tokenizer, [Segment(f"{prompting.NO_TOOL}\n")])
            session.push(decision[len(session) - asked :])
            if request.cites:
                yield from _told(engine, session, request, sampler, outcome)
            else:
                yield from prose(engine, session, sampler, request.limit, request.stops, outcome, copies=True)
            return
    recent = prompting.as_talk(request.turns)[-prompting.PLAIN_TALK_TURNS :]
    prompt = fitting(engine, recent, lambda part: prompting.plain_prompt(part, request.system))
    session = engine.session(prompt, False, outcome)
    heard = recent[-1].text if recent[-1].role == "user" else None
    yield from prose(engine, session, sampler, request.limit, request.stops, outcome, heard=heard)


def _told(engine: Engine, session: Session, request: Request, sampler: Sampler, outcome: Outcome) -> Iterator[str]:
    """The reply to the newest results: a sentence of the model's where it is sure what answers, else their words."""
    asked = max((i for i, turn in enumerate(request.turns) if turn.role == "user"), default=0)
    question = request.turns[asked].text
    results = [read(turn.text) for turn in request.turns[asked:] if turn.role == "tool"]
    distinct = list(dict.fromkeys(value.name for result in results for value in result.values))
    braces = any("{" in result.text and not result.values for result in results)
    citable = Citable(distinct if len(distinct) <= MOST_NAMES else (), braces)
    own = words = ""  # what the model says, and what the result does
    if len(results) == 1 and (values := comparable(results[0])):
        told, sure = answer_set(engine, session, values)
        words = quotation(told)
        if sure and words:
            own = yield from _draft(engine, session, sampler, citable)
            if not tells(own, told, values, question) or invents(own, results[0].text, question):  # two opinions
                said = [value for value in values if place(value.value, own) and not place(value.value, question)]
                own, words = "", quotation([*told, *said]) or words
    elif len(results) == 1 and (prosaic := results[0].text.strip()) and len(prosaic) <= QUOTED:
        words = prosaic
        weighing = Weighing(sampler, engine, words, question)
        own = yield from _draft(engine, session, weighing, Citable((), citable.braces))
        sure = weighing.share >= COVERAGE and informs(own, words, question)
        own = own if sure and not invents(own, words, question) else ""
    if words:
        session.keep()
        outcome.quoted = not own
        yield recite(engine, own or words, request.limit, request.stops, outcome)
    else:
        yield from prose(engine, session, sampler, request.limit, request.stops, outcome, copies=True, citable=citable)


def _draft(engine: Engine, session: Session, picker: Picker, citable: Citable) -> Generator[str, None, str]:
    """A reply of at most DRAFTED tokens, empty if it would be longer; yields nothing but chances to stop."""
    from chains.engine import Outcome

    draft, pieces = Outcome(), list[str]()
    for piece in prose(engine, session, picker, DRAFTED, (), draft, copies=True, citable=citable):
        pieces.append(piece)
        yield ""
    return "".join(pieces) if draft.finish == "stop" else ""


def _marked(request: Request) -> set[str]:
    """The tools in whose calls the mark for quoted text can mean something."""
    if MARK in request.system or any(MARK in turn.text for turn in request.turns):
        return {tool.name for tool in request.offered}
    return {tool.name for tool in request.offered if takes(tool.description["parameters"], request.target)}


def _resolved(call: Call, request: Request) -> Call:
    """The call with the text that its arguments point at."""
    schema = next(tool.description["parameters"] for tool in request.tools if tool.name == call.name)
    args = resolved(json.loads(call.arguments), schema, request.target)
    return replace(call, arguments=json.dumps(args, ensure_ascii=False, separators=(",", ":")))


def _native(
    engine: Engine, native: Native, request: Request, sampler: Sampler, outcome: Outcome
) -> Iterator[Decision | Call | str]:
    from chains.engine import Decision

    shown = [tool.description for tool in (request.tools if request.offered else ())]
    prompt = fitting(engine, request.turns, lambda part: native.prompt(part, request.system, shown))
    session = engine.session(prompt, False, outcome)

    def talk() -> Iterator[str]:
        return prose(engine, session, sampler, request.limit, request.stops, outcome, copies=True)

    if not request.offered:
        session.push(native.encode(native.lead or ""))
        yield from talk()
        return
    turn = NativeTurn(engine, session, request.offered, sampler, outcome)
    for event in turn.events(talk, must_call=request.choice != "auto", max_calls=request.max_calls):
        yield event
        if isinstance(event, Decision) and (
            _unsure(engine, request, event, outcome) or (event.name == prompting.NO_TOOL and not request.plain_talk)
        ):
            session.keep()
            return


def _unsure(engine: Engine, request: Request, decision: Decision, outcome: Outcome) -> bool:
    """Whether to ask instead of following the decision, and says so in `outcome`."""
    unsure = request.may_ask and request.choice == "auto" and decision.confidence < engine.calibration.ask_below
    outcome.finish = "unsure" if unsure else outcome.finish
    return unsure


def fitting(engine: Engine, turns: Sequence[Turn], build: Callable[[Sequence[Turn]], list[Segment]]) -> list[Segment]:
    """The prompt of as many of the latest turns as the model can read and still has room to answer."""
    room = engine.context * 3 // 4
    while True:
        segments = build(turns)
        later = next((i for i in range(1, len(turns)) if turns[i].role == "user"), None)
        if later is None or len(prompting.encode(engine.tokenizer, segments)) <= room:
            return segments
        turns = turns[later:]
