"""The values of `invent_names`: how many names, of which kind, for whom, and their first letters."""

from __future__ import annotations

import re

from chains.tuning import grammar
from chains.tuning.grammar import quoted, synonyms, verbatim, words
from chains.tuning.values import Values, spoken

GENDERED = ("surname", "last", "first", "female", "male", "girl", "boy", "female first", "male first")


class NameValues(Values):
    """What a request for names may mention."""

    slot_purpose = spoken("purposes")

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

    def slot_names(self) -> str:
        return self.names()

    def slot_names_bare(self) -> str:
        return self.kind() if "kind" in self.tool_known and self.rng.random() < 0.6 else "names"

    def slot_noun_name(self) -> str:
        """One name without its article: "surname", "dwarf name"."""
        bare = self.slot_names_bare()
        self.put("count", 1)
        return re.sub(r"^names\b" if bare.startswith("names") else r"names\b", "name", bare, count=1)

    # kinds

    def kind(self) -> str:
        """Names of one kind, listed or not: "surnames", "names for dragons"."""
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

    def slot_kindword(self) -> str:
        listed = self.known.get("kind", [])
        value = self.rng.choice([*listed, *listed, self.rng.choice(words("name holders")).partition("/")[0]])
        self.put("kind", value)
        return grammar.safe(value)

    # people to be named

    def slot_persons(self) -> str:
        """How many, and their sex where the tool lists it."""
        count, said = self.count(40)
        return f"{said if 'of' not in said else count} {self.slot_people()}"

    def slot_person(self) -> str:
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

    # first letters

    def slot_letters(self) -> str:
        value = self.rng.choice(words("letters"))
        value = value.lower() if self.rng.random() < 0.15 else value
        self.put("starts_with", value)
        return quoted(verbatim(value), self.rng, bare=0.75)

    def slot_letter(self) -> str:
        value = self.rng.choice([w for w in words("letters") if len(w) == 1])
        self.put("starts_with", value)
        return verbatim(value)
