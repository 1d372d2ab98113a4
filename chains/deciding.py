"""How the LLM is asked what to do next.

The in-process LLM decides first and talks afterwards: the choice is made over the person's own words alone
(`chains.conversation`), and where it is not sure enough one question takes its place. A served LLM sees the
conversation as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from typing import Any

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from chains.conversation import MENDS, NO_TOOL, TOLD, Exchange, View, newest, recent, view
from chains.questions import question
from chains.quoting import put_back

Steps = Generator[ModelRequest[Any], ModelResponse[Any], ModelResponse[Any]]
SHOWN = 400  # characters of an error that the LLM sees
TRIES = 2  # rounds in which a served LLM may call a tool that fails


class Asks(AgentMiddleware[Any, Any, Any]):
    """Turns one call of the model into the steps that it takes; a subclass says which."""

    def steps(self, request: ModelRequest[Any]) -> Steps:
        """Yields what to ask the model, is sent its answers, and returns the final one."""
        raise NotImplementedError

    def wrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], ModelResponse[Any]]
    ) -> ModelResponse[Any]:
        """Ask the model in steps."""
        steps = self.steps(request)
        try:
            asked = next(steps)
            while True:
                asked = steps.send(handler(asked))
        except StopIteration as done:
            answer: ModelResponse[Any] = done.value
            return answer

    async def awrap_model_call(
        self, request: ModelRequest[Any], handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
    ) -> ModelResponse[Any]:
        """The same, asynchronously."""
        steps = self.steps(request)
        try:
            asked = next(steps)
            while True:
                asked = steps.send(await handler(asked))
        except StopIteration as done:
            answer: ModelResponse[Any] = done.value
            return answer


class Decides(Asks):
    """For the in-process LLM; with `may_ask` it asks where it is not sure."""

    def __init__(self, may_ask: bool = True) -> None:
        super().__init__()
        self._may_ask = may_ask

    def steps(self, request: ModelRequest[Any]) -> Steps:
        """A choice, then arguments or plain talk."""
        turn = newest(request.messages)
        if turn.results:
            return (yield from self._mended(request, turn))
        if turn.tool == NO_TOOL:
            return (yield _talking(request, turn))
        shown = view([*turn.before, turn.asked])
        if turn.tool:
            response = yield from self._called(request, shown, turn.tool)
            _note_choice(_answer(response), None)  # it was the person's
            return response
        response = yield request.override(
            messages=shown.messages, model_settings={"plain_talk": False, "may_ask": self._may_ask and not turn.answers}
        )
        message = _answer(response)
        if _finish(message) == "unsure":
            return ModelResponse(result=[question(message, request.tools)])
        if message.tool_calls:
            return (yield from self._with_its_words(request, turn, shown, response))
        if message.text:  # a model that does not know the switch has talked already
            return response
        if shown.quoted.pasted and self._may_ask and not turn.answers:
            asks = yield from self._asked_about(request, turn, message)
            if asks:
                return ModelResponse(result=[asks])
        talk = yield _talking(request, turn)
        _note_choice(_answer(talk), message)
        return talk

    def _with_its_words(
        self, request: ModelRequest[Any], turn: Exchange, shown: View, response: ModelResponse[Any]
    ) -> Steps:
        """The calls of a decision with the arguments of the whole request."""
        message = _answer(response)
        names = [call["name"] for call in message.tool_calls]
        if len(names) == 1 and names[0] in turn.answers:
            # The answer to a question chooses; what is to be done stands in the request before it.
            before = [*_before_question(turn), _joined(turn)]
            again = yield from self._called(request, view(before), names[0])
            _note_choice(_answer(again), message)
            return again
        if len(names) == 1 and shown.quoted.parts:
            again = yield request.override(messages=_unquoted(shown, turn), tool_choice=names[0])
            _note_choice(_answer(again), message)
            return _one(again, names[0])
        return _filled(response, shown)

    def _called(self, request: ModelRequest[Any], shown: View, tool: str) -> Steps:
        """A call of a tool that is settled."""
        response = yield request.override(messages=shown.messages, tool_choice=tool)
        return _one(_filled(response, shown), tool)

    def _asked_about(
        self, request: ModelRequest[Any], turn: Exchange, talk: AIMessage
    ) -> Generator[ModelRequest[Any], ModelResponse[Any], AIMessage | None]:
        """A question where pasted text, whose end nothing marks, may be part of the request itself."""
        response = yield request.override(
            messages=_unquoted(view([*turn.before, turn.asked]), turn),
            model_settings={"plain_talk": False},
            tool_choice=None,
        )
        names = [call["name"] for call in _answer(response).tool_calls]
        return question(talk, request.tools, [names[0], NO_TOOL]) if names else None

    def _mended(self, request: ModelRequest[Any], turn: Exchange) -> Steps:
        """A second try at calls that failed: the LLM sees the error, and may call that tool again or leave it."""
        calls = {call["id"]: call for message in turn.rounds for call in message.tool_calls}
        shown = view([*turn.before, turn.asked])
        for error in turn.to_mend():
            call = calls[error.tool_call_id]
            failed = ToolMessage(
                str(error.content)[:SHOWN], tool_call_id=call["id"] or "", name=call["name"], status="error"
            )
            response = yield request.override(
                messages=[*shown.messages, AIMessage("", tool_calls=[call]), failed],
                tools=[tool for tool in request.tools if _name(tool) == call["name"]],
                model_settings={"plain_talk": False},
            )
            again = _answer(_filled(response, shown)).tool_calls[:1]
            if again and again[0]["name"] == call["name"] and again[0]["args"] != call["args"]:
                kept = {"tool_calls": again, "content": "", "additional_kwargs": {MENDS: call["id"]}}
                return ModelResponse(result=[_answer(response).model_copy(update=kept)])
        return ModelResponse(result=[AIMessage(turn.told(), additional_kwargs={TOLD: True})])


class Converses(Asks):
    """For a served LLM."""

    def steps(self, request: ModelRequest[Any]) -> Steps:
        """One answer."""
        turn = newest(request.messages)
        messages = [*recent([*turn.before, turn.asked]), *recent(turn.after)]
        if turn.tool == NO_TOOL or _is_given_up(turn):
            return (yield request.override(messages=messages, tools=[]))
        if turn.tool and not turn.after:
            return (yield request.override(messages=messages, tool_choice=turn.tool))
        return (yield request.override(messages=messages))


def _is_given_up(turn: Exchange) -> bool:
    """Whether some tool has failed in as many rounds as it may."""
    failed: dict[str, set[str]] = {}
    rounds = {call["id"]: str(i) for i, message in enumerate(turn.rounds) for call in message.tool_calls}
    for message in turn.results:
        if message.status == "error":
            failed.setdefault(str(message.name), set()).add(rounds.get(message.tool_call_id, ""))
    return any(len(tries) >= TRIES for tries in failed.values())


def _talking(request: ModelRequest[Any], turn: Exchange) -> ModelRequest[Any]:
    """Plain talk, which sees the person's words in full and cannot call."""
    return request.override(messages=recent([*turn.before, turn.asked]), tool_choice="none")


