"""Replies that use what a tool answered: a request, its call, the result, and one sentence that copies the fact.

The results are data drawn at random (`phrases/answers.txt`), so the reply can only be right by reading them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from chains.prompting import Turn
from chains.schemas import TASKS
from chains.tuning import copied, copied_code
from chains.tuning.generic_requests import ASIDE
from chains.tuning.grammar import plain, reserved, sections

if TYPE_CHECKING:
    from chains.tuning.toollists import ShownTool
    from chains.tuning.writer import Example, Writer

_MOODS = {"looked up": 6, "failed": 2, "nothing": 1}
SLOT = re.compile(r"<(n|i|t|p|c|id|w|s|d|f|code|line|x|X|arg)(\d?)(?:\.(\w+))?>")  # other tags are a result's own


def answer(writer: Writer) -> Example | None:
    """An example whose target is a reply, or None where the list has none of other apps' tools."""
    from chains.tuning.writer import Example

    pool = [tool for tool in writer.tools if tool.task not in TASKS]
    if not pool:
        return None
    rng = writer.rng
    for _ in range(3 if rng.random() < 0.3 else 0):
        pair = _two_sums(writer, pool)
        if pair is not None:
            return pair
    tool = rng.choice(pool)
    request = writer.request(tool)
    text = writer.say(request.text, request.is_imperative, request.is_question)
    call = writer.call(tool, request.args)
    result, reply = exchange(tool, request, rng, writer.split)
    return Example(
        [Turn("user", text), Turn("assistant", calls=(call,)), Turn("tool", result, name=call[0])], [], "answer", reply
    )


def _two_sums(writer: Writer, pool: list[ShownTool]) -> Example | None:
    """Two calls and two results, told in one sentence."""
    from chains.tuning.writer import Example

    rng = writer.rng
    able = [tool for tool in pool if _core(tool) is not None]
    if not able:
        return None
    found = []
    for _ in range(2):
        tool = rng.choice(able)
        request = writer.request(tool)
        if not request.is_imperative or not request.core or request.core.startswith(ASIDE) or "\n" in request.text:
            return None
        found.append((tool, request))
    (one, first), (two, second) = found
    joint = rng.choice([" and ", ", then ", " and then ", ". Also "])
    text = writer.say(first.text + joint + second.text, True, False, wrap=False)
    calls = (writer.call(one, first.args), writer.call(two, second.args))
    if calls[0] == calls[1]:
        return None
    slots = Slots(rng, {})
    results = [
        slots.fill(rng.choice(["<n>", '{"result": <n>}', "<n>"])),
        slots.fill(rng.choice(["<n2>", '{"result": <n2>}', "<n2>"])),
    ]
    core_one, core_two = plain(first.core), plain(second.core)
    reply = slots.fill(
        rng.choice(
            ["The first result is <n> and the second is <n2>.", f"{_capital(core_one)} is <n> and {core_two} is <n2>."]
        )
    )
    if len(reply) > 140 or core_one == core_two:
        reply = slots.fill("The results are <n> and <n2>.")
    back = [Turn("tool", result, name=name) for result, (name, _) in zip(results, calls, strict=True)]
    if rng.random() < 0.5:
        turns = [Turn("assistant", calls=calls), *back]
    else:  # one after the other
        turns = [Turn("assistant", calls=calls[:1]), back[0], Turn("assistant", calls=calls[1:]), back[1]]
    return Example([Turn("user", text), *turns], [], "answer", reply)


def exchange(tool: ShownTool, request: Any, rng: Random, split: str) -> tuple[str, str]:
    """What the tool answers and what is said then."""
    if tool.lookup is not None:
        return request.exchange()  # type: ignore[no-any-return]
    table = sections("answers.txt")
    core = plain(getattr(request, "core", ""))
    domain = tool.generic.thing.domain if tool.generic is not None else ""
    verb = tool.generic.thing.verbs[0] if tool.generic is not None else ""
    mood = rng.choices(list(_MOODS), list(_MOODS.values()))[0]
    if mood == "looked up":
        if tool.task in table and rng.random() < 0.85:
            mood = tool.task
        elif verb == "C" and core and not core.startswith(ASIDE) and len(core) < 90:
            mood = "figure asked"
        elif domain == "raw" or verb == "C":
            mood = rng.choice(["figure", "figure", "looked up"])
        elif verb == "G" or (not verb and not request.is_imperative):
            mood = "looked up"
        else:
            mood = rng.choice(["done", "done", "looked up"])
    lines = [line for line in table[mood] if reserved(line) == (split == "dev")] or table[mood]
    lines = [line for line in lines if all(name in request.args for name in re.findall(r"<arg\.(\w+)>", line))]
    if not lines:
        lines = table["figure"]
    result, reply = rng.choice(lines).split(" => ")
    slots = Slots(rng, request.args, core)
    return slots.fill(result.replace("\\n", "\n")), slots.fill(reply)


def _core(tool: ShownTool) -> str | None:
    """Whether what the tool finds has a name of its own ("the area of a circle")."""
    return "C" if tool.generic is not None and tool.generic.thing.verbs[0] == "C" else None


class Slots:
    """Values of one exchange: the same slot is the same value in the result and in the reply."""

    def __init__(
        self, rng: Random, args: dict[str, Any], core: str = "", notations: Mapping[str, str] | None = None
    ) -> None:
        self.rng, self.args, self.core, self.notations = rng, args, core, notations or {}
        self.values: dict[str, str] = {}

    def fill(self, text: str) -> str:
        return SLOT.sub(lambda match: self._value(match[1], match[0], match[3]), text)

    def _value(self, kind: str, slot: str, arg: str | None) -> str:
        if arg:
            return str(self.args[arg])
        if kind in ("x", "X"):
            return _capital(self.core) if kind == "X" else self.core
        if slot not in self.values:
            self.values[slot] = self._make(kind)
        return self.values[slot]

    def _make(self, kind: str) -> str:
        rng = self.rng
        if kind == "n":
            return str(copied.decimal(rng) if rng.random() < 0.7 else copied.whole(rng))
        if kind == "i":
            return str(rng.randint(2, 90))
        if kind in ("code", "line"):
            notation = self.notations.get(kind, "")
            return copied_code.code_block(rng, notation) if kind == "code" else copied_code.code_line(rng, notation)
        makers = {
            "t": copied.clock, "p": copied.person, "c": copied.place, "id": copied.ident, "w": copied.short,
            "s": copied.sentence, "d": lambda r: copied.iso_date(r)[1], "f": copied.file_path,
        }  # fmt: skip
        made = str(makers[kind](rng))
        return made.replace("\\", "/") if kind == "f" else made


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
