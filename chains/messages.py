"""LangChain's messages as turns of `chains.prompting`."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from chains.prompting import Turn

_SILENT_BLOCKS = frozenset({"tool_use", "tool_call", "server_tool_call", "reasoning", "thinking", "redacted_thinking"})
_ROLES = {"user": "user", "human": "user", "assistant": "assistant", "ai": "assistant", "system": "system"}


def to_turns(messages: Sequence[BaseMessage]) -> tuple[str, list[Turn]]:
    """The system messages' text, joined, and the other messages in order.

    Raises ValueError for content that is not text, since these models read only text.
    """
    system: list[str] = []
    turns: list[Turn] = []
    called: dict[str, str] = {}  # id of a call -> name of its tool
    for message in messages:
        text = text_of(message)
        if isinstance(message, SystemMessage):
            system.append(text)
        elif isinstance(message, HumanMessage):
            turns.append(Turn("user", text))
        elif isinstance(message, AIMessage):
            calls = tuple((call["name"], call["args"]) for call in message.tool_calls)
            called |= {call["id"]: call["name"] for call in message.tool_calls if call["id"]}
            turns.append(Turn("assistant", text, calls))
        elif isinstance(message, ToolMessage):
            name = message.name or called.get(message.tool_call_id, "tool")
            failed = message.status == "error" and not text.lower().startswith("error")
            turns.append(Turn("tool", f"Error: {text}" if failed else text, name=name))
        elif isinstance(message, FunctionMessage):
            turns.append(Turn("tool", text, name=message.name))
        elif isinstance(message, ChatMessage) and message.role in _ROLES:
            role = _ROLES[message.role]
            if role == "system":
                system.append(text)
            else:
                turns.append(Turn(role, text))
        else:
            raise ValueError(f"a message of type {message.type!r} cannot be sent; use human, ai, system or tool")
    return "\n\n".join(part for part in system if part), turns


def text_of(message: BaseMessage) -> str:
    """The text of a message, whose content is a string or a list of text blocks."""
    if isinstance(message.content, str):
        return message.content
    parts = []
    for block in message.content:
        if isinstance(block, str):
            parts.append(block)
        elif block.get("type") == "text" or (block.get("type") is None and "text" in block):
            parts.append(str(block["text"]))
        elif not (isinstance(message, AIMessage) and block.get("type") in _SILENT_BLOCKS):
            raise ValueError(f"content of type {block.get('type')!r} cannot be read by this model; send text only")
    return "\n".join(parts)
