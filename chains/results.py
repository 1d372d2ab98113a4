"""What a tool answered, as a small model reads it best.

Programs answer in JSON. Brackets, quotes and names like `meanWindKmh` tell a 135M-parameter model little, and a value
two levels down stands far from the words that say what it is. So the prompt shows a line a value, named in words:

    {"sun": {"rise": "05:48", "set": "19:26"}, "meanWindKmh": 14}    sun rise: 05:48
                                                                      sun set: 19:26
                                                                      mean wind kmh: 14

Tables with a line of names, set apart by tabs, bars, semicolons, commas or gaps, are shown so too, rows a line each:

    team,played,points                                                team: SV Niederau
    SV Niederau,22,44                                                 played: 22
                                                                      points: 44

Values stay as they are written, `64.00` too. What could be taken for another value's line (a text with line breaks,
say) leaves the whole as JSON. Only the prompt shows it so; the message keeps what the tool said.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

_LONGEST = 20_000  # characters of JSON that are shown so; the prompt holds no more anyway
_SHORT = 1000  # characters of lines that are shown however much shorter the table is
_LONGEST_NAME = 80  # characters, those of what it lies in included
_WRAPPERS = {"result", "results", "data", "response", "record", "records", "item", "items"}
_NAME = re.compile(r"[^\W\d][\w ./%()-]{0,30}")
_COLUMN = re.compile(r"[^\W\d][\w/%()-]*(?: [\w/%()-]+)*")  # what may name one in a table set by blanks
_CELL = re.compile(r"\S+(?: \S+)*")  # of such a table
_MARKS = {"\t": _NAME, "|": _NAME, ";": _NAME, ",": re.compile(r"[^\W\d]\w{0,30}")}  # what may name a column
_RULE = re.compile(r":?-+:?")  # under the head of a table
_CAPITAL = re.compile(r"(?<=[^\W_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")  # where a word of camelCase begins
_ROW = re.compile(r"(?:[^:]* )?\d+: ")  # of a list
_NAMED = re.compile(rf"(?:{_ROW.pattern})?([^:=\t]{{1,60}}?)(?:: | = |=|\t)(.+)")
_TAG = re.compile(r"<(\w+)>([^<>]+)</\1>")


class Named(NamedTuple):
    """A value of a result, what the result calls it, and where it lies: its part of a row, and that row."""

    name: str
    value: str
    part: str = ""
    row: str = ""


def named(shown: str) -> Iterator[Named]:
    """The values in `shown` lines that have names: `name: value`, `name = value`, `<name>value</name>`.

    They stand without the blanks around them; what is blank has no name.
    """
    yield from (Named(name, said.strip()) for name, said in _TAG.findall(shown) if said.strip())
    for line in shown.split("\n"):
        number = _ROW.match(line)
        row = line.removeprefix(number[0]) if number and number[0][0].isdigit() else line  # a list's name stays
        for i, piece in enumerate(line.split("; ") if number else [line]):
            found = _NAMED.fullmatch(piece)
            if not found or not found[2].strip() or _TAG.search(piece):
                continue
            inside = number and (i > 0 or found.start(1) > 0)  # "gate 1: B2" is no row
            yield Named(found[1], found[2].strip(), row.split("; ")[i] if inside else "", row if inside else "")


def place(value: str, text: str) -> re.Match[str] | None:
    """Where `value` stands in `text`, as whole words and numbers."""
    return re.search(rf"(?<!\w)(?<!\d[.,:-]){re.escape(value)}(?!\w)(?![.,:-]\d)", text, re.IGNORECASE)


def as_lines(text: str) -> str:
    """`text`, one value a line where it is a JSON object or array, or a table, that can be shown so without doubt."""
    if len(text) > _LONGEST:
        return text
    try:
        value = _json(text) if text.strip()[:1] in ("{", "[") else _table(text)
        lines = list(_lines(_unwrapped(value), ""))
        _distinct([(line.partition(": ")[0], line) for line in lines])
        shown = "\n".join(lines)
        shown.encode()  # half an emoji, as programs cut texts
    except (ValueError, RecursionError, csv.Error):
        return text
    return shown if len(shown) <= max(2 * len(text), _SHORT) else text


def _json(text: str) -> Any:
    """Its value, numbers as they are written."""
    return json.loads(text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_distinct)


def _table(text: str) -> Any:
    """The record of a table of one row, else a list of them. Raises ValueError if `text` is none."""
    lines = text.strip("\n").split("\n")
    for mark, name in _MARKS.items():
        if mark == "," and ", " in lines[0]:
            continue  # prose
        quoted = mark in ";,"
        whole = (f"{line}\n" for line in lines)  # so that a line break within quotes stays
        reader = csv.reader(whole, delimiter=mark, strict=True) if quoted else (line.split(mark) for line in lines)
        rows = [[cell.strip() for cell in row] for row in reader]
        if all(row[0] == row[-1] == "" for row in rows if row):  # the bars around a row
            rows = [row[1:-1] for row in rows]
        ruled = mark == "|" and len(rows) > 1 and all(map(_RULE.fullmatch, rows[1]))
        head, *rows = [*rows[:1], *rows[2:]] if ruled else rows
        even = rows and len(head) > 1 and {len(row) for row in rows} == {len(head)}
        if even and all(map(name.fullmatch, head)) and (len(head) > 2 or ruled or _heads(head, rows)):
            return _records(head, rows)
    return _records(*_columns(lines))


def _records(head: list[str], rows: list[list[str]]) -> Any:
    found = [_distinct(list(zip(head, row, strict=True))) for row in rows]
    return found[0] if len(found) == 1 else found


def _columns(lines: list[str]) -> tuple[list[str], list[list[str]]]:
    """Head and rows of a table whose columns two blanks or more set apart. Raises ValueError if there are not three,
    flush left or right, one of them of figures.
    """
    cells = [list(_CELL.finditer(line)) for line in lines if line.strip(" -=")]
    head, *rows = [[cell[0] for cell in row] for row in cells]
    even = rows and len(head) > 2 and {len(row) for row in rows} == {len(head)} and all(map(_COLUMN.fullmatch, head))
    if not even or not _heads(head, rows):
        raise ValueError("no table")
    for column in zip(*cells, strict=True):
        if len({cell.start() for cell in column}) > 1 and len({cell.end() for cell in column}) > 1:
            raise ValueError("no columns")
    return head, rows


def _heads(head: list[str], rows: list[list[str]]) -> bool:
    """Whether two cells name the columns under them, rather than being a name and its value: words over figures."""
    figures = [all(re.search(r"\d", row[i]) for row in rows) for i in range(len(head))]
    return any(figures) and not re.search(r"\d", "".join(head))


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError if a name occurs twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


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
            _distinct([(line.partition(": ")[0], line) for line in inner_lines])
            if any("; " in line for line in inner_lines):
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
    if not name or len(name.splitlines()) > 1 or name.endswith("\n") or ": " in name or "; " in name:
        raise ValueError("no name that a line could begin with")
    if not name.isidentifier() or not name.strip("_"):
        return name
    parts = [part for part in _CAPITAL.sub("_", name).split("_") if part]
    if not _CAPITAL.search(name):
        return " ".join(parts)
    return " ".join(part if len(part) > 1 and part.isupper() else part.lower() for part in parts)
