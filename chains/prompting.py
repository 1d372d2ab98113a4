"""How tools and conversations are written down for a small model.

Unusual here: a call is one short line, ``name {"arg":value}``, because every token a 135M-parameter model writes costs
50 ms on two cores, and an assistant turn opens with its decision, either a tool's name or ``no tool``, so that the
alternatives can be compared by likelihood before anything else is written. ``no tool`` holds a space, so no tool can
have that name.

    system     SYSTEM, then one paragraph a tool (see `describe_tool`)
    user       the person's words after a space, escaped as in JSON
    assistant  generate_image {"subject":" sneaker","count":2,"model":null,"seed":null}
    tool       generate_image: Drew 2 pictures of a sneaker with vae-fashion, seed 7.
    assistant  no tool
               You are welcome!

Several calls of one turn are several lines. Every argument is written, in the schema's order, `null` where the person
did not say it: one small decision at a time is easier for a small model than which argument comes next. The nulls are
not part of the call (`Engine` drops them).

What the person says is shown with the escapes of a JSON string (`\\"`, `\\\\`, `\\n`). So the text to copy into an
argument is, token for token, what the argument holds; as it was typed, the first `"` of a piece of code would end it.
For the same reason strings begin with a space where the words that they repeat do (`chains.spacing`), and a long
stretch that is taken over whole is not copied but pointed at (`chains.pointing`). What a tool answers in JSON is shown
as lines (`chains.results`); plain talk and models with a format of their own see it as it is. In a reply the name of a
value stands in front of it, which the model writes and nobody is shown (`chains.tuning.citing`).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chains.pointing import pointers, target
from chains.results import as_lines
from chains.spacing import escaped, spaced

NO_TOOL = "no tool"
SYSTEM = (
    "Pick the tool for the person's last message and write its call as one line, name and JSON arguments; several "
    f'tasks are several lines. Write "{NO_TOOL}" when none is asked for.'
)
# As short as the one the model was tuned with: said more, a model this small talks about its instructions.
PLAIN_SYSTEM = "You are a helpful AI assistant named Artwright"
_MISLEADING = re.compile(
    r"[|,()]|^\s|^(null|true|false|string|integer|number|boolean|array|object|any|-?\d+(\.\d+)?|)$"
)
PLAIN_TALK_TURNS = 6  # turns of the conversation that plain talk sees
_ENCODING = threading.Lock()


@dataclass(frozen=True)
class Segment:
    """A stretch of the prompt.

    Only `control` segments may become special tokens; the rest is data, whatever it says.
    """

    text: str
    control: bool = False


@dataclass(frozen=True)
class Turn:
    """One message: role is system, user, assistant or tool; `calls` are (name, arguments) of an assistant's turn."""

    role: str
    text: str = ""
    calls: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    name: str = ""  # of the tool that answered, for role "tool"


def call_line(name: str, args: Mapping[str, Any]) -> str:
    """A call as the model writes it, `name {"arg":value}`."""
    return f"{name} {json.dumps(dict(args), ensure_ascii=False, separators=(',', ':'))}"


