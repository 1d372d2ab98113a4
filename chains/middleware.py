"""The agent's middleware: what goes wrong becomes a sentence, calls run in order, finished tools end the turn."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import AgentState, ModelRequest, ModelResponse, hook_config
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.errors import GraphBubbleUp

from chains.schemas import TASKS
from chains.served import explained
from chains.tools import check
from generators.core.errors import Cancelled

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ToolCallRequest
    from langgraph.runtime import Runtime
    from langgraph.types import Command

TURNS = 6  # of the conversation that the model sees
TOLD = "artwright_told"  # marks a reply that only repeats what the tools said
LOOK = 0.01  # seconds between looks whether it is an asynchronous call's turn
STOPPED = "Stopped."


class Sentences(AgentMiddleware[Any, Any, Any]):
    """Whatever goes wrong with a call becomes one clear sentence, for the model and the person."""

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Check the arguments, then run the tool."""
        try:
            self._check(request)
            return handler(request)
        except GraphBubbleUp:  # an interrupt: the tool asks the person
            raise
        except Exception as error:  # a tool's failure is not the agent's
            return self._failed(request, error)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """The same, asynchronously."""
        try:
            self._check(request)
            return await handler(request)
        except GraphBubbleUp:
            raise
        except Exception as error:
            return self._failed(request, error)

    def _check(self, request: ToolCallRequest) -> None:
        """Check the arguments of the app's own tools; another tool may have the name of one."""
        name, schema = request.tool_call["name"], request.tool and request.tool.args_schema
        if name in TASKS and isinstance(schema, type) and issubclass(schema, TASKS[name]):
            check(name, request.tool_call["args"])

    def _failed(self, request: ToolCallRequest, error: Exception) -> ToolMessage:
        call = request.tool_call
        if isinstance(error, Cancelled):
            text = STOPPED
        elif isinstance(error, ValueError | OSError):
            text = " ".join(str(error).split())
        else:
            text = f"{call['name']} failed unexpectedly ({type(error).__name__}: {' '.join(str(error).split())})."
        return ToolMessage(text, tool_call_id=call["id"], name=call["name"], status="error")


class ServedErrors(AgentMiddleware[Any, Any, Any]):
    """Errors of a served LLM become one clear sentence."""

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Ask the model. Raises `ServedError`."""
        with explained(request.model):
            return handler(request)

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """The same, asynchronously."""
        with explained(request.model):
            return await handler(request)


class InOrder(AgentMiddleware[Any, Any, Any]):
    """The calls of one turn run one after the other, in order; LangGraph starts them all at once."""

    def __init__(self) -> None:
        super().__init__()
        self._finished: dict[str, set[str]] = {}  # of the turns under way: message id -> call ids
        self._changed = threading.Condition()

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Wait for the calls before this one, then run it."""
        turn, calls = self._siblings(request)
        with self._changed:
            self._changed.wait_for(lambda: self._is_next(turn, calls, request))
        try:
            return handler(request)
        finally:
            self._done(turn, calls, request)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """The same, asynchronously."""
        turn, calls = self._siblings(request)
        try:
            # Not in a thread: as many waiting ones as the loop has threads would leave none for the tool itself.
            while not self._is_next(turn, calls, request):
                await asyncio.sleep(LOOK)
            return await handler(request)
        finally:
            self._done(turn, calls, request)

    def _siblings(self, request: ToolCallRequest) -> tuple[str, list[str]]:
        """The turn's key, and the ids of its calls that really run: those not answered already, by a limit say."""
        answered: set[str] = set()
        for message in reversed(request.state["messages"]):
            if isinstance(message, AIMessage):
                calls = [str(call["id"]) for call in message.tool_calls]
                return f"{message.id}/{calls}", [call for call in calls if call not in answered]
            if isinstance(message, ToolMessage):
                answered.add(message.tool_call_id)
        return "", []

    def _is_next(self, turn: str, calls: list[str], request: ToolCallRequest) -> bool:
        mine = str(request.tool_call["id"])
        earlier = set(calls[: calls.index(mine)]) if mine in calls else set()
        return earlier <= self._finished.get(turn, set())

    def _done(self, turn: str, calls: list[str], request: ToolCallRequest) -> None:
        with self._changed:
            finished = self._finished.setdefault(turn, set())
            finished.add(str(request.tool_call["id"]))
            if finished >= set(calls):
                del self._finished[turn]
            self._changed.notify_all()


class TheirOwnWords(AgentMiddleware[Any, Any, Any]):
    """Once the tools of a turn are done, their sentences are the reply.

    For the embedded LLM, which calls all tools of a turn at once.
    """

    @hook_config(can_jump_to=["end"])
    def before_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """End the turn if tools have just answered."""
        said = _since_last_call(state["messages"])
        if not said:
            return None
        text = "\n".join(str(message.content) for message in said)
        return {"messages": [AIMessage(text, additional_kwargs={TOLD: True})], "jump_to": "end"}


class LastTurns(AgentMiddleware[Any, Any, Any]):
    """The model sees the last few turns, without replies that only repeat its tools.

    A call that was stopped before its answer gets one, since many providers refuse a call without.
    """

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Shorten the messages for the model alone; the memory keeps all."""
        return handler(request.override(messages=_last_turns(request.messages)))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """The same, asynchronously."""
        return await handler(request.override(messages=_last_turns(request.messages)))


def _last_turns(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    starts = [i for i, message in enumerate(messages) if isinstance(message, HumanMessage)]
    first = starts[-TURNS] if len(starts) > TURNS else 0
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    recent: list[AnyMessage] = []
    for message in messages[first:]:
        if not message.additional_kwargs.get(TOLD):
            recent.append(message)
        for call in message.tool_calls if isinstance(message, AIMessage) else ():
            if call["id"] not in answered:
                recent.append(ToolMessage(STOPPED, tool_call_id=call["id"] or "", name=call["name"], status="error"))
    return recent


def _since_last_call(messages: Sequence[AnyMessage]) -> list[ToolMessage]:
    """The tool messages at the end of the conversation, in order."""
    found: list[ToolMessage] = []
    for message in reversed(messages):
        if not isinstance(message, ToolMessage):
            break
        found.insert(0, message)
    return found
