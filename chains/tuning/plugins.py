"""Tools such as a plugin brings: the tables of `phrases/plugins/`, and how a tool list shows them.

Unusual here: a tool is never shown twice alike. Its name, description and argument names are drawn from several, its
optional arguments come and go and change places, its choices are cut, shuffled and renamed, so that the only way to
answer right is to read the list. A tool whose head line the dev split keeps (`grammar.reserved`) never trains, nor does
a reserved frame of another. They are written like the parts of `chains.tuning.parts`, with "!" for a required argument.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any

from chains.schemas import TASKS
from chains.tuning import grammar
from chains.tuning.toollists import SERVED, ShownTool, default_tools, pick_known, show

COMPLETE, FROM_PARTS = 0.50, 0.40  # shares of the lists with tools of `chains.tuning.complete` and of `parts`
MEANT = "kinds"  # the domain of `parts` where what is said for a choice is an example of it, no other name for it
# Files of tools that the app could seem to serve itself.
NEAR_OURS = ("office", "stage", "words", "words_b", "studio", "makers", "designs", "inscriptions")


@dataclass(frozen=True)
class Arg:
    """An argument of a plugin's tool, and how people say it."""

    names: tuple[str, ...]
    kind: str  # enum, int, num, bool, list, text (a thing, said with an article or without) or quote (word for word)
    required: bool
    source: str
    default: str
    about: str
    ways: tuple[str, ...]  # "*" is the value; of a bool: the ways to say yes
    nays: tuple[str, ...]

    @property
    def id(self) -> str:
        return self.names[0]

    def choices(self) -> dict[str, tuple[str, ...]]:
        """Of an enum: value -> how it is said."""
        pairs = (part.partition("=") for part in self.source.split("|"))
        return {value.strip(): tuple(s.strip() for s in (said or value).split("/")) for value, _, said in pairs}

    def values(self) -> list[str]:
        """Of a list or text: what it may hold."""
        return [value.strip() for value in self.source.split(",") if value.strip()]

    def bounds(self) -> tuple[Any, Any]:
        """Of an int or num: the least and the greatest."""
        low, high = self.source.split()
        make = int if self.kind == "int" else float
        return make(low), make(high)


@dataclass(frozen=True)
class Plugin:
    """A tool as its file has it."""

    names: tuple[str, ...]
    abouts: tuple[str, ...]
    domain: str
    nouns: tuple[str, ...]
    args: dict[str, Arg]
    frames: tuple[str, ...]
    file: str
    dev: bool
    from_parts: bool = False  # see `chains.tuning.parts`: its frames leave the required arguments to be added
    wholes: tuple[Any, ...] = ()  # see `chains.tuning.complete`: requests that say all that they mean


@dataclass
class PluginTool:
    """A plugin's tool as one list shows it: argument id -> shown name, and of enums value -> shown value."""

    plugin: Plugin
    shown: dict[str, str]
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    required: tuple[str, ...] = ()

    def read(self, name: str, value: str) -> Any:
        """An argument's value as the call has it, from how a table writes it."""
        match self.plugin.args[name].kind:
            case "enum":
                return self.values[name][value]
            case "bool":
                return value == "true"
            case "int" | "num":
                exact = float(value)
                return int(exact) if exact == int(exact) else exact
            case "list":
                return [part.strip() for part in value.split(",")]
        return value


@cache
def plugins() -> tuple[Plugin, ...]:
    """All of them, in the order of their files' names."""
    return tuple(_plugin(head, lines, file) for file, head, lines in grammar.tables("plugins"))


def _plugin(head: str, lines: list[str], file: str) -> Plugin:
    names, _, abouts = head.partition(": ")
    about = {"domain": file, "nouns": ""}
    args, frames = {}, []
    for line in lines:
        key, _, rest = line.partition(": ")
        if line.startswith("> "):
            frames.append(line[2:])
        elif key in about:
            about[key] = rest.strip()
        else:
            arg = read_arg(key, rest)
            args[arg.id] = arg
    return Plugin(
        tuple(name.strip() for name in names.split("/")),
        tuple(text.strip() for text in abouts.split(" // ")),
        about["domain"],
        tuple(noun.strip() for noun in about["nouns"].split("|") if noun.strip()),
        args,
        tuple(frames),
        file,
        grammar.reserved(head),
    )


