"""Strings of a call as the model writes them: after the space that stands before a word in a sentence.

A tokenizer of the byte-pair kind has one token for ` cedar` and two for `cedar`. What a person says and what a tool's
description lists stands after spaces, so a string that begins with one is, token for token, the words it is copied
from, and copying is what a small model does best. Where the person's words stand after something else, a quote or a
line's beginning, the string begins without. One space at the beginning is thus no part of a value.

Strings whose form a schema fixes (by a pattern, say) are written as they are; so are all of a tool where the same
string may be of a fixed form or not, for then nobody could tell whose the space is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

ANNOTATIONS = {
    "title", "description", "default", "examples", "example", "deprecated", "readOnly", "writeOnly", "discriminator",
    "$comment", "$schema", "$id", "$anchor",
}  # fmt: skip
FORMATS = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"}  # enforced ones

_ANYTHING: Mapping[str, Any] = {"type": ["string", "integer", "boolean", "null"]}
_FORMS = {"enum", "const", "pattern", "format", "not"}
_OF_STRINGS = {"minLength", "maxLength", "pattern", "format"}


def escaped(text: str) -> str:
    """Text as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def spaced(value: Any, schema: Any, said: Sequence[str]) -> Any:
    """`value` of a JSON `schema` as the model writes it; `said` are the person's messages as the prompt shows them,
    newest last.
    """
    if not _told_apart(schema):
        return value
    return _converted(value, [schema], schema, lambda text, listed: _with_space(text, () if listed else said))


def unspaced(value: Any, schema: Any) -> Any:
    """The value that the model meant: valid for `schema` where what it wrote is valid for `spaced_schema(schema)`."""
    if not _told_apart(schema):
        return value
    return _converted(value, [schema], schema, lambda text, _: text.removeprefix(" "))


def spaced_schema(schema: Any) -> Any:
    """The schema of what is written, for one whose values are meant; its strings must all have a maxLength."""
    return _spaced_schema(schema) if _told_apart(schema) else schema


