"""Tools such as a plugin brings, with whole requests for each, written as one by hand: `phrases/tools/`.

Unusual here: `chains.tuning.plugins` and `parts` put requests together from pieces, and every piece announces its
argument. People do not ("shrimp tank, twenty litres"), so here the request comes first and its arguments stand behind:

    ## blend_tea / tea_blend: Put together a blend of tea // Compose a tea from leaves and flavourings
    base/leaf!: enum green|black|herbal ; kind of leaf; herbal has no tea in it
    flavours: list =[] ; what else goes in, such as vanilla
    grams: int 10 1000 =100 ; how much to blend
    > {grams} g black, bergamot => base=black; flavours=bergamot

"!" is a required argument, {grams} a number drawn at random. Lists' items and texts stand in the request word for word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Any

from chains.tuning import copied, grammar
from chains.tuning.grammar import safe
from chains.tuning.plugins import Arg, Plugin, PluginTool, read_arg

_SLOT = re.compile(r"\{(\w+)\}")
_WAYS = ("{} *", "{}: *", "* for the {}")  # an argument on its own, in later turns and forms
# Tools of different files that could pass for one another; no list shows one where another is asked for.
TWINS = (
    {"cleaning_plan", "shift_rota"},
    {"set_exam", "make_quiz"},
    {"workout_plan", "training_plan"},
    {"obituary", "eulogy"},
    {"lights_set_scene", "light_show"},
    {"choose_mattress", "mattress_advice"},
    {"cut_jigsaw", "order_jigsaw"},
)
_YES, _NO = ("{}", "with {}", "{}: yes"), ("no {}", "not {}", "{}: no")


@dataclass(frozen=True)
class Whole:
    """What a person says, and the arguments that it means as the file writes them; slots are further ones."""

    text: str
    args: dict[str, str]

    @property
    def said(self) -> set[str]:
        """Every argument that it says."""
        return {*self.args, *_SLOT.findall(self.text)}


@cache
def complete_tools() -> tuple[Plugin, ...]:
    """All of them, in the order of their files' names."""
    return tuple(_tool(file, head, lines) for file, head, lines in grammar.tables("tools"))


def _tool(file: str, head: str, lines: list[str]) -> Plugin:
    names, _, abouts = head.partition(": ")
    wholes = tuple(_whole(line.removeprefix("> ")) for line in lines if line.startswith("> "))
    args: dict[str, Arg] = {}
    for line in lines:
        if not line.startswith("> "):
            key, _, rest = line.partition(": ")
            arg = _named(read_arg(key, f"{rest} ; "), wholes)
            args[arg.id] = arg
    shown = tuple(name.strip() for name in names.split("/"))
    return Plugin(
        shown,
        tuple(text.strip() for text in abouts.split(" // ")),
        file,
        tuple(_words(name) for name in shown),
        args,
        (),
        file,
        grammar.reserved(head),
        wholes=wholes,
    )


def twins(plugin: Plugin) -> set[str]:
    """The first names of the tools that could pass for this one."""
    return {name for group in TWINS if plugin.names[0] in group for name in group} - {plugin.names[0]}


def _whole(line: str) -> Whole:
    text, _, said = line.partition(" =>")
    pairs = (part.strip().partition("=") for part in said.split("; ") if part.strip())
    return Whole(text.replace("\\n", "\n"), {name: value for name, _, value in pairs})


def _named(arg: Arg, wholes: tuple[Whole, ...]) -> Arg:
    """The argument with ways to say it by its name, and of a list or text the values that some request says."""
    label = _words(arg.id)
    source = arg.source
    if arg.kind == "enum":
        source = "|".join(f"{value}={_words(value)}" for value in arg.choices())
    elif arg.kind in ("list", "text"):
        values = [whole.args[arg.id] for whole in wholes if arg.id in whole.args]
        source = ", ".join(dict.fromkeys(values)) or label
    ways = _YES if arg.kind == "bool" else _WAYS
    return replace(
        arg,
        source=source,
        ways=tuple(way.format(label) for way in ways),
        nays=tuple(way.format(label) for way in _NO) if arg.kind == "bool" else (),
    )


def _words(name: str) -> str:
    """ "mix_a_tea" or "mixATea" as words."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).replace("_", " ").lower()


def whole_request(tool: PluginTool, rng: Random) -> tuple[str, dict[str, Any]] | None:
    """A request for the tool as the list shows it, values marked, and its arguments by id; None if none fits."""
    plugin = tool.plugin
    fitting = [whole for whole in plugin.wholes if _fits(whole, tool)]
    if not fitting:
        return None
    whole = rng.choice(fitting)
    text, args = whole.text, {}
    for name, value in whole.args.items():
        arg = plugin.args[name]
        args[name] = tool.read(name, value)
        for item in args[name] if arg.kind == "list" else [args[name]] if arg.kind == "text" else []:
            text = re.sub(rf"(?<!\w){re.escape(item)}(?!\w)", lambda found: safe(found[0]), text, count=1)

    def drawn(slot: re.Match[str]) -> str:
        arg = plugin.args[slot[1]]
        whole_number = arg.kind == "int"
        made: Any = (copied.whole if whole_number else copied.decimal)(rng, *arg.bounds())
        args[arg.id] = made
        if re.search(r"[\w$\u20ac\u00a3]$", text[: slot.start()]) or re.match(r"\s?[%\u00b0]|\w", text[slot.end() :]):
            return str(made)  # "40%", never "forty%"
        return grammar.number(made, rng, loose=False) if whole_number and made >= 0 else copied.say_number(made, rng)

    return _SLOT.sub(drawn, text), args


def _fits(whole: Whole, tool: PluginTool) -> bool:
    """Whether the list shows all that is said, and has the choices for it."""
    return whole.said <= set(tool.shown) and all(
        value in tool.values[name] for name, value in whole.args.items() if name in tool.values
    )
