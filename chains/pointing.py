"""Long text that a call takes over as it stands: the model points at it instead of copying it.

Code in a fence, or what follows the line break or colon at which a request ends, is copied by a small model nearly
right, which is wrong. So a string argument that equals it is written as the mark alone, and the text itself comes
from the message: exact however long, and one token instead of hundreds (pointer networks, Vinyals et al. 2015, with
one place to point at). Which place that is follows from the message (`pasted`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chains.quoting import MARK
from chains.spacing import is_plain_string

SHORTEST = 16  # characters; less is copied well
_FENCE = re.compile(r"```(?:[\w+#.-]*[ \t]*\n)?(.*?)```", re.DOTALL)
_TICKS = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_AFTER_COLON = re.compile(r"[^\n:]*\w[^\n:]*:(?: |[ \t]*\n+)(.+)\Z", re.DOTALL)
_LAST_WORDS = re.compile(r"\n+[A-Z][A-Za-z ,'\u2019-]*[.!?]\s*\Z")  # "Can you explain it?"
_AFTER_LINE = re.compile(r"[^\n]*\w[^\n]*\n+(.+)\Z", re.DOTALL)


def pasted(text: str) -> str | None:
    """The stretch of a message that an argument may point at; None where there is none, or a short one.

    The first of these that is there: the only fence, the only code in backticks, what follows the first line's first
    colon, what follows the first line; of the last two without a sentence that closes the message.
    """
    if MARK in text:
        return None
    for pattern in (_FENCE, _TICKS):
        if found := pattern.findall(text):
            return _whole(found[0]) if len(found) == 1 else None
    rest = _AFTER_COLON.match(text) or _AFTER_LINE.match(text)
    return _whole(_LAST_WORDS.sub("", rest[1])) if rest else None


def _whole(text: str) -> str | None:
    """Without what is around it, but with the first line's indent where there are more lines."""
    text = text.strip("\n")
    text = text if "\n" in text else text.strip()
    return text if len(text) >= SHORTEST else None


def pointers(args: Mapping[str, Any], schema: Mapping[str, Any], said: str) -> dict[str, str]:
    """The mark for each argument that equals what the message `said` lets point at."""
    target = pasted(said)
    return {name: MARK for name, value in args.items() if target and value == target and _free(schema, name)}


def resolved(args: Mapping[str, Any], schema: Mapping[str, Any], said: str) -> dict[str, Any]:
    """`args` with the text itself for each mark."""
    target = pasted(said)
    return {name: target if target and value == MARK and _free(schema, name) else value for name, value in args.items()}


def _free(schema: Mapping[str, Any], name: str) -> bool:
    field = (schema.get("properties") or {}).get(name)
    return field is not None and is_plain_string(field, schema)
