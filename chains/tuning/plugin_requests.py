"""Requests for plugins' tools (`chains.tuning.plugins`): whole sentences, pieces behind commas, telegrams, forms."""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random
from typing import Any

from chains.tuning import copied, grammar
from chains.tuning.complete import whole_request
from chains.tuning.grammar import END, expand, number, plain, safe, verbatim
from chains.tuning.plugins import MEANT, Arg, PluginTool

_WHOLE = 0.88  # of the requests for a tool that has whole ones
_TELEGRAM, _FORM = 0.15, 0.11  # of the requests that are put together; the rest are sentences
_TRIES = 60  # draws until a frame fits the arguments that the list shows
_JOINTS = (", ", ", ", ", ", " ", " and ", "; ", " - ")
# A leading article or possessive is said and no part of the value; after a frame's "the {x}" it is not said twice.
_ARTICLE = re.compile(r"^(?:an?|the|my|our|some|this|that) (?=\S)")
_TWO_ARTICLES = re.compile(
    r"(?i)\b(an?|the|my|our|your|his|her|their|some|this|that|any|no|one) "
    rf"(?:an?|the|my|our|some|this|that) (?={grammar.KEEP})"
)
_AMOUNTS: list[tuple[re.Pattern[str], dict[int, tuple[str, ...]]]] = [
    (
        re.compile(r"\* min(ute)?s?\b(?!-)"),
        {
            15: ("a quarter of an hour",),
            20: ("twenty minutes",),
            30: ("half an hour", "half an hour", "a half hour"),
            45: ("three quarters of an hour", "three-quarters of an hour"),
            60: ("an hour", "one hour"),
            90: ("an hour and a half", "one and a half hours"),
            120: ("two hours", "a couple of hours"),
            180: ("three hours",),
        },
    ),
    (re.compile(r"\* hours\b"), {24: ("a whole day", "a day and a night"), 48: ("two days",), 12: ("half a day",)}),
    (re.compile(r"\* days\b"), {7: ("a week", "one week"), 14: ("a fortnight", "two weeks"), 21: ("three weeks",)}),
    (re.compile(r"\* weeks\b"), {52: ("a year", "a whole year"), 26: ("half a year",)}),
    (re.compile(r"\* months\b"), {6: ("half a year",), 12: ("a year", "one year"), 24: ("two years",)}),
    (re.compile(r"\* years\b"), {10: ("a decade",), 100: ("a century", "a hundred years")}),
    (
        re.compile(r"\*(?= [a-z]{3,}s\b)(?! degrees| times)"),
        {2: ("a couple of", "a pair of"), 6: ("half a dozen",), 12: ("a dozen", "one dozen"), 24: ("two dozen",)},
    ),
]  # words for amounts of a unit, or of whatever stands in the plural
_DETERMINED = re.compile(r"\b(every|each|next|last|past|the|first|within) \*")  # no article may follow
_SYMBOL = re.compile(r"[$€£]\*|\*\s?[%°]|\*x")


class _Unfit(Exception):
    """A frame says what the shown tool cannot take."""


