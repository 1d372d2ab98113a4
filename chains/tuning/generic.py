"""Tools that exist nowhere: composed at random from the parts in `phrases/generic.txt`, with requests for them.

Unusual here: there is no fixed list of tools to learn. Name, description, arguments, their order, types, notes and
bounds are drawn anew for every group, the values to copy too (`chains.tuning.copied`). A line of the file that the
dev split keeps (`grammar.reserved`) never trains, so dev shows how tools fare that were never seen.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from chains.schemas import TASKS
from chains.tuning import copied, grammar
from chains.tuning.grammar import sections
from chains.tuning.toollists import PLAIN, SERVED, ShownTool, pick_known, show

_NOT_OBJECTS = ("", "fields", "raw", "facts", "jokes")
# What one of these runs could pass for what another does.
_ALIKE = {"code", "sql", "shell command", "query", "expression", "one-liner"}
_MAKING = {"media", "text", "code", "support", "people"}  # near what the app's own tools do
_C_VERBS = ("calculate", "compute", "get", "find", "")
_G_VERBS = ("get", "find", "look up", "fetch", "check", "show")


@dataclass(frozen=True)
class Field:
    """A row of "fields": what a kind of argument is called and how people give its value."""

    id: str
    kind: str
    source: str
    names: tuple[str, ...]
    ways: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Thing:
    """A row about what a tool does: its domain, verbs, name, phrases and arguments ("!" is required)."""

    domain: str
    verbs: tuple[str, ...]  # ("C",), ("G",) or the verbs themselves
    words: str
    phrases: tuple[str, ...]
    args: tuple[str, ...]
    dev: bool


@dataclass
class GenericTool:
    """A composed tool; `args` maps each shown argument to its field, in the schema's order."""

    thing: Thing
    schema: dict[str, Any]
    args: dict[str, Field]
    said_name: str = ""  # of a tool that is asked for by name


@cache
def fields() -> dict[str, Field]:
    found = {}
    for line in sections("generic.txt")["fields"]:
        name, _, rest = line.partition(": ")
        kind, names, ways, notes = rest.split(" ; ")
        kind, _, source = kind.strip().partition(" ")
        parts = (tuple(part.strip("\n") for part in text.strip().split("|")) for text in (names, ways, notes))
        names_, ways_, notes_ = parts
        ways_ = tuple(way.replace("\\n", "\n") for way in ways_)
        found[name] = Field(name, kind, source.strip(), names_, ways_, notes_)
    return found


@cache
def things() -> tuple[Thing, ...]:
    """Every row that a tool can be made of, facts included."""
    made = []
    for domain, lines in sections("generic.txt").items():
        if domain in _NOT_OBJECTS:
            continue
        for line in lines:
            head, phrases, args = line.split(" ; ")
            verbs, _, name = head.partition(" ")
            if verbs not in ("C", "G"):  # "look up contact" has its verbs' commas to tell where they end
                spread = head.split(",")
                last, _, name = spread[-1].partition(" ")
                if last in ("look", "set", "draw", "switch", "power", "send", "hand") and name.split(" ")[0] in (
                    "up",
                    "on",
                    "back",
                    "over",
                    "for",
                ):
                    particle, _, name = name.partition(" ")
                    last = f"{last} {particle}"
                verbs = ",".join([*spread[:-1], last])
            dev = grammar.reserved(line)
            made.append(
                Thing(
                    domain,
                    tuple(v.strip() for v in verbs.split(",")),
                    name,
                    tuple(phrases.split("/")),
                    tuple(args.split()),
                    dev,
                )
            )
    for line in sections("generic.txt")["facts"]:
        names, patterns, args = line.split(" ; ")
        made.append(
            Thing(
                "facts",
                tuple(names.split("|")),
                "",
                tuple(patterns.split("|")),
                tuple(args.split()),
                grammar.reserved(line),
            )
        )
    return tuple(made)


# composing tools


def generic_list(rng: Random, split: str) -> list[ShownTool]:
    """The tools of one group: mostly composed ones, alone or alike, now and then among the app's."""
    here = [thing for thing in things() if thing.dev == (split == "dev")] or list(things())
    luck = rng.random()
    if luck < 0.16:
        return [_show(_raw(rng))] + [_show(_raw(rng)) for _ in range(rng.choice([0, 0, 1, 2]))]
    if luck < 0.25:
        return [
            _show(
                _joke(rng)
                if rng.random() < 0.2
                else _compose(
                    rng.choice(
                        [t for t in here if t.domain == "facts"] or [t for t in things() if t.domain == "facts"]
                    ),
                    rng,
                )
            )
        ]
    plain = [thing for thing in here if thing.domain != "facts"]
    count = rng.choice([1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 8])
    if luck < 0.6:  # several of one trade, where exactly one fits
        domain = "code" if rng.random() < 0.55 else rng.choice(plain).domain  # what is hardest to copy
        near = [thing for thing in plain if thing.domain == domain] or plain
        chosen = rng.sample(near, min(count, len(near)))
    else:
        chosen = rng.sample(plain, min(count, len(plain)))
    ours: list[str] = []
    if luck > 0.9:
        chosen = [thing for thing in chosen if thing.domain not in _MAKING] or chosen[:1]
        ours = rng.sample(SERVED, rng.randint(1, 3)) if chosen[0].domain not in _MAKING else []
    tools, taken = [], set()
    for thing in _distinct(chosen):
        tool = _compose(thing, rng)
        if tool.schema["name"] not in taken:
            taken.add(tool.schema["name"])
            tools.append(_show(tool))
    style = {**PLAIN, "pictures": "generate_image" in ours}
    known = pick_known(rng)
    tools += [show(task, known, style, rng) for task in ours]
    rng.shuffle(tools)
    return tools


