"""The agent's middleware: what goes wrong becomes a sentence, calls run in order, finished tools end the turn."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import AgentState, ModelRequest, ModelResponse, hook_config
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool, ToolException
from langgraph.errors import GraphBubbleUp
from pydantic import BaseModel, ValidationError

from chains.conversation import MEND, PICTURES, QUESTION, STOPPED, TOLD, newest
from chains.schemas import TASKS
from chains.served import explained
from chains.tools import check, explain
from chains.truth import Truth
from generators.core.errors import Cancelled, RequestError

if TYPE_CHECKING:
    from langchain.agents.middleware.types import ToolCallRequest
    from langgraph.runtime import Runtime
    from langgraph.types import Command

LOOK = 0.01  # seconds between looks whether it is an asynchronous call's turn
IMAGES = ("image", "start", "end")  # arguments that may name a picture
LAST = "last"
PLACES = {LAST: 0, "first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "sixth": 5, "seventh": 6, "eighth": 7}


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
        if own_schema(request.tool):
            check(request.tool_call["name"], request.tool_call["args"])

    def _failed(self, request: ToolCallRequest, error: Exception) -> ToolMessage:
        call = request.tool_call
        if isinstance(error, Cancelled):
            text = STOPPED
        elif isinstance(error, ValidationError):
            text = explain(call["name"], error)
        elif isinstance(error, ValueError | OSError | ToolException):
            text = " ".join(str(error).split())
        else:
            text = f"{call['name']} failed unexpectedly ({type(error).__name__}: {' '.join(str(error).split())})."
        mend = {MEND: True} if isinstance(error, ValueError | ToolException) else {}
        return ToolMessage(text, tool_call_id=call["id"], name=call["name"], status="error", additional_kwargs=mend)


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
        self._finished: dict[str, dict[str, ToolMessage | None]] = {}  # of the turns under way: message id -> answers
        self._changed = threading.Condition()

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Wait for the calls before this one, then run it."""
        turn, calls = self._siblings(request)
        with self._changed:
            self._changed.wait_for(lambda: self._is_next(turn, calls, request))
        answer = None
        try:
            answer = handler(request)
            return answer
        finally:
            self._done(turn, calls, request, answer)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """The same, asynchronously."""
        turn, calls = self._siblings(request)
        answer = None
        try:
            # Not in a thread: as many waiting ones as the loop has threads would leave none for the tool itself.
            while not self._is_next(turn, calls, request):
                await asyncio.sleep(LOOK)
            answer = await handler(request)
            return answer
        finally:
            self._done(turn, calls, request, answer)

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
        return earlier <= self._finished.get(turn, {}).keys()

    def _done(self, turn: str, calls: list[str], request: ToolCallRequest, answer: Any) -> None:
        with self._changed:
            finished = self._finished.setdefault(turn, {})
            finished[str(request.tool_call["id"])] = answer if isinstance(answer, ToolMessage) else None
            if finished.keys() >= set(calls):
                del self._finished[turn]
            self._changed.notify_all()

    def earlier(self, request: ToolCallRequest) -> list[AnyMessage]:
        """What the person said and the calls before this one answered, in this turn and before it."""
        turn, _ = self._siblings(request)
        known = [message for message in request.state["messages"] if isinstance(message, ToolMessage | HumanMessage)]
        return [*known, *(answer for answer in self._finished.get(turn, {}).values() if answer)]


