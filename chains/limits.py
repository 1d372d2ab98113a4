"""How much one turn may cost: rounds of the LLM, calls of tools, and time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import AgentState, ModelRequest, ModelResponse, hook_config
from langchain_core.messages import AIMessage, ToolMessage

from chains.conversation import newest
from chains.watch import Deadline, listener, switch, watching
from generators.core.errors import Cancelled

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ToolCallRequest
    from langgraph.runtime import Runtime
    from langgraph.types import Command

KEPT = 64  # turns whose beginning is remembered


@dataclass(frozen=True)
class Limits:
    """Of one turn. `rounds` of the LLM, `calls` of tools, `seconds` for all of it together."""

    rounds: int = 6
    calls: int = 8
    seconds: float = 600.0

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.calls < 1 or not self.seconds > 0:
            raise ValueError(
                f"limits of {self.rounds} rounds, {self.calls} calls and {self.seconds:g} seconds leave no room for a "
                "turn; each must be above 0"
            )

    @classmethod
    def from_environment(cls) -> Limits:
        """The person's own: ARTWRIGHT_TURN_CALLS and ARTWRIGHT_TURN_SECONDS, where set. Raises ValueError."""
        given: dict[str, Any] = {}
        for field, variable, kind in (
            ("calls", "ARTWRIGHT_TURN_CALLS", int),
            ("seconds", "ARTWRIGHT_TURN_SECONDS", float),
        ):
            if text := os.environ.get(variable):
                try:
                    given[field] = kind(text)
                except ValueError:
                    raise ValueError(f"{variable}={text} is no number; set it to one above 0, or not at all") from None
        return cls(**given)

    @property
    def too_many(self) -> str:
        """What a call beyond the limit is answered with."""
        return f"One turn makes at most {self.calls} calls; ask for the rest in another message."

    @property
    def too_long(self) -> str:
        """What is said when the LLM does not come to an end."""
        return f"The language model found no end within {self.rounds} rounds; ask for less at once."

    @property
    def too_late(self) -> str:
        """What is said when the time is up."""
        return f"This took longer than {self.seconds:g} seconds and was stopped; ask for less at once."


class Bounds(AgentMiddleware[Any, Any, Any]):
    """Holds a turn to its limits; each that is hit is one sentence."""

    def __init__(self, limits: Limits) -> None:
        super().__init__()
        self.limits = limits
        self._began: dict[str, float] = {}
        self._lock = threading.Lock()

    @hook_config(can_jump_to=["end"])
    def before_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """End the turn if the LLM has had its rounds, or the time is up."""
        turn = newest(state["messages"])
        if self._deadline(turn.key).is_late:
            return {"messages": [AIMessage(self.limits.too_late)], "jump_to": "end"}
        if len(turn.rounds) >= self.limits.rounds:
            return {"messages": [AIMessage(self.limits.too_long)], "jump_to": "end"}
        return None

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Ask the model, as long as there is time."""
        deadline = self._deadline(newest(request.messages).key)
        try:
            with watching(deadline, listener()):
                return handler(request)
        except Cancelled:
            if deadline.is_late:
                return ModelResponse(result=[AIMessage(self.limits.too_late)])
            raise

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """The same, asynchronously."""
        deadline = self._deadline(newest(request.messages).key)
        try:
            with watching(deadline, listener()):
                return await handler(request)
        except Cancelled:
            if deadline.is_late:
                return ModelResponse(result=[AIMessage(self.limits.too_late)])
            raise

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Run the tool if it is not one too many, as long as there is time."""
        if refused := self._refused(request):
            return refused
        with self._timed(request) as deadline:
            return self._in_time(request, deadline, handler(request))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """The same, asynchronously."""
        if refused := self._refused(request):
            return refused
        with self._timed(request) as deadline:
            return self._in_time(request, deadline, await handler(request))

    def _refused(self, request: ToolCallRequest) -> ToolMessage | None:
        turn = newest(request.state["messages"])
        calls = [call["id"] for message in turn.rounds for call in message.tool_calls]
        mine = request.tool_call["id"]
        if mine in calls and calls.index(mine) >= self.limits.calls:
            return self._error(request, self.limits.too_many)
        if self._deadline(turn.key).is_late:
            return self._error(request, self.limits.too_late)
        return None

    @contextmanager
    def _timed(self, request: ToolCallRequest) -> Iterator[Deadline]:
        deadline = self._deadline(newest(request.state["messages"]).key)
        with watching(deadline, listener()):
            yield deadline

    def _in_time(
        self, request: ToolCallRequest, deadline: Deadline, answer: ToolMessage | Command[Any]
    ) -> ToolMessage | Command[Any]:
        """The tool's answer; one that was stopped by the clock says so."""
        stopped = isinstance(answer, ToolMessage) and answer.status == "error"
        return self._error(request, self.limits.too_late) if stopped and deadline.is_late else answer

    def _deadline(self, turn: str) -> Deadline:
        with self._lock:
            began = self._began.setdefault(turn, time.monotonic())
            while len(self._began) > KEPT:
                del self._began[next(iter(self._began))]
        return Deadline(switch(), began + self.limits.seconds)

    @staticmethod
    def _error(request: ToolCallRequest, sentence: str) -> ToolMessage:
        call = request.tool_call
        return ToolMessage(sentence, tool_call_id=call["id"] or "", name=call["name"], status="error")
