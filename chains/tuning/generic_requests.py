"""Requests for composed tools (`chains.tuning.generic`): values in natural words, in any order, some left unsaid."""

from __future__ import annotations

import re
from random import Random
from typing import Any

from chains.tuning import copied, grammar
from chains.tuning.generic import Field, GenericTool, Thing, fields
from chains.tuning.grammar import listing, quoted, safe, sections, verbatim

_LAST = ("code", "line", "text")  # arguments that may follow a colon
ASIDE = ("how ", "when ", "what ", "who ")  # phrases that are half a question
_AFTER_CODE = (
    *("Can you do that?", "Thanks!", "please", "That's all of it.", "I have no idea what it is.", "Is that possible?"),
    *("It comes from an old project.", "Don't change anything in it.", "Could you?", "cheers", "Much obliged."),
)
_URGED = ("Use the tool.", "Use the tool", "Please use the tool.", "Answer with the tool.")


class GenericRequest:
    """A request for a composed tool: `text` (values marked), `args` as the call has them."""

    def __init__(self, tool: GenericTool, rng: Random) -> None:
        self.tool, self.rng = tool, rng
        self.args: dict[str, Any] = {}
        self.text = self.core = ""  # `core`: what is asked for ("the area of a circle")
        self.is_imperative = self.is_question = False

    def make(self) -> None:
        domain = self.tool.thing.domain
        {"raw": self._make_raw, "joke": self._make_joke, "facts": self._make_facts}.get(domain, self._make_composed)()
        order = self.tool.schema["parameters"]["properties"]
        self.args = {name: self.args[name] for name in order if name in self.args}

    def value(self, field: Field) -> tuple[Any, str]:
        """A value, and how it is said."""
        rng, kind, source = self.rng, field.kind, field.source
        if kind in ("int", "num"):
            bounds = [int(part) for part in source.split()]
            made: Any = (copied.whole if kind == "int" else copied.decimal)(rng, *bounds)
            exact = field.id in ("a", "b", "ia", "ib")  # they may stand beside an operator
            return made, str(made) if exact else copied.say_number(made, rng)
        if kind == "frac":
            percent = rng.choice([rng.randint(1, 95), round(rng.uniform(0.5, 40), 1)])
            made = round(percent / 100, 4)
            return made, rng.choice([str(made), f"{percent}%", f"{percent} percent"])
        if kind == "isodate":
            made, said = copied.iso_date(rng)
            return made, safe(said)
        if kind == "enum":
            name, _, ways = rng.choice(source.split(",")).partition("=")
            return name, rng.choice(ways.split("/"))
        if kind in ("ints", "nums"):
            one = copied.whole if kind == "ints" else copied.decimal
            low = 0 if rng.random() < 0.7 else -50
            made = [
                one(rng, low, 100) if rng.random() < 0.8 else one(rng) for _ in range(rng.choice([2, 3, 3, 4, 5, 6]))
            ]
            said = listing([str(v) for v in made], rng) if rng.random() < 0.7 else str(made)
            return made, verbatim(said)
        if kind == "texts":
            make = copied.COPIED[source]
            made = list(dict.fromkeys(make(rng) for _ in range(rng.choice([1, 2, 2, 3]))))
            return made, listing([verbatim(v) for v in made], rng)
        if kind == "obj":
            made = {}
            for part in source.split(","):
                name, inner = part.split(":")
                made[name] = (
                    copied.person(rng)
                    if inner == "person"
                    else (copied.whole(rng, 1, 120) if inner == "int" else copied.decimal(rng, -90, 90))
                )
            return made, ""
        made = copied.COPIED[source](rng)
        return made, verbatim(made)

    def _fill(self, phrase: str) -> str:
        """`phrase` with its {field} slots said and put among the arguments, where the tool has such an argument."""
        by_id = {field.id: name for name, field in self.tool.args.items()}

        def one(match: re.Match[str]) -> str:
            field = fields()[match[1]]
            made, said = self.value(field)
            if field.id in by_id:
                self.args[by_id[field.id]] = made
            if field.kind == "text" and self.tool.thing.domain != "facts" and field.source in ("sentence", "short"):
                return quoted(said, self.rng, bare=0.0)
            return said

        return re.sub(r"\{(\w+)\}", one, phrase)

    def _tail(self, name: str, field: Field, last: bool) -> str:
        """One argument as a piece of the request."""
        rng = self.rng
        if field.kind == "bool":
            yes = rng.random() < 0.7
            *whens, no = field.source.split("/")
            self.args[name] = yes
            return rng.choice(whens) if yes else no
        made, said = self.value(field)
        self.args[name] = made
        way = rng.choice([w for w in field.ways if last or not w.startswith(":")] or ["`*`"])
        if field.id == "code" and "\n" in made:
            way = rng.choice([":\n*", ":\n\n*", ":\n```\n*\n```", " ```\n*\n```"]) if last else "```\n*\n```"
        elif field.id == "code" and "`" in made:
            way = ": *" if last else "```\n*\n```"
        if field.kind == "obj":
            return re.sub(r"\{(\w+)\}", lambda m: _inner(made[m[1]]), way)
        if field.id == "date" and re.match(r"(tomorrow|tonight|next|today)", made):
            way = "*"
        head, _, tail = way.partition("*")
        if tail.startswith("%") and not said[-1:].isdigit():
            tail = " percent" + tail[1:]
        return head + said + tail

    def _make_composed(self) -> None:
        rng, thing = self.rng, self.tool.thing
        self.args = {}
        phrase = rng.choice(thing.phrases)
        core = self._fill(phrase)
        required = self.tool.schema["parameters"]["required"]
        rest = [
            (name, field)
            for name, field in self.tool.args.items()
            if name not in self.args and (name in required or rng.random() < 0.4)
        ]
        rng.shuffle(rest)
        rest.sort(key=lambda row: row[1].id in _LAST)
        tails = [self._tail(name, field, i == len(rest) - 1) for i, (name, field) in enumerate(rest)]
        code = len(rest) == 1 and rest[0][1].id in ("code", "line") and thing.verbs[0] not in ("C", "G")
        if code and phrase == core and rng.random() < 0.25:  # "explain x = 3"
            core, tails = "", [verbatim(self.args[rest[0][0]])]
        lead = self._lead(thing, phrase)
        joined = ""
        for i, tail in enumerate(tails):
            glue = (
                ""
                if tail.startswith((":", " "))
                else " "
                if i == 0 or tail.startswith(("and ", "```"))
                else rng.choice([", ", ", ", " ", " and "])
            )
            if glue == " and " and (i != len(tails) - 1 or tail.startswith(('"', "`"))):
                glue = ", "
            joined += glue + tail
        text = f"{lead}{core}{joined}"
        if tails and thing.verbs[0] == "C" and rng.random() < 0.1 and not joined.endswith(("`", '"')):
            text = f"{joined.strip(' ,').removeprefix('and ')}: {lead}{core}"
            self.is_imperative = False
        elif rng.random() < 0.05 and not joined.endswith(("`", grammar.END)):
            text += ("? " if self.is_question else ". ") + rng.choice(_URGED)
            self.is_imperative = self.is_question = False
        if text.endswith("```") or (rest and rest[-1][1].id in ("code", "line") and text.endswith(grammar.END)):
            self.is_question = False  # its mark would seem to be the code's
            if text.endswith("```") or "\n" in tails[-1]:
                said = rng.choice(["", "", f"\n{rng.choice(_AFTER_CODE)}"])
                text, self.is_imperative = text + said, self.is_imperative and not said
        self.text = text
        self.core = core

    def _lead(self, thing: Thing, phrase: str) -> str:
        rng = self.rng
        self.is_question = self.is_imperative = False
        kind = thing.verbs[0]
        if kind not in ("C", "G"):
            verb = rng.choice(thing.verbs)
            luck = rng.random()
            if luck < 0.75:
                self.is_imperative = True
                return f"{verb} "
            if luck < 0.88:
                self.is_question = True
                return rng.choice(["can you {} ", "could you {} ", "would you {} ", "will you please {} "]).format(verb)
            return rng.choice(
                ["I want to {} ", "I'd like to {} ", "I need to {} ", "time to {} ", "we should {} "]
            ).format(verb)
        how = phrase.startswith(ASIDE)
        if how and rng.random() < 0.3:
            self.is_question = True
            return rng.choice(["do you know ", "can you tell me ", "could you find out "])
        if rng.random() < 0.4 and not how:
            self.is_question = True
            many = re.search(r"\b(numbers|factors|reviews|lyrics|statistics|rules|calories)\b", phrase)
            return rng.choice(["what are ", "what're "]) if many else rng.choice(["what is ", "what's ", "what is "])
        self.is_imperative = True
        verbs = (
            ["tell me ", "work out ", "find out "]
            if how
            else ["calculate ", "compute ", "work out ", "find ", "tell me ", "give me ", "determine "]
        )
        if kind == "G":
            verbs = (
                ["tell me ", "look up ", "check ", "find out "]
                if how
                else ["get ", "show me ", "look up ", "find ", "tell me ", "check ", "fetch ", "give me "]
            )
        if rng.random() < 0.15:
            self.is_imperative = False
            return (
                rng.choice(["I need ", "I need to know ", "please give me ", "I'd like to know "])
                if not how
                else "I need to know "
            )
        return rng.choice(verbs)

    def _make_raw(self) -> None:
        rng, tool = self.rng, self.tool
        self.args = {}
        self.is_imperative = self.is_question = False
        required = tool.schema["parameters"]["required"]
        said: dict[str, str] = {}
        for name, field in tool.args.items():
            if name not in required and rng.random() < 0.5:
                continue
            if field.kind == "bool":
                self.args[name] = rng.random() < 0.5
                said[name] = "true" if self.args[name] else "false"
                continue
            made, words_ = self.value(field)
            self.args[name] = made
            if field.kind in ("int", "num"):
                words_ = str(made)
            if field.id in ("code", "line"):
                words_ = f"`{words_}`" if not set("\n`") & set(made) else f"\n```\n{words_}\n```"
            elif field.kind == "text" and field.source in ("sentence", "short"):
                words_ = quoted(words_, rng, bare=0.05)
            elif field.kind == "texts" or field.kind in ("ints", "nums"):
                words_ = verbatim(f"[{', '.join(map(str, made))}]")
            said[name] = words_
        name = verbatim(tool.said_name) if rng.random() < 0.75 else f"the {tool.thing.words}"
        named = [f"{key} = {value}" if rng.random() < 0.6 else f"{key} {value}" for key, value in said.items()]
        if len(said) == 1 and rng.random() < 0.75:
            named = list(said.values())
        block = any("```" in value for value in said.values())
        listed = list(said.values()) if rng.random() < 0.6 else [f"{key}={value}" for key, value in said.items()]
        called = f"{verbatim(tool.said_name)}({', '.join(listed)})"
        values = listing(named, rng) if named else ""
        luck = rng.random()
        optional_gap = list(said) != list(tool.args)[: len(said)]
        if (luck < 0.4 or not said) and not block and not optional_gap:
            text = rng.choice(
                [
                    "what is the value of *?",
                    "what is *?",
                    "what's the result of *?",
                    "- run *",
                    "- evaluate *",
                    "- compute *",
                    "*",
                    "- give me *",
                    "what does * return?",
                    "- call *",
                ]
            )
            text = text.replace("*", called if said or rng.random() < 0.5 else name)
        elif len(said) == 1 and not block:
            text = rng.choice(
                [
                    "- apply N to *",
                    "- run N on *",
                    "what does N give for *?",
                    "what is N of *?",
                    "- use N with *",
                    "- call N with *",
                    "N of *",
                    "- try N on *",
                    "what do I get from N for *?",
                ]
            )
            text = text.replace("N", name, 1).replace("*", values)
        else:
            text = (
                rng.choice(["- call N with *", "- run N with *", "- use N: *", "N, *", "- please run N with *"])
                .replace("N", name, 1)
                .replace("*", values)
            )
        if text.startswith("- "):
            self.is_imperative, text = True, text[2:]
        if text.endswith("?"):
            self.is_question, text = True, text[:-1]
        if rng.random() < 0.15 and not block:
            text = text + ("? " if self.is_question else ". ") + rng.choice(_URGED[:3])
            self.is_imperative = self.is_question = False
        self.text = text

    def _make_joke(self) -> None:
        rng = self.rng
        topic, setup, punchline = rng.choice(sections("generic.txt")["jokes"]).split("|")
        self.args = dict(zip(self.tool.schema["parameters"]["properties"], (setup, punchline), strict=True))
        self.is_question = False
        self.is_imperative = True
        if rng.random() < 0.4:
            self.is_imperative = False
            self.text = verbatim(
                rng.choice([f"{setup} {punchline}", f"Joke: {setup} - {punchline}", f"{setup}\n{punchline}"])
            )
            return
        self.text = rng.choice(
            ["tell me a joke about *", "make a joke about *", "give me a joke on *", "tell a joke about *"]
        ).replace("*", topic)

    def _make_facts(self) -> None:
        rng = self.rng
        required = self.tool.schema["parameters"]["required"]
        while True:
            self.args = {}
            text = self._fill(rng.choice(self.tool.thing.phrases))
            if set(required) <= set(self.args):
                break
            if rng.random() < 0.05:  # no sentence says it all: those facts come after it
                for name in required:
                    if name not in self.args:
                        made, said = self.value(self.tool.args[name])
                        self.args[name] = made
                        text += f", {name.replace('_', ' ')} {said}"
                break
        self.is_question = self.is_imperative = False
        if rng.random() < 0.35:
            what = self.tool.thing.verbs[0].lower()
            text = (
                rng.choice(
                    [
                        f"extract the {what}: ",
                        "extract the data from this: ",
                        f"save this {what}: ",
                        "parse this text: ",
                        "get the information out of: ",
                    ]
                )
                + text
            )
        self.text = text


def _inner(value: Any) -> str:
    return verbatim(value) if isinstance(value, str) else str(value)
