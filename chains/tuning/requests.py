"""One request for one tool: the words of a person and the arguments that they mean.

The rules, where words leave a choice:

* A subject, style or kind that the tool's description lists is named as listed, whatever the person calls it
  ("sweater" -> pullover); one that is not listed is copied, in the singular ("three unicorns" -> unicorn, count 3).
* "a", "one" and a bare noun ask for no count where one is the default; "some" and "several" never give a count;
  "a couple" is 2, "half a dozen" 6, "a dozen" 12. "a name" is count 1, since five is that tool's default.
* What the names are for ("for my cat") is no kind; "elf names" has the kind elf. People of one sex ("six princesses")
  are of the kind for that sex where the tool lists one.
* What stands beside the request ("she turns six and loves robots") gives no argument.
* A topic ("a text about mercy") is the word that must be in it.
* Families are named in lower case (gan, lstm), models as they stand. Vague wishes ("wilder", "short") give no argument.
* What was said is written even if it equals the default, and arguments stand in the schema's order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from chains.tuning import grammar
from chains.tuning.grammar import END, KEEP, Noun, expand, quoted, sections, synonyms, verbatim, words
from chains.tuning.values import Values

CLAUSES = {  # argument -> (probability, section of clauses.txt), for the app's tools
    "generate_image": {"seed": (0.18, "seed"), "model": (0.18, "model")},
    "morph_images": {"frames": (0.38, "frames"), "seed": (0.16, "seed"), "model": (0.17, "model")},
    "vary_image": {"strength": (0.28, "strength"), "seed": (0.12, "seed"), "model": (0.1, "model")},
    "complete_image": {"count": (0.2, "ccount"), "seed": (0.12, "seed")},
    "write_text": {
        "words": (0.22, "words"),
        "style": (0.16, "style"),
        "must_include": (0.2, "must_include"),
        "model": (0.12, "model"),
        "temperature": (0.1, "temperature"),
        "seed": (0.1, "seed"),
    },
    "write_code": {"lines": (0.3, "lines"), "temperature": (0.14, "temperature"), "seed": (0.16, "seed")},
    "invent_names": {"starts_with": (0.3, "starts_with"), "seed": (0.15, "seed"), "model": (0.17, "model")},
    "compose_music": {
        "key": (0.35, "key"),
        "bars": (0.32, "bars"),
        "model": (0.12, "model"),
        "temperature": (0.08, "temperature"),
        "seed": (0.1, "seed"),
    },
    "harmonize_melody": {"seed": (0.2, "seed")},
    "make_sound": {"seed": (0.16, "seed"), "model": (0.16, "model")},
    "make_video": {"frames": (0.3, "vframes"), "seed": (0.1, "seed"), "model": (0.12, "model")},
    "train_model": {"minutes": (0.5, "minutes")},
}
_IMPERATIVE = "- "
COMMON = 0.6  # share of requests in common words; the others are told as stories, in telegrams, obliquely
GENDERED = ("surname", "last", "first", "female", "male", "girl", "boy", "female first", "male first")
SPECS = {  # argument -> how a person labels it in "subject: coat, count: 3", and the slot of its value
    "generate_image": {"subject": ("subject", "noun"), "count": ("count|number|n|pictures|how many", "digit")},
    "morph_images": {
        "start": ("start|from|first", "start"),
        "end": ("end|to|last", "end"),
        "frames": ("frames|steps", "frames"),
    },
    "write_text": {
        "words": ("words|length|word count", "words"),
        "style": ("style", "style"),
        "must_include": ("must include|must contain|include|contains|keyword", "must"),
        "temperature": ("temperature|temp|t", "temperature"),
    },
    "invent_names": {
        "kind": ("kind|type", "kindword"),
        "count": ("count|number|n|how many", "digit"),
        "starts_with": ("starts with|first letter|beginning|start", "letters"),
    },
    "compose_music": {
        "key": ("key", "key"),
        "bars": ("bars|length in bars", "bars"),
        "temperature": ("temperature", "temperature"),
    },
    "make_video": {"subject": ("subject", "vsubject"), "frames": ("frames", "frames")},
    "vary_image": {
        "image": ("image|picture|id", "imageid"),
        "count": ("count|how many|versions|n", "digit"),
        "strength": ("strength", "strength"),
    },
    "complete_image": {
        "image": ("image|picture|id", "imageid"),
        "keep": ("keep|stays|kept", "keepword"),
        "count": ("count|versions|how many", "digit"),
    },
    "make_sound": {"kind": ("kind|sound|type", "soundbare"), "count": ("count|n|how many", "digit")},
    "train_model": {
        "family": ("family|type|kind", "familyname"),
        "data": ("data|on|source", "data"),
        "name": ("name|call it|model name", "name"),
        "minutes": ("time|train for|duration", "duration"),
    },
}
_ALWAYS = ("subject", "start", "end")
_SPEC_LEADS = {
    "generate_image": ("draw", "picture", "generate_image", "image", "draw this"),
    "morph_images": ("morph", "morph_images", "make a morph"),
    "write_text": ("text", "write", "write_text", "write a text", "passage"),
    "invent_names": ("names", "invent names", "invent_names", "name list"),
    "compose_music": ("music", "compose", "compose_music", "tune"),
    "make_video": ("video", "make_video", "clip", "vid", "animation"),
    "vary_image": ("vary", "vary_image", "variations", "variants"),
    "complete_image": ("complete", "complete_image", "inpaint", "repaint", "fill in the picture"),
    "make_sound": ("sound", "make_sound", "make a sound", "one-shot", "sample"),
    "train_model": ("train", "train_model", "new model", "training", "train a model"),
}


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
        if not hasattr(self, "_subject") and self.rng.random() < 0.1 and (said := self.oblique()):
            return said
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
        luck = self.rng.random()
        if luck < 0.2:
            return item.one
        if luck < 0.32:
            return item.many
        if luck < 0.45:
            return f"{self.rng.choice(['the', 'the', 'my', 'my old', 'that'])} {item.one}"
        return self.one(item)

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
        topical = "must_include" in self.tool_known
        if luck < 0.12 and "words" in self.tool_known:
            base = expand(rng.choice(sections("clauses.txt")["counted texts"]), rng, self.fill)
            luck = 0.3 if rng.random() < 0.2 and topical else 1.0
        elif luck < 0.3 and "style" in self.tool_known:
            base = self.styled(base)
            luck = 0.3 if rng.random() < 0.25 and topical else 1.0
        if 0.3 <= luck < 0.4 and topical:
            topic = rng.choice([rng.choice(words("topics_of_text")), *(rng.choice(words("themes")) for _ in range(2))])
            if rng.random() < 0.3:
                topic = rng.choice(words(rng.choice(["any words", "must"])))
            self.put("must_include", re.sub(r"^(a|an|the) ", "", topic))
            link = rng.choice(["about", "about", "about", "on", "on the subject of", "that is about", "concerning"])
            return f"{base} {link} {grammar.safe(topic)}"
        return base

    def styled(self, base: str) -> str:
        """A text named by its kind: "a fake psalm", "a sonnet", "some bible-like prose"."""
        table = synonyms("style nouns")
        listed = [label for label in self.known.get("style", []) if label in table]
        luck = self.rng.random()
        if (luck < 0.7 and listed) or luck < 0.25:
            label = self.rng.choice(listed or list(table))
            self.put("style", label)
            said = self.rng.choice(table[label])
            if said.startswith(("a ", "an ")) and self.rng.random() < 0.45:
                kind = self.rng.choice(
                    ["fake", "short", "made-up", "new", "mock", "little", "brief", "pretend", "long"]
                )
                said = f"a {kind} {said.partition(' ')[2]}"
            return said
        return f"{base} in the style of {self.style()}"

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

    def slot_persons(self) -> str:
        """People to be named: how many, and their sex where the tool lists it."""
        count, said = self.count(40)
        many = grammar.noun(self._person()).many
        return f"{said if 'of' not in said else count} {many}"

    def slot_person(self) -> str:
        """Somebody to be named, one."""
        self.put("count", 1)
        one = grammar.noun(self._person()).one
        return f"{grammar.article(one)} {one}"

    def slot_people(self) -> str:
        return grammar.noun(self._person()).many

    def _person(self) -> str:
        table = synonyms("persons")
        listed = [label for label in self.known.get("kind", []) if label.removesuffix(" first") in table]
        if not listed or "kind" not in self.tool_known or self.rng.random() < 0.1:
            return self.rng.choice(table["anybody"])
        label = self.rng.choice(listed)
        self.put("kind", label)
        return self.rng.choice(table[label.removesuffix(" first")])

    def slot_noun_name(self) -> str:
        """One name without its article: "surname", "dwarf name"."""
        bare = self.slot_names_bare()
        self.put("count", 1)
        return (
            re.sub(r"^names\b", "name", bare) if bare.startswith("names") else re.sub(r"names\b", "name", bare, count=1)
        )

    def kind(self) -> str:
        table = synonyms("nametypes")
        listed = [label for label in self.known.get("kind", []) if label in table]
        if listed and self.rng.random() < 0.75:
            label = self.rng.choice(listed)
            said = self.rng.choice(table[label])
        elif self.rng.random() < 0.3:
            item = grammar.noun(self.rng.choice(words(self.rng.choice(["unknown", "nouns", "name holders"]))))
            label = item.one
            said = self.rng.choice([f"{item.one} names", f"{item.one} names", f"names for {item.many}"])
            said = grammar.safe(said)
        else:
            taken = {said for label in listed for said in table[label]}
            label = self.rng.choice([k for k in table if k not in listed and table[k][0] not in taken and k != "last"])
            said = table[label][0] if label in GENDERED else self.rng.choice(table[label])
        self.put("kind", label)
        return said

    # the whole

    def frames(self, section: str) -> Sequence[str]:
        lines = grammar.builtin_frames(section, self.rng.random() < COMMON)
        return [line for line in lines if grammar.reserved(line) == (self.split == "dev")] or lines

    def make(self) -> None:
        """Draws a frame, its clauses and what stands beside it; afterwards `text` and `args` stand."""
        if self.task in SPECS and self.rng.random() < 0.025:
            self.text = self.spec()
            return
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
        core = self.add_clauses(core.removesuffix("?"))
        core = core.replace(" of of ", " of ").replace("a couple of times", "twice")
        core = re.sub(r"\b(half|part|side) (?:half|part)\b", r"\1", core)
        core = re.sub(r"(a couple|a trio|a quartet) of(?=[!,.?)]|$)", r"\1", core)
        self.text = self.beside(core)

    def spec(self) -> str:
        """A request as a list of settings: "words: 35, style: scripture, seed: 9"."""
        rng = self.rng
        table = {**SPECS[self.task], "seed": ("seed|random seed", "seed"), "model": ("model", "model")}
        if self.task == "make_video":
            table["subject"] = ("subject", "vbare")
        always = (*_ALWAYS, *self.required)
        names = [name for name in table if name in self.tool_known and (name in always or rng.random() < 0.55)]
        if not names and self.task in ("vary_image", "make_video"):
            names = [name for name in ("count", "frames") if name in table and name in self.tool_known]
        rng.shuffle(names)
        sign, mark = rng.choice([(": ", ", "), (": ", ". "), ("=", " "), ("=", ", "), (" ", ", "), (": ", "; ")])
        parts = [f"{rng.choice(table[name][0].split('|'))}{sign}{self.fill(table[name][1])}" for name in names]
        lead = rng.choice(_SPEC_LEADS[self.task])
        return lead + rng.choice([": ", ", ", ". ", " - "]) + mark.join(parts) if parts else lead

    def slot_vbare(self) -> str:
        self.slot_vsubject()
        return str(self.args["subject"])

    def slot_imageid(self) -> str:
        value = self.image_id()
        self.put("image", value)
        return verbatim(value)

    def slot_keepword(self) -> str:
        value = self.rng.choice(("top", "bottom", "left", "right", "outside"))
        self.put("keep", value)
        return value

    def slot_kindword(self) -> str:
        listed = self.known.get("kind", [])
        value = self.rng.choice([*listed, *listed, self.rng.choice(words("name holders")).partition("/")[0]])
        self.put("kind", value)
        return grammar.safe(value)

    def beside(self, core: str) -> str:
        """`core` with a sentence before it or after it that gives the reason and no argument."""
        rng, table = self.rng, sections("wrap.txt")
        before = rng.random() < 0.16
        after = not before and rng.random() < 0.17 and not core.endswith(END)
        if not (before or after):
            return core
        if self.is_imperative and rng.random() < 0.55:
            pattern = rng.choice([p for p in table["imperative"] if p.endswith(("*", "*?"))])
            core, self.is_question = pattern.removesuffix("?").replace("*", core), pattern.endswith("?")
        mine = table.get(f"{'before' if before else 'after'} {self.task}", [])
        other = table["before any" if before else "after any"]
        said = expand(rng.choice(mine if mine and rng.random() < 0.65 else other), rng, self.fill)
        self.is_imperative = False
        if before:
            core = core[:1].upper() + core[1:] if rng.random() < 0.7 else core
            return f"{said} {core}"
        ended = core + ("?" if self.is_question else "" if said[0] == "," else rng.choice([".", ".", "!", " -"]))
        if self.is_question and said[0] == ",":
            said = said[2].upper() + said[3:]
        self.is_question = False
        return f"{ended}{'' if said[0] == ',' else ' '}{said}"

    def _once(self, slot: str) -> str:
        """A slot that the topic repeats."""
        if not hasattr(self, "_cached"):
            self._cached: dict[str, str] = {}
        return self._cached.setdefault(slot, self.fill(slot))

    def add_clauses(self, core: str) -> str:
        more = 2.5 if self.rng.random() < 0.15 else 1  # sometimes all is said in one sentence
        wanted = [name for name, (chance, _) in CLAUSES.get(self.task, {}).items() if self.rng.random() < chance * more]
        self.rng.shuffle(wanted)
        joined = False
        for name in wanted[:4]:
            if name in self.args or name not in self.tool_known:
                continue
            clauses = sections("clauses.txt")[CLAUSES[self.task][name][1]]
            clause = self.rng.choice([c for c in clauses if self.is_imperative or not c.startswith(_IMPERATIVE)])
            clause = clause.removeprefix(_IMPERATIVE)
            if core.endswith(END) and clause.startswith("*") and not clause.startswith("*. "):
                continue  # words after a bare copied text would belong to it
            if not clause.startswith("*") and core[:1] == KEEP:
                continue
            if joined and clause.startswith("* with ") and self.rng.random() < 0.6:
                clause = clause.replace("* with ", "* and ", 1)  # "with seed 7 and the vae"
            joined = clause.startswith("* with ")
            core = expand(clause, self.rng, self.fill).replace("*", core)
        return core
