"""The values of the image tools: subjects, the ends of a morph, which image is meant and the part of it that stays."""

from __future__ import annotations

from chains.tuning import grammar
from chains.tuning.grammar import Noun, synonyms, verbatim, words
from chains.tuning.values import Values


class PictureValues(Values):
    """What a request for `generate_image`, `morph_images`, `vary_image` or `complete_image` may mention."""

    _subject: Noun | None = None  # what the whole request is about, once it has been said

    # subjects

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

    def shared_subject(self) -> Noun:
        """The one subject that all slots of a request name."""
        if self._subject is None:
            self._subject = self.subject()
            if self.task == "generate_image":
                self.put("subject", self._subject.arg)
        return self._subject

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

    def slot_one(self) -> str:
        return self.one(self.shared_subject())

    def slot_noun(self) -> str:
        return self.shared_subject().one

    def slot_plural(self) -> str:
        return self.shared_subject().many

    def slot_things(self) -> str:
        """One or several of the subject: "a coat", "three pairs of jeans", "some bags"."""
        rng = self.rng
        if self._subject is None and rng.random() < 0.1 and (said := self.oblique()):
            return said
        item = self.shared_subject()
        luck = rng.random()
        if luck < 0.42:
            return self.one(item)
        if luck < 0.47:
            return f"one {item.one}"
        if luck < 0.82:
            size = rng.choice(["different ", "new ", "nice ", "little ", "random "]) if rng.random() < 0.12 else ""
            said = self.count()[1]
            in_pairs = grammar.plain(item.one) in ("trousers", "pants", "jeans")
            pairs = "pairs of " if in_pairs and rng.random() < 0.5 and "of" not in said else ""
            return f"{said} {size}{pairs}{item.many}"
        if luck < 0.9:
            return item.many
        return f"{rng.choice(['some', 'some', 'a few', 'several', 'a bunch of', 'more'])} {item.many}"

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

    # an image that is there, and what becomes of it

    def slot_image(self) -> str:
        if self.rng.random() < 0.3:
            said = self.slot_imageid()
            return self.rng.choice(["image {}", "{}", "picture {}", "the image {}"]).format(said)
        return self.rng.choice(words("images"))

    def slot_imageid(self) -> str:
        value = self.image_id()
        self.put("image", value)
        return verbatim(value)

    def slot_keep(self) -> str:
        return self._part("keep parts")

    def slot_redo(self) -> str:
        """The part that is painted anew, so that the other one stays."""
        return self._part("redo parts")

    def _part(self, table: str) -> str:
        value = self.rng.choice(list(synonyms(table)))
        self.put("keep", value)
        return self.rng.choice(synonyms(table)[value])

    def slot_keepside(self) -> str:
        return f"the {self.slot_keep()}"

    def slot_keepword(self) -> str:
        value = self.rng.choice(("top", "bottom", "left", "right", "outside"))
        self.put("keep", value)
        return value

    def slot_strength(self) -> str:
        value = self.rng.choice([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.15, 0.25, 0.35, 0.75, 1.0])
        self.put("strength", value)
        luck = self.rng.random()
        if luck < 0.1:
            return f"{round(value * 100)}{self.rng.choice(['%', ' %', ' percent'])}"
        return f"{value:g}".removeprefix("0") if luck < 0.2 and value < 1 else f"{value:g}"


def label_words(label: str) -> list[str]:
    """What a person may call a known label: itself first (with blanks for hyphens), then its other words."""
    for table in ("labels fashion", "labels mixed", "labels digits"):
        digits = table == "labels digits"
        for entry, others in synonyms(table).items():
            bare = entry.partition("/")[0]
            if label not in (bare, bare.replace("-", " "), *(others[:1] if digits else ())):
                continue
            if digits:
                return list(dict.fromkeys([label, entry, *others[:1]]))
            if label == "trouser":
                return [others[0], *others]
            named = entry if "/" in entry else label if label == "t-shirt" else label.replace("-", " ")
            return [named, named, *others]  # its own name is the likeliest
    return [label]
