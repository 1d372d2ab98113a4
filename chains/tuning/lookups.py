"""Tools that look things up, in whole exchanges written by hand: a question, the record that answers it, the reply.

A record holds more than was asked for, and the same record stands under different questions; so which field to tell can
only be read in the question. `phrases/lookups/` has them so:

    ## tide_table | Times of high and low water | harbour!=<c> its name ; day=<d>
    > when is high water in <c>?
    > [hi, |]what time's the tide highest at <c> on <d>
    = {"low":"<t>","high":"<t2>"} => High water is at <t2>.
    > how late is low water in <c>
    = {"low":"<t>","high":"<t2>"} => Low water is at <t>.

A tool has a name, a description and arguments ("!": required) whose values are the slots of `answers.txt`, <line> for
code on one line and <code> for up to a dozen; <line:sql> and the like are code of one notation, <line:c+js> of several
(`copied_code.NOTATIONS`). Lines with ">" ask for one fact, those with "=" after them are what the tool may answer and
what is said then; "\\n" is a line break. The tools of one file are near one another.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from chains.tuning import grammar
from chains.tuning.answers import SLOT, Slots
from chains.tuning.grammar import expand, verbatim
from chains.tuning.toollists import PLAIN, SERVED, ShownTool, pick_known, show

_ARGUMENT = re.compile(r"(\w+)(!?)=<([a-z]+\d?)(?::[a-z+]+)?>(?: (.*))?")
_NOTATION = re.compile(r"<(\w+):([a-z+]+)>")
_TYPES = {"n": "number", "i": "integer"}
RECORDS = 0.4  # of the lists have the tools of `chains.tuning.records`
_OF_ONE_FILE = 0.5  # of the lists have the tools of one file
_CODE = 0.6  # of these have it chosen among those that take code, the hardest to copy
_WITH_OTHERS = 0.4  # of the lists of tools that take code have some that do not
_WITH_OURS = 0.25  # of the lists have some of the app's own tools too


@dataclass(frozen=True)
class Block:
    """Ways to ask for one fact, and (result, reply) pairs."""

    asks: tuple[str, ...]
    answers: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Lookup:
    """A tool with all that is asked of it; `slots` are its arguments' by name."""

    schema: dict[str, Any]
    slots: dict[str, str]
    notations: dict[str, str]  # of the code in a slot, where the tool takes no other
    blocks: tuple[Block, ...]
    file: str
    dev: bool

    @property
    def takes_code(self) -> bool:
        return self.file.startswith("code")

    @property
    def words(self) -> set[str]:
        """By which it is told from others."""
        return words_of(self.schema["name"])

    def request(self, rng: Random) -> LookupRequest:
        """A question that it can answer."""
        return LookupRequest(self, rng)


class LookupRequest:
    """A question: `text` (values marked), `args`, and what the tool answers."""

    is_imperative, core = False, ""

    def __init__(self, lookup: Lookup, rng: Random) -> None:
        self.rng = rng
        self._block = rng.choice(lookup.blocks)
        self._slots = Slots(rng, {}, notations=lookup.notations)
        ask = expand(rng.choice(self._block.asks).replace("\\n", "\n"), rng, lambda slot: slot)
        self.is_question = ask.endswith("?")
        self.text = SLOT.sub(lambda found: verbatim(self._slots.fill(found[0])), ask.removesuffix("?"))
        said = {found[0] for found in SLOT.finditer(ask)}
        fields = lookup.schema["parameters"]["properties"]
        self.args = {
            name: json.loads(value) if fields[name]["type"] != "string" else value
            for name, slot in lookup.slots.items()
            if slot in said
            for value in [self._slots.fill(slot)]
        }

    def exchange(self) -> tuple[str, str]:
        """What the tool answers and what is said then."""
        result, reply = self.rng.choice(self._block.answers)
        return self._slots.fill(result.replace("\\n", "\n")), self._slots.fill(reply)


@cache
def lookups() -> tuple[Lookup, ...]:
    """All of them, in the order of their files' names."""
    return tuple(_lookup(file, head, lines) for file, head, lines in grammar.tables("lookups"))


