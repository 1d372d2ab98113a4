"""Long text that a call takes over as it stands: the model points at it instead of copying it.

Code in a fence, or what follows the line break or colon at which a request ends, is copied by a small model nearly
right, which is wrong. So a string argument that equals it is written as the mark alone, and the text itself comes
from the message: exact however long, and one token instead of hundreds (pointer networks, Vinyals et al. 2015, with
one place to point at). Which place that is follows from the message (`pasted`).

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
_SENTENCE = re.compile(r"[A-Z][A-Za-z ,'\u2019-]*[.!?]")  # "Can you explain it?"
_PROSE = re.compile(r"[A-Za-z][A-Za-z ,.!?'\u2019-]*")  # "what does this do?"
_OPENING = re.compile(r"[A-Za-z][A-Za-z ,'\u2019-]*[?!.] +(?=\S)")  # "Lines in this? "
_RULER = re.compile(r"^[ \t]*[-=*_~]{3,}[ \t]*\r?$", re.MULTILINE)
_CODE = re.compile(r"[(){}\[\]=;<>_\\]")


def pasted(text: str) -> str | None:
    """The stretch of a message that an argument may point at; None where there is none, a short one, or any doubt.

    The first of these that is there: the only fence, what stands between two rulers, the only code in backticks of a
    line, code that the message begins with, up to its last line of words, code that follows the first line's first
    sentence, what follows its first colon, what follows that line; code without a sentence that closes the message.
    Takes time in proportion to the text's length.
    """
    if "```" in text:
        return _fenced(text)
    if len(ruled := _RULER.split(text)) == 3:
        return _whole(ruled[1])
    line, broken, rest = text.partition("\n")
    ticked = [] if broken else _TICKS.findall(text)
    if ticked:
        return _whole(ticked[0]) if len(ticked) == 1 else None
    head, colon, after = line.partition(":")
    colon = colon if after[:1] in ("", " ", "\t", "\r") else ""
    if broken and _CODE.search(head if colon else line) and (code := _before_words(text)):
        return code
    if (sentence := _OPENING.match(line)) and _CODE.search(line[sentence.end() :].split(maxsplit=1)[0]):
        return _without_closing(text[sentence.end() :])
    if colon:
        line, rest = head, after.lstrip(" \t") + broken + rest
    return _without_closing(rest) if re.search(r"\w", line) else None


def _before_words(text: str) -> str | None:
    """The code of a message that begins with code, if it ends with a line of words."""
    block, _, last = text.rstrip().rpartition("\n")
    apart = block.rstrip(" \t\r").endswith("\n")
    if _PROSE.fullmatch(last) and len(last.split()) >= (2 if apart else 3):
        return _whole(block)
    return None


def _fenced(text: str) -> str | None:
    parts = text.split("```")
    if len(parts) != 3 or parts[0].strip().count("\n") > 1 or "\n" in parts[2].strip():
        return None  # several, one that is open, or one within a longer text
    info = _INFO.match(parts[1])
    return _whole(parts[1][info.end() :] if info else parts[1])


def _without_closing(text: str) -> str | None:
    text = _trimmed(text)
    block, broken, last = text.rpartition("\n")
    if broken and _SENTENCE.fullmatch(last.strip()):
        return _whole(block) if _CODE.search(block) else None  # of prose it may be the end
    return _whole(text)


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
