"""What the LLM sees of a conversation, and what the newest request in it is.

The in-process LLM decides over the person's own words alone. Of what tools, files and models said it sees ids and
numbers (`neutral`), and of what the person quotes a mark (`chains.quoting`), so no text of theirs can cause a call: it
is not there when the call is chosen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from chains.prompting import NO_TOOL as NO_TOOL
from chains.quoting import Quoted, set_aside, take_out

TURNS = 6  # of the conversation that the model sees
MENDS = "artwright_mends"  # on the LLM's second try at a call: the first one's id
TOLD = "artwright_told"  # marks a reply that only repeats what the tools said
REQUEST = "artwright_request"  # on a person's message that repeats another: {"again": its id, "tool": a name or ""}
PICTURES = "artwright_pictures"  # on a person's message: references to the pictures that came with it
QUESTION = "artwright_question"  # on a reply that asks: {"options": [[tool, in plain words], ...]}
MEND = "artwright_mend"  # on a tool's error: whether other arguments may help
STOPPED = "Stopped."
_ORDINALS = ("first", "second")
_SEED = re.compile(r"\bseed (\d{1,10})\b")


@dataclass(frozen=True)
class Exchange:
    """The newest request of a conversation.

    `asked` in its own words, understood after `before`; `after` is what happened since. `tool` is a name the person
    chose, NO_TOOL for talk, or "" where the LLM decides. `answers` are the options of the question that the request
    answers in words of its own.
    """

    before: tuple[AnyMessage, ...]
    asked: HumanMessage
    after: tuple[AnyMessage, ...] = ()
    tool: str = ""
    answers: tuple[str, ...] = ()
    key: str = ""  # the request's id, of which there is one a turn

    @property
    def results(self) -> list[ToolMessage]:
        """What the tools of this turn have answered."""
        return [message for message in self.after if isinstance(message, ToolMessage)]

    @property
    def rounds(self) -> list[AIMessage]:
        """What the LLM has said in this turn."""
        return [message for message in self.after if isinstance(message, AIMessage)]

    def to_mend(self) -> list[ToolMessage]:
        """The errors that other arguments may mend and that the LLM has not seen yet, in order.

        Each of the first calls is mended once; what fails then is explained.
        """
        first = next(iter(self.rounds), None)
        calls = [call["id"] for call in first.tool_calls] if first else []
        errors = [m for m in self.results if m.tool_call_id in calls and m.additional_kwargs.get(MEND)]
        tried = [message.additional_kwargs.get(MENDS) for message in self.rounds]
        last = max((i for i, error in enumerate(errors) if error.tool_call_id in tried), default=-1)
        return errors[last + 1 :]

    def told(self) -> str:
        """The tools' own sentences: of what failed and was mended the success alone, of what failed twice the first."""
        first = {
            call["id"]: m.additional_kwargs[MENDS]
            for m in self.rounds
            for call in m.tool_calls
            if MENDS in m.additional_kwargs
        }
        failed = {message.tool_call_id for message in self.results if message.status == "error"}
        mended = {error for again, error in first.items() if again not in failed}
        left_out = mended | (failed & first.keys())
        return "\n".join(dict.fromkeys(str(m.content) for m in self.results if m.tool_call_id not in left_out))


def newest(messages: Sequence[AnyMessage]) -> Exchange:
    """The newest request. Raises ValueError where nobody has asked anything."""
    starts = [i for i, message in enumerate(messages) if isinstance(message, HumanMessage)]
    if not starts:
        raise ValueError("there is nothing to answer; give at least one message of the person's")
    at = starts[-1]
    after = tuple(messages[at + 1 :])
    root, tool = _root(messages, at)
    asked = messages[root]
    assert isinstance(asked, HumanMessage)
    answers = tuple(name for name, _ in _question(messages, at)) if root == at and not tool else ()
    return Exchange(tuple(messages[:root]), asked, after, tool, answers, str(messages[at].id or ""))


def _root(messages: Sequence[AnyMessage], at: int) -> tuple[int, str]:
    """The request that message `at` repeats or specifies (itself, if none), and the tool it chooses."""
    mark: Mapping[str, Any] = messages[at].additional_kwargs.get(REQUEST) or {}
    if mark.get("again"):
        earlier = next((i for i in range(at) if messages[i].id == mark["again"]), None)
        if earlier is not None:
            root, tool = _root(messages, earlier)
            return root, str(mark.get("tool") or tool)
    options = _question(messages, at)
    if chosen := literal(str(messages[at].text), options):
        before = next((i for i in range(at - 1, -1, -1) if isinstance(messages[i], HumanMessage)), None)
        if before is not None:
            return _root(messages, before)[0], chosen
    return at, str(mark.get("tool") or "")


