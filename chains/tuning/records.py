"""Look-ups that are put together at random: a question about one field of a record, the record, and the reply.

Unusual here: `chains.tuning.lookups` holds whole exchanges, which a model can learn by heart; these are fields, and no
record comes twice. A random handful stands in random order, under one of several names each, in a random shape, so the
field that answers can only be found by reading both the question and the record. `phrases/records/` has them so:

    ## trains
    tool: next_train, trainTimes ; Find the next train between two towns // Look up a connection by rail
    given: origin!=<c> where from ; destination!=<c2> where to ; day=<d>
    it: the train from <c> to <c2> | the <c>-<c2> train
    - departure time: departs, dep = <t> ; when does {it} leave | {it}: at what o'clock ; It leaves at *. ; leaves at *
    - platform: platform, gate_no = <i>|<i>a ; which track is {it} on ; {It} goes from platform *. ; from platform *

A field has a label, names in results, values, questions, replies and a fragment of prose; the slots are those of
`chains.tuning.answers`.
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
from chains.tuning.grammar import cut, verbatim
from chains.tuning.lookups import read_arguments, words_of
from chains.tuning.toollists import ShownTool

_LABELLED = (
    "what is the {label} of {it}", "{label}, {it}", "{it}: {label}", "I need the {label} of {it}",
    "the {label} of {it}, please", "tell me the {label} of {it}", "{label} of {it}", "look up the {label} of {it}",
    "only the {label} of {it}", "can you find out the {label} of {it}",
)  # fmt: skip
_NOT = ("{ask}, not the {other}", "{ask}. The {other} I know", "not the {other}: {ask}", "{ask} (not the {other})")
_HEARSAY = ("{ask}. I was told {value}", "{ask}, somebody said {value}", "I have {value} written down. {ask}")
_TOLD = ("The {label} {verb} *.", "The {label} {verb} *.", "It is *.", "{label}: *.", "That is *.")
_BOTH = ("the {one} and the {two} of {it}", "{one} and {two}, {it}", "what are the {one} and the {two} of {it}")
_MISSING = ("The result does not give the {label}.", "There is no {label} in it.", "It does not say the {label}.")
_ASKS = re.compile(
    r"(?i)(?:(?:at|in|from|on|for|by|to|until) )?(?:what|which|when|who|whose|where|why|how|is|are|does|do|did|can|"
    r"could|will|has|have|was|were)\b"
)  # how a question begins


@dataclass(frozen=True)
class Field:
    """One field of a domain's records."""

    label: str
    names: tuple[str, ...]
    values: tuple[str, ...]
    asks: tuple[str, ...]
    replies: tuple[str, ...]
    fragment: str


@dataclass(frozen=True)
class Domain:
    """Records of one kind; `slots` are the arguments' of the tool that finds them."""

    names: tuple[str, ...]
    abouts: tuple[str, ...]
    parameters: dict[str, Any]
    slots: dict[str, str]
    ways: tuple[str, ...]
    fields: tuple[Field, ...]
    dev: bool


@dataclass(frozen=True)
class RecordTool:
    """A tool that finds records of a domain, as one list shows it."""

    domain: Domain
    schema: dict[str, Any]

    @property
    def dev(self) -> bool:
        """Whether it is kept for the dev set."""
        return self.domain.dev

    @property
    def words(self) -> set[str]:
        """By which it is told from others."""
        return words_of(" ".join((*self.domain.names, *(field.label for field in self.domain.fields))))

    def request(self, rng: Random) -> RecordRequest:
        """A question that it can answer."""
        return RecordRequest(self, rng)


@cache
def domains() -> tuple[Domain, ...]:
    """All of them, in the order of their files' names."""
    return tuple(_domain(head, lines) for _, head, lines in grammar.tables("records"))


def _domain(head: str, lines: list[str]) -> Domain:
    about = {key: rest for key, _, rest in (line.partition(": ") for line in lines[:3])}
    names, _, texts = about["tool"].partition(" ; ")
    parameters, slots = read_arguments(about["given"])
    return Domain(
        cut(names, ","),
        cut(texts, " // "),
        parameters,
        slots,
        cut(about["it"], " | "),
        tuple(_field(line.removeprefix("- ")) for line in lines[3:]),
        grammar.reserved(head),
    )


