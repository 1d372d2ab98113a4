"""The values of `write_text` and `fill_blanks`: texts, their style, length, first words, and sentences with gaps."""

from __future__ import annotations

import re

from chains.tuning import grammar
from chains.tuning.grammar import expand, number, quoted, sections, synonyms, verbatim, words
from chains.tuning.values import Values

TEXTS = (
    "a text", "a short text", "a passage", "a short passage", "a paragraph", "a short paragraph", "some text",
    "a few sentences", "a few lines", "a page", "a piece of text", "some lines", "something", "a bit of prose",
    "some prose", "a little text", "a snippet of text", "a verse", "a new text", "some sentences", "a longer text",
    "some words",
)  # fmt: skip
WORD_COUNTS = (10, 15, 20, 25, 30, 40, 50, 70, 80, 90, 100, 120, 150, 200, 250, 300, 400, 500, 1000)


class TextValues(Values):
    """What a request for a text, or for the missing words of one, may mention."""

    def slot_text(self) -> str:
        """A text, perhaps with its length or its style, perhaps with its topic."""
        rng = self.rng
        base = rng.choice(TEXTS)
        luck = rng.random()
        topical = "must_include" in self.tool_known
        if luck < 0.12 and "words" in self.tool_known:
            base = expand(rng.choice(sections("clauses.txt")["counted texts"]), rng, self.fill)
            luck = 0.3 if rng.random() < 0.2 and topical else 1.0
        elif luck < 0.3 and "style" in self.tool_known:
            base = self._styled(base)
            luck = 0.3 if rng.random() < 0.25 and topical else 1.0
        if 0.3 <= luck < 0.4 and topical:
            topic = rng.choice([rng.choice(words("topics_of_text")), *(rng.choice(words("themes")) for _ in range(2))])
            if rng.random() < 0.3:
                topic = rng.choice(words(rng.choice(["any words", "must"])))
            self.put("must_include", re.sub(r"^(a|an|the) ", "", topic))
            link = rng.choice(["about", "about", "about", "on", "on the subject of", "that is about", "concerning"])
            return f"{base} {link} {grammar.safe(topic)}"
        return base

    def _styled(self, base: str) -> str:
        """A text named by its kind: "a fake psalm", "a sonnet", "some bible-like prose"."""
        table = synonyms("style nouns")
        listed = [label for label in self.known.get("style", []) if label in table]
        luck = self.rng.random()
        if (luck < 0.7 and listed) or luck < 0.25:
            label = self.rng.choice(listed or list(table))
            self.put("style", label)
            said = self.rng.choice(table[label])
            if said.startswith(("a ", "an ")) and self.rng.random() < 0.45:
                kinds = ["fake", "short", "made-up", "new", "mock", "little", "brief", "pretend", "long"]
                said = f"a {self.rng.choice(kinds)} {said.partition(' ')[2]}"
            return said
        return f"{base} in the style of {self.slot_style()}"

    def slot_style(self) -> str:
        listed = self.known.get("style", [])
        if listed and self.rng.random() < 0.75:
            label = self.rng.choice(listed)
            self.put("style", label)
            return self.rng.choice([label, label, *synonyms("styles").get(label, ())])
        said = self.rng.choice(words("freestyles"))
        self.put("style", re.sub(r"^(a|an|the) ", "", said))
        return grammar.safe(said)

    def slot_about_style(self) -> str:
        return f"in the style of {self.slot_style()}"

    def slot_words(self) -> str:
        value = self.rng.choice([*WORD_COUNTS, *(self.rng.randint(5, 400) for _ in range(8))])
        self.put("words", value)
        return number(value, self.rng, loose=False)

    def slot_must(self) -> str:
        sources = ["must", "themes", "themes", "wordsx", "any words", "any words"]
        value = self.rng.choice(words(self.rng.choice(sources)))
        if self.rng.random() < 0.25:
            value = self.rng.choice(words(self.rng.choice(["nouns", "unknown"]))).partition("/")[0]
        self.put("must_include", value)
        return quoted(grammar.safe(value), self.rng, bare=0.65)

    def slot_prompt(self) -> str:
        value = self._opening()
        self.put("prompt", value)
        return verbatim(value)

    def slot_qprompt(self) -> str:
        return quoted(self.slot_prompt(), self.rng)

    def _opening(self) -> str:
        """Words that a text goes on from."""
        rng = self.rng
        luck = rng.random()
        if luck < 0.5:
            said = [rng.choice(words(part)) for part in ("openers", "someones", "deeds")]
            said = said[rng.choice([0, 0, 1]) :]
            text = " ".join(said if rng.random() < 0.7 else [*said, rng.choice(words("themes"))])
            return text[0].upper() + text[1:] if rng.random() < 0.8 else text
        if luck < 0.65:
            pieces = [rng.choice(words(part)) for part in ("prompts", "must", "topics_of_text")]
            return f"{pieces[0]} {pieces[rng.choice([1, 2])]}"
        return rng.choice(words("prompts"))

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

    slot_blank = gapped

    def slot_qblank(self) -> str:
        return quoted(self.gapped(), self.rng)