def _question(messages: Sequence[AnyMessage], at: int) -> list[tuple[str, str]]:
    """The options of the question directly before message `at`."""
    asked = messages[at - 1].additional_kwargs.get(QUESTION) if at else None
    return [(str(name), str(label)) for name, label in (asked or {}).get("options", ())]


def literal(answer: str, options: Sequence[tuple[str, str]]) -> str:
    """The option that an answer names by its number, its tool's name or its very words; "" for any other answer."""
    said = answer.casefold().strip(" .!,()\n\t\"'")
    for number, (name, label) in enumerate(options):
        ordinal = _ORDINALS[number] if number < len(_ORDINALS) else ""
        names = {str(number + 1), ordinal, f"the {ordinal}", f"the {ordinal} one", name, name.replace("_", " "), label}
        if said and said in {one.casefold().strip(" .!") for one in names if one}:
            return name
    return ""


def recent(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """The last few turns, without replies that only repeat their tools, and an answer to every call.

    A call that was stopped before its answer gets one, since many providers refuse a call without.
    """
    starts = [i for i, message in enumerate(messages) if isinstance(message, HumanMessage)]
    first = starts[-TURNS] if len(starts) > TURNS else 0
    answered = {message.tool_call_id for message in messages if isinstance(message, ToolMessage)}
    found: list[AnyMessage] = []
    for message in messages[first:]:
        if not message.additional_kwargs.get(TOLD):
            found.append(message)
        for call in message.tool_calls if isinstance(message, AIMessage) else ():
            if call["id"] not in answered:
                found.append(ToolMessage(STOPPED, tool_call_id=call["id"] or "", name=call["name"], status="error"))
    return found


@dataclass
class View:
    """What the LLM decides over, and what was set aside of it."""

    messages: list[AnyMessage] = field(default_factory=list)
    quoted: Quoted = field(default_factory=lambda: Quoted(""))  # of the newest request
    parts: tuple[str, ...] = ()  # for the arguments' marks: the newest request's, else the latest ones before


def view(messages: Sequence[AnyMessage]) -> View:
    """A conversation that ends with a request, as the in-process LLM decides over it."""
    made = View()
    parts: tuple[str, ...] = ()
    for message in recent(messages):
        if isinstance(message, HumanMessage):
            made.quoted = set_aside(str(message.text))
            parts += made.quoted.parts
            made.parts = made.quoted.parts or made.parts
            made.messages.append(message.model_copy(update={"content": made.quoted.text}))
        elif isinstance(message, ToolMessage):
            made.messages.append(neutral(message))
        elif isinstance(message, AIMessage) and message.tool_calls:
            calls = [{**call, "args": take_out(call["args"], parts)} for call in message.tool_calls]
            made.messages.append(message.model_copy(update={"content": "", "tool_calls": calls}))
        elif isinstance(message, AIMessage):
            asks = message.additional_kwargs.get(QUESTION)
            made.messages.append(message.model_copy(update={"content": str(message.text) if asks else "OK."}))
        else:
            made.messages.append(message)
    return made


def seen(messages: Sequence[AnyMessage]) -> list[AnyMessage]:
    """The messages of `view`."""
    return view(messages).messages


def neutral(message: ToolMessage) -> ToolMessage:
    """A tool's answer without its words: whether it went well, its seed, and the ids of what it made."""
    if message.status == "error":
        return message.model_copy(update={"content": "that did not work."})
    made = message.artifact if isinstance(message.artifact, list) else []
    ids = [str(item.get("id", "")) for item in made if isinstance(item, Mapping)]
    ids = [one for one in ids if re.fullmatch(r"[0-9a-f]{8,64}", one)][:4]
    seed = _SEED.search(str(message.content)) if ids else None
    text = "Done" + (f", seed {seed[1]}" if seed else "") + (f" (ids {', '.join(ids)})" if ids else "")
    return message.model_copy(update={"content": f"{text}.", "artifact": None})
