r"""A model's own way of calling tools, found out from its chat template.

Unusual here: nothing is known about any model family. A conversation with a known call is rendered by the template,
and what stands around the tool's name and its arguments is taken as the syntax:

    <tool_call>\n{"name": "  get_weather  ", "arguments":  {"location": "Oslo"}  }\n</tool_call><|im_end|>
    `before`                 a name       `middle`         JSON                  `after`

Only the template's own text may become control tokens. Where a message, a result or a tool's description holds the
text of one, it is cut in two before it is tokenised.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from chains.prompting import Segment, Turn, encode

S = TypeVar("S", str, list[int])

_TOOLS = ("artwright_probe", "artwright_other")
_TEXT = "artwright-text"
_ARGS = {"probe_a": "one", "probe_b": 2}
_WRITTEN = re.compile(r'\{\s*"probe_a"\s*:(\s*)"one"\s*,(\s*)"probe_b"\s*:\s*2\s*\}')
_CANNOT = (
    "this model's chat template does not write a call as fixed text, the tool's name, fixed text and JSON arguments "
    "(as Hermes, Qwen, Llama 3, Mistral and Granite do), so its calls cannot be enforced; choose such a model, or have "
    "this one served and name it as provider:model"
)


@dataclass(frozen=True)
class Syntax:
    """How a turn is written, from where the template's generation prompt ends.

    `lead` opens every turn (an empty thought, say). `between` stands between the arguments of one call and the name
    of the next, "" where a turn holds one call at most. `separators` are those of the JSON, (item, key).
    """

    lead: str
    before: str
    middle: str
    after: str
    between: str
    separators: tuple[str, str]


class Native:
    """A tokenizer's chat template as a format for prompts and calls."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        template = tokenizer.get_chat_template(tools=[_probe(_TOOLS[0])])
        added = tokenizer.added_tokens_decoder.items()
        special = {ident: token.content for ident, token in added if token.special}
        marks = {ident: token.content for ident, token in added if token.content in template}
        # Some vocabularies have line breaks and the like as added tokens; those are ordinary text.
        control = {ident: text for ident, text in (special | marks).items() if len(text.strip()) > 1}
        self._control = re.compile("|".join(map(re.escape, sorted(control.values(), key=len, reverse=True))) or r"(?!)")
        self._ids = frozenset(control)
        self._ends = frozenset({*special, *tokenizer.all_special_ids})

    @classmethod
    def of(cls, tokenizer: Any) -> Native | None:
        """The format of a tokenizer whose chat template shows the model its tools; None if it has no such template."""
        if not getattr(tokenizer, "chat_template", None):
            return None
        try:
            native = cls(tokenizer)
            return native if native._render([_user("?")], _PROBES) != native._render([_user("?")]) else None
        except ValueError:
            return None

    @property
    def end(self) -> int:
        """A token that ends a turn."""
        eos = self._tokenizer.eos_token_id
        return int(eos if eos is not None else min(self._ends))

    @cached_property
    def stops(self) -> frozenset[int]:
        """Tokens that end plain text: every special one, and one that begins a call."""
        begins = self.begins if self.lead is not None else None
        return self._ends if begins is None else self._ends | {begins}

    @cached_property
    def lead(self) -> str | None:
        """What opens every turn; None if this model's calls cannot be enforced, which is said where tools are bound."""
        try:
            return self.syntax.lead
        except ValueError:
            return None

    @cached_property
    def begins(self) -> int | None:
        """The control token that a call begins with, if it does."""
        tokens = self.encode(self.syntax.before)
        return tokens[0] if tokens and tokens[0] in self._ids else None

    def encode(self, before: str, data: str = "", after: str = "") -> list[int]:
        """Token ids of the template's own text, with `data` in it, which yields no control tokens."""
        if not before + data + after:
            return []
        cut = _unused(before + data + after)
        return encode(self._tokenizer, self._pieces(before + self._defused(data, cut) + after, cut))

    def prompt(self, turns: Sequence[Turn], system: str, tools: Sequence[Mapping[str, Any]]) -> list[Segment]:
        """The conversation as the template writes it, up to where the assistant's turn begins.

        Raises ValueError if the template refuses the conversation.
        """
        functions = [{"type": "function", "function": dict(tool)} for tool in tools]
        messages = self._messages(turns, system)
        cut = _unused(json.dumps([messages, functions], ensure_ascii=False, default=str))
        messages, functions = self._defused(messages, cut), self._defused(functions, cut)
        text = self._render(messages, functions)
        opening = [message for message in messages[:1] if message["role"] == "system"]
        try:  # what does not depend on the conversation is one piece, whose cache serves the next one as well
            head = shared([text, self._render([*opening, _user(cut)], functions)])
        except ValueError:
            head = ""
        split = max((found.start() for found in self._control.finditer(head)), default=0)
        first = self._pieces(text[:split], cut)
        return [*first, *[Segment("")] * (3 - len(first)), *self._pieces(text[split:], cut)]

    @cached_property
    def syntax(self) -> Syntax:
        """How this model writes calls. Raises ValueError if that cannot be enforced."""
        opened = self._render([_user("?")], _PROBES)
        said = self._render([_user("?"), {"role": "assistant", "content": _TEXT}], _PROBES, opens=False)
        called = self._called(_TOOLS[:1])
        if not called.startswith(opened):  # the prompt may hold more than the finished turn, an empty thought say
            opened = shared([said, called])
            inside = (found for found in self._control.finditer(called) if found.start() < len(opened) < found.end())
            opened = opened[: next((found.start() for found in inside), len(opened))]
        call = called[len(opened) :]
        found = list(_WRITTEN.finditer(call))
        if len(found) != 1 or call[: found[0].start()].count(_TOOLS[0]) != 1:
            raise ValueError(_CANNOT)
        before, middle = call[: found[0].start()].split(_TOOLS[0])
        lead = said[len(opened) : said.index(_TEXT)] if said.startswith(opened) and _TEXT in said else ""
        lead = lead if before.startswith(lead) else ""
        key, item = (" " if part else "" for part in found[0].groups())
        after = call[found[0].end() :]
        between = self._between(call, opened, middle)
        return Syntax(lead, before[len(lead) :], middle, after, between, (f",{item}", f":{key}"))

    def _between(self, call: str, opened: str, middle: str) -> str:
        """What stands between two calls of one turn, "" if the template does not write two as it writes one."""
        if not self._several:
            return ""
        called = self._called(_TOOLS)
        both = called[len(opened) :]
        found = list(_WRITTEN.finditer(both))
        if not called.startswith(opened) or not call.startswith(both[: found[0].end()]):
            return ""
        parts = both[found[0].end() : found[1].start()].split(_TOOLS[1])
        return parts[0] if len(parts) == 2 and parts[1] == middle else ""

    @cached_property
    def _several(self) -> bool:
        """Whether the template takes several calls in one message."""
        try:
            return len(_WRITTEN.findall(self._called(_TOOLS))) == 2
        except ValueError:
            return False

    @cached_property
    def _has_system(self) -> bool:
        try:
            return _TEXT in self._render([{"role": "system", "content": _TEXT}, _user("?")])
        except ValueError:
            return False

    @cached_property
    def _as_text(self) -> bool:
        """Whether the template wants arguments as JSON text already; most take a mapping."""
        for as_text in (False, True):
            calls = [_call(_TOOLS[0], _ARGS, 0, as_text)]
            try:
                if _WRITTEN.search(self._render([_user("?"), _calling(calls)], _PROBES, opens=False)):
                    return as_text
            except ValueError:
                continue
        return False

    def _called(self, names: Sequence[str]) -> str:
        """The rendering of a turn that calls the tools `names`."""
        calls = [_call(name, _ARGS, i, self._as_text) for i, name in enumerate(names)]
        return self._render([_user("?"), _calling(calls)], _PROBES, opens=False)

    def _render(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = (), opens: bool = True
    ) -> str:
        from jinja2 import TemplateError

        try:
            text: str = self._tokenizer.apply_chat_template(
                list(messages), tools=list(tools) or None, add_generation_prompt=opens, tokenize=False,
                enable_thinking=False,
            )  # fmt: skip
        except (TemplateError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise ValueError(f"this model's chat template refuses the conversation: {reason}") from error
        return text

    def _messages(self, turns: Sequence[Turn], system: str) -> list[dict[str, Any]]:
        """Turns as the template takes them: roles alternate, and every result follows its call."""
        messages: list[dict[str, Any]] = []
        if system and not self._has_system:
            turns = [Turn("user", system), *turns]
        elif system:
            messages.append({"role": "system", "content": system})
        waiting: list[dict[str, Any]] = []  # calls without a result
        shown: set[str] = set()
        made = 0
        for turn in turns:
            last = messages[-1] if messages else {"role": ""}
            if turn.role == "tool":
                call = next((call for call in waiting if call["function"]["name"] == turn.name), None)
                call = call or (waiting[0] if waiting else {"id": _ident(made)})
                if call in waiting:
                    waiting.remove(call)
                    if call["id"] not in shown:
                        messages.append(_calling([call]))
                messages.append({"role": "tool", "name": turn.name, "tool_call_id": call["id"], "content": turn.text})
            elif turn.calls:
                waiting = [_call(name, args, made + i, self._as_text) for i, (name, args) in enumerate(turn.calls)]
                made += len(waiting)
                first = waiting if self._several else waiting[:1]  # the others come one by one, before their results
                shown = {call["id"] for call in first}
                messages.append(_calling(list(first), turn.text))
            elif last["role"] == turn.role and "tool_calls" not in last:
                last["content"] += f"\n\n{turn.text}"
            else:
                messages.append({"role": turn.role, "content": turn.text})
        return messages

    def _defused(self, value: Any, cut: str) -> Any:
        """`value` with `cut` inside the text of every control token that its strings hold."""
        if isinstance(value, str):
            return self._control.sub(lambda found: found[0][:1] + cut + found[0][1:], value)
        if isinstance(value, Mapping):
            return {self._defused(key, cut): self._defused(part, cut) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._defused(part, cut) for part in value]
        return value

    def _pieces(self, text: str, cut: str) -> list[Segment]:
        """Stretches that are tokenised each for itself, so that a token cut in two stays two."""
        escaped = re.escape(f"\\u{ord(cut):04x}")  # as JSON may write it
        return [Segment(part, control=True) for part in re.split(f"{cut}|{escaped}", text) if part]


def shared(sequences: Sequence[S]) -> S:
    """The beginning that all sequences have in common."""
    first, last = min(sequences), max(sequences)
    return first[: next((i for i, part in enumerate(first) if i == len(last) or part != last[i]), len(first))]


def _user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def _probe(name: str) -> dict[str, Any]:
    fields = {key: {"type": "string", "description": key} for key in _ARGS}
    schema = {"type": "object", "properties": fields, "required": list(fields)}
    return {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}


def _calling(calls: Sequence[Mapping[str, Any]], text: str = "") -> dict[str, Any]:
    return {"role": "assistant", "content": text, "tool_calls": calls}


def _call(name: str, args: Mapping[str, Any], number: int, as_text: bool) -> dict[str, Any]:
    arguments = json.dumps(dict(args), ensure_ascii=False) if as_text else dict(args)
    return {"type": "function", "id": _ident(number), "function": {"name": name, "arguments": arguments}}


def _ident(number: int) -> str:
    return f"call{number:05d}"  # nine letters and digits, as Mistral's templates want


def _unused(text: str) -> str:
    """A character of the private use area that does not occur in `text`."""
    return next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in text)


_PROBES = [_probe(name) for name in _TOOLS]
