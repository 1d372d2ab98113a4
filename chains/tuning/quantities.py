"""Tools whose arguments are numbers that are easily confused, and messages that say them in whatever order.

Unusual here: which number belongs where can only be read from the words beside it, never from its place: arguments,
what is said of them and the order of both are drawn anew. `phrases/quantities/` has such tools so:

    ## lathe offsets
    tool: lathe.setToolOffset, set_tool_offsets ; Store the offsets of a tool // Tool correction for the turning machine
    do: store the tool offsets | correct the turning tool
    - x offset: x, x_offset = d ; x * | * mm in x ; offset across the axis, mm
    - tool number: tool, tool_no = n ; tool * | for tool number *
    > move tool {tool number} by {x offset} in x

A field has a label, names, a kind (d decimal, p positive decimal, i whole, n from 0 to 12, k up to 5000), ways to say
it and a description; lines with ">" are whole messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from chains.tuning import copied, grammar
from chains.tuning.answers import Slots
from chains.tuning.grammar import cut, sections, verbatim
from chains.tuning.lookups import words_of
from chains.tuning.toollists import ShownTool

_KINDS = {"d": "number", "p": "number", "i": "integer", "n": "integer", "k": "integer"}
_WHOLE = 0.45  # of the messages are written as one piece
_LABELS = (
    "{name} {value}",
    "{name}={value}",
    "{name} = {value}",
    "{name}: {value}",
    "{name} {value}",
    "{value} {name}",
)
_ASIDES = (
    "the other one is at {v}", "it was {v} before", "not {v}", "last time we had {v}", "{v} was too much",
    "the manual says {v} but never mind", "I've been at it for {n} minutes", "machine {n} stays as it is",
    "there are {n} of us waiting",
)  # fmt: skip
_ASKED = (
    "{do}: {said}",
    "{said} - {do}",
    "{do}, {said}",
    "{do}: {said}",
    "{do} ({said})",
    "{said}, {do}",
    "{do}. {said}",
)


@dataclass(frozen=True)
class Quantity:
    """A number that a tool takes."""

    label: str
    names: tuple[str, ...]
    kind: str
    ways: tuple[str, ...]
    about: str

    def value(self, rng: Random) -> float | int:
        """One that it may have."""
        if self.kind == "n":
            return rng.randint(0, 12)
        if self.kind == "k":
            return rng.randint(1, rng.choice([30, 300, 5000]))
        if self.kind == "i":
            return copied.whole(rng)
        if self.kind == "p":
            return abs(copied.decimal(rng)) or 0.5
        return copied.decimal(rng)


@dataclass(frozen=True)
class Trade:
    """A tool with its quantities, under all its names."""

    names: tuple[str, ...]
    abouts: tuple[str, ...]
    asks: tuple[str, ...]
    quantities: tuple[Quantity, ...]
    messages: tuple[str, ...]
    dev: bool


@dataclass(frozen=True)
class QuantityTool:
    """A trade's tool as one list shows it; `shown` maps arguments to quantities, in the schema's order."""

    trade: Trade
    schema: dict[str, Any]
    shown: dict[str, Quantity]

    @property
    def dev(self) -> bool:
        """Whether it is kept for the dev set."""
        return self.trade.dev

    @property
    def words(self) -> set[str]:
        """By which it is told from others."""
        return words_of(" ".join(self.trade.names))

    def request(self, rng: Random) -> QuantityRequest:
        """A message that it can serve."""
        return QuantityRequest(self, rng)


@cache
def trades() -> tuple[Trade, ...]:
    """All of them, in the order of their files' names."""
    return tuple(_trade(head, lines) for _, head, lines in grammar.tables("quantities"))


def _trade(head: str, lines: list[str]) -> Trade:
    names, _, texts = lines[0].removeprefix("tool: ").partition(" ; ")
    fields = tuple(_quantity(line[2:]) for line in lines[2:] if line.startswith("- "))
    messages = tuple(line[2:] for line in lines[2:] if line.startswith("> "))
    asks = cut(lines[1].removeprefix("do: "), " | ")
    return Trade(cut(names, ","), cut(texts, " // "), asks, fields, messages, grammar.reserved(head))


def _quantity(line: str) -> Quantity:
    start, ways, *about = line.split(" ; ")
    label, _, rest = start.partition(": ")
    names, _, kind = rest.partition(" = ")
    return Quantity(label, cut(names, ","), kind.strip(), cut(ways, " | "), about[0].strip() if about else "")


