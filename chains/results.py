"""What a tool answered, as a small model reads it best.

Programs answer in JSON. Brackets, quotes and names like `meanWindKmh` tell a 135M-parameter model little, and a value
two levels down stands far from the words that say what it is. So the prompt shows a line a value, named in words:

    {"sun": {"rise": "05:48", "set": "19:26"}, "meanWindKmh": 14}    sun rise: 05:48
                                                                      sun set: 19:26
                                                                      mean wind kmh: 14

Values stay as they are written, `64.00` too. What could be taken for another value's line (a text with line breaks,
say) leaves the whole as JSON. Only the prompt shows it so; the message keeps what the tool said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_LONGEST = 20_000  # characters of JSON that are shown so; the prompt holds no more anyway
_LONGEST_NAME = 80  # characters, those of what it lies in included
_WRAPPERS = {"result", "results", "data", "response", "record", "records", "item", "items"}
_CAPITAL = re.compile(r"(?<=[^\W_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # where a word of camelCase begins


def as_lines(text: str) -> str:
    """`text`, one value a line where it is a JSON object or array that can be shown so without doubt."""
    if len(text) > _LONGEST or text.strip()[:1] not in ("{", "["):
        return text
    try:
        # numbers as they are written
        value = json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_distinct)
        shown = "\n".join(_lines(_unwrapped(value), ""))
        shown.encode()  # half an emoji, as programs cut texts
    except (ValueError, RecursionError):
        return text
    return shown if len(shown) <= 2 * len(text) else text


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError if a name occurs twice."""
    named = dict(pairs)
    if len(named) < len(pairs):
        raise ValueError("a name occurs twice")
    return named


def _unwrapped(value: Any) -> Any:
    """The record in `{"result": {...}}`."""
    if isinstance(value, dict) and len(value) == 1:
        ((name, inner),) = value.items()
        if name.lower() in _WRAPPERS and isinstance(inner, dict | list):
            return _unwrapped(inner)
    return value


def _lines(value: Any, path: str) -> Iterator[str]:
    """The lines of a value that lies in `path`. Raises ValueError if a reader could not tell them apart."""
    if len(path) > _LONGEST_NAME:
        raise ValueError("the names are too long")
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _lines(inner, f"{path} {_words(name)}".strip())
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value, 1):
            inner_lines = list(_lines(item, ""))
            if len(inner_lines) > 1 and any("; " in line for line in inner_lines):
                raise ValueError("a row's values have its mark in them")
            yield f"{path} {number}: ".lstrip() + "; ".join(inner_lines)
    else:
        said = _listed(value) if value and isinstance(value, list) else _said(value)
        yield f"{path}: {said}" if path else said


def _listed(values: list[Any]) -> str:
    said = [_said(value) for value in values]
    if any(", " in value for value in said):
        raise ValueError("a list's values have its mark in them")
    return ", ".join(said)


def _said(value: Any) -> str:
    said = value if isinstance(value, str) else json.dumps(value)
    if len(said.splitlines()) > 1 or said.endswith("\n"):
        raise ValueError("a text of several lines")
    return said


def _words(name: str) -> str:
    """`priceEUR` and `price_eur` as words; what is no identifier as it is."""
    if not name or len(name.splitlines()) > 1 or name.endswith("\n"):
        raise ValueError("no name that a line could begin with")
    if not name.isidentifier() or not name.strip("_"):
        return name
    parts = [part for part in _CAPITAL.sub("_", name).split("_") if part]
    if not _CAPITAL.search(name):
        return " ".join(parts)
    return " ".join(part if len(part) > 1 and part.isupper() else part.lower() for part in parts)