def read_arg(key: str, rest: str) -> Arg:
    """An argument's line of a table."""
    kind_and_source, note, ways, *nays = rest.split(" ; ")
    kind, _, source = kind_and_source.strip().partition(" ")
    default = ""
    if match := re.search(r"(?:^| )=(\S.*)$", source):
        source, default = source[: match.start()], match[1].strip()
    split = [tuple(way.strip() for way in text.split("|") if way.strip()) for text in (ways, *nays)]
    names = tuple(key.rstrip("!").split("/"))
    return Arg(
        names, kind, key.endswith("!"), source.strip(), default, note.strip(), split[0], split[1] if nays else ()
    )


def plugin_list(rng: Random, split: str) -> list[ShownTool]:
    """Plugins' tools, alone (short lists teach most in a given time) or among the app's own."""
    pool = [plugin for plugin in plugins() if plugin.dev == (split == "dev")] or list(plugins())
    luck = rng.random()
    count = rng.choice([1, 2, 2, 3, 3, 4]) if luck < 0.6 else rng.choice([1, 1, 2, 2, 3, 4, 6])
    source = rng.random()
    if source < FROM_PARTS:
        chosen = _from_parts(count, rng, split, [])
    else:
        if source < FROM_PARTS + COMPLETE:
            pool = _complete(split)
        if rng.random() < 0.25:  # several of one trade
            file = rng.choice(pool).file
            pool = [plugin for plugin in pool if plugin.file == file]
        chosen = rng.sample(pool, min(count, len(pool)))
    names: set[str] = set()
    tools = []
    for plugin in _apart(chosen):
        tool = _show(plugin, rng)
        if tool.shown["name"] not in names:
            names.add(tool.shown["name"])
            tools.append(tool)
    if luck < 0.35:
        ours = default_tools()
    elif luck < 0.45:
        ours = _ours(list(TASKS), rng)
    elif luck < 0.6:
        ours = _ours(rng.sample(SERVED, rng.randint(1, 4)) + rng.sample(list(TASKS), rng.choice([0, 0, 1, 2])), rng)
    else:
        ours = []
    tools = [*ours, *tools] if rng.random() < 0.5 else [*tools, *ours]
    if rng.random() < 0.4:
        rng.shuffle(tools)
    return tools


def _from_parts(count: int, rng: Random, split: str, others: list[Plugin]) -> list[Plugin]:
    """Tools put together anew, none of which could pass for another or for one of the `others`."""
    from chains.tuning.parts import put_together  # `parts` reads its files with this module's functions

    made: list[Plugin] = []
    for _ in range(count):
        made.append(put_together(rng, split, [*others, *made]))
    return made


def _apart(chosen: Collection[Plugin]) -> list[Plugin]:
    """Those of `chosen` that could not pass for one before them."""
    from chains.tuning.complete import twins

    kept: list[Plugin] = []
    for plugin in chosen:
        if twins(plugin).isdisjoint(other.names[0] for other in kept):
            kept.append(plugin)
    return kept


def _complete(split: str, without: Collection[str] = (), beside: Collection[Plugin] = ()) -> list[Plugin]:
    """The tools of `chains.tuning.complete` but for those of some files and the twins of those `beside` them."""
    from chains.tuning.complete import complete_tools, twins  # it reads its files with this module's functions

    apart = {name for plugin in beside for name in twins(plugin)}
    pool = [plugin for plugin in complete_tools() if plugin.file not in without and plugin.names[0] not in apart]
    return [plugin for plugin in pool if plugin.dev == (split == "dev")] or pool


def unseen_plugin(tools: list[ShownTool], rng: Random, split: str) -> ShownTool:
    """A plugin's tool that none of `tools` stands in for."""
    here = [tool.plugin.plugin for tool in tools if tool.plugin is not None]
    ours_alone = all(tool.task in TASKS for tool in tools)
    if any(plugin.wholes for plugin in here) or (ours_alone and rng.random() < COMPLETE):
        others = _complete(split, {*NEAR_OURS, *(plugin.file for plugin in here)}, here)
        return _show(rng.choice(others) if others else _from_parts(1, rng, split, here)[0], rng)
    if any(plugin.from_parts for plugin in here):
        return _show(_from_parts(1, rng, split, here)[0], rng)
    domains = {plugin.domain for plugin in here}
    pool = [plugin for plugin in plugins() if plugin.domain not in domains and plugin.file not in NEAR_OURS]
    return _show(rng.choice([plugin for plugin in pool if plugin.dev == (split == "dev")] or pool), rng)


