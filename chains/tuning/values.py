"""The values that several tools share, in a person's words and as the tool's argument: counts, models, seeds.

A method `slot_NAME` says what `{NAME}` stands for in the phrases and notes the argument that it means. What belongs to
a few tools is added to `Values` by the other modules of values: `picture_values`, `text_values`, `code_values`,
`name_values`, `sound_values` and `training_values`; `requests` joins them all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

from chains.tuning import grammar
from chains.tuning.grammar import number, synonyms, verbatim, words

SEEDS = (0, 1, 2, 3, 7, 10, 11, 13, 42, 99, 100, 101, 123, 256, 1000, 1234, 1337, 2000, 2023, 2026, 4711, 12345, 31415)
GROUPS = (
    (6, "half a dozen"), (6, "a half dozen"), (12, "a dozen"), (12, "one dozen"), (24, "two dozen"),
    (36, "three dozen"), (48, "four dozen"), (2, "a couple of"), (3, "a trio of"), (4, "a quartet of"), (10, "ten"),
    (50, "fifty"), (100, "a hundred"), (100, "one hundred"),
)  # fmt: skip


def spoken(source: str) -> Callable[[Values], str]:
    """A slot that says a word of the list `source` and means no argument."""
    return lambda self: self.rng.choice(words(source))


def amount(name: str, *usual: int) -> Callable[[Values], str]:
    """A slot that says a number for the argument `name`, mostly one of the `usual`."""

    def slot(self: Values) -> str:
        value = self.rng.choice([*usual, self.rng.randint(2, max(usual)), self.rng.randint(2, max(usual))])
        self.put(name, value)
        return number(value, self.rng, loose=False)

    return slot


class Values:
    """What a request may mention, one value at a time; each is noted in `args` as it is said.

    `tool` is the schema before renaming, `task` its name in our tables.
    """

    def __init__(
        self, task: str, tool: Mapping[str, Any], known: Mapping[str, list[str]], rng: Random, split: str
    ) -> None:
        self.task, self.rng, self.split = task, rng, split
        self.known = known
        self.fields: Mapping[str, Any] = (tool.get("parameters") or {}).get("properties") or {}
        self.tool_known = set(self.fields)
        self.required = tuple((tool.get("parameters") or {}).get("required") or ())
        self.args: dict[str, Any] = {}

    def put(self, name: str, value: Any) -> None:
        self.args[name] = value

    def fill(self, slot: str) -> str:
        """The words for `{slot}`; `{name=value}` notes an argument and says nothing."""
        if "=" in slot:
            name, _, value = slot.partition("=")
            self.put(name, json.loads(value) if value in ("true", "false") or value.lstrip("-").isdigit() else value)
            return ""
        method = getattr(self, f"slot_{slot}", None)
        if method is None:
            raise KeyError(f"{self.task}: no slot {slot!r}")
        return str(method())

    # how many

    def count(self, most: int = 0) -> tuple[int, str]:
        """A number of things and how it is said; up to `most` or what the tool allows."""
        top = max(2, min(most or 100, (self.fields.get("count") or {}).get("maximum", 30)))
        few = [2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 12]
        value = self.rng.choice([*few, *(self.rng.randint(2, 20) for _ in range(5)), self.rng.randint(2, top)])
        value = min(value, top)
        if not most and self.rng.random() < 0.14:
            value, said = self.rng.choice([group for group in GROUPS if group[0] <= top])
            self.put("count", value)
            return value, said
        self.put("count", value)
        return value, number(value, self.rng)

    def slot_count(self) -> str:
        return self.count()[1]

    slot_n = slot_v = slot_count

    def slot_digit(self) -> str:
        return str(self.count(20)[0])

    def slot_ns(self) -> str:
        """A number of sounds, pictures or versions that a word follows: "four", "4"."""
        return self.count(64)[1].removesuffix(" of")

    def slot_frames(self) -> str:
        top = int((self.fields.get("frames") or {}).get("maximum", 64))
        usual = [5, 6, 7, 8, 9, 10, 12, 15, 16, 18, 20, 24, 25, 30, 32, 36, 40, 48, 50, 60, 64]
        value = self.rng.choice([*usual, *(self.rng.randint(3, top) for _ in range(9))])
        self.put("frames", value)
        if value in (12, 24) and self.rng.random() < 0.25:
            return "a dozen" if value == 12 else "two dozen"
        return number(value, self.rng, loose=False)

    # by which model, from which seed

    def slot_model(self) -> str:
        if self.rng.random() < 0.5:
            family = self.rng.choice(list(synonyms("families")))
            self.put("model", family)
            return self.rng.choice(synonyms("families")[family])
        name = self.model_name()
        self.put("model", name)
        return verbatim(name)

    def model_name(self) -> str:
        """A model that is in the list, in the phrases, or of a name that nothing lists."""
        known = self.known.get("model", [])
        if self.rng.random() < 0.5:
            return self.rng.choice([*known, *words("modelnames")])
        return self.rng.choice(known) if known and self.rng.random() < 0.4 else fresh_name(self.rng)

    def slot_modelname(self) -> str:
        return verbatim(self.model_name())

    def slot_seed(self) -> str:
        top = self.rng.choice([12, 50, 100, 100, 999, 999, 9999, 99999, 2**31 - 1])
        value = self.rng.choice([self.rng.randint(0, top), self.rng.randint(0, top), self.rng.choice(SEEDS)])
        self.put("seed", value)
        return number(value, self.rng, loose=False) if value <= 100 and self.rng.random() < 0.5 else str(value)

    def slot_temperature(self) -> str:
        value = self.rng.choice([0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.9, 1.1, 1.2, 1.5, 1.0, 0.4, 1.3, 0.8, 2.0, 0.0, 1.4])
        if self.rng.random() < 0.15:
            value = self.rng.choice([0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.05, 1.25, 1.75, 1.9])
        self.put("temperature", value)
        luck = self.rng.random()
        if luck < 0.08 and 0 < value < 1:
            return f"{value:g}".removeprefix("0")
        return f"{value:g}" if luck < 0.75 else f"{value}"

    # what several tools mention

    slot_concept = spoken("concepts")

    def image_id(self) -> str:
        """An image's id, most often one that no list holds."""
        if self.rng.random() < 0.3:
            return self.rng.choice(words("imageids"))
        code = f"{self.rng.getrandbits(32):08x}"[: self.rng.choice([4, 6, 8, 8])]
        return self.rng.choice(["", "", "", "img-", "img_", "pic-", "image-", "upload-"]) + code


def fresh_name(rng: Random) -> str:
    """A model's name that no list holds, so that names are copied and not recalled."""
    noun = rng.choice(words(rng.choice(["nouns", "unknown"]))).partition("/")[0]
    theme, other = (rng.choice([part for part in words("themes") if " " not in part]) for _ in range(2))
    many = grammar.plural(noun)
    name = rng.choice(
        [
            *(noun, theme, many, many, f"my {many}", f"my {noun}", f"my {theme}"),
            *(f"{theme} {other}", f"{noun} maker", f"{theme} model"),
        ]
    )
    name = name.replace(" ", rng.choice(["-", "-", "_", ""]))
    number = rng.randint(2, 20)
    return name.lower() + rng.choice(["", "", "", "-vae", "-gpt", "-markov", "-lstm", str(number), f"-v{number}"])