def quantity_list(rng: Random, split: str) -> list[ShownTool]:
    """The tools of one group."""
    here = [trade for trade in trades() if trade.dev == (split == "dev")] or list(trades())
    count = rng.choice([1, 2, 3, 4, 5, 5, 6])
    return [show(trade, rng) for trade in rng.sample(here, min(count, len(here)))]


def show(trade: Trade, rng: Random) -> ShownTool:
    """A trade's tool under one of its names, with some of its quantities in whatever order."""
    count = min(len(trade.quantities), rng.choice([2, 2, 3, 3, 4, 5, 6]))
    described = rng.choice([1.0, 1.0, 0.5, 0.0])
    shown: dict[str, Quantity] = {}
    properties: dict[str, Any] = {}
    required = []
    for quantity in rng.sample(trade.quantities, count):
        free = [name for name in quantity.names if name not in shown]
        name = rng.choice(free or [f"{quantity.label.replace(' ', '_')}_{len(shown)}"])
        shown[name] = quantity
        properties[name] = {"type": _KINDS[quantity.kind]}
        if quantity.about and rng.random() < described:
            properties[name]["description"] = quantity.about
        if rng.random() < 0.6:
            required.append(name)
    schema = {
        "name": rng.choice(trade.names),
        "description": rng.choice(trade.abouts),
        "parameters": {"type": "object", "properties": properties, "required": required},
    }
    return ShownTool(f"quantity:{trade.names[0]}", schema, {}, {}, schema, lookup=QuantityTool(trade, schema, shown))


class QuantityRequest:
    """A message: `text` (values marked) and `args`."""

    is_imperative = is_question = False
    core = ""

    def __init__(self, tool: QuantityTool, rng: Random) -> None:
        self.rng, self._tool = rng, tool
        self.args: dict[str, Any] = {}
        required = tool.schema["parameters"]["required"]
        by_label = {quantity.label: name for name, quantity in tool.shown.items()}
        fitting = [
            line
            for line in tool.trade.messages
            for labels in [re.findall(r"\{([^}]+)\}", line)]
            if set(labels) <= set(by_label) and set(required) <= {by_label[label] for label in labels}
        ]
        if fitting and rng.random() < _WHOLE:
            self.text = re.sub(r"\{([^}]+)\}", lambda found: self._said(by_label[found[1]]), rng.choice(fitting))
        else:
            self.text = self._composed(required)
        self.args = {name: self.args[name] for name in tool.shown if name in self.args}

    def _said(self, name: str) -> str:
        value = self._tool.shown[name].value(self.rng)
        self.args[name] = value
        exact = abs(value) >= 1000 or self.rng.random() < 0.85  # mostly in figures, as they would be typed here
        return verbatim(str(value)) if exact else copied.say_number(value, self.rng)

    def _composed(self, required: list[str]) -> str:
        rng, shown = self.rng, self._tool.shown
        chosen = [name for name in shown if name in required or rng.random() < 0.5] or [rng.choice(list(shown))]
        rng.shuffle(chosen)
        luck = rng.random()
        style = rng.choice(_LABELS)
        parts = []
        for name in chosen:
            quantity = shown[name]
            if luck < 0.55:
                parts.append(rng.choice(quantity.ways).replace("*", self._said(name)))
            else:
                label = quantity.label if luck < 0.85 else name
                parts.append(style.format(name=label, value=self._said(name)))
        said = rng.choice([", ", ", ", " and ", "; ", " "] if len(parts) == 2 else [", ", ", ", "; ", "\n"]).join(parts)
        if rng.random() < 0.2:
            aside = rng.choice(_ASIDES).format(
                v=rng.choice([copied.decimal(rng), copied.whole(rng)]), n=rng.randint(2, 90)
            )
            said += rng.choice([f", {aside}", f" ({aside})"])
        text = rng.choice(_ASKED).format(do=rng.choice(self._tool.trade.asks), said=said)
        return text[:1].upper() + text[1:] if rng.random() < 0.4 else text

    def exchange(self) -> tuple[str, str]:
        """What the tool answers and what is said then."""
        result, reply = self.rng.choice(sections("answers.txt")["figure"]).split(" => ")
        slots = Slots(self.rng, {})
        return slots.fill(result.replace("\\n", "\n")), slots.fill(reply)
