"""The values of `write_code`: what the code is to do, the line it goes on from, and how many lines it has."""

from __future__ import annotations

from chains.tuning import grammar
from chains.tuning.grammar import quoted, verbatim, words
from chains.tuning.values import Values, amount, spoken


class CodeValues(Values):
    """What a request for code may mention."""

    slot_codekind = spoken("codekinds")
    slot_lines = amount("lines", 5, 8, 10, 12, 15, 25, 30, 40, 50, 60, 100)

    def slot_code(self) -> str:
        value = self.rng.choice(words("codes"))
        if self.rng.random() < 0.4:
            value = f"{self.rng.choice(words('code verbs'))} {self.rng.choice(words('code objects'))}"
        return self._asked(value)

    def slot_codedo(self) -> str:
        """What code is to do: "sort a list"."""
        return self._deed(0)

    def slot_codedoing(self) -> str:
        """The same as "sorting a list"."""
        return self._deed(1)

    def _deed(self, form: int) -> str:
        verb = self.rng.choice(words("code deeds")).split("/")[form]
        return self._asked(f"{verb} {self.rng.choice(words('code objects'))}")

    def slot_codething(self) -> str:
        """What code is about, as a noun: "bubble sort"."""
        return self._asked(self.rng.choice(words("code things")))

    def _asked(self, value: str) -> str:
        self.put("prompt", value)
        return grammar.safe(value)

    def codeline(self) -> str:
        """A line of code that the new lines follow: "def sort_kite(path):"."""
        value = self.rng.choice(words("codelines"))
        if self.rng.random() < 0.6:
            verb, noun = self.rng.choice(words("code names")), self.rng.choice(words("nouns")).partition("/")[0]
            noun = noun.replace(" ", "_")
            given = self.rng.choice(["", "x", "path", "items", "a, b", "text", "n: int", "values", "self", noun])
            value = self.rng.choice([f"def {verb}_{noun}({given}):", f"def {verb}({given}):", f"class {noun.title()}:"])
        self.put("prompt", value)
        return verbatim(value)

    slot_codeline = codeline

    def slot_qcodeline(self) -> str:
        return quoted(self.codeline(), self.rng)
