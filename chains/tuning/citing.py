"""Which value of a tool's result a reply tells.

Unusual here: in a reply the name that a value has in the result stands in front of it, and nobody is shown it: "The
manager is {manager} Lionel Bragg." Once it has said "The manager is", a small model copies any name that stands there;
with "{manager}" just written, the right one is the next to copy. The name stands behind the words that lead to it,
for written before them it would be guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from chains.results import place, read


def cited(results: Sequence[str], question: str, reply: str) -> str:
    """`reply` with the name of each value of `results` in front of it that the reply tells and `question` does not."""
    values = [value for result in results for value in read(result).values]
    spoken, left, found = _words(f"{question} {reply}"), reply, list[tuple[int, str]]()
    # Long values first, and of equal ones that whose name is spoken of.
    for name, value, *_ in sorted(values, key=lambda value: (-len(value.value), -len(_words(value.name) & spoken))):
        at = place(value, left)
        if at and not place(value, question):
            start, end = at.span()
            left = left[:start] + "\0" * (end - start) + left[end:]
            if not reply[:start].strip() or reply[start - 1] == " ":
                found.append((start, name))
    for start, name in sorted(found, reverse=True):
        reply = f"{reply[:start]}{{{name}}} {reply[start:]}"
    return reply


def _words(text: str) -> set[str]:
    return {word.lower() for word in re.findall(r"\w+", text)}