def _spaced_schema(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_spaced_schema(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    node = dict(schema)
    for key in ("properties", "$defs", "definitions"):
        if key in node:
            node[key] = {name: _spaced_schema(part) for name, part in node[key].items()}
    for key in ("items", "additionalProperties", "prefixItems", "anyOf", "oneOf"):
        if key in node:
            node[key] = _spaced_schema(node[key])
    if not _takes_strings(node) or _is_fixed(node):
        return node
    if "enum" in node:
        node["enum"] = [_after_space(value) for value in node["enum"]]
    elif "const" in node:
        node["const"] = _after_space(node["const"])
    elif node["maxLength"] > 0:
        low, high = node.pop("minLength", 0), node.pop("maxLength")
        empty = "" if low else "|"
        node["pattern"] = rf"^(?: [\s\S]{{{low},{high}}}|[^ ][\s\S]{{{max(low - 1, 0)},{high - 1}}}{empty})$"
    return node


def _after_space(value: Any) -> Any:
    return f" {value}" if isinstance(value, str) and value else value


def _converted(value: Any, nodes: Sequence[Any], root: Any, convert: Callable[[str, bool], str]) -> Any:
    """`value` with its free strings converted; `convert` is told whether a string is one of a list."""
    if not isinstance(value, str | list | Mapping):
        return value
    nodes = [part for node in nodes for part in _branches(node, root)]
    listed = any(value in _listed(node) for node in nodes)
    if isinstance(value, str):
        return convert(value, listed) if any(_takes_strings(node) and not _is_fixed(node) for node in nodes) else value
    if listed:
        return value
    if isinstance(value, list):
        return [_converted(v, list(_items(nodes, i)), root, convert) for i, v in enumerate(value)]
    return {name: _converted(v, list(_fields(nodes, name)), root, convert) for name, v in value.items()}


def takes_string(field: Any, root: Any, text: str) -> bool:
    """Whether `text` may be a property of the schema `root` that takes strings, or null, of no particular form."""
    kinds: list[tuple[set[str], Mapping[str, Any]]] = []
    for node in _branches(field, root):
        named = node.get("type")
        kinds.append((({named} if isinstance(named, str) else set(named or ())) - {"null"}, node))
    strings = [node for kind, node in kinds if kind == {"string"}]
    return (
        bool(strings)
        and all(kind <= {"string"} for kind, _ in kinds)
        and not any(_FORMS & set(node) for _, node in kinds)
        and all(node.get("minLength", 0) <= len(text) <= node.get("maxLength", len(text)) for node in strings)
    )


def _told_apart(schema: Any) -> bool:
    """Whether no string may be of a fixed form or of none."""
    seen: set[frozenset[int]] = set()

    def clear(nodes: Sequence[Any]) -> bool:
        nodes = [part for node in nodes for part in _branches(node, schema)]
        key = frozenset(map(id, nodes))
        if not nodes or key in seen:
            return True
        seen.add(key)
        if len({_is_fixed(node) for node in nodes if _takes_strings(node)}) > 1:
            return False
        names = {name for node in nodes for name in node.get("properties") or ()}
        length = max(len(node.get("prefixItems") or ()) for node in nodes)
        below = [list(_fields(nodes, name)) for name in [*names, None]]
        below += [list(_items(nodes, i)) for i in range(length + 1)]
        return all(map(clear, below))

    return clear([schema])


def _branches(schema: Any, root: Any, depth: int = 8) -> Iterator[Mapping[str, Any]]:
    """The schemas, free of references and alternatives, of which a value may be an instance."""
    if schema is False:
        return
    if not isinstance(schema, Mapping) or not any(_says(key) for key in schema):
        yield _ANYTHING
        return
    alternatives = [part for key in ("anyOf", "oneOf", "allOf") for part in schema.get(key, ())]
    if "$ref" in schema:
        place = root
        for step in str(schema["$ref"]).removeprefix("#/").split("/"):
            place = place.get(step, {}) if isinstance(place, Mapping) else {}
        alternatives.append(place)
    if not alternatives or not depth:
        yield schema
    else:
        for part in alternatives:
            yield from _branches(part, root, depth - 1)


def _says(key: str) -> bool:
    return key not in ANNOTATIONS and key not in ("$defs", "definitions") and not key.startswith("x-")


def _fields(nodes: Sequence[Mapping[str, Any]], name: str | None) -> Iterator[Any]:
    """Schemas of a field, or with None of one that is not named."""
    for node in nodes:
        properties = node.get("properties") or {}
        if name in properties:
            yield properties[name]
        else:
            yield node.get("additionalProperties", False)


def _items(nodes: Sequence[Mapping[str, Any]], i: int) -> Iterator[Any]:
    for node in nodes:
        if node.get("type") == "array" or {"items", "prefixItems"} & set(node):
            prefix = node.get("prefixItems") or ()
            yield prefix[i] if i < len(prefix) else node.get("items", True)


def _takes_strings(node: Mapping[str, Any]) -> bool:
    kind = node.get("type")
    if kind is not None:
        return kind == "string" or (isinstance(kind, list) and "string" in kind)
    return bool(_OF_STRINGS & set(node)) or any(isinstance(value, str) for value in _listed(node))


def _is_fixed(node: Mapping[str, Any]) -> bool:
    """Whether a string's own form is fixed, also by what stands beside a list of values."""
    limits = sum(key in node for key in ("enum", "const", "minLength", "maxLength"))
    return "pattern" in node or node.get("format") in FORMATS or (limits > 1 and bool(_listed(node)))


def _listed(node: Mapping[str, Any]) -> list[Any]:
    return [*node.get("enum", ()), *([node["const"]] if "const" in node else ())]


def _with_space(text: str, said: Sequence[str]) -> str:
    """The text as the newest of the messages that say it does; after a space where none does."""
    if not text:
        return text
    held = escaped(text)
    for message in () if text[0] == " " else reversed(said):
        if f" {held}" in message:
            break
        if re.search(rf"(?:(?<!\w)|(?<=\\[nt])){re.escape(held)}", message):
            return text
    return f" {text}"
