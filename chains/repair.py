"""A served LLM whose call cannot be read (its arguments are not JSON, or cut off) is asked for it once more.

LangChain sets such calls aside in `invalid_tool_calls` and ends the turn. Here the first attempt never reaches the
conversation: the model gets it back with what is wrong, and its second answer counts. Arguments that can be read and
break the tool's schema are the tool's to answer. The embedded LLM writes calls by a grammar and needs none of this.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from langchain.agents.middleware.types import ModelRequest, ModelResponse
from langchain_core.messages import AIMessage, HumanMessage

from chains.deciding import Asks, Steps

UNREADABLE = "The language model wrote a call that cannot be read, twice; ask again in other words."
QUOTED = 500  # characters of a call


class Repair(Asks):
    """Asks once more for a call that cannot be read."""

    def steps(self, request: ModelRequest[Any]) -> Steps:
        """An answer, and where that cannot be read another; a sentence in its place where neither can."""
        response = yield request
        if not (problems := _problems(response)):
            return response
        # As plain text, since providers refuse a call in the conversation that is not JSON.
        said = "\n".join(f"{name}({arguments[:QUOTED]})" for name, arguments, _ in problems)
        wrong = "; ".join(f"the arguments of {name} {problem}" for name, _, problem in problems)
        answer = HumanMessage(f"That could not be read: {wrong}. Call again, the arguments as one whole JSON object.")
        again = yield request.override(messages=[*request.messages, AIMessage(said), answer])
        return replace(again, result=[AIMessage(UNREADABLE)]) if _problems(again) else again


def _problems(response: ModelResponse[Any]) -> list[tuple[str, str, str]]:
    """Name, arguments as they were written, and what is wrong, of each call that cannot be read."""
    found: list[tuple[str, str, str]] = []
    for message in response.result:
        if not isinstance(message, AIMessage):
            continue
        found += [(str(c["name"]), str(c["args"] or ""), "are not JSON") for c in message.invalid_tool_calls]
        if message.response_metadata.get("finish_reason") == "length":  # LangChain closes what was cut off
            found += [(call["name"], str(call["args"]), "were cut off") for call in message.tool_calls[-1:]]
    return found
