"""One request for one tool: the words of a person and the arguments that they mean.

The rules, where words leave a choice:

* A subject, style or kind that the tool's description lists is named as listed, whatever the person calls it
  ("sweater" -> pullover); one that is not listed is copied, in the singular ("three unicorns" -> unicorn, count 3).
* "a", "one" and a bare noun ask for no count where one is the default; "some" and "several" never give a count;
  "a couple" is 2, "half a dozen" 6, "a dozen" 12. "a name" is count 1, since five is that tool's default.
* What the names are for ("for my cat") is no kind; "elf names" has the kind elf.
* A topic ("a text about mercy") is the word that must be in it.
* Families are named in lower case (gan, lstm), models as they stand. Vague wishes ("wilder", "short") give no argument.
* An argument equal to its default is left out, and arguments stand in the schema's order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from random import Random
from typing import Any

from chains.tuning import grammar
from chains.tuning.grammar import END, KEEP, Noun, expand, number, quoted, sections, synonyms, verbatim, words

CLAUSES = {  # argument -> (probability, section of clauses.txt), for the app's tools
    "generate_image": {"seed": (0.16, "seed"), "model": (0.16, "model")},
    "morph_images": {"frames": (0.35, "frames"), "seed": (0.12, "seed"), "model": (0.14, "model")},
    "vary_image": {"strength": (0.2, "strength"), "seed": (0.12, "seed"), "model": (0.1, "model")},
    "complete_image": {"count": (0.2, "ccount"), "seed": (0.12, "seed")},
    "write_text": {
        "words": (0.22, "words"),
        "style": (0.16, "style"),
        "must_include": (0.2, "must_include"),
        "model": (0.12, "model"),
        "temperature": (0.1, "temperature"),
        "seed": (0.1, "seed"),
    },
    "write_code": {"lines": (0.2, "lines"), "temperature": (0.1, "temperature"), "seed": (0.08, "seed")},
    "invent_names": {"starts_with": (0.26, "starts_with"), "seed": (0.12, "seed"), "model": (0.15, "model")},
    "compose_music": {
        "key": (0.3, "key"),
        "bars": (0.25, "bars"),
        "model": (0.12, "model"),
        "temperature": (0.08, "temperature"),
        "seed": (0.1, "seed"),
    },
    "harmonize_melody": {"seed": (0.15, "seed")},
    "make_sound": {"seed": (0.12, "seed"), "model": (0.12, "model")},
    "make_video": {"frames": (0.3, "vframes"), "seed": (0.1, "seed"), "model": (0.12, "model")},
    "train_model": {"minutes": (0.35, "minutes")},
}
_IMPERATIVE = "- "
_LISTED = re.compile(r": ([^:]+)$")


class Request:
    """A request in the making. `tool` is the schema before renaming; `task` the tool's own name in our tables."""

    def __init__(
        self, task: str, tool: Mapping[str, Any], known: Mapping[str, list[str]], rng: Random, split: str
    ) -> None:
        self.task, self.rng, self.split = task, rng, split
        self.known = known
        self.tool_known = set((tool.get("parameters") or {}).get("properties") or {})
        self.args: dict[str, Any] = {}
        self.text = ""
        self.is_question = False
        self.is_imperative = False

    # nouns and values

    def subject(self, avoid: str = "") -> Noun:
        labels = [label for label in self.known.get("subject", []) if label != avoid]
        if labels and self.rng.random() < 0.8:
            label = self.rng.choice(labels)
            said = label_words(label)
            entry = said[0] if self.rng.random() < 0.45 else self.rng.choice(said)
            return grammar.noun(entry, label)
        taken = {word.partition("/")[0] for label in labels for word in (*label_words(label), label)} | {avoid}
        while True:
            entry = self.rng.choice(words("unknown"))
            if self.rng.random() < 0.5:
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

    def count(self, most: int = 12) -> tuple[int, str]:
        value = self.rng.choice([2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8, 9, 10, 12, 12, self.rng.randint(2, 30)])
        value = min(value, max(most, 2)) if most < 12 else value
        self.put("count", value)
        return value, number(value, self.rng)

    def model(self) -> str:
        if self.rng.random() < 0.5:
            family = self.rng.choice(list(synonyms("families")))
            self.put("model", family)
            return self.rng.choice(synonyms("families")[family])
        name = self.rng.choice(
            [*self.known.get("model", []), *words("modelnames")] if self.known.get("model") else words("modelnames")
        )
        self.put("model", name)
        return verbatim(name)

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
        return number(value, self.rng, loose=False) if value <= 12 and self.rng.random() < 0.3 else str(value)

    # slots

    def fill(self, slot: str) -> str:
        if "=" in slot:
            name, _, value = slot.partition("=")
            self.put(name, json.loads(value) if value in ("true", "false") or value.lstrip("-").isdigit() else value)
            return ""
        method = getattr(self, f"slot_{slot}", None)
        if method is None:
            raise KeyError(f"{self.task}: no slot {slot!r}")
        return str(method())

    def shared_subject(self) -> Noun:
        if not hasattr(self, "_subject"):
            self._subject = self.subject()
            if self.task in ("generate_image",):
                self.put("subject", self._subject.arg)
        return self._subject

    def slot_one(self) -> str:
        return self.one(self.shared_subject())

    def slot_noun(self) -> str:
        return self.shared_subject().one

    def slot_plural(self) -> str:
        return self.shared_subject().many

    def slot_n(self) -> str:
        return self.count()[1]

    def slot_digit(self) -> str:
        return str(self.count()[0])

    def slot_things(self) -> str:
        item = self.shared_subject()
        luck = self.rng.random()
        if luck < 0.42:
            return self.one(item)
        if luck < 0.47:
            return f"one {item.one}"
        if luck < 0.82:
            size = (
                f"{self.rng.choice(['different ', 'new ', 'nice ', 'little ', 'random '])}"
                if self.rng.random() < 0.12
                else ""
            )
            said = self.count()[1]
            pairs = (
                "pairs of "
                if grammar.plain(item.one) in ("trousers", "pants", "jeans")
                and self.rng.random() < 0.5
                and "of" not in said
                else ""
            )
            return f"{said} {size}{pairs}{item.many}"
        if luck < 0.9:
            return item.many
        return f"{self.rng.choice(['some', 'some', 'a few', 'several', 'a bunch of', 'more'])} {item.many}"

    def slot_start(self) -> str:
        return self._end_of_morph("start")

    def slot_end(self) -> str:
        return self._end_of_morph("end")

    def _end_of_morph(self, side: str) -> str:
        other = self.args.get("end" if side == "start" else "start", "")
        if self.rng.random() < 0.05:
            value = self.rng.choice(words("imageids"))
            self.put(side, value)
            return verbatim(value)
        item = self.subject(avoid=other)
        self.put(side, item.arg)
        return item.one if self.rng.random() < 0.25 else self.one(item)

    def slot_text(self) -> str:
        rng = self.rng
        base = rng.choice(
            [
                "a text",
                "a short text",
                "a passage",
                "a short passage",
                "a paragraph",
                "a short paragraph",
                "some text",
                "a few sentences",
                "a few lines",
                "a page",
                "a piece of text",
                "some lines",
                "something",
                "a bit of prose",
                "some prose",
                "a little text",
                "a snippet of text",
                "a verse",
                "a new text",
                "some sentences",
                "a longer text",
                "some words",
            ]
        )
        luck = rng.random()
        if luck < 0.1 and "words" in self.tool_known:
            value = self.word_count()
            return rng.choice(
                [
                    "a {}-word text",
                    "a {} word passage",
                    "a {}-word paragraph",
                    "a passage of {} words",
                    "a text of {} words",
                    "{} words",
                    "about {} words",
                    "{} words of text",
                    "around {} words of prose",
                ]
            ).format(value)
        if luck < 0.2 and "style" in self.tool_known:
            if "scripture" in self.known.get("style", []) and rng.random() < 0.6:
                self.put("style", "scripture")
                return rng.choice(
                    [
                        "a bible-like passage",
                        "a biblical text",
                        "some scripture",
                        "a scripture passage",
                        "a Bible passage",
                        "a bible verse",
                        "something biblical",
                        "a holy-sounding passage",
                        "a piece of scripture",
                        "a verse like in the Bible",
                        "a few lines of scripture",
                        "a new bible chapter",
                        "an Old Testament style text",
                        "a psalm-like passage",
                    ]
                )
            said = self.style()
            return f"{base} in the style of {said}"
        if luck < 0.26 and "must_include" in self.tool_known:
            topic = rng.choice([t for t in words("topics_of_text") if " " not in t or t.startswith(("the ", "a "))])
            self.put("must_include", re.sub(r"^(a|the) ", "", topic))
            return f"{base} about {grammar.safe(topic)}"
        return base

    def word_count(self) -> str:
        value = self.rng.choice(
            [10, 15, 20, 25, 30, 40, 40, 50, 80, 100, 120, 150, 200, 250, 300, 500, self.rng.randint(5, 400)]
        )
        self.put("words", value)
        return number(value, self.rng, loose=False) if value <= 20 or value in (30, 40, 50, 80, 100) else str(value)

    def slot_about_style(self) -> str:
        return f"in the style of {self.style()}"

    def slot_prompt(self) -> str:
        value = self._prompt()
        self.put("prompt", value)
        return verbatim(value)

    def slot_qprompt(self) -> str:
        value = self._prompt()
        self.put("prompt", value)
        return quoted(verbatim(value), self.rng)

    def _prompt(self) -> str:
        if self.rng.random() < 0.35:
            pieces = [
                self.rng.choice(words("prompts")),
                self.rng.choice(words("must")),
                self.rng.choice(words("topics_of_text")),
            ]
            return f"{pieces[0]} {pieces[self.rng.choice([1, 2])]}"
        return self.rng.choice(words("prompts"))

    def slot_names(self) -> str:
        return self.names()

    def names(self, plain_kind: bool = False) -> str:
        rng = self.rng
        bare = "names"
        if (plain_kind or rng.random() < 0.5) and "kind" in self.tool_known:
            bare = self.kind()
        luck = 0.9 if plain_kind else rng.random()
        lead = bare.split()[0] == "names" and len(bare.split()) > 1  # "names for girls": words before it, not after
        if luck < 0.45:
            fresh = rng.choice(["", "", "", "new ", "made-up ", "good ", "fresh ", "random ", "nice "])
            return f"{self.count()[1]} {'' if lead else fresh}{bare}"
        if luck < 0.6 and re.search(r"names$", bare):
            self.put("count", 1)
            phrase = bare.removesuffix("s")
            single = f"{grammar.article(phrase)} {phrase}"
            return rng.choice([single, single, f"one {phrase}", f"a single {phrase}", f"a new {phrase}"])
        if luck < 0.75:
            few = ["some", "some", "a few", "several", "new", "some new", "more", "fresh", "a bunch of"]
            return f"{rng.choice(few)} {bare}"
        return bare

    def kind(self) -> str:
        table = synonyms("nametypes")
        listed = [label for label in self.known.get("kind", []) if label in table]
        if listed and self.rng.random() < 0.75:
            label = self.rng.choice(listed)
            said = self.rng.choice(table[label])
        else:
            taken = {said for label in listed for said in table[label]}
            label = self.rng.choice([k for k in table if k not in listed and table[k][0] not in taken and k != "last"])
            said = table[label][0]
        self.put("kind", label)
        return said

    def slot_purpose(self) -> str:
        return self.rng.choice(words("purposes"))

    def slot_letters(self) -> str:
        value = self.rng.choice(words("letters"))
        self.put("starts_with", value)
        return quoted(verbatim(value), self.rng, bare=0.75)

    def slot_letter(self) -> str:
        value = self.rng.choice([w for w in words("letters") if len(w) == 1])
        self.put("starts_with", value)
        return verbatim(value)

    def slot_concept(self) -> str:
        return self.rng.choice(words("concepts"))

    def slot_modelname(self) -> str:
        return verbatim(self.rng.choice([*self.known.get("model", []), *words("modelnames")]))

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
        value = self.rng.choice(words("must"))
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

    # the whole

    def frames(self, section: str) -> list[str]:
        lines = sections("builtin.txt")[section]
        return [line for line in lines if grammar.reserved(line) == (self.split == "dev")] or lines

    def make(self) -> None:
        """Draws a frame and its clauses; afterwards `text` and `args` stand."""
        section = self.task
        if self.task == "write_text" and "prompt" in self.tool_known and self.rng.random() < 0.3:
            section = "write_text_prompt"
        frame = self.rng.choice(self.frames(section))
        topic = ""
        if self.task == "about":
            topic, _, frame = frame.partition(" <= ")
        self.is_imperative = frame.startswith(_IMPERATIVE)
        core = expand(frame.removeprefix(_IMPERATIVE), self.rng, self._once if topic.startswith("{") else self.fill)
        if topic:
            self.put("topic", grammar.plain(self._cached[topic[1:-1]]) if topic.startswith("{") else topic)
        self.is_question = core.endswith("?")
        self.text = self.add_clauses(core.removesuffix("?"))

    def _once(self, slot: str) -> str:
        """A slot that the topic repeats."""
        if not hasattr(self, "_cached"):
            self._cached: dict[str, str] = {}
        return self._cached.setdefault(slot, self.fill(slot))

    def add_clauses(self, core: str) -> str:
        wanted = [name for name, (chance, _) in CLAUSES.get(self.task, {}).items() if self.rng.random() < chance]
        self.rng.shuffle(wanted)
        for name in wanted[:3]:
            if name in self.args or name not in self.tool_known:
                continue
            clause = self.rng.choice(sections("clauses.txt")[CLAUSES[self.task][name][1]])
            if core.endswith(END) and clause.startswith("*") and not clause.startswith("*. "):
                continue  # words after a bare copied text would belong to it
            if not clause.startswith("*") and core[:1] == KEEP:
                continue
            core = expand(clause, self.rng, self.fill).replace("*", core)
        return core


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
