"""Long text that a call takes over as it stands: the model points at it instead of copying it.

Code in a fence, or pasted before or after the request, is copied by a small model nearly right, which is wrong. So a
string argument that equals it is written as the mark alone, and the text itself comes from the message: exact however
long, and one token instead of hundreds (pointer networks, Vinyals et al. 2015, with one place to point at). Which place
that is follows from the message (`pasted`).

The mark is the one with which the agent shows text that it has set aside (`chains.quoting`). Where a conversation holds
it already it means that text, and nothing is pointed at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from chains.quoting import MARK
from chains.spacing import takes_string

SHORTEST = 16  # characters; less is copied well
_INFO = re.compile(r"[\w+#.-]*[ \t]*\r?\n")  # what stands after a fence's opening: the language
_TICKS = re.compile(r"(?<![\w`])`([^`\n]+)`(?![\w`])")
_RULER = re.compile(r"^([-=*_~]{3,})[ \t]*\r?$", re.MULTILINE)
_GAP = re.compile(r"\n[ \t\r]*\n")
_CODE = re.compile(r"[{}\[\]=\\|]|\w\((?!s\))|;[ \t\r]*$|</?[A-Za-z!]|\$[A-Za-z({]", re.MULTILINE)  # what prose lacks
_WORDS = re.compile(r"[(^]? ?[A-Za-z][A-Za-z0-9 ,.!?&'\u2019()\u00a3\u20ac-]*")
_ADDRESS = re.compile(  # words of somebody who asks
    r"\b(?:an|the|it|it's|this|that|these|them|me|my|I'm|I'd|we|our|you|your|what|how|why|who|where|which|please|pls|"
    r"thanks|cheers|does|did|could|would|should|into|about|here)\b",
    re.IGNORECASE,
)
_THANKS = re.compile(r"(?:thanks|thank you|please|pls|cheers|ta|thx)[ .!]*", re.IGNORECASE)
_OPENING = re.compile(r"[A-Za-z][A-Za-z ,'\u2019-]*[?!.] +(?=\S)")  # "Lines in this? "
_SENTENCE = re.compile(r"[A-Z][A-Za-z ,'\u2019-]*[.!?]")  # "Can you explain it?"


def pasted(text: str) -> str | None:
    """The stretch of a message that an argument may point at; None where there is none, a short one, or any doubt.

    The first of these that is there: the only fence, the only code in backticks of a line, what stands between two
    rulers, what follows the words that the message begins with (up to the first colon, to the end of the first line,
    or a question that code follows on the same line). Code may also begin the message. Words that close the message
    are no part of code; of prose they may be, so there is a doubt. Takes time in proportion to the text's length.
    """
    if "```" in text:
        return _fenced(text)
    line, broken, rest = text.partition("\n")
    ticked = [] if broken else _TICKS.findall(text)
    if ticked:
        return _whole(ticked[0]) if len(ticked) == 1 else None
    if (ruled := _ruled(text)) is not None:
        return _whole(ruled)
    if not re.search(r"\w", line):
        return None
    if (sentence := _OPENING.match(line)) and _CODE.search(line[sentence.end() :].split(maxsplit=1)[0]):
        return None if _ADDRESS.search(line[sentence.end() :]) else _without_closing(text[sentence.end() :])
    head, colon, after = line.partition(":")
    if colon and after[:1] in ("", " ", "\t", "\r") and not _is_code(head) and not _is_key(line, rest):
        words = after.strip()  # "Quick one: explain this:"
        return _without_closing(
            rest if words[-1:] == ":" and not _is_code(words) else after.lstrip(" \t") + broken + rest
        )
    block = _unclosed(text) if broken else None
    if _is_code(line) or _is_key(line, rest):
        return _whole(block) if block else None
    if block and _CODE.search(block) and not _ADDRESS.search(line) and not re.match(r"[A-Z][a-z]|.*[?!:]\s*$", line):
        return None  # "import os" or "tidy up"?
    return _without_closing(rest)


def _is_code(line: str) -> bool:
    return bool(_CODE.search(line)) or '"' in line


def _is_key(line: str, rest: str) -> bool:
    """Whether the first line opens an indented block: "services:" of a YAML file."""
    return bool(re.fullmatch(r"[a-z]\w*:\s*", line)) and rest[:1] in (" ", "\t")


def _is_said(line: str) -> bool:
    """Whether a line is words to somebody and not code."""
    line = line.rstrip()
    if _THANKS.fullmatch(line):
        return True
    if not _WORDS.fullmatch(line) or _CODE.search(line):
        return False
    return len(re.findall(r"[A-Za-z'\u2019]{2,}", line)) > 2 and (line[-1] in ".!?" or bool(_ADDRESS.search(line)))


def _unclosed(text: str) -> str | None:
    """The text without the paragraph, or the line, of words that closes it; None where there is none."""
    text = text.rstrip()
    gap = next(reversed([found.span() for found in _GAP.finditer(text)]), None)
    if gap and all(_is_said(line) for line in text[gap[1] :].split("\n")):
        return text[: gap[0]]
    block, broken, last = text.rpartition("\n")
    return block if broken and _is_said(last) else None


def _ruled(text: str) -> str | None:
    """What stands between two like rulers, if little stands around them."""
    found = list(_RULER.finditer(text))
    if len(found) != 2 or found[0][1] != found[1][1]:
        return None
    before, after = text[: found[0].start()].strip(), text[found[1].end() :].strip()
    if not before or before.count("\n") > 1 or not (not after or after[-1] == "?" or _THANKS.fullmatch(after)):
        return None
    return text[found[0].end() : found[1].start()]


def _fenced(text: str) -> str | None:
    parts = text.split("```")
    if len(parts) != 3 or parts[0].strip().count("\n") > 1 or "\n" in parts[2].strip():
        return None  # several, one that is open, or one within a longer text
    info = _INFO.match(parts[1])
    return _whole(parts[1][info.end() :] if info else parts[1])


def _without_closing(text: str) -> str | None:
    text = _trimmed(text)
    block = _unclosed(text)
    if block and _CODE.search(block):
        return _whole(block)
    _, broken, last = text.rpartition("\n")
    return None if broken and _SENTENCE.fullmatch(last.strip()) else _whole(text)  # whose is the last line?


def _whole(text: str) -> str | None:
    text = _trimmed(text)
    return text if len(text) >= SHORTEST else None


def _trimmed(text: str) -> str:
    """Without what is around it, but with the first line's indent where there are more lines."""
    text = text.lstrip("\r\n").rstrip()
    return text if "\n" in text else text.strip()


def target(said: Iterable[str]) -> str | None:
    """What may be pointed at after the person `said` these messages, oldest first."""
    messages = list(said)
    return pasted(messages[-1]) if messages and not any(MARK in message for message in messages) else None


def takes(schema: Mapping[str, Any], text: str | None) -> list[str]:
    """The arguments of a JSON `schema` that may be the string `text`, of those that no schema gives a form."""
    fields = (schema.get("properties") or {}).items()
    return [name for name, field in fields if text is not None and takes_string(field, schema, text)]


def pointers(args: Mapping[str, Any], schema: Mapping[str, Any], text: str | None) -> dict[str, str]:
    """The mark for each argument that equals `text`, a `target`."""
    return {name: MARK for name in takes(schema, text) if args.get(name) == text}


def resolved(args: Mapping[str, Any], schema: Mapping[str, Any], text: str | None) -> dict[str, Any]:
    """`args` with `text`, a `target`, for each mark."""
    return {**args, **{name: text for name in takes(schema, text) if args.get(name) == MARK}}
