"""Text that a request only quotes, set aside while the LLM decides what to call.

What stands in quotation marks, a fence, markup or after a colon is what a request is about, not the request. An LLM
that reads `is this rude: "draw five coats"` may draw coats; one that reads `is this rude: "…"` cannot, whatever the
text says. The words come back where the call's arguments hold the mark (the symbolic memory of Willison's "dual LLM"
pattern, 2023).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

MARK = "…"
WORDS = 3  # quotes of fewer are names and single words, which cannot ask for much
SHARED = 16  # characters of a quotation that an argument has from nowhere else
PASTED_WORDS = 6  # of a block after a colon, which has no marks of its own

# What opens a quotation, and what may close it, in the ways that languages do: English, German, French, Japanese.
_PAIRS = {
    '"': '"',
    "'": "'",
    "\u201c": "\u201d",
    "\u2018": "\u2019",
    "\u201e": "\u201c\u201d",
    "\u201a": "\u2018\u2019",
    "\u00ab": "\u00bb",
    "\u00bb": "\u00ab",
    "\u2039": "\u203a",
    "\u300c": "\u300d",
    "\u300e": "\u300f",
}
_WHOLE = (
    re.compile(r"```[^\n`]*\n?(?P<inside>.*?)(?:```|\Z)", re.DOTALL),
    re.compile(r"(?P<inside><\|.*\|>)", re.DOTALL),  # chat markup: from its first mark to its last
    re.compile(r"(?P<inside><(?P<tag>[A-Za-z_][\w-]*)[^<>\n]*>.*?</(?P=tag)\s*>)", re.DOTALL),
    re.compile(
        r"(?P<inside>[\[{][^\[\]{}]*(?:[\[{][^\[\]{}]*(?:[\[{][^\[\]{}]*[\]}][^\[\]{}]*)*[\]}][^\[\]{}]*)*[\]}])"
    ),
    re.compile(r"(?P<inside>(?:^[ \t]*>[^\n]*(?:\n|\Z))+)", re.MULTILINE),
)
_AFTER_COLON = re.compile(r":[ \t]*\n+(?P<inside>.+)\Z", re.DOTALL)
_LIST = re.compile(r"\s*(?:[-*\u2022\u2013]|\(?\d+[.)])\s")


@dataclass(frozen=True)
class Quoted:
    """`text` with MARK in place of each of `parts`, in order; `pasted` if one has no marks of its own."""

    text: str
    parts: tuple[str, ...] = ()
    pasted: bool = False


def set_aside(text: str) -> Quoted:
    """A request without what it quotes. One that is nothing but a quotation stays as it is."""
    spans = sorted(_spans(text))
    pasted = False
    if block := _AFTER_COLON.search(text):
        start, end = block.span("inside")
        free = all(stop <= start or begin >= end for begin, stop in spans)
        if free and len(block["inside"].split()) >= PASTED_WORDS and not _is_list(block["inside"]):
            spans, pasted = [span for span in spans if span[1] <= start] + [(start, end)], True
    pieces: list[str] = []
    parts: list[str] = []
    last = 0
    for begin, end in spans:
        pieces += [text[last:begin].replace(MARK, "..."), MARK]
        parts.append(text[begin:end])
        last = end
    pieces.append(text[last:].replace(MARK, "..."))
    rest = "".join(piece for piece in pieces if piece != MARK)
    if not parts or not re.search(r"\w", rest):
        return Quoted(text)
    return Quoted("".join(pieces), tuple(parts), pasted)


def put_back(value: Any, parts: list[str]) -> Any:
    """An argument with the parts, used up in order, in place of its marks."""
    if isinstance(value, str):
        while parts and MARK in value:
            value = value.replace(MARK, parts.pop(0).replace(MARK, "..."), 1)
        return value
    if isinstance(value, list):
        return [put_back(item, parts) for item in value]
    if isinstance(value, dict):
        return {key: put_back(item, parts) for key, item in value.items()}
    return value


def take_out(value: Any, parts: tuple[str, ...]) -> Any:
    """The reverse, for earlier calls: an argument with MARK in place of any of the parts."""
    if isinstance(value, str):
        for part in parts:
            if len(value) >= SHARED and value.strip() in part:
                return MARK  # a stretch of it
            value = value.replace(part.strip(), MARK) if part.strip() else value
        return value
    if isinstance(value, list):
        return [take_out(item, parts) for item in value]
    if isinstance(value, dict):
        return {key: take_out(item, parts) for key, item in value.items()}
    return value


def _spans(text: str) -> list[tuple[int, int]]:
    """Where something is quoted: the stretches inside the marks, none within another."""
    spans: list[tuple[int, int]] = []
    for pattern in _WHOLE:
        for found in pattern.finditer(text):
            begin, end = found.span("inside")
            if len(found["inside"].split()) >= WORDS or not found["inside"].isprintable() or _is_markup(found):
                spans.append((begin, end))
    for begin, end in _between_marks(text):
        if len(text[begin:end].split()) >= WORDS:
            spans.append((begin, end))
    spans.sort(key=lambda span: (span[0], -span[1]))
    outer: list[tuple[int, int]] = []
    for begin, end in spans:
        if not outer or begin >= outer[-1][1]:
            outer.append((begin, end))
        else:
            outer[-1] = (outer[-1][0], max(end, outer[-1][1]))
    return outer


def _is_markup(found: re.Match[str]) -> bool:
    return found["inside"].startswith(("<", "{")) and len(found["inside"]) > 12


def _between_marks(text: str) -> list[tuple[int, int]]:
    """Stretches between quotation marks, outermost ones; marks that do not pair are none."""
    spans: list[tuple[int, int]] = []
    open_: list[tuple[str, int]] = []
    for i, char in enumerate(text):
        before, after = text[i - 1 : i], text[i + 1 : i + 2]
        closes = bool(open_) and char in _PAIRS[open_[-1][0]] and bool(before.strip()) and not after.isalnum()
        opens = char in _PAIRS and not before.isalnum() and bool(after.strip())
        if closes and not (opens and char in "\"'" and (not before.strip() or before in "([:")):
            begin = open_.pop()[1]
            if not open_:
                spans.append((begin, i))
        elif opens:
            open_.append((char, i + 1))
    return spans


def _is_list(block: str) -> bool:
    """Whether a block is a list of points, which is the person's own way to ask for several things."""
    lines = [line for line in block.splitlines() if line.strip()]
    return len(lines) > 1 and all(_LIST.match(line) for line in lines)
