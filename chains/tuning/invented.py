"""The tools of other apps in `phrases/invented.txt`: their schemas, and requests for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from chains.tuning import grammar
from chains.tuning.grammar import expand, listing, number, quoted, sections, verbatim, words
from chains.tuning.requests import Request


@dataclass(frozen=True)
class _Arg:
    name: str
    kind: str  # string, int, num, bool, enum, list
    required: bool
    source: str  # list, bounds or choices
    default: Any
    about: str

    def field(self) -> dict[str, Any]:
        types = {"int": "integer", "num": "number", "bool": "boolean", "string": "string"}
        field: dict[str, Any]
        if self.kind == "enum":
            field = {"type": "string", "enum": list(self.choices())}
        elif self.kind == "list":
            field = {"type": "array", "items": {"type": "string"}}
        else:
            field = {"type": types[self.kind]}
        if self.kind in ("int", "num"):
            low, high = self.bounds()
            field |= {"minimum": low, "maximum": high}
        if self.about:
            field["description"] = self.about
        if self.default is not None:
            field["default"] = self.default
        return field

    def bounds(self) -> tuple[int, int]:
        low, high = self.source.split()
        return int(low), int(high)

    def choices(self) -> dict[str, list[str]]:
        pairs = (part.partition("=") for part in self.source.split("|"))
        return {value.strip(): said.split("/") for value, _, said in pairs}


@dataclass(frozen=True)
class InventedTool:
    """A tool's table row: its arguments and the frames that ask for it."""

    name: str
    about: str
    args: tuple[_Arg, ...]
    frames: tuple[str, ...]

    def schema(self) -> dict[str, Any]:
        parameters = {
            "type": "object",
            "properties": {arg.name: arg.field() for arg in self.args},
            "required": [arg.name for arg in self.args if arg.required],
        }
        return {"name": self.name, "description": self.about, "parameters": parameters}


@cache
def invented_tools() -> dict[str, InventedTool]:
    """All of them by name."""
    tools = {}
    for head, lines in sections("invented.txt").items():
        if not head or head.startswith("list."):
            continue
        name, _, about = head.partition(": ")
        args = tuple(_arg(line) for line in lines if not line.startswith("> "))
        tools[name] = InventedTool(name, about, args, tuple(line[2:] for line in lines if line.startswith("> ")))
    return tools


def _arg(line: str) -> _Arg:
    left, _, about = line.partition(" ; ")
    name, _, rest = left.partition(": ")
    kind, _, source = rest.strip().partition(" ")
    default: Any = None
    if " =" in f" {source}" and not kind.startswith("enum"):
        source, _, said = f" {source}".rpartition(" =")
        default = {"false": False}.get(said, int(said) if said.lstrip("-").isdigit() else said)
    return _Arg(name, kind.rstrip("!"), kind.endswith("!"), source.strip().lstrip("@"), default, about.strip())


class InventedRequest(Request):
    """A request for one of them; its slots are the tool's arguments."""

    def __init__(
        self, task: str, tool: Mapping[str, Any], known: Mapping[str, list[str]], rng: Random, split: str
    ) -> None:
        super().__init__(task, tool, known, rng, split)
        self._table = {arg.name: arg for arg in invented_tools()[task].args}

    def make(self) -> None:
        lines = list(invented_tools()[self.task].frames)
        lines = [line for line in lines if grammar.reserved(line) == (self.split == "dev")] or lines
        while True:
            self.args = {}
            frame = self.rng.choice(lines)
            self.is_imperative = frame.startswith("- ")
            core = expand(frame.removeprefix("- "), self.rng, self.fill)
            if all(name in self.args for name, arg in self._table.items() if arg.required):
                break
            lines = list(invented_tools()[self.task].frames)  # a frame without a required argument asks for nothing
        self.is_question = core.endswith("?")
        self.text = core.removesuffix("?")

    def fill(self, slot: str) -> str:
        if "=" in slot:
            return super().fill(slot)
        arg, rng = self._table[slot], self.rng
        if arg.kind == "enum":
            value = rng.choice(list(arg.choices()))
            self.put(slot, value)
            return rng.choice(arg.choices()[value])
        if arg.kind == "list":
            chosen = rng.sample(words(arg.source), rng.choice([1, 2, 2, 3, 4]))
            self.put(slot, chosen)
            return listing([verbatim(word) for word in chosen], rng)
        if arg.kind == "int":
            amount = rng.randint(*arg.bounds())
            self.put(slot, amount)
            return number(amount, rng, loose=False) if 0 <= amount <= 100 else str(amount)
        if arg.kind == "num":
            low, high = arg.bounds()
            figure = round(rng.uniform(low, high), rng.choice([0, 1, 1, 2]))
            exact = int(figure) if figure == int(figure) else figure
            self.put(slot, exact)
            return str(exact)
        text = rng.choice([word for word in words(arg.source) if word not in self.args.values()])
        self.put(slot, text)
        said = verbatim(text)
        return quoted(said, rng, bare=0.9)
