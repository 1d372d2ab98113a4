"""A scripted LLM for the tests of the agent: says its lines in order, and keeps what it was asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field

Line = AIMessage | Callable[[Sequence[BaseMessage], dict[str, Any]], AIMessage]


class Scripted(BaseChatModel):
    """Stands for the in-process model unless `kind` says otherwise; a line may be made from what it is asked.

    `asked` holds (messages, keywords) of every call; the keyword `tools` has the names of the tools offered.
    """

    lines: list[Any] = Field(default_factory=list)
    kind: str = "artwright"
    asked: list[Any] = Field(default_factory=list)

    @property
    def _llm_type(self) -> str:
        return self.kind

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        names = [convert_to_openai_tool(tool)["function"]["name"] for tool in tools]
        return self.bind(tools=names, **kwargs)

    def _generate(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        self.asked.append((list(messages), kwargs))
        line = self.lines.pop(0) if len(self.lines) > 1 else self.lines[0]
        message = line(messages, kwargs) if callable(line) else line.model_copy(deep=True)
        message.id = None
        return ChatResult(generations=[ChatGeneration(message=message)])


class Streaming(Scripted):
    """Says its words in pieces that are no words."""

    def _stream(self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any) -> Any:
        message = self._generate(messages, stop, None, **kwargs).generations[0].message
        for start in range(0, len(message.content), 7):
            chunk = ChatGenerationChunk(message=AIMessageChunk(message.content[start : start + 7]))
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


def call(name: str, number: int = 0, /, **args: Any) -> dict[str, Any]:
    """A tool call."""
    return {"name": name, "args": args, "id": f"call{number}", "type": "tool_call"}


def says(*calls: dict[str, Any], text: str = "", **metadata: Any) -> AIMessage:
    """What the LLM answers; metadata as the in-process model gives it."""
    return AIMessage(text, tool_calls=list(calls), response_metadata=metadata)


def unsure(*ranking: tuple[str, float]) -> AIMessage:
    """The in-process model's answer where its choice is below the threshold."""
    choice = {"name": ranking[0][0], "confidence": ranking[0][1], "alternatives": [list(one) for one in ranking]}
    return says(choice=choice, finish_reason="unsure")


def text_of(messages: Sequence[BaseMessage]) -> str:
    """Everything that the LLM could read."""
    calls = [str(call["args"]) for message in messages for call in getattr(message, "tool_calls", ())]
    return "\n".join([str(message.content) for message in messages] + calls)