def unseen_generic(tools: list[ShownTool], rng: Random, split: str) -> ShownTool:
    """A composed tool that none of `tools` stands in for, often of the same trade."""
    here = [tool.generic.thing for tool in tools if tool.generic is not None]
    names = {thing.words for thing in here}
    domains = {thing.domain for thing in here}
    if names & _ALIKE or "raw" in domains:
        names |= _ALIKE
    ours = any(tool.task in TASKS for tool in tools)
    fits = [
        thing
        for thing in things()
        if thing.words not in names and thing.domain != "facts" and not (ours and thing.domain in _MAKING)
    ]
    pool = [thing for thing in fits if thing.dev == (split == "dev")] or fits  # a long dev list may use all of dev
    near = [thing for thing in pool if thing.domain in domains]
    return _show(_compose(rng.choice(near if near and rng.random() < 0.5 else pool), rng))


def _distinct(chosen: list[Thing]) -> list[Thing]:
    runs = [thing for thing in chosen if thing.words in _ALIKE][1:]
    return [thing for thing in chosen if thing not in runs]


def _show(tool: GenericTool) -> ShownTool:
    return ShownTool(f"generic:{tool.schema['name']}", tool.schema, {}, {}, tool.schema, tool)


def _compose(thing: Thing, rng: Random) -> GenericTool:
    facts = thing.domain == "facts"
    style = rng.choice(["snake", "snake", "snake", "camel", "dotted"])
    rows: list[tuple[Field, bool]] = []
    for arg in thing.args:
        must = arg.endswith("!")
        if must or rng.random() < (0.7 if facts else 0.4):
            rows.append((fields()[arg.rstrip("!")], must or (facts and rng.random() < 0.5)))
    if rng.random() < 0.4:
        rng.shuffle(rows)
    notes = rng.choice([1.0, 1.0, 1.0, 0.5, 0.0])
    args: dict[str, Field] = {}
    properties: dict[str, Any] = {}
    required = []
    for field, must in rows:
        names = [_case(name, style) for name in field.names if _case(name, style) not in args] or [
            f"{field.id}_{len(args)}"
        ]
        name = rng.choice([names[0], *names])
        args[name] = field
        properties[name] = _field_schema(field, must, notes, rng)
        if must:
            required.append(name)
    by_id = {field.id: name for name, field in args.items()}
    if facts:
        name = rng.choice(thing.verbs)
        if rng.random() < 0.3:
            name = rng.choice(["extract_", "save_", "record_"]) + re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
        words_ = re.sub(r"(?<!^)(?=[A-Z])", " ", thing.verbs[0]).lower()
        about = rng.choice(
            [f"Information about a {words_}.", f"A {words_} found in the text", f"{words_.capitalize()} details.", ""]
        )
    else:
        verb = rng.choice({"C": _C_VERBS, "G": _G_VERBS}.get(thing.verbs[0], thing.verbs))
        name = _name(verb, thing, style, rng)
        about = _about(verb or "calculate", thing, by_id, rng)
    parameters = {"type": "object", "properties": properties, "required": required}
    return GenericTool(thing, {"name": name, "description": about, "parameters": parameters}, args)


def _case(name: str, style: str) -> str:
    if style != "camel":
        return name
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _name(verb: str, thing: Thing, style: str, rng: Random) -> str:
    words_ = [*verb.split(), *thing.words.lower().split()]
    if style == "camel":
        return words_[0] + "".join(word.capitalize() for word in words_[1:])
    snake = "_".join(words_)
    if style == "dotted":
        return f"{thing.domain}.{snake if rng.random() < 0.6 else '_'.join(thing.words.split())}"
    return snake + (rng.choice(["_tool", "_v2"]) if rng.random() < 0.05 else "")


