"""Calls in a model's own format: whether, which and with which arguments, by likelihood and under the grammar.

The beginning of a call is compared with all plain text, then the tools' names with each other. Optional arguments may
be left out here, since the format spells no nulls.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from chains.choice import Candidate, candidates, choose
from chains.drafting import write
from chains.grammar import Arguments, Tool, compile_tool
from chains.native import Native, shared
from chains.prompting import NO_TOOL

if TYPE_CHECKING:
    from chains.engine import Call, Decision, Engine, Outcome, Sampler
    from chains.session import Session

HALF = 0.5  # probability from which on the beginning of a call is what the model writes


class NativeTurn:
    """One turn with tools while it is written, in the format of `engine.native`. Raises ValueError if it has none."""

    def __init__(
        self, engine: Engine, session: Session, tools: Sequence[Tool], sampler: Sampler, outcome: Outcome
    ) -> None:
        assert engine.native
        self._native: Native = engine.native
        self._engine, self._session, self._sampler, self._outcome = engine, session, sampler, outcome
        self._syntax = self._native.syntax
        # Tokens often hold the space together with the brace; but something has to show where a name ends.
        self._middle = self._syntax.middle.rstrip() or self._syntax.middle
        style = (self._syntax.middle[len(self._middle) :], *self._syntax.separators)
        self._tools = {tool.name: compile_tool(tool.description, style) for tool in tools}
        self._ready: dict[str, tuple[Arguments, list[int]]] = {}

    def events(
        self, talk: Callable[[], Iterator[str]], *, must_call: bool, max_calls: int
    ) -> Iterator[Decision | Call | str]:
        """A Decision, then calls, or the text of `talk()`, which may itself end in calls (and another Decision)."""
        from chains.engine import Decision

        session, native, syntax = self._session, self._native, self._syntax
        session.push(native.encode(syntax.lead))
        heads = self._heads(syntax.before)
        start = shared([native.encode(syntax.before), *heads.values()])
        p = 1.0 if must_call else self._likelihood(start, heads)
        if p < HALF:
            yield Decision(NO_TOOL, 1 - p, self._ranking(p))
            yield from talk()
            if native.begins is None or self._outcome.ended_by != native.begins:
                return
        if must_call or p < HALF:
            p = 1.0
            session.push(start)
        yield from self._calls(heads, start, p, max_calls)

    def _calls(self, heads: dict[str, list[int]], start: list[int], p: float, most: int) -> Iterator[Decision | Call]:
        """Up to `most` calls; `start`, of probability `p`, is the beginning that all `heads` share."""
        from chains.engine import Call, Decision

        session, outcome, syntax = self._session, self._outcome, self._syntax
        before: Call | None = None
        for i in range(most):
            choice = choose(session, self._options(heads, len(start)), self._tail)
            name = choice.candidate.name
            if i == 0:
                yield Decision(name, p * choice.confidence, self._ranking(p, choice.ranking))
            if not choice.written:
                session.push([*choice.candidate.tokens, *self._tail(name)])
            outcome.written += len(start) + len(choice.candidate.tokens) + len(self._tail(name))
            outcome.finish = "tool_calls"
            call = Call(name, self._tools[name].given(self._write(name)), p * choice.confidence)
            if before and (call.name, call.arguments) == (before.name, before.arguments):
                break  # the same call again, word for word, is a loop
            yield call
            before = call
            if i + 1 == most or not syntax.between:
                break
            heads = self._heads(syntax.between)
            more, end = self._native.encode(syntax.between), self._native.encode(syntax.after)
            start = shared([more, end, *heads.values()])
            if len(start) in (len(more), len(end)):
                break  # nothing tells another call from the end
            session.push(start)
            logits = session.logits()[0]
            if logits[end[len(start)]] >= logits[more[len(start)]]:
                break
            p = 1.0
        session.keep()

    def _write(self, name: str) -> str:
        """The arguments of a call, JSON, whose forced beginning stands in the session."""
        arguments = self._ready.pop(name)[0]
        self._outcome.written += write(self._session, arguments, [], None, self._sampler.pick, self._engine.context)
        return arguments.text

    def _tail(self, name: str) -> list[int]:
        """The tokens that must follow a tool's name."""
        from chains import engine

        if name not in self._ready:
            arguments = Arguments(self._tools[name], self._engine.vocabulary, engine.CALL_TOKENS)
            self._ready[name] = (arguments, arguments.forced())
        return self._ready[name][1]

    def _heads(self, before: str) -> dict[str, list[int]]:
        """Tokens of each tool's call, from `before` up to its arguments."""
        quoted = before.endswith('"')
        heads = {}
        for name in self._tools:
            text = json.dumps(name, ensure_ascii=False)[1:-1] if quoted else name
            heads[name] = self._native.encode(before, text, self._middle)
        return heads

    def _options(self, heads: dict[str, list[int]], written: int) -> list[Candidate]:
        """The tools' names as candidates, without the `written` tokens that they share."""
        vocabulary = self._engine.vocabulary.bytes
        braces = () if self._middle else [i for i, text in enumerate(vocabulary) if text.startswith(b"{")]
        return candidates(list(heads), [tokens[written:] for tokens in heads.values()], [braces] * len(heads))

    def _likelihood(self, start: list[int], heads: dict[str, list[int]]) -> float:
        """Probability that a call comes next; its `start` stands in the session if it is HALF or more.

        Of an unlikely one only a bound is known: none is likelier than its first token.
        """
        first = {tokens[0] for tokens in heads.values()}  # one, unless a call begins with the tool's name
        p = float(self._session.logits()[0].softmax(-1)[list(first)].sum())
        if p < HALF or not start:
            return p
        self._session.push(start)
        log_p = self._session.logits(len(start)).log_softmax(-1)
        p *= math.exp(sum(float(log_p[i, token]) for i, token in enumerate(start[1:])))
        if p < HALF:
            self._session.rewind(len(start))
        return p

    def _ranking(self, p: float, names: Sequence[tuple[str, float]] = ()) -> tuple[tuple[str, float], ...]:
        """Every candidate, likeliest first; `names` are the tools' shares of `p`, equal ones if unknown."""
        shares = names or [(name, 1 / len(self._tools)) for name in self._tools]
        found = [(NO_TOOL, 1 - p), *((name, p * share) for name, share in shares)]
        return tuple(sorted(found, key=lambda pair: -pair[1]))