def _unquoted(shown: View, turn: Exchange) -> list[AnyMessage]:
    """The view with the newest request in full."""
    return [*shown.messages[:-1], turn.asked]


def _before_question(turn: Exchange) -> list[AnyMessage]:
    """The conversation before the request that was asked about."""
    return list(turn.before[: _asked_at(turn)])


def _asked_at(turn: Exchange) -> int:
    return max(i for i, message in enumerate(turn.before) if message.type == "human")


def _joined(turn: Exchange) -> AnyMessage:
    """A request and what the person answered when asked about it, as one."""
    request = turn.before[_asked_at(turn)]
    return turn.asked.model_copy(update={"content": f"{request.text}\n({turn.asked.text})"})


def _filled(response: ModelResponse[Any], shown: View) -> ModelResponse[Any]:
    """The answer with the quoted words in its arguments."""
    parts = list(shown.parts)
    message = _answer(response)
    if parts and message.tool_calls:
        message.tool_calls = [{**call, "args": put_back(call["args"], parts)} for call in message.tool_calls]
    return response


def _one(response: ModelResponse[Any], tool: str) -> ModelResponse[Any]:
    """The answer with one call of `tool` and no other, whatever the model made of it."""
    message = _answer(response)
    message.tool_calls = [call for call in message.tool_calls if call["name"] == tool][:1]
    return response


def _answer(response: ModelResponse[Any]) -> AIMessage:
    message = response.result[-1]
    assert isinstance(message, AIMessage)
    return message


def _finish(message: AIMessage) -> str:
    return str(message.response_metadata.get("finish_reason") or "")


def _note_choice(message: AIMessage, decided: AIMessage | None) -> None:
    """Keep with a message how sure the choice was that led to it."""
    for key in ("choice", "confidences"):
        message.response_metadata.pop(key, None)
        if decided and key in decided.response_metadata:
            message.response_metadata[key] = decided.response_metadata[key]


def _name(tool: Any) -> str:
    return str(convert_to_openai_tool(tool)["function"]["name"])