def _about(verb: str, thing: Thing, by_id: dict[str, str], rng: Random) -> str:
    phrase = thing.phrases[0]
    for slot in re.findall(r"\{(\w+)\}", phrase):
        if slot in ("a", "b", "ia", "ib", "n", "real") and slot in by_id:
            phrase = phrase.replace(f"{{{slot}}}", by_id[slot])
    phrase = re.sub(r"^\{\w+\}", "somebody", phrase)
    phrase = re.sub(r"( (in|for|of|to|from|until|on|at|with|about|by|called|named|article|team))* ?\{\w+\}", "", phrase)
    phrase = re.sub(r"^(this|the following)\b", "the given", phrase).strip()
    phrase = re.sub(r"^my\b", "the", phrase)
    if verb.endswith("up") or " " in verb:
        verbs = verb.replace(" ", "s ", 1)
    else:
        verbs = verb + ("es" if re.search(r"(s|x|ch|sh)$", verb) else "s" if not re.search(r"[^aeiou]y$", verb) else "")
        verbs = verbs if verbs != verb else verb[:-1] + "ies"
    known = ", ".join(name.replace("_", " ") for name in list(by_id.values())[:3])
    return rng.choice([
        f"{verb.capitalize()} {phrase}", f"{verb.capitalize()} {phrase}.", f"{verbs.capitalize()} {phrase}.",
        f"This function {verbs} {phrase}.", f"Use this to {verb} {phrase}",
        f"{verb.capitalize()} {phrase} from {known}.", f"Tool to {verb} {phrase}", phrase[0].upper() + phrase[1:],
    ])  # fmt: skip


def _field_schema(field: Field, must: bool, notes: float, rng: Random) -> dict[str, Any]:
    types = {"int": "integer", "num": "number", "frac": "number", "bool": "boolean"}
    made: dict[str, Any]
    if field.kind == "enum":
        made = {"type": "string", "enum": [part.partition("=")[0] for part in field.source.split(",")]}
    elif field.kind in ("ints", "nums", "texts"):
        item = {"ints": "integer", "nums": "number", "texts": "string"}[field.kind]
        made = {"type": "array", "items": {"type": item}}
    elif field.kind == "obj":
        inner = dict(part.split(":") for part in field.source.split(","))
        made = {
            "type": "object",
            "properties": {name: {"type": types.get(kind, "string")} for name, kind in inner.items()},
            "required": list(inner),
        }
    else:
        made = {"type": types.get(field.kind, "string")}
    bounds = [float(part) for part in field.source.split()] if field.kind in ("int", "num") else []
    if bounds and rng.random() < 0.3:
        made |= {"minimum": int(bounds[0]), "maximum": int(bounds[1])}
    if rng.random() < notes or field.kind in ("isodate", "frac", "obj"):
        made["description"] = rng.choice(field.notes)
    if not must and rng.random() < 0.3 and field.kind in ("int", "enum", "bool"):
        if field.kind == "enum":
            made["default"] = made["enum"][0]
        elif field.kind == "bool":
            made["default"] = False
        else:
            made["default"] = int(min(max(rng.choice([1, 2, 5, 10]), bounds[0]), bounds[1])) if bounds else 1
    return made


def _raw(rng: Random) -> GenericTool:
    """A tool that means nothing and is asked for by its name, as a person asks for `magic_function(3)`."""
    raw = dict(line.split(": ", 1) for line in sections("generic.txt")["raw"])
    words_ = [rng.choice(raw["heads"].split()), rng.choice(raw["tails"].split())]
    if rng.random() < 0.35:
        words_[rng.randrange(2)] = copied.script_word(rng, "latin").lower()
    style = rng.choice(["snake", "snake", "camel"])
    name = _case("_".join(words_), style)
    rows = rng.sample(raw["fields"].split(), rng.choice([0, 1, 1, 1, 1, 1, 2, 2, 3]))
    args: dict[str, Field] = {}
    properties: dict[str, Any] = {}
    required = []
    for i, row in enumerate(rows):
        field = fields()[row]
        shown = next(n for n in [rng.choice(field.names), *field.names, f"arg{i}"] if n not in args)
        must = i == 0 or rng.random() < 0.6
        args[shown] = field
        properties[shown] = _field_schema(field, must, rng.choice([0.0, 0.0, 1.0]), rng)
        if must:
            required.append(shown)
    about = rng.choice(raw["about"].split("|")).format(f"{rng.choice(['the', 'a', 'the'])} {' '.join(words_)}")
    parameters = {"type": "object", "properties": properties, "required": required}
    thing = Thing("raw", ("raw",), " ".join(words_), (), (), False)
    return GenericTool(thing, {"name": name, "description": about, "parameters": parameters}, args, name)


def _joke(rng: Random) -> GenericTool:
    setup, punchline = rng.choice(
        [("setup", "punchline"), ("question", "answer"), ("setup", "punchline"), ("first_line", "last_line")]
    )
    notes = rng.random() < 0.6
    about = (
        ({"description": "question to set up a joke"}, {"description": "answer to resolve the joke"})
        if notes
        else ({}, {})
    )
    properties = {setup: {"type": "string", **about[0]}, punchline: {"type": "string", **about[1]}}
    thing = Thing("joke", ("joke",), "", (), (), False)
    parameters = {"type": "object", "properties": properties, "required": [setup, punchline]}
    name = rng.choice(["Joke", "joke", "tell_joke", "JokeResponse"])
    about_tool = rng.choice(["Joke to tell user.", "A joke in two parts.", ""])
    return GenericTool(thing, {"name": name, "description": about_tool, "parameters": parameters}, {})
