"""Messages for several tasks, and conversations, that are written as one piece and not joined from parts."""

from __future__ import annotations

import re
from typing import Any

from chains.prompting import Turn
from chains.tuning import grammar
from chains.tuning.grammar import END, expand, reserved, sections
from chains.tuning.pieces import Piece, Said, Task
from chains.tuning.toollists import ShownTool
from chains.tuning.writer import Example, Writer

TALK = "talk"  # a turn of a conversation that calls nothing
_QUOTES = tuple("'\"\u201c\u2018\u00ab")


def whole(writer: Writer, file: str = "whole.txt") -> Said | None:
    """The words and their tasks in the order in which they run; None where the list lacks a tool or an argument.

    A section of whole.txt names the tools in that order, `{2:seed}` is a slot of the second, `{12:seed}` says
    once what holds for the first and the second, `{seed}` is a slot of the first. whole_one.txt has one task a line.
    """
    found = _line(writer, file)
    if found is None:
        return None
    tools, line = found
    pieces = [Piece(writer, tool) for tool in tools if tool]

    def fill(slot: str) -> str:
        which, _, what = slot.rpartition(":")
        first, *others = (pieces[int(digit) - 1] for digit in which or "1")
        before, first.args = first.args, {}
        said = first.fill(what)
        for piece in others:
            piece.args.update(first.args)
        first.args = before | first.args
        return _continued(said, what)

    text = expand(line.replace("\\n", "\n"), writer.rng, fill)
    if END in text[:-1] or not all(piece.complete for piece in pieces):
        return None
    return text, [Task("", piece.tool, piece.given) for piece in pieces], False


def conversation(writer: Writer) -> Example | None:
    """Two or more turns; None where the list lacks a tool or an argument.

    A section of whole_follow.txt names each turn's tool, or TALK; ` || ` stands between the turns. `<1 ` begins one
    that keeps the first turn's arguments and changes those that it says, `<1-seed,count ` keeps all but two of them.
    `{1:noun}` says a word of the first turn once more.
    """
    found = _line(writer, "whole_follow.txt")
    if found is None:
        return None
    tools, line = found
    pieces: list[Piece | None] = []
    turns: list[Turn] = []
    calls: list[tuple[str, dict[str, Any]]] = []
    for tool, said in zip(tools, line.replace("\\n", "\n").split(" || "), strict=True):
        if pieces:  # what the turn before came to
            turns += _answered(writer, pieces[-1])
        kept = re.match(r"<(\d)((?:-[\w,]+)?) ", said)
        before = _kept(pieces[int(kept[1]) - 1], kept[2][1:].split(",")) if kept else {}
        piece = Piece(writer, tool, before) if tool else None

        def fill(slot: str, own: Piece | None = piece) -> str:
            which, _, what = slot.rpartition(":")
            piece = pieces[int(which) - 1] if which else own
            assert piece is not None, slot
            return _continued(piece.fill(what), what)

        text = expand(said[kept.end() :] if kept else said, writer.rng, fill)
        if END in text[:-1] or (piece and (not piece.complete or (kept and piece.args == before))):
            return None
        pieces.append(piece)
        turns.append(Turn("user", writer.say(text.removesuffix("?"), question=text.endswith("?"), wrap=False)))
        calls = [writer.call(piece.tool, piece.args)] if piece else []
    return Example(turns, calls, "followup")


def _kept(piece: Piece | None, dropped: list[str]) -> dict[str, Any]:
    assert piece is not None, "a turn of talk has no arguments to keep"
    return {name: value for name, value in piece.args.items() if name not in dropped}


def _answered(writer: Writer, piece: Piece | None) -> list[Turn]:
    """The call and its result, and perhaps a reply; words alone where there is none."""
    if piece is None:
        return [Turn("assistant", writer.rng.choice(sections("follow.txt")["replies"]))]
    call = writer.call(piece.tool, piece.args)
    result = Turn("tool", writer.result(piece.tool, piece.args), name=call[0])
    return writer.reply([Turn("assistant", calls=(call,)), result])


def _line(writer: Writer, file: str) -> tuple[list[ShownTool | None], str] | None:
    """A line whose tools are all in the list, with these; None for TALK."""
    tools = {tool.task: tool for tool in writer.tools}
    named = {name: name.split(", ") for name in sections(file) if name}
    served = [name for name in named if set(named[name]) <= {*tools, TALK}]
    lines = [(name, line) for name in served for line in sections(file)[name]]
    lines = [pair for pair in lines if reserved(pair[1]) == (writer.split == "dev")]
    if not lines:
        return None
    name, line = writer.rng.choice(lines)
    return [tools.get(task) for task in named[name]], line


def _continued(said: str, slot: str) -> str:
    """A value that words may follow: a model, an image and what stands between quotes have a clear end."""
    clear = slot in ("model", "start", "end", "imageid") or grammar.plain(said)[:1] in _QUOTES
    return grammar.safe(grammar.plain(said)) if clear else said
