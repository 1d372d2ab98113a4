"""One short question in place of a guess: the two likeliest readings of a request, in plain words.

The words are the tools' own descriptions, so a plugin's tool is asked about as ours are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from chains.conversation import NO_TOOL, QUESTION

TALK = "only talk"
LONGEST = 70  # characters of an option


def question(message: AIMessage, tools: Sequence[Any], also: Sequence[str] = ()) -> AIMessage:
    """The question in place of `message`, whose `choice` is not sure enough; `also` are readings that come first."""
    choice = message.response_metadata.get("choice") or {}
    ranked = [*also, *(str(name) for name, _ in choice.get("alternatives", ())), NO_TOOL]
    options = [(name, in_words(name, tools)) for name in list(dict.fromkeys(ranked))[:2]]
    text = f"Which did you mean: 1. {options[0][1]}, or 2. {options[1][1]}?"
    return AIMessage(
        text,
        id=message.id,
        additional_kwargs={QUESTION: {"options": [list(option) for option in options]}},
        response_metadata={**message.response_metadata, "finish_reason": "unsure"},
    )


def in_words(name: str, tools: Sequence[Any]) -> str:
    """A tool as a person would choose it: the first clause of its description; plain talk is TALK."""
    if name == NO_TOOL:
        return TALK
    functions = (convert_to_openai_tool(tool)["function"] for tool in tools)
    found: dict[str, Any] = next((function for function in functions if function["name"] == name), {})
    text = " ".join(str(found.get("description") or name.replace("_", " ")).split())
    for end in (". ", "; ", ": ", " ("):
        text = text.split(end, 1)[0]
    text = text.rstrip(".")
    if len(text) > LONGEST:
        text = text[:LONGEST].rsplit(" ", 1)[0].rstrip(",") + " …"
    return text[:1].lower() + text[1:] if text[1:2].islower() else text
