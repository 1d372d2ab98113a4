"""Pieces of a message that asks for several tasks: each one's words and its call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chains.tuning import grammar
from chains.tuning.grammar import expand, sections, words
from chains.tuning.requests import Request
from chains.tuning.toollists import ShownTool
from chains.tuning.writer import Writer

_ENDINGS = {"letters", "letter", "data", "name", "imageid", "image"}


@dataclass
class Task:
    """One task: how it is said, and its call before the arguments are renamed."""

    text: str
    tool: ShownTool
    args: dict[str, Any]
    noun: str = ""  # the subject as it is said, if one is


Said = tuple[str, list[Task], bool]  # a message, what it asks for, and whether it is imperative


def frames(section: str, split: str) -> list[str]:
    """The lines of a section of several.txt that `split` may say."""
    lines = sections("several.txt")[section]
    return [line for line in lines if grammar.reserved(line) == (split == "dev")] or lines


class Piece(Request):
    """A request whose words are a piece of a longer message; `before` is the piece that it goes on from."""

    before: dict[str, Any]

    def __init__(self, writer: Writer, tool: ShownTool, before: dict[str, Any] | None = None) -> None:
        super().__init__(tool.task, tool.schema, tool.known, writer.rng, writer.split)
        self.tool = tool
        self.before = dict(before or {})
        self.args.update(self.before)

    def fill(self, slot: str) -> str:
        """What ends a request of its own may stand in the middle of a longer one."""
        said = super().fill(slot)
        return grammar.safe(grammar.plain(said)) if slot in _ENDINGS else said

    @property
    def given(self) -> dict[str, Any]:
        """The arguments in the order of the tool's schema."""
        return {name: self.args[name] for name in self.fields if name in self.args}

    @property
    def complete(self) -> bool:
        """Whether the list's tool knows all that was said, and was told what it requires, a morph two ends."""
        same_ends = "start" in self.args and self.args["start"] == self.args.get("end")
        needed = set() if self.task == "about" else set(self.required)
        return not same_ends and needed <= set(self.args) <= set(self.fields)

    def slot_num(self) -> str:
        """A number that no noun follows, so never "a couple of"."""
        value = self.rng.choice([2, 3, 4, 5, 6, 7, 8, 10, 12, self.rng.randint(2, 20)])
        self.put("count", value)
        return grammar.number(value, self.rng, loose=False)

    def slot_qblank(self) -> str:
        return grammar.quoted(self.gapped(), self.rng, bare=0)

    def slot_qcodeline(self) -> str:
        return grammar.quoted(self.codeline(), self.rng, bare=0)

    def slot_asked(self) -> str:
        said = self.slot_concept()
        self.put("topic", grammar.plain(said))
        return said

    def slot_theme(self) -> str:
        value = self.rng.choice(words("themes"))
        self.put("must_include", value)
        return grammar.safe(value)

    def slot_kinds(self) -> str:
        return self.kind()

    def slot_chain(self) -> str:
        """The end of the morph before, which this one starts from."""
        self.args.pop("end", None)
        self.put("start", self.before["end"])
        return f"{self.rng.choice(['that', 'it', 'the {}', 'the {}'])}".format(grammar.safe(self.before["end"]))

    def slot_swap(self) -> str:
        self.args.update(start=self.before["end"], end=self.before["start"])
        return ""

    def slot_whole(self) -> str:
        value = self.rng.choice(sections("several.txt")["wholes"])
        self.put("subject", value)
        return grammar.safe(value)

    def slot_looks(self) -> str:
        return self.rng.choice(sections("several.txt")["double looks"])

    def slot_pair(self) -> str:
        value = self.rng.choice(sections("several.txt")["pairs"])
        self.put("must_include", value)
        return grammar.safe(value)


def make_piece(writer: Writer, tool: ShownTool, pattern: str, before: dict[str, Any] | None = None) -> Task | None:
    """Fills a pattern; None where the list's tool lacks an argument or the words would be unclear."""
    piece = Piece(writer, tool, before)
    text = expand(pattern, writer.rng, piece.fill)
    if not piece.complete:
        return None
    noun = piece._subject.one if piece._subject else ""
    return Task(text, tool, piece.given, noun)