class Filled(AgentMiddleware[Any, Any, Any]):
    """What a call leaves open is filled in: which picture is meant by `last`, and a seed."""

    def __init__(self, order: InOrder) -> None:
        super().__init__()
        self._order = order

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Run the tool with complete arguments. Raises `RequestError`."""
        return handler(self._filled(request))

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """The same, asynchronously."""
        return await handler(self._filled(request))

    def _filled(self, request: ToolCallRequest) -> ToolCallRequest:
        """The call with ids in place of `last`, `first` and such, and, for a tool of ours, with a seed.

        The seed follows from the request and the call's place in the turn: a turn that is run again after a crash
        makes the same things again, and the store keeps them once.
        """
        call, fields = request.tool_call, _fields(request.tool)
        args = dict(call["args"])
        for name in IMAGES:
            value = args.get(name, LAST if fields.get(name) == LAST else None)
            said = value.casefold().removeprefix("the ") if isinstance(value, str) else ""
            if name in fields and said in PLACES:
                args[name] = self._picture(request, PLACES[said])
        if own_schema(request.tool) and "seed" in fields and args.get("seed") is None:
            args["seed"] = _seed(request)
        return request.override(tool_call={**call, "args": args}) if args != call["args"] else request

    def _picture(self, request: ToolCallRequest, place: int) -> str:
        """The id of a picture among the newest that one call made, or that came with one request.

        Raises `RequestError` where there is none.
        """
        for message in reversed(self._order.earlier(request)):
            if isinstance(message, HumanMessage):
                made = message.additional_kwargs.get(PICTURES)
            else:
                made = message.artifact if isinstance(message, ToolMessage) and message.status != "error" else None
            items = [item for item in made if isinstance(item, Mapping)] if isinstance(made, list) else []
            if ids := [str(item["id"]) for item in items if str(item.get("media_type", "")).startswith("image/")]:
                return ids[min(place, len(ids) - 1)]
        raise RequestError("There is no picture in this conversation yet; ask for one first.")


def own_schema(tool: BaseTool | None) -> bool:
    """Whether a tool is one of the app's own, which a plugin's of the same name is not."""
    schema = tool and tool.args_schema
    return bool(tool and tool.name in TASKS and isinstance(schema, type) and issubclass(schema, TASKS[tool.name]))


def _fields(tool: BaseTool | None) -> dict[str, Any]:
    """The arguments of a tool and their defaults, None without one."""
    schema = tool and tool.args_schema
    if isinstance(schema, type) and issubclass(schema, BaseModel):
        return {name: None if field.is_required() else field.default for name, field in schema.model_fields.items()}
    return {name: field.get("default") for name, field in (tool.args if tool else {}).items()}


def _seed(request: ToolCallRequest) -> int:
    turn = newest(request.state["messages"])
    calls = [call["id"] for message in turn.rounds for call in message.tool_calls]
    place = calls.index(request.tool_call["id"]) if request.tool_call["id"] in calls else 0
    return int(hashlib.sha256(f"{turn.key}/{place}".encode()).hexdigest()[:7], 16)


class TheirOwnWords(AgentMiddleware[Any, Any, Any]):
    """Once the tools of a turn are done, their sentences are the reply.

    For the embedded LLM, which calls all tools of a turn at once. What failed for its arguments goes back to it once.
    """

    @hook_config(can_jump_to=["end"])
    def before_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        """End the turn if tools have just answered, and nothing is to be mended."""
        turn = newest(state["messages"])
        if not turn.results or not isinstance(state["messages"][-1], ToolMessage) or turn.to_mend():
            return None
        return {"messages": [AIMessage(turn.told(), additional_kwargs={TOLD: True})], "jump_to": "end"}


class Truthful(AgentMiddleware[Any, Any, Any]):
    """What the LLM says names only ids and files that exist."""

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Ask the model, then look through its words."""
        return self._looked_through(request, handler(request))

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """The same, asynchronously."""
        return self._looked_through(request, await handler(request))

    def _looked_through(self, request: ModelRequest[Any], response: ModelResponse[Any]) -> ModelResponse[Any]:
        truth = Truth(str(newest(request.messages).asked.text))
        for message in response.result:
            if isinstance(message, AIMessage) and not {TOLD, QUESTION} & message.additional_kwargs.keys():
                message.content = _corrected(message.content, truth)
        return response


def _corrected(content: Any, truth: Truth) -> Any:
    """The same content, be it a text or blocks of several kinds, with its texts looked through."""
    if isinstance(content, str):
        return truth.correct(content)
    return [
        {**block, "text": truth.correct(block["text"])} if isinstance(block, dict) and "text" in block else block
        for block in content
    ]
