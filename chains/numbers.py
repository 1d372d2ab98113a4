"""The numbers that a person said, and calls in which one of them was taken twice.

Greedy decoding commits to an argument before it knows the next: asked to sweep "from 21 to -0.2 volts with 4 stops", a
small model may write 4 as the end and then, rightly, 4 as the stops. That a number said once goes to two arguments
while another goes to none is rarely meant; such a call is compared with those that give the free number to one of
the two, by the likelihood of the whole.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

LINE = r"(?<=\\[nt])"  # a line's beginning, as a message is shown: its escape ends with a letter
MEANT_TWICE = 200  # times as likely has a call to be that takes one number twice
_NUMBER = rf"(?:(?<![\w.])|{LINE})-?\d+(?:\.\d+)?(?!\w)"
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_SPOKEN = {word: str(i + 1) for i, word in enumerate(_WORDS)}
_NUMBERS = re.compile(rf"{_NUMBER}|\b({'|'.join(_WORDS)})\b", re.IGNORECASE)


def said_numbers(text: str, one: bool = True) -> list[str]:
    """Numbers of a message in their order, digits or words, as JSON; the word "one", mostly none, only with `one`."""
    found = [match.group() for match in _NUMBERS.finditer(text)]
    return [_SPOKEN.get(number.lower(), number) for number in found if one or number.lower() != "one"]


def without_null(field: Any) -> Mapping[str, Any]:
    """A property's schema, without the null that stands beside it."""
    if not isinstance(field, Mapping):
        return {}
    parts = [part for part in field.get("anyOf") or () if part != {"type": "null"}]
    return parts[0] if len(parts) == 1 and isinstance(parts[0], Mapping) else field


def untangled(arguments: str, schema: Mapping[str, Any], last: str) -> list[str]:
    """What compact JSON `arguments` would be without a number taken twice, each way; mostly there is none.

    `last` is what the person said last. A number is taken twice if more arguments have it than it was said times, and
    only where another one that was said is in no argument at all.
    """
    said, spans = Counter(map(float, said_numbers(last))), _spans(arguments, schema)
    taken = Counter(float(arguments[start:end]) for start, end, _ in spans)
    held = {float(number) for number in said_numbers(arguments)}
    digits = {float(found): found for found in said_numbers(last, one=False)}
    free = [number for value, number in digits.items() if value not in held]
    found = []
    for start, end, integer in spans:
        value = float(arguments[start:end])
        if 0 < said[value] < taken[value]:
            found += [arguments[:start] + other + arguments[end:] for other in free if not (integer and "." in other)]
    return found


def _spans(arguments: str, schema: Mapping[str, Any]) -> list[tuple[int, int, bool]]:
    """Where the numbers among the arguments stand, and whether each has to be an integer."""
    found = []
    for name, field in (schema.get("properties") or {}).items():
        wanted = without_null(field).get("type")
        if wanted in ("integer", "number"):
            value = re.compile(re.escape(json.dumps(name, ensure_ascii=False)) + r":(-?\d+(?:\.\d+)?)(?=[,}])")
            places = list(value.finditer(arguments))
            found += [(*place.span(1), wanted == "integer") for place in places if len(places) == 1]
    return found
