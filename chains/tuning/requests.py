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

import re
from collections.abc import Sequence

from chains.tuning import grammar
from chains.tuning.code_values import CodeValues
from chains.tuning.grammar import END, KEEP, expand, sections
from chains.tuning.name_values import NameValues
from chains.tuning.picture_values import PictureValues
from chains.tuning.sound_values import SoundValues
from chains.tuning.text_values import TextValues
from chains.tuning.training_values import TrainingValues

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
    "make_video": {"subject": ("subject", "vbare"), "frames": ("frames", "frames")},
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


class Request(PictureValues, TextValues, CodeValues, NameValues, SoundValues, TrainingValues):
    """A request in the making; after `make`, `text` and `args` stand."""

    text = ""
    is_question = False
    is_imperative = False

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
        self._cached: dict[str, str] = {}
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
        always = (*_ALWAYS, *self.required)
        names = [name for name in table if name in self.tool_known and (name in always or rng.random() < 0.55)]
        if not names and self.task in ("vary_image", "make_video"):
            names = [name for name in ("count", "frames") if name in table and name in self.tool_known]
        rng.shuffle(names)
        sign, mark = rng.choice([(": ", ", "), (": ", ". "), ("=", " "), ("=", ", "), (" ", ", "), (": ", "; ")])
        parts = [f"{rng.choice(table[name][0].split('|'))}{sign}{self.fill(table[name][1])}" for name in names]
        lead = rng.choice(_SPEC_LEADS[self.task])
        return lead + rng.choice([": ", ", ", ". ", " - "]) + mark.join(parts) if parts else lead

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