class PluginRequest:
    """A request in the making; after `make`, `text` (values marked) and `args` (as the call has them) stand."""

    core = ""

    def __init__(self, tool: PluginTool, rng: Random, split: str) -> None:
        self.tool, self.rng, self.split = tool, rng, split
        self.args: dict[str, Any] = {}
        self.text = ""
        self.is_imperative = self.is_question = False

    def make(self) -> None:
        luck = self.rng.random()
        if luck < _WHOLE and (whole := whole_request(self.tool, self.rng)):
            text, args = whole
            self.is_question = text.endswith("?")
            self.text = text.removesuffix("?")
            self.args = {shown: args[name] for name, shown in self.tool.shown.items() if name in args}
            return
        if self.tool.plugin.wholes:
            luck = (_TELEGRAM + _FORM) * self.rng.random()  # it has no frames
        form = self._telegram if luck < _TELEGRAM else self._form if luck < _TELEGRAM + _FORM else self._sentence
        for _ in range(_TRIES):
            self.args, self.is_imperative, self.is_question = {}, False, False
            try:
                self.text = form()
            except _Unfit:
                continue
            if set(self.tool.required) <= set(self.args):
                break
        else:  # a cut list of choices may leave no frame; a form always fits
            self.args, self.is_imperative, self.is_question = {}, False, False
            self.text = self._form()
        self.text = _TWO_ARTICLES.sub(r"\1 ", self.text)
        order = self.tool.shown
        self.args = {order[name]: self.args[name] for name in order if name in self.args}

    # values

    def value(self, arg: Arg) -> tuple[Any, str]:
        """A value as the call has it, and as a person says it."""
        rng = self.rng
        match arg.kind:
            case "enum":
                shown = self.tool.values[arg.id]
                own = rng.choice(list(shown))
                bare = () if self.tool.plugin.domain == MEANT else (shown[own],)
                return shown[own], safe(rng.choice((*arg.choices()[own], *bare)))
            case "int":
                made: Any = copied.whole(rng, *arg.bounds())
                return made, number(made, rng, loose=False) if made >= 0 else copied.say_number(made, rng)
            case "num":
                made = copied.decimal(rng, *arg.bounds())
                return made, copied.say_number(made, rng)
            case "list":
                some = rng.sample(arg.values(), min(rng.choice([1, 1, 2, 2, 3, 4]), len(arg.values())))
                if rng.random() < 0.12:
                    some[-1] = copied.short(rng)
                some = list(dict.fromkeys(some))
                return [_ARTICLE.sub("", one) for one in some], self._listed(some)
        made = rng.choice(arg.values()) if rng.random() < 0.85 else copied.short(rng)
        if arg.kind == "quote":
            return made, verbatim(made)
        return _ARTICLE.sub("", made), self._with_article(made)

    def _with_article(self, text: str) -> str:
        """A thing as it is said: "our stove", where the argument is "stove"."""
        bare = _ARTICLE.sub("", text)
        said = text[: len(text) - len(bare)]
        if said in ("the ", "my ", "our ") and self.rng.random() < 0.5:
            said = self.rng.choice(("the ", "our ", "my ", "this "))
        return said + verbatim(bare)

    def _listed(self, some: list[str]) -> str:
        rng = self.rng
        words = [self._with_article(word) for word in some]
        luck = rng.random()
        if luck < 0.7 or len(words) == 1:
            return grammar.listing(words, rng)
        return rng.choice([" + ", " & ", " and ", ", ", " n "]).join(words)

    def _fill(self, slot: str) -> str:
        name, given, value = slot.partition("=")
        arg = self.tool.plugin.args[name]
        if name not in self.tool.shown or name in self.args:
            raise _Unfit
        if given:
            if arg.kind == "enum" and value not in self.tool.values[name]:
                raise _Unfit
            self.args[name] = self.tool.read(name, value)
            return ""
        if arg.kind == "bool":
            return self.piece(arg)
        self.args[name], said = self.value(arg)
        return said

    def _loosely(self, arg: Arg) -> str:
        """ "for half an hour" instead of "for 30 minutes"; nothing where no such words fit."""
        low, high = arg.bounds()
        fitting = []
        for way in arg.ways:
            for pattern, amounts in _AMOUNTS:
                if not pattern.search(way) or _DETERMINED.search(way):
                    continue
                fitting += [
                    (amount, pattern.sub(said, way, count=1))
                    for amount, ways in amounts.items()
                    if low <= amount <= high
                    for said in ways
                ]
        if not fitting:
            return ""
        self.args[arg.id], said = self.rng.choice(fitting)
        return said

    def piece(self, arg: Arg) -> str:
        """One argument said on its own ("* glasses", "shake it"), and put among the arguments."""
        rng = self.rng
        if arg.kind == "bool":
            yes = not arg.nays or rng.random() < 0.65
            self.args[arg.id] = yes
            return rng.choice(arg.ways if yes else arg.nays)
        if arg.kind == "int" and rng.random() < 0.25 and (loose := self._loosely(arg)):
            return loose
        self.args[arg.id], said = self.value(arg)
        way = rng.choice(arg.ways)
        if arg.kind in ("int", "num") and _SYMBOL.search(way):
            said = str(self.args[arg.id])  # "40%", never "forty%"
        if grammar.article(plain(said)) == "an":
            way = re.sub(r"\ba \*", "an *", way)
        return way.replace("*", said)

    # forms of a request

    def _left(self, required: bool) -> list[Arg]:
        """Arguments that are still to be said; of the optional ones a part."""
        rng = self.rng
        share = rng.choice([0.0, 0.0, 0.25, 0.25, 0.5, 0.75, 1.0])
        left = [self.tool.plugin.args[name] for name in self.tool.shown if name not in self.args]
        left = [arg for arg in left if (arg.required and required) or (not arg.required and rng.random() < share)]
        rng.shuffle(left)
        return left

    def _sentence(self) -> str:
        """A frame of the file and further arguments: behind commas, in sentences of their own, or in front."""
        rng = self.rng
        frames = self.tool.plugin.frames
        frames = tuple(f for f in frames if grammar.reserved(f) == (self.split == "dev")) or frames
        frame = rng.choice(frames)
        self.is_imperative = frame.startswith("- ")
        core = expand(frame.removeprefix("- "), rng, self._fill)
        asks = core.endswith("?")
        core = core.removesuffix("?")
        pieces = [self.piece(arg) for arg in self._left(required=self.tool.plugin.from_parts)]
        self.is_question = asks
        if not pieces:
            return core
        luck = rng.random()
        if luck < 0.5:
            return core + "".join(self._glued(pieces))
        self.is_imperative = False
        if luck < 0.62:
            start = ", ".join(pieces)
            return f"{start}{rng.choice([': ', ', ', ' - '])}{core}"
        if luck < 0.7:
            self.is_question = False
            return f"{core}{'?' if asks else ''} ({', '.join(pieces)})"
        self.is_question = False
        end = "?" if asks else "." if core[-1:] not in ".!" else ""
        if rng.random() < 0.5:
            return f"{core}{end} {_capital(', '.join(pieces))}{rng.choice(['.', '', ' please'])}"
        return f"{core}{end} " + " ".join(f"{_capital(piece)}." for piece in pieces)

    def _glued(self, pieces: Iterable[str]) -> Iterable[str]:
        for piece in pieces:
            yield self.rng.choice(_JOINTS if not piece.startswith("and ") else (" ",)) + piece

    def _telegram(self) -> str:
        """Words alone: "woody scent, cedar and sandalwood, 100 ml"."""
        rng = self.rng
        pieces = [self.piece(arg) for arg in self._left(required=True)]
        if not pieces:
            raise _Unfit
        noun = rng.choice(self.tool.plugin.nouns or (self.tool.plugin.names[0].replace("_", " "),))
        luck = rng.random()
        if luck < 0.3:
            noun = rng.choice(["a {}", "one {}", "{} please", "new {}", "I need a {}", "need {}"]).format(noun)
        at = 0 if luck < 0.8 else rng.randint(0, len(pieces))
        pieces.insert(at, noun)
        return rng.choice([", ", ", ", ", ", ". ", " - ", "; ", " "]).join(pieces)

    def _form(self) -> str:
        """Names and values: "Exhibit: bronze bell. Languages: French, German."."""
        rng = self.rng
        noun = rng.choice((*self.tool.plugin.nouns, self.tool.plugin.names[0]))
        pieces = []
        sign = rng.choice([": ", ": ", " ", "=", " = ", " is "])
        for arg in self._left(required=True):
            made, said = (rng.random() < 0.6, "") if arg.kind == "bool" else self.value(arg)
            self.args[arg.id] = made
            if arg.kind == "bool":
                said = rng.choice(["yes", "yes", "true"] if made else ["no", "no", "false"])
            name = rng.choice([*arg.names, self.tool.shown[arg.id]])
            label = name.replace("_", " ") if rng.random() < 0.8 else name
            pieces.append(f"{_capital(label) if sign == ': ' and rng.random() < 0.4 else label}{sign}{said}")
        if not pieces:  # nothing has to be said
            return rng.choice(["a {}", "new {}", "{} please", "make a {}"]).format(noun)
        joint = rng.choice([", ", ", ", "; ", ". ", "\n", " / "])
        text = joint.join(pieces)
        lead = rng.choice(["{}: ", "{}, ", "{} with ", "make a {}: ", "new {}. ", "{}\n", ""])
        return lead.format(noun) + text if lead or len(pieces) > 1 else f"{noun}: {text}"


def _capital(text: str) -> str:
    bare = plain(text)
    at = text.find(bare[:1]) if bare else -1
    return text if at < 0 or text[:1] in ("\x01", END) else text[:at] + text[at : at + 1].upper() + text[at + 1 :]
