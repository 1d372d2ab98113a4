"""What goes wrong in a tool becomes a sentence; what a tool asks of the person does not."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from chains.agent import agent


class Scripted(FakeMessagesListChatModel):
    """Says its lines in order, whatever the tools."""

    def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
        return self


def test_a_tool_may_ask_the_person_before_it_goes_on() -> None:
    @tool
    def delete(name: str) -> str:
        """Delete a model."""
        return f"deleted {name}" if interrupt(f"Delete {name}?") == "yes" else "kept it"

    calls = [{"name": "delete", "args": {"name": "mine"}, "id": "1"}]
    llm = Scripted(responses=[AIMessage("", tool_calls=calls), AIMessage("Done.")])
    graph = agent(llm, memory=InMemorySaver(), tools=[delete])
    config: Any = {"configurable": {"thread_id": "t"}}
    asked = graph.invoke({"messages": [("user", "delete mine")]}, config)
    assert asked["__interrupt__"][0].value == "Delete mine?"
    done = graph.invoke(Command(resume="yes"), config)
    assert [message.content for message in done["messages"] if isinstance(message, ToolMessage)] == ["deleted mine"]
