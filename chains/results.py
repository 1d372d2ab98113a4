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
_ROW = re.compile(r"(?:[^:;]* )?\d+: ")  # of a list
_NAMED = re.compile(r"([^:=\t]{1,60}?)(?:: | = |=|\t)(.+)")
_TAG = re.compile(r"<(\w+)>([^<>]+)</\1>")
_SHORT_WORD = 3  # letters up to which a word's case tells it from another: IT, it


class Named(NamedTuple):
    """A value of a result, what the result calls it, and where it lies: its part of a row, and that row."""

    name: str
    value: str
    part: str = ""
    row: str = ""


class Shown(NamedTuple):
    """A result, or a line of one, as the prompt shows it; its named values, and whether it is made of those alone."""

    text: str
    values: tuple[Named, ...]
    whole: bool


def place(value: str, text: str) -> re.Match[str] | None:
    """Where `value` stands in `text`, as whole words and numbers: not 4 in -4, 1/4 or .4, not IT in "it"."""
    before = r"(?<!\d[.,:/-])(?<!\W[.+\u2212-])(?<!^[.+\u2212-])" if value[:1].isdigit() else ""
    after = r"(?![.,:/-]\d)" if value[-1:].isdigit() else ""
    case = re.NOFLAG if value.isalpha() and len(value) <= _SHORT_WORD else re.IGNORECASE
    return re.search(rf"(?<!\w){before}{re.escape(value)}(?!\w){after}", text, case)


def as_lines(text: str) -> str:
    """`text`, one value a line where it is a JSON object or array, or a table, that can be shown so without doubt."""
    return read(text).text


def read(text: str) -> Shown:
    """What the prompt shows of `text` (see `as_lines`), with the values that have names there.

    In other text these are `name: value`, `name = value` and `<name>value</name>`. What is blank is no value.
    """
    if len(text) <= _LONGEST:
        try:
            value = _json(text) if text.strip()[:1] in ("{", "[") else _table(text)
            found = _joined(list(_lines(_unwrapped(value), "")), "\n")
            found.text.encode()  # half an emoji, as programs cut texts
            if len(found.text) <= max(2 * len(text), _SHORT):
                return found
        except (ValueError, RecursionError, csv.Error):
            pass
    tags = tuple(Named(name, said.strip()) for name, said in _TAG.findall(text) if said.strip())
    lines = [line.strip("\0 \t\r") for line in _TAG.sub("\0", text).split("\n")]
    read = [_read_line(line) for line in lines if line]
    return Shown(text, (*tags, *(value for line in read for value in line.values)), all(line.whole for line in read))


def _joined(lines: list[Shown], mark: str) -> Shown:
    """The lines as one. Raises ValueError if two begin with the same name."""
    _distinct([(line.text.partition(": ")[0], line.text) for line in lines])
    values = tuple(value for line in lines for value in line.values)
    return Shown(mark.join(line.text for line in lines), values, all(line.whole for line in lines))


def _read_line(line: str) -> Shown:
    """A line of other text: a row if all its parts have names, or one value."""
    number = _ROW.match(line)
    parts = line[number.end() :].split("; ") if number else []
    found = [at for part in parts if (at := _NAMED.fullmatch(part))]
    distinct = len({at[1] for at in found}) == len(parts)
    if number and distinct and (len(parts) > 1 or number[0][0].isdigit()):
        return _row(number[0], [Shown(at[0], _value(at[1], at[2]), True) for at in found])
    alone = _NAMED.fullmatch(line) if "\0" not in line else None
    return Shown(line, _value(alone[1], alone[2]) if alone else (), bool(alone))


def _value(name: str, said: str) -> tuple[Named, ...]:
    return (Named(name.strip(), said.strip()),) if said.strip() else ()


def _row(number: str, parts: list[Shown]) -> Shown:
    """A row of a list, behind its `number`, which stays part of it with the list's name ("leg 1: "), not alone."""
    text, values, whole = _joined(parts, "; ")
    kept = "" if number[0].isdigit() and number.count(" ") == 1 else number
    inside = [f"{kept if i == 0 else ''}{part.text}" for i, part in enumerate(parts)]
    values = tuple(
        Named(value.name, value.value, inside[i], kept + text) for i, part in enumerate(parts) for value in part.values
    )
    return Shown(number + text, values, whole)


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


def _lines(value: Any, path: str) -> Iterator[Shown]:
    """The lines of a value that lies in `path`. Raises ValueError if a reader could not tell them apart."""
    if len(path) > _LONGEST_NAME:
        raise ValueError("the names are too long")
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _lines(inner, f"{path} {_words(name)}".strip())
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for number, item in enumerate(value, 1):
            parts = list(_lines(item, ""))
            if any("; " in part.text for part in parts):
                raise ValueError("a row's values have its mark in them")
            yield _row(f"{path} {number}: ".lstrip(), parts)
    else:
        said = _listed(value) if value and isinstance(value, list) else _said(value)
        yield Shown(f"{path}: {said}" if path else said, _value(path, said) if path else (), bool(path))


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
