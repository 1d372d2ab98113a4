"""One request for one tool: the words of a person and the arguments that they mean.

The rules, where words leave a choice:

* A subject, style or kind that the tool's description lists is named as listed, whatever the person calls it
  ("sweater" -> pullover); one that is not listed is copied, in the singular ("three unicorns" -> unicorn, count 3).
* "a", "one" and a bare noun ask for no count where one is the default; "some" and "several" never give a count;
  "a couple" is 2, "half a dozen" 6, "a dozen" 12. "a name" is count 1, since five is that tool's default.
* What the names are for ("for my cat") is no kind; "elf names" has the kind elf.
* A topic ("a text about mercy") is the word that must be in it.
* Families are named in lower case (gan, lstm), models as they stand. Vague wishes ("wilder", "short") give no argument.
* What was said is written even if it equals the default, and arguments stand in the schema's order.
"""

from __future__ import annotations

import json
import re

from chains.tuning import grammar
from chains.tuning.grammar import END, KEEP, Noun, expand, quoted, sections, synonyms, verbatim, words
from chains.tuning.values import Values

CLAUSES = {  # argument -> (probability, section of clauses.txt), for the app's tools
    "generate_image": {"seed": (0.18, "seed"), "model": (0.18, "model")},
    "morph_images": {"frames": (0.38, "frames"), "seed": (0.16, "seed"), "model": (0.17, "model")},
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
    "invent_names": {"starts_with": (0.3, "starts_with"), "seed": (0.15, "seed"), "model": (0.17, "model")},
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


class Request(Values):
    """A request in the making; after `make`, `text` and `args` stand."""

    text = ""
    is_question = False
    is_imperative = False

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
        return str(self.count(20)[0])

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
        if luck < 0.12 and "words" in self.tool_known:
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
        if luck < 0.26 and "style" in self.tool_known:
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
                        "a psalm",
                        "a fake psalm",
                        "a made-up bible verse",
                        "a page of scripture",
                        "a page from a holy book",
                        "a holy text",
                        "some Bible-sounding text",
                        "some old-testament sounding text",
                        "something that sounds like the Bible",
                        "a King James style passage",
                        "a passage in King James English",
                        "a prophecy like in the Bible",
                        "a made-up gospel",
                        "some biblical prose",
                        "a scripture verse",
                        "a chapter of scripture",
                    ]
                )
            said = self.style()
            return f"{base} in the style of {said}"
        if luck < 0.36 and "must_include" in self.tool_known:
            topics = [t for t in words("topics_of_text") if " " not in t or t.startswith(("the ", "a "))]
            topic = rng.choice([rng.choice(topics), rng.choice(words("themes"))])
            self.put("must_include", re.sub(r"^(a|the) ", "", topic))
            link = rng.choice(["about", "about", "about", "on", "on the subject of", "that is about", "concerning"])
            return f"{base} {link} {grammar.safe(topic)}"
        return base

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
        luck = self.rng.random()
        if luck < 0.5:
            said = [self.rng.choice(words(part)) for part in ("openers", "someones", "deeds")]
            said = said[self.rng.choice([0, 0, 1]) :]
            text = " ".join(said if self.rng.random() < 0.7 else [*said, self.rng.choice(words("themes"))])
            return text[0].upper() + text[1:] if self.rng.random() < 0.8 else text
        if luck < 0.65:
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
        bare = self.kind() if plain_kind and "kind" in self.tool_known else self.slot_names_bare()
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

    def slot_names_bare(self) -> str:
        return self.kind() if "kind" in self.tool_known and self.rng.random() < 0.6 else "names"

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

    # the whole

    def frames(self, section: str) -> list[str]:
        lines = sections("builtin.txt")[section]
        return [line for line in lines if grammar.reserved(line) == (self.split == "dev")] or lines

    def make(self) -> None:
        """Draws a frame and its clauses; afterwards `text` and `args` stand."""
        section = self.task
        if self.task == "write_text" and "prompt" in self.tool_known and self.rng.random() < 0.36:
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
            clauses = sections("clauses.txt")[CLAUSES[self.task][name][1]]
            clause = self.rng.choice([c for c in clauses if self.is_imperative or not c.startswith(_IMPERATIVE)])
            clause = clause.removeprefix(_IMPERATIVE)
            if core.endswith(END) and clause.startswith("*") and not clause.startswith("*. "):
                continue  # words after a bare copied text would belong to it
            if not clause.startswith("*") and core[:1] == KEEP:
                continue
            core = expand(clause, self.rng, self.fill).replace("*", core)
        return core
