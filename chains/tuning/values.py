"""The values of a request, in a person's words and as the tool's argument: subjects, counts, models, seeds, letters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any

from chains.tuning import grammar
from chains.tuning.grammar import Noun, number, quoted, synonyms, verbatim, words

SEEDS = (0, 1, 2, 3, 7, 10, 11, 13, 42, 99, 100, 101, 123, 256, 1000, 1234, 1337, 2000, 2023, 2026, 4711, 12345, 31415)
DURATIONS = (
    (30, "half an hour"),
    (60, "an hour"),
    (60, "one hour"),
    (15, "a quarter of an hour"),
    (90, "an hour and a half"),
    (90, "1.5 hours"),
    (120, "two hours"),
    (120, "2 hours"),
    (180, "three hours"),
    (240, "4 hours"),
    (1, "a minute"),
    (1, "60 seconds"),
    (2, "a couple of minutes"),
    (60, "1 hour"),
    (60, "1 h"),
    (60, "a full hour"),
    (60, "one whole hour"),
    (30, "half an hour"),
    (30, "a half hour"),
    (30, "half hour"),
    (30, "0.5 hours"),
    (45, "three quarters of an hour"),
    (75, "an hour and a quarter"),
    (90, "one and a half hours"),
    (90, "an hour and thirty minutes"),
    (150, "two and a half hours"),
    (180, "3 hours"),
    (180, "3 h"),
    (120, "2h"),
    (240, "four hours"),
    (300, "five hours"),
    (360, "six hours"),
    (480, "8 hours"),
    (600, "ten hours"),
    (1, "one minute"),
    (1, "a single minute"),
    (0.5, "half a minute"),
    (0.5, "30 seconds"),
    (1.5, "90 seconds"),
    (1.5, "a minute and a half"),
    (2, "120 seconds"),
    (2.5, "two and a half minutes"),
    (2.5, "2.5 minutes"),
    (3.5, "three and a half minutes"),
    (7.5, "7.5 minutes"),
    (12, "a dozen minutes"),
)
DRUMS = {"kick", "snare", "hi-hat", "clap", "tom", "cymbal", "cowbell", "rimshot"}  # nobody wants them drawn
GROUPS = (
    (6, "half a dozen"),
    (6, "a half dozen"),
    (12, "a dozen"),
    (12, "one dozen"),
    (24, "two dozen"),
    (36, "three dozen"),
    (48, "four dozen"),
    (2, "a couple of"),
    (3, "a trio of"),
    (4, "a quartet of"),
    (10, "ten"),
    (50, "fifty"),
    (100, "a hundred"),
    (100, "one hundred"),
)


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

    def oblique(self) -> str:
        """A listed subject described and not named, or nothing where none fits."""
        table = synonyms("oblique")
        mine = [label for label in self.known.get("subject", []) if label.replace(" ", "-") in table]
        if not mine:
            return ""
        label = self.rng.choice(mine)
        self._subject = Noun(label, "", "")
        self.put("subject", label)
        return self.rng.choice(table[label.replace(" ", "-")])

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
        if not most and self.rng.random() < 0.14:
            value, said = self.rng.choice([(n, words) for n, words in GROUPS if n <= top])
            self.put("count", value)
            return value, said
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
        value = self.rng.choice([self.rng.randint(0, top), self.rng.randint(0, top), self.rng.choice(SEEDS)])
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
            value = self.image_id()
            self.put("image", value)
            return self.rng.choice(["image {}", "{}", "picture {}", "the image {}"]).format(verbatim(value))
        return self.rng.choice(words("images"))

    def image_id(self) -> str:
        """An image's id, most often one that no list holds."""
        if self.rng.random() < 0.3:
            return self.rng.choice(words("imageids"))
        code = f"{self.rng.getrandbits(32):08x}"[: self.rng.choice([4, 6, 8, 8])]
        return self.rng.choice(["", "", "", "img-", "img_", "pic-", "image-", "upload-"]) + code

    def slot_keep(self) -> str:
        value, said = self._part("keep parts")
        self.put("keep", value)
        return said

    def slot_redo(self) -> str:
        """The part that is painted anew, so that the other one stays."""
        value, said = self._part("redo parts")
        self.put("keep", value)
        return said

    def _part(self, table: str) -> tuple[str, str]:
        value = self.rng.choice(list(synonyms(table)))
        return value, self.rng.choice(synonyms(table)[value])

    def slot_keepside(self) -> str:
        return f"the {self.slot_keep()}"

    def _copied(self, name: str, source: str, quote: bool = False) -> str:
        value = self.rng.choice(words(source))
        self.put(name, value)
        return quoted(verbatim(value), self.rng) if quote else verbatim(value)

    def gapped(self) -> str:
        """A sentence with gaps: one of the list, or a plain one whose words are struck out here."""
        rng = self.rng
        if rng.random() < 0.25:
            value = rng.choice(words("blanks"))
        else:
            parts = rng.choice(words("sentences to gap")).split()
            gap = rng.choice(["___", "___", "____", "_____", "__", "[MASK]", "[MASK]", "______"])
            for i in rng.sample(range(len(parts)), rng.choice([1, 1, 1, 2])):
                mark = parts[i][-1] if parts[i][-1] in ",.!?;" else ""
                parts[i] = gap + mark
            value = " ".join(parts)
        if rng.random() < 0.35:
            value = value[0].upper() + value[1:]
        if rng.random() < 0.15 and value[-1] not in ".!?":
            value += "."
        self.put("text", value)
        return verbatim(value)

    def slot_blank(self) -> str:
        return self.gapped()

    def slot_qblank(self) -> str:
        return quoted(self.gapped(), self.rng)

    def slot_codekind(self) -> str:
        return self.rng.choice(words("codekinds"))

    def slot_code(self) -> str:
        value = self.rng.choice(words("codes"))
        if self.rng.random() < 0.4:
            value = f"{self.rng.choice(words('code verbs'))} {self.rng.choice(words('code objects'))}"
        self.put("prompt", value)
        return grammar.safe(value)

    def _deed(self, form: int) -> str:
        """What code is to do: "sort a list", "sorting a list"."""
        verb = self.rng.choice(words("code deeds")).split("/")[form]
        value = f"{verb} {self.rng.choice(words('code objects'))}"
        self.put("prompt", value)
        return grammar.safe(value)

    def slot_codedo(self) -> str:
        return self._deed(0)

    def slot_codedoing(self) -> str:
        return self._deed(1)

    def slot_codething(self) -> str:
        """What code is about, as a noun: "bubble sort"."""
        value = self.rng.choice(words("code things"))
        self.put("prompt", value)
        return grammar.safe(value)

    def codeline(self) -> str:
        value = self.rng.choice(words("codelines"))
        if self.rng.random() < 0.6:
            verb, noun = self.rng.choice(words("code names")), self.rng.choice(words("nouns")).partition("/")[0]
            noun = noun.replace(" ", "_")
            given = self.rng.choice(["", "x", "path", "items", "a, b", "text", "n: int", "values", "self", noun])
            value = self.rng.choice([f"def {verb}_{noun}({given}):", f"def {verb}({given}):", f"class {noun.title()}:"])
        self.put("prompt", value)
        return verbatim(value)

    def slot_codeline(self) -> str:
        return self.codeline()

    def slot_qcodeline(self) -> str:
        return quoted(self.codeline(), self.rng)

    def slot_music(self) -> str:
        return self.rng.choice(words("musics"))

    def slot_key(self) -> str:
        tone = self.rng.choice("CDEFGAB") + self.rng.choice(["", "", "", "", " flat", " sharp", "b", "#"])
        value = f"{tone} {self.rng.choice(['major', 'minor'])}"
        self.put("key", value)
        return grammar.safe(value)

    def slot_melody(self) -> str:
        value = self.rng.choice(words("melodies"))
        if self.rng.random() < 0.75:
            marks = self.rng.choice([("", "", "", "#"), ("", "", "b"), ("",)])
            lengths = self.rng.choice([("",), ("", "", "", "/2"), ("", "/2", "/4")])
            octave = self.rng.choice([3, 4, 4, 5])
            notes = [
                f"{self.rng.choice('CDEFGAB')}{self.rng.choice(marks)}{octave + self.rng.choice([0, 0, 0, 1])}"
                f"{self.rng.choice(lengths)}"
                for _ in range(self.rng.randint(3, 12))
            ]
            value = " ".join(notes)
        self.put("melody", value)
        return grammar.safe(value)

    def slot_sound(self) -> str:
        table = synonyms("sounds")
        label = self.rng.choice(list(table))
        self.put("kind", label)
        item = grammar.noun(self._heard(label, self.rng.choice(table[label]), 0.6))
        look = f"{self.rng.choice(words('sound looks'))} " if self.rng.random() < 0.16 else ""
        luck = self.rng.random()
        if luck < 0.42:
            said = item.singular(self.rng, look)
            return said if said.endswith("sound") else said + self.rng.choice(["", "", " sound", " sample", " hit"])
        if luck < 0.8:
            bare = item.one.removesuffix(" sound")
            things = [item.many, item.many, f"{bare} sounds", f"{bare} samples", f"{bare} hits"]
            return f"{self.count(self.rng.choice([8, 16, 64]))[1]} {look}{self.rng.choice(things)}"
        return self.rng.choice([f"some {look}{item.many}", item.one, item.one, f"{look}{item.one}"])

    def slot_soundbare(self) -> str:
        """A kind of sound and nothing else: "kick"."""
        table = synonyms("sounds")
        label = self.rng.choice(list(table))
        self.put("kind", label)
        return self._heard(label, self.rng.choice(table[label]), 1.0)

    def _heard(self, label: str, said: str, chance: float) -> str:
        """A thing that could be drawn as well is called a sound: "bell sound"."""
        return said if label in DRUMS or self.rng.random() > chance else f"{said} sound"

    def slot_soundmany(self) -> str:
        return grammar.noun(self.slot_soundbare()).many

    def slot_ns(self) -> str:
        """A number of sounds, pictures or versions that a word follows: "four", "4"."""
        return self.count(64)[1].removesuffix(" of")

    def slot_anykey(self) -> str:
        """A key as the tool lists it, in a person's words: "c minor", "the key of C minor"."""
        return self.rng.choice(["{}", "{}", "the key of {}", "{} if you can", "good old {}"]).format(self.slot_key())

    def slot_vsubject(self) -> str:
        luck = self.rng.random()
        if luck < 0.45:
            value = self.rng.choice(words("vsubjects"))
        else:
            value = self.rng.choice(words(self.rng.choice(["unknown", "nouns"]))).partition("/")[0]
            if luck < 0.8:
                value = f"{self.rng.choice(words('motions'))} {value}"
        self.put("subject", value)
        bare = value.endswith(("s", "fire", "snow", "water", "seven", "rain", "smoke")) and not value.endswith("ss")
        return value if bare else f"{grammar.article(value)} {value}"

    def slot_vsubject2(self) -> str:
        """A subject that is taken back in the same breath."""
        said = self.slot_vsubject()
        del self.args["subject"]
        return said

    def slot_video(self) -> str:
        base = self.rng.choice(words("videos"))
        return (
            f"{base} {self.rng.choice(['of', 'of', 'of', 'with', 'showing'])} {self.slot_vsubject()}"
            if self.rng.random() < 0.75
            else base
        )

    def slot_family(self) -> str:
        said = self.slot_familyname()
        return f"{'an' if said[0] in 'RLHM' and said.isupper() and said[:2] != 'MA' else 'a'} {said}"

    def slot_familyname(self) -> str:
        table = synonyms("families")
        family = self.rng.choice([f for f in table if f != "hybrid"])
        self.put("family", family)
        return self.rng.choice(table[family])

    def slot_data(self) -> str:
        value = self.rng.choice(words("datas"))
        if self.rng.random() < 0.55:
            name = fresh_name(self.rng)
            value = self.rng.choice(
                [
                    f"{name}.txt",
                    f"{name}.zip",
                    f"{name}.csv",
                    f"{name}/",
                    f"data/{name}",
                    f"upload-{name}",
                    self.image_id(),
                ]
            )
        self.put("data", value)
        return verbatim(value)

    def slot_name(self) -> str:
        value = self.rng.choice(words("newnames")) if self.rng.random() < 0.4 else fresh_name(self.rng)
        self.put("name", value)
        return verbatim(value)

    # values of clauses

    slot_seed, slot_model, slot_style, slot_words = seed, model, style, word_count

    def slot_temperature(self) -> str:
        value = self.rng.choice([0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.9, 1.1, 1.2, 1.5, 1.0, 0.4, 1.3, 0.8, 2.0, 0.0, 1.4])
        if self.rng.random() < 0.15:
            value = self.rng.choice([0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.05, 1.25, 1.75, 1.9])
        self.put("temperature", value)
        luck = self.rng.random()
        if luck < 0.08 and 0 < value < 1:
            return f"{value:g}".removeprefix("0")
        return f"{value:g}" if luck < 0.75 else f"{value}"

    def slot_must(self) -> str:
        value = self.rng.choice(
            words(self.rng.choice(["must", "themes", "themes", "wordsx", "any words", "any words"]))
        )
        if self.rng.random() < 0.25:
            value = self.rng.choice(words(self.rng.choice(["nouns", "unknown"]))).partition("/")[0]
        self.put("must_include", value)
        return quoted(grammar.safe(value), self.rng, bare=0.65)

    def slot_frames(self) -> str:
        top = int((self.fields.get("frames") or {}).get("maximum", 64))
        usual = [5, 6, 7, 8, 9, 10, 12, 15, 16, 18, 20, 24, 25, 30, 32, 36, 40, 48, 50, 60, 64]
        value = self.rng.choice([*usual, *(self.rng.randint(3, top) for _ in range(9))])
        self.put("frames", value)
        if value in (12, 24) and self.rng.random() < 0.25:
            return "a dozen" if value == 12 else "two dozen"
        return number(value, self.rng, loose=False)

    def slot_strength(self) -> str:
        value = self.rng.choice([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.15, 0.25, 0.35, 0.75, 1.0])
        self.put("strength", value)
        luck = self.rng.random()
        if luck < 0.1:
            return f"{round(value * 100)}{self.rng.choice(['%', ' %', ' percent'])}"
        return f"{value:g}".removeprefix("0") if luck < 0.2 and value < 1 else f"{value:g}"

    def slot_count(self) -> str:
        return self.count()[1]

    def _amount(self, name: str, usual: tuple[int, ...]) -> str:
        value = self.rng.choice([*usual, self.rng.randint(2, max(usual)), self.rng.randint(2, max(usual))])
        self.put(name, value)
        return number(value, self.rng, loose=False)

    def slot_lines(self) -> str:
        return self._amount("lines", (5, 8, 10, 12, 15, 25, 30, 40, 50, 60, 100))

    def slot_bars(self) -> str:
        return self._amount("bars", (4, 6, 8, 10, 12, 16, 16, 20, 24, 32, 48, 64))

    def slot_minutes(self) -> str:
        return self._amount("minutes", (1, 2, 3, 4, 7, 8, 10, 12, 15, 20, 25, 30, 40, 45, 60, 90, 120))

    def slot_duration(self) -> str:
        """A time with its unit, in minutes for the tool."""
        if self.rng.random() < 0.45:
            return f"{self.slot_minutes()} {self.rng.choice(['minutes', 'minutes', 'min', 'mins'])}"
        value, said = self.rng.choice(DURATIONS)
        self.put("minutes", value)
        return said


def fresh_name(rng: Random) -> str:
    """A model's name that no list holds, so that names are copied and not recalled."""
    noun = rng.choice(words(rng.choice(["nouns", "unknown"]))).partition("/")[0]
    theme, other = (rng.choice([part for part in words("themes") if " " not in part]) for _ in range(2))
    many = grammar.plural(noun)
    name = rng.choice(
        [
            noun,
            theme,
            many,
            many,
            f"my {many}",
            f"my {noun}",
            f"my {theme}",
            f"{theme} {other}",
            f"{noun} maker",
            f"{theme} model",
        ]
    )
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