def spelled_out(tool: Mapping[str, Any], args: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a call in the order of the tool's schema, None for the optional ones that are not given."""
    schema = tool.get("parameters") or {}
    required = set(schema.get("required", ()))
    known = {name: args.get(name) for name in schema.get("properties") or {} if name in args or name not in required}
    return known | {name: value for name, value in args.items() if name not in known}


def call_lines(
    tools: Sequence[Mapping[str, Any]],
    calls: Sequence[tuple[str, Mapping[str, Any]]],
    turns: Sequence[Turn],
    pointing: bool = False,
) -> str:
    """Calls that answer `turns` as the model writes them, one a line, every argument spelled out.

    With `pointing` as it writes them now; later they are shown with the text itself, since a mark would then seem to
    be of a later message.
    """
    by_name = {tool["name"]: tool for tool in tools}
    said = [turn.text for turn in turns if turn.role == "user"]
    text = target(said) if pointing else None
    as_shown = [shown(message) for message in said]
    lines = []
    for name, args in calls:
        tool = by_name.get(name) or {"parameters": {"additionalProperties": True}}  # no longer listed
        schema = tool.get("parameters") or {}
        written = spaced(spelled_out(tool, args), schema, as_shown)
        lines.append(call_line(name, {**written, **pointers(args, schema, text)}))
    return "\n".join(lines)


def describe_tool(tool: Mapping[str, Any]) -> str:
    """One paragraph for an OpenAI-style tool `{"name", "description", "parameters": JSON schema}`: a line for the tool
    and one for each argument.
    """
    schema = tool.get("parameters") or {}
    required = set(schema.get("required", ()))
    lines = [f"## {tool['name']}: {' '.join(str(tool.get('description') or '').split())}".rstrip(": ")]
    for name, described in (schema.get("properties") or {}).items():
        field = described if isinstance(described, Mapping) else {}  # `true` is a schema too
        notes = [_type_name(field)]
        if "default" in field and field["default"] not in (None, ""):
            notes.append(f"default {_word(field['default'])}")
        elif name not in required:
            notes.append("optional")
        about = " ".join(str(field.get("description") or "").split())
        lines.append(f"{name} ({', '.join(notes)}){': ' + about if about else ''}")
    return "\n".join(lines)


def _type_name(field: Any) -> str:
    if not isinstance(field, Mapping):
        return "any"
    if "enum" in field:
        return "one of " + " | ".join(map(_word, field["enum"]))
    if "anyOf" in field:
        return " | ".join(dict.fromkeys(_type_name(part) for part in field["anyOf"] if part != {"type": "null"}))
    if field.get("type") == "array":
        return f"list of {_type_name(field.get('items') or {})}"
    kind = field.get("type", "any")
    return str(kind) if isinstance(kind, str) else " | ".join(k for k in kind if k != "null")


def _word(value: Any) -> str:
    """A listed value; a text that could not be taken for something else stands without quotes, as in a sentence."""
    if isinstance(value, str) and not _MISLEADING.search(value):
        return escaped(value)
    return json.dumps(value, ensure_ascii=False)


def tool_prompt(tools: Sequence[Mapping[str, Any]], turns: Sequence[Turn], system: str = "") -> list[Segment]:
    """The prompt of a turn that may call `tools`; it ends where the assistant is to write its decision.

    `system` is the caller's own system message, if any; it follows the tool list.
    """
    head = "\n".join([SYSTEM, *(describe_tool(tool) for tool in tools), *([system] if system else [])])
    segments = _message("system", head)
    for i, turn in enumerate(turns):
        if turn.role == "assistant":
            segments += _message("assistant", call_lines(tools, turn.calls, turns[:i]) or f"{NO_TOOL}\n{turn.text}")
        elif turn.role == "tool":
            segments += _message("tool", f"{turn.name}: {as_lines(turn.text)}")
        else:
            segments += _message(turn.role, shown(turn.text))
    return [*segments, Segment("<|im_start|>assistant\n", control=True)]


def shown(text: str) -> str:
    """What the person says as the prompt shows it, its first word after a space like all others."""
    return f" {escaped(text)}"


def as_talk(turns: Sequence[Turn]) -> list[Turn]:
    """Turns as plain talk sees them: without the earlier requests that tools have answered.

    A model this small repeats what tools told, ids and all, instead of talking.
    """
    exchanges: list[list[Turn]] = [[]]
    for turn in turns:
        if turn.role == "user":
            exchanges.append([])
        exchanges[-1].append(turn)
    *earlier, latest = exchanges
    kept = [exchange for exchange in earlier if not any(turn.calls or turn.role == "tool" for turn in exchange)]
    return [turn for exchange in [*kept, latest] for turn in exchange]


def plain_prompt(turns: Sequence[Turn], system: str = "") -> list[Segment]:
    """The prompt of plain talk, without tools: what a model that was never taught this format also understands."""
    segments = _message("system", system or PLAIN_SYSTEM)
    for turn in turns:
        text = turn.text or "\n".join(call_line(name, args) for name, args in turn.calls)
        if turn.role == "tool":
            segments += _message("user", f"Result of {turn.name}: {turn.text}")
        else:
            segments += _message(turn.role, text)
    return [*segments, Segment("<|im_start|>assistant\n", control=True)]


def encode(tokenizer: Any, segments: Sequence[Segment]) -> list[int]:
    """Token ids of a prompt.

    Text that is data never yields a special token (`<|im_end|>` in it stays five plain tokens or so). Fast tokenizers
    keep the choice in themselves, where another thread's would replace it; so all texts are encoded here, one by one.
    """
    ids: list[int] = []
    for segment in segments:
        if segment.text:
            with _ENCODING:
                ids += tokenizer.encode(
                    segment.text, add_special_tokens=False, split_special_tokens=not segment.control
                )
    return ids


def _message(role: str, text: str) -> list[Segment]:
    return [Segment(f"<|im_start|>{role}\n", control=True), Segment(text), Segment("<|im_end|>\n", control=True)]