def _ours(tasks: list[str], rng: Random) -> list[ShownTool]:
    style = {
        "notes": "all",
        "disguise": rng.random() < 0.1,
        "slim": rng.random() < 0.2,
        "jitter": False,
        "pictures": "generate_image" in tasks,
    }
    known = pick_known(rng)
    return [show(task, known, style, rng) for task in dict.fromkeys(tasks)]


def _show(plugin: Plugin, rng: Random) -> ShownTool:
    gone = rng.choice([0.0, 0.0, 0.2, 0.4])
    kept = [arg for arg in plugin.args.values() if arg.required or rng.random() >= gone]
    if rng.random() < 0.35:
        rng.shuffle(kept)
    notes = rng.choice([1.0, 1.0, 1.0, 1.0, 0.6, 0.0])
    with_defaults = rng.random() < 0.8
    tool = PluginTool(plugin, {})
    properties: dict[str, Any] = {}
    required = []
    for arg in kept:
        names = [name for name in arg.names if name not in properties] or [f"{arg.id}_{len(properties)}"]
        name = names[0] if rng.random() < 0.5 else rng.choice(names)
        tool.shown[arg.id] = name
        properties[name] = _field(arg, tool, rng)
        if rng.random() < notes and arg.about:
            properties[name]["description"] = arg.about
        if not arg.required and with_defaults and (default := _default(arg, tool, rng)) is not None:
            properties[name]["default"] = default
        if arg.required:
            required.append(arg.id)
    tool.required = tuple(required)
    name = plugin.names[0] if rng.random() < 0.4 else rng.choice(plugin.names)
    parameters = {"type": "object", "properties": properties, "required": [tool.shown[one] for one in required]}
    schema = {"name": name, "description": rng.choice(plugin.abouts), "parameters": parameters}
    return ShownTool(f"plugin:{plugin.names[0]}", schema, {}, {}, schema, plugin=tool)


def _field(arg: Arg, tool: PluginTool, rng: Random) -> dict[str, Any]:
    if arg.kind == "enum":
        choices = arg.choices()
        values = list(choices)
        if len(values) > 3 and rng.random() < 0.3:
            some = rng.sample(values, rng.randint(3, len(values)))
            values = [value for value in values if value in some]
        if rng.random() < 0.5:
            rng.shuffle(values)
        renamed: dict[str, str] = {}
        rename = rng.random() < 0.3 and tool.plugin.domain != MEANT
        for value in values:
            others = [said for said in choices[value] if re.fullmatch(r"[\w-]+( [\w-]+)?", said)]
            other = rng.choice(others) if others and rename and rng.random() < 0.6 else value
            renamed[value] = other if other not in renamed.values() else value
        if len(set(renamed.values())) < len(renamed):
            renamed = {value: value for value in values}
        tool.values[arg.id] = renamed
        return {"type": "string", "enum": list(renamed.values())}
    if arg.kind in ("int", "num"):
        low, high = arg.bounds()
        return {"type": "integer" if arg.kind == "int" else "number", "minimum": low, "maximum": high}
    if arg.kind == "bool":
        return {"type": "boolean"}
    return {"type": "array", "items": {"type": "string"}} if arg.kind == "list" else {"type": "string"}


def _default(arg: Arg, tool: PluginTool, rng: Random) -> Any:
    """The default that the list shows: the file's, now and then another, so that none is known by heart."""
    if arg.kind == "bool":
        return arg.default == "true" if arg.default else rng.choice([False, False, None, True])
    if arg.kind == "enum":
        shown = tool.values[arg.id]
        return shown.get(arg.default) or rng.choice([None, rng.choice(list(shown.values()))])
    if arg.kind in ("int", "num"):
        number = float(arg.default) if re.fullmatch(r"-?\d+(\.\d+)?", arg.default) else None
        return (int(number) if number == int(number) else number) if number is not None else None
    return [] if arg.kind == "list" and rng.random() < 0.7 else None
