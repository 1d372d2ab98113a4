"""The values of a request, in a person's words and as the tool's argument: subjects, counts, models, seeds, letters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any

from chains.tuning import grammar
from chains.tuning.grammar import Noun, number, quoted, synonyms, verbatim, words


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
        self.args: dict[str, Any] = {}

    # nouns and values

    def subject(self, avoid: str = "") -> Noun:
        labels = [label for label in self.known.get("subject", []) if label != avoid]
        if labels and self.rng.random() < 0.8:
            label = self.rng.choice(labels)
            said = label_words(label)
            entry = said[0] if self.rng.random() < 0.3 else self.rng.choice(said)
            return grammar.noun(entry, label)
        taken = {word.partition("/")[0] for label in labels for word in (*label_words(label), label)} | {avoid}
        while True:
            entry = self.rng.choice(words(self.rng.choice(["unknown", "nouns"])))
            if self.rng.random() < 0.35:
                label = self.rng.choice([*synonyms("labels mixed"), *synonyms("labels fashion")])
                entry = self.rng.choice(label_words(label))
            one = entry.partition("/")[0]
            if one not in taken and not any(one.endswith(f" {t}") for t in taken):
                item = grammar.noun(entry)
                arg = item.one.removesuffix("s") if item.one in ("trousers", "slacks") else item.one
                return Noun(arg, grammar.safe(item.one), grammar.safe(item.many))

    def one(self, item: Noun) -> str:
        listed = item.arg in self.known.get("subject", [])
        colour = f"{self.rng.choice(words('colours'))} " if listed and self.rng.random() < 0.15 else ""
        return item.singular(self.rng, "" if item.arg[0].isdigit() else colour)

    def put(self, name: str, value: Any) -> None:
        self.args[name] = value

    def count(self, most: int = 0) -> tuple[int, str]:
        """A number of things and how it is said; up to `most` or what the tool allows."""
        top = max(2, min(most or 100, (self.fields.get("count") or {}).get("maximum", 30)))
        few = [2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 12]
        value = self.rng.choice([*few, *(self.rng.randint(2, 20) for _ in range(5)), self.rng.randint(2, top)])
        value = min(value, top)
        self.put("count", value)
        return value, number(value, self.rng)

    def model(self) -> str:
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

    def style(self) -> str:
        listed = self.known.get("style", [])
        if listed and self.rng.random() < 0.75:
            label = self.rng.choice(listed)
            self.put("style", label)
            return self.rng.choice([label, label, *synonyms("styles").get(label, ())])
        said = self.rng.choice(words("freestyles"))
        self.put("style", re.sub(r"^(a|an|the) ", "", said))
        return grammar.safe(said)

    def seed(self) -> str:
        top = self.rng.choice([12, 50, 100, 100, 999, 999, 9999, 99999, 2**31 - 1])
        value = self.rng.randint(0, top)
        self.put("seed", value)
        return number(value, self.rng, loose=False) if value <= 100 and self.rng.random() < 0.5 else str(value)

    def word_count(self) -> str:
        value = self.rng.choice(
            [
                *(10, 15, 20, 25, 30, 40, 50, 70, 80, 90, 100, 120, 150, 200, 250, 300, 400, 500, 1000),
                *(self.rng.randint(5, 400) for _ in range(8)),
            ]
        )
        self.put("words", value)
        return number(value, self.rng, loose=False)

    # slots of one value

    def slot_purpose(self) -> str:
        return self.rng.choice(words("purposes"))

    def slot_letters(self) -> str:
        value = self.rng.choice(words("letters"))
        value = value.lower() if self.rng.random() < 0.15 else value
        self.put("starts_with", value)
        return quoted(verbatim(value), self.rng, bare=0.75)

    def slot_letter(self) -> str:
        value = self.rng.choice([w for w in words("letters") if len(w) == 1])
        self.put("starts_with", value)
        return verbatim(value)

    def slot_concept(self) -> str:
        return self.rng.choice(words("concepts"))

    def slot_modelname(self) -> str:
        return verbatim(self.model_name())

    def slot_v(self) -> str:
        return self.count()[1]

    def slot_image(self) -> str:
        if self.rng.random() < 0.3:
            value = self.rng.choice(words("imageids"))
            self.put("image", value)
            return self.rng.choice(["image {}", "{}", "picture {}", "the image {}"]).format(verbatim(value))
        return self.rng.choice(words("images"))

    def slot_keep(self) -> str:
        value, said = self.rng.choice(
            [
                ("top", "top"),
                ("top", "upper part"),
                ("bottom", "bottom"),
                ("bottom", "lower half"),
                ("left", "left"),
                ("left", "left side"),
                ("right", "right"),
                ("right", "right side"),
                ("outside", "outside"),
                ("outside", "border"),
                ("outside", "edge"),
            ]
        )
        self.put("keep", value)
        return said

    def slot_keepside(self) -> str:
        return f"the {self.slot_keep()}"

    def _copied(self, name: str, source: str, quote: bool = False) -> str:
        value = self.rng.choice(words(source))
        self.put(name, value)
        return quoted(verbatim(value), self.rng) if quote else verbatim(value)

    def slot_blank(self) -> str:
        return self._copied("text", "blanks")

    def slot_qblank(self) -> str:
        return self._copied("text", "blanks", quote=True)

    def slot_codekind(self) -> str:
        return self.rng.choice(words("codekinds"))

    def slot_code(self) -> str:
        return self._copied("prompt", "codes")

    def slot_codeline(self) -> str:
        return self._copied("prompt", "codelines")

    def slot_qcodeline(self) -> str:
        return self._copied("prompt", "codelines", quote=True)

    def slot_music(self) -> str:
        return self.rng.choice(words("musics"))

    def slot_key(self) -> str:
        return grammar.plain(self._copied("key", "keys"))

    def slot_melody(self) -> str:
        return self._copied("melody", "melodies")

    def slot_sound(self) -> str:
        table = synonyms("sounds")
        label = self.rng.choice(list(table))
        self.put("kind", label)
        item = grammar.noun(self.rng.choice(table[label]))
        luck = self.rng.random()
        if luck < 0.5:
            return f"{item.singular(self.rng)}{self.rng.choice(['', '', ' sound', ' sample', ' hit'])}"
        if luck < 0.8:
            return f"{self.count(8)[1]} {self.rng.choice([item.many, f'{item.one} sounds', f'{item.one} samples'])}"
        return self.rng.choice([f"some {item.many}", item.one, f"{item.one} sound"])

    def slot_vsubject(self) -> str:
        value = self.rng.choice(words("vsubjects"))
        self.put("subject", value)
        return value

    def slot_video(self) -> str:
        base = self.rng.choice(words("videos"))
        return f"{base} of {self.slot_vsubject()}" if self.rng.random() < 0.7 else base

    def slot_family(self) -> str:
        said = self.slot_familyname()
        return f"{'an' if said[0] in 'RLHM' and said.isupper() and said[:2] != 'MA' else 'a'} {said}"

    def slot_familyname(self) -> str:
        table = synonyms("families")
        family = self.rng.choice([f for f in table if f != "hybrid"])
        self.put("family", family)
        return self.rng.choice(table[family])

    def slot_data(self) -> str:
        return self._copied("data", "datas")

    def slot_name(self) -> str:
        return self._copied("name", "newnames")

    # values of clauses

    slot_seed, slot_model, slot_style, slot_words = seed, model, style, word_count

    def slot_temperature(self) -> str:
        value = self.rng.choice([0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.9, 1.1, 1.2, 1.5, 1.0, 0.4, 1.3])
        self.put("temperature", value)
        return f"{value:g}" if self.rng.random() < 0.7 else f"{value}"

    def slot_must(self) -> str:
        value = self.rng.choice(words(self.rng.choice(["must", "themes", "themes"])))
        self.put("must_include", value)
        return quoted(grammar.safe(value), self.rng, bare=0.65)

    def slot_frames(self) -> str:
        value = self.rng.choice([5, 6, 8, 10, 12, 20, 24, 30, 32, 40, 60, self.rng.randint(3, 60)])
        self.put("frames", value)
        return number(value, self.rng, loose=False)

    def slot_strength(self) -> str:
        value = self.rng.choice([0.1, 0.2, 0.3, 0.4, 0.7, 0.8, 0.9])
        self.put("strength", value)
        return str(value)

    def slot_count(self) -> str:
        return self.count()[1]

    def slot_lines(self) -> str:
        value = self.rng.choice([5, 8, 10, 12, 15, 30, 40, 50])
        self.put("lines", value)
        return number(value, self.rng, loose=False)

    def slot_bars(self) -> str:
        value = self.rng.choice([4, 12, 16, 24, 32, 6, 10])
        self.put("bars", value)
        return number(value, self.rng, loose=False)

    def slot_minutes(self) -> str:
        value = self.rng.choice([1, 2, 3, 10, 15, 20, 30, 45, 60])
        self.put("minutes", value)
        return number(value, self.rng, loose=False)


def fresh_name(rng: Random) -> str:
    """A model's name that no list holds, so that names are copied and not recalled."""
    noun = rng.choice(words(rng.choice(["nouns", "unknown"]))).partition("/")[0]
    theme, other = (rng.choice([part for part in words("themes") if " " not in part]) for _ in range(2))
    name = rng.choice([noun, theme, f"my {noun}", f"my {theme}", f"{theme} {other}", f"{noun} maker", f"{theme} model"])
    name = name.replace(" ", rng.choice(["-", "-", "_", ""]))
    number = rng.randint(2, 20)
    return name.lower() + rng.choice(["", "", "", "-vae", "-gpt", "-markov", "-lstm", str(number), f"-v{number}"])


def label_words(label: str) -> list[str]:
    """What a person may call a known label: itself first (with blanks for hyphens), then its other words."""
    for table in ("labels fashion", "labels mixed", "labels digits"):
        for entry, others in synonyms(table).items():
            if (
                entry.partition("/")[0] == label
                or entry.partition("/")[0].replace("-", " ") == label
                or (table == "labels digits" and label in others[:1])
            ):
                if label == "trouser":
                    return [others[0], *others]
                own = label.replace("-", " ") if table != "labels digits" and label != "t-shirt" else label
                mine = entry if "/" in entry else own
                return (
                    [mine, own if "/" not in entry else mine, *others]
                    if table != "labels digits"
                    else list(dict.fromkeys([label, entry, *others[:1]]))
                )
    return [label]