def _field(line: str) -> Field:
    start, asks, replies, fragment = line.split(" ; ")
    label, _, rest = start.partition(": ")
    names, _, values = rest.partition(" = ")
    split = cut(asks, " | "), cut(replies, " | ")
    return Field(label, cut(names, ","), cut(values, "|"), *split, fragment.strip())


def record_tools(rng: Random, split: str, count: int) -> list[ShownTool]:
    """Tools of so many domains, as a list shows them."""
    pool = [domain for domain in domains() if domain.dev == (split == "dev")] or list(domains())
    found = []
    for domain in rng.sample(pool, min(count, len(pool))):
        schema = {
            "name": rng.choice(domain.names),
            "description": rng.choice(domain.abouts),
            "parameters": domain.parameters,
        }
        found.append(ShownTool(f"record:{domain.names[0]}", schema, {}, {}, schema, lookup=RecordTool(domain, schema)))
    return found


class RecordRequest:
    """A question: `text` (values marked), `args`, and what the tool answers."""

    is_imperative, core = False, ""

    def __init__(self, tool: RecordTool, rng: Random) -> None:
        self.rng, self.domain = rng, tool.domain
        self._slots = Slots(rng, {})
        fields = self.domain.fields
        self._shown = rng.sample(fields, min(len(fields), rng.choice([3, 4, 4, 5, 5, 6, 7, 8])))
        self._asked = [self._shown[0]]
        self._names = {field.label: rng.choice(field.names) for field in fields}
        self._values = {field.label: self._value(field) for field in fields}
        way = rng.choice(self.domain.ways)
        ask = self._ask().replace("{it}", way)
        self._way = self._slots.fill(way)
        self._named = way.startswith("<")  # a name keeps its letters at the beginning of a sentence
        said = {found[0] for found in SLOT.finditer(ask)}
        self.text = SLOT.sub(lambda found: verbatim(self._slots.fill(found[0])), ask)
        self.is_question = bool(_ASKS.match(ask)) and "." not in ask and rng.random() < 0.7
        properties = self.domain.parameters["properties"]
        self.args = {
            name: json.loads(value) if properties[name]["type"] != "string" else value
            for name, slot in self.domain.slots.items()
            if slot in said
            for value in [self._slots.fill(slot)]
        }

    def _value(self, field: Field) -> str:
        return Slots(self.rng, {}).fill(self.rng.choice(field.values))

    def _ask(self) -> str:
        rng = self.rng
        field = self._asked[0]
        luck = rng.random()
        if luck < 0.08:
            self._asked.append(self._shown[1])
            labels = {"one": field.label, "two": self._shown[1].label}
            return rng.choice(_BOTH).format(it="{it}", **labels)
        ask = rng.choice(_LABELLED).format(label=field.label, it="{it}") if luck < 0.3 else rng.choice(field.asks)
        luck = rng.random()
        if luck < 0.14:
            return rng.choice(_NOT).format(ask=ask, other=rng.choice(self._shown[1:]).label)
        if luck < 0.2:
            return rng.choice(_HEARSAY).format(ask=ask, value=self._value(field))
        return ask

    def exchange(self) -> tuple[str, str]:
        """What the tool answers and what is said then."""
        rng = self.rng
        shape = rng.choice((_json, _json, _json, _nested, _lines, _table, _rows, _list, _prose, _prose, _xml))
        shown = self._shown[:5] if shape in (_rows, _list) else self._shown
        if len(self._asked) == 1 and rng.random() < 0.02:
            shown = shown[1:]
            reply = rng.choice(_MISSING).format(label=self._asked[0].label)
        elif len(self._asked) == 2:
            one, two = self._asked
            first, second = (f"{field.label} {_is(field)} {self._values[field.label]}" for field in (one, two))
            reply = f"The {first} and the {second}."
        else:
            (field,) = self._asked
            own = (
                rng.choice(field.replies)
                if rng.random() < 0.7
                else rng.choice(_TOLD).format(label=field.label, verb=_is(field))
            )
            begins_with_name = own.startswith(("*", "{It}")) and (own[0] == "*" or self._named)
            reply = own.replace("{It}", self.subject).replace("{it}", self._way)
            reply = reply.replace("*", self._values[field.label])
            reply = reply if begins_with_name else _capital(reply)
        return shape(self, rng.sample(shown, len(shown))), reply

    @property
    def subject(self) -> str:
        """The thing asked about, fit to begin a sentence."""
        return self._way if self._named else _capital(self._way)

    def pairs(self, shown: list[Field]) -> list[tuple[str, str]]:
        """Names and values, now and then with what was asked for among them."""
        found = [(self._names[field.label], self._values[field.label]) for field in shown]
        given = [(name, str(value)) for name, value in self.args.items() if name not in dict(found)]
        return [*given, *found] if self.rng.random() < 0.55 else found

    def others(self, shown: list[Field]) -> list[dict[str, str]]:
        """The record among up to three of other things, each with the arguments that name it first."""
        rng = self.rng
        mine = {**{name: str(value) for name, value in self.args.items()}, **dict(self.pairs(shown))}
        rows = [mine]
        for _ in range(rng.choice([1, 1, 2, 3])):
            slots = Slots(rng, {})
            keys = {name: slots.fill(self.domain.slots[name]) for name in self.args}
            if all(keys[name] != row[name] for row in rows for name in keys):
                rows.append({**keys, **{self._names[field.label]: self._value(field) for field in shown}})
        rng.shuffle(rows)
        return [{name: row[name] for name in mine if name in row} for row in rows]

    def sentence(self, shown: list[Field]) -> str:
        """The record in prose."""
        parts = [field.fragment.replace("*", self._values[field.label]) for field in shown]
        luck = self.rng.random()
        start = self.subject
        if luck < 0.5:
            return f"{start}: {', '.join(parts)}."
        if luck < 0.8:
            cut = self.rng.randint(1, len(parts))
            rest = f" {_capital(', '.join(parts[cut:]))}." if parts[cut:] else ""
            return f"{start} {', '.join(parts[:cut])}.{rest}"
        return "; ".join(parts) + "."