def _lookup(file: str, head: str, lines: list[str]) -> Lookup:
    name, about, said = (part.strip() for part in f"{head} ".split("|"))
    parameters, slots = read_arguments(said)
    schema = {"name": name, "description": about, "parameters": parameters}
    blocks: list[tuple[list[str], list[tuple[str, str]]]] = []
    for line in lines:
        if line.startswith("> "):
            if not blocks or blocks[-1][1]:
                blocks.append(([], []))
            blocks[-1][0].append(line[2:])
        else:
            result, reply = line.removeprefix("= ").split(" => ")
            blocks[-1][1].append((result, reply))
    asked = tuple(Block(tuple(asks), tuple(answers)) for asks, answers in blocks if answers)
    return Lookup(schema, slots, dict(_NOTATION.findall(said)), asked, file, grammar.reserved(head))


def read_arguments(said: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Parameters (JSON schema) and slots, by name, of "harbour!=<c> its name ; day=<d>"."""
    properties: dict[str, Any] = {}
    required, slots = [], {}
    for part in filter(None, (part.strip() for part in said.split(" ; "))):
        found = _ARGUMENT.fullmatch(part)
        assert found, part
        arg, must, kind, note = found.groups()
        properties[arg] = {"type": _TYPES.get(kind.rstrip("0123456789"), "string")}
        if note:
            properties[arg]["description"] = note
        slots[arg] = f"<{kind}>"
        required += [arg] if must else []
    return {"type": "object", "properties": properties, "required": required}, slots


def lookup_list(rng: Random, split: str) -> list[ShownTool]:
    """The tools of one group: a few of them, now and then among the app's own."""
    from chains.tuning.records import record_tools  # it reads its files with this module's functions

    count = rng.choice([1, 2, 2, 3, 3, 4, 5, 6])
    here = [lookup for lookup in lookups() if lookup.dev == (split == "dev")]
    if rng.random() < RECORDS:
        tools = record_tools(rng, split, count)
    else:
        if rng.random() < _OF_ONE_FILE:
            files = sorted({lookup.file for lookup in here})
            code = [file for file in files if file.startswith("code")]
            file = rng.choice(code if code and rng.random() < _CODE else files)
            here = [lookup for lookup in here if lookup.file == file]
        tools = [_show(lookup) for lookup in rng.sample(here, min(len(here), count))]
    if rng.random() < _WITH_OURS:
        known = pick_known(rng)
        tools += [show(task, known, PLAIN, rng) for task in rng.sample(SERVED, rng.randint(1, 3))]
        rng.shuffle(tools)
    return tools


def code_list(rng: Random, split: str) -> list[ShownTool]:
    """Tools that take code, many at a time, so that one is told from its neighbours; now and then among others."""
    here = [lookup for lookup in lookups() if lookup.dev == (split == "dev")]
    code = [lookup for lookup in here if lookup.takes_code]
    chosen = rng.sample(code, min(len(code), rng.choice([2, 3, 4, 5, 6, 7, 8, 10])))
    if rng.random() < _WITH_OTHERS:
        others = [lookup for lookup in here if not lookup.takes_code]
        chosen += rng.sample(others, min(len(others), rng.randint(1, 3)))
    tools = [_show(lookup) for lookup in chosen]
    if rng.random() < _WITH_OURS:
        known = pick_known(rng)
        tools += [show(task, known, PLAIN, rng) for task in rng.sample(SERVED, rng.randint(1, 3))]
    rng.shuffle(tools)
    return tools


def unseen_lookup(tools: list[ShownTool], rng: Random, split: str) -> ShownTool:
    """One that is not among `tools`, if possible with no word of their names in its own."""
    here = {tool.shown["name"] for tool in tools}
    taken = {word for tool in tools if tool.lookup for word in tool.lookup.words}
    pool = [lookup for lookup in lookups() if lookup.dev == (split == "dev") and lookup.schema["name"] not in here]
    return _show(rng.choice([lookup for lookup in pool if not taken & lookup.words] or pool))


def words_of(text: str) -> set[str]:
    """The words of names in whatever case, of three letters and more."""
    return set(re.findall(r"[a-z]{3,}", re.sub(r"([A-Z])", r" \1", text).lower()))


def _show(lookup: Lookup) -> ShownTool:
    schema = lookup.schema
    return ShownTool(f"lookup:{schema['name']}", schema, {}, {}, schema, lookup=lookup)