def _json(request: RecordRequest, shown: list[Field]) -> str:
    record: Any = {name: _typed(value) for name, value in request.pairs(shown)}
    if request.rng.random() < 0.2:
        record = {request.rng.choice(["result", "data", "record"]): record}
    return _dumped(record, request.rng)


def _nested(request: RecordRequest, shown: list[Field]) -> str:
    pairs = [(name, _typed(value)) for name, value in request.pairs(shown)]
    cut = request.rng.randint(1, len(pairs))
    inner = dict(pairs[cut:])
    outer: dict[str, Any] = dict(pairs[:cut])
    if inner:
        free = [key for key in ("details", "info", "more", "data", "meta") if key not in outer]
        outer[request.rng.choice(free)] = inner
    return _dumped(outer, request.rng)


def _lines(request: RecordRequest, shown: list[Field]) -> str:
    sign = request.rng.choice([": ", ": ", "=", " = ", "\t"])
    return "\n".join(f"{name}{sign}{value}" for name, value in request.pairs(shown))


def _table(request: RecordRequest, shown: list[Field]) -> str:
    return _separated([dict(request.pairs(shown))], request.rng)


def _rows(request: RecordRequest, shown: list[Field]) -> str:
    return _separated(request.others(shown), request.rng)


def _list(request: RecordRequest, shown: list[Field]) -> str:
    rows: Any = [{name: _typed(value) for name, value in row.items()} for row in request.others(shown)]
    return _dumped(rows if request.rng.random() < 0.6 else {"results": rows}, request.rng)


def _prose(request: RecordRequest, shown: list[Field]) -> str:
    return request.sentence(shown)


def _xml(request: RecordRequest, shown: list[Field]) -> str:
    return "".join(f"<{name}>{value}</{name}>" for name, value in request.pairs(shown))


def _separated(rows: list[dict[str, str]], rng: Random) -> str:
    """A head and the rows, between marks that stand in no value."""
    values = "".join(value for row in rows for value in row.values())
    mark = rng.choice([mark for mark in (",", ";", "\t", " | ") if mark.strip(" ") not in values] or ["\t"])
    return "\n".join([mark.join(rows[0]), *(mark.join(row.values()) for row in rows)])


def _dumped(record: Any, rng: Random) -> str:
    style: dict[str, Any] = rng.choice([{}, {}, {"separators": (",", ":")}, {"indent": 1}])
    return json.dumps(record, ensure_ascii=False, **style)


def _typed(value: str) -> Any:
    """A number where the text is one as JSON would write it."""
    return json.loads(value) if re.fullmatch(r"-?(0|[1-9]\d*)(\.\d*[1-9])?", value) else value


def _is(field: Field) -> str:
    head = re.split(r" (?:of|in|to|left|for|per|on|at|from|by) ", f"{field.label} ")[0].strip()
    return "are" if re.search(r"(?<![siu])s$", head) else "is"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
