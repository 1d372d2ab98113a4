"""Tools' JSON schemas as grammars, so that every call a model writes is valid by construction.

A tool's schema is first narrowed to what can be written in bounded time: strings, arrays and numbers without limits
get some, unknown properties are closed, annotations go. A keyword that cannot be enforced is an error when the tool
is bound, never a call that might be wrong. llguidance then turns the schema into token masks.

Supported: object (properties, required, additionalProperties), array (items, prefixItems, minItems, maxItems), string
(minLength, maxLength, pattern, format), integer and number (minimum, maximum, exclusive ones; multipleOf of integers),
boolean, null, enum, const, anyOf, oneOf of distinct types, `$ref` into `$defs`, nested at will.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chains.prompting import NO_TOOL
from chains.quoting import MARK
from chains.spacing import ANNOTATIONS, FORMATS, spaced_schema, unspaced

MAX_STRING = 400  # characters of a string without maxLength
MAX_ITEMS = 16  # items of an array without maxItems, entries of a free mapping
MAX_MAGNITUDE = 10**15  # of a number without bounds: exact as a float and short to write
MAX_DIGITS = 12  # digits after which a fraction ends, so that a float's rounding cannot leave the range

_IMPLIED_TYPE = {
    "object": {"properties", "required", "additionalProperties", "minProperties", "maxProperties"},
    "array": {"items", "prefixItems", "minItems", "maxItems"},
    "string": {"minLength", "maxLength", "pattern", "format"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
}
_KEYWORDS = set().union(*_IMPLIED_TYPE.values()) | {
    "type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "$defs", "definitions",
}  # fmt: skip
_JSON_OPTIONS = {"whitespace_flexible": False, "json_allowed_escapes": 'nt"\\'}
_UNWRITABLE = re.compile(r"(?<!\\)(?:\\\\)*\\[bfru]")  # escapes that these options leave out; llguidance drops them


@dataclass(frozen=True)
class Tool:
    """A tool as the prompt shows it (`description`) and as its arguments are written (`grammar`)."""

    name: str
    description: Mapping[str, Any]  # {"name", "description", "parameters": JSON schema as given}
    grammar: str  # Lark: a space, then the arguments, all of them
    optional: frozenset[str]  # arguments that are null where the call leaves them out
    spaced: bool  # whether strings are written as `chains.spacing` says

    def given(self, arguments: str) -> str:
        """The call's arguments, compact JSON, from those the model wrote: without the optional ones that are null,
        strings without the space at their beginning.
        """
        values = json.loads(arguments)
        kept = {name: value for name, value in values.items() if value is not None or name not in self.optional}
        if self.spaced:
            kept = unspaced(kept, self.description["parameters"])
        return json.dumps(kept, ensure_ascii=False, separators=(",", ":"))


def compile_tool(tool: Mapping[str, Any], style: tuple[str, str, str] | None = None) -> Tool:
    """Check an OpenAI-style tool (`{"type": "function", "function": {...}}` or the inner part) and build its grammar.

    `style` is another model's way of writing the arguments: what stands before them, and between items and after keys
    of their JSON; optional arguments may then be left out. Raises ValueError naming the tool and the keyword that
    cannot be enforced.
    """
    from llguidance import LLMatcher

    function = tool.get("function", tool)
    name = function.get("name")
    if not isinstance(name, str) or not re.fullmatch(r"[^\s{]{1,64}", name):
        raise ValueError(
            f"a tool's name must be 1 to 64 characters without spaces, not {name!r} ({NO_TOOL!r} is reserved)"
        )
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    narrowed = _narrow(schema, f"tool {name}")
    if narrowed.get("type") != "object" and "$ref" not in narrowed:
        raise ValueError(f"tool {name}: the arguments must be one object, not {schema.get('type')!r}")
    if _UNWRITABLE.search(json.dumps(narrowed, ensure_ascii=False)):
        raise ValueError(f"tool {name}: its schema names a control character; only line breaks and tabs can be written")
    optional = frozenset() if style else _spell_out(narrowed)
    if not style:
        narrowed = spaced_schema(narrowed)
    start, item, key = style or (" ", ",", ":")
    narrowed["x-guidance"] = {**_JSON_OPTIONS, "item_separator": item, "key_separator": key}
    grammar = f"start: {json.dumps(start)} args\nargs: %json {json.dumps(narrowed)}\n"
    error = LLMatcher.validate_grammar(grammar)
    if error and not error.startswith("WARNING"):
        raise ValueError(f"tool {name}: its schema cannot be enforced: {' '.join(error.split())[:300]}")
    return Tool(name, {**function, "parameters": schema}, grammar, optional, spaced=not style)


def compile_tools(tools: Sequence[Mapping[str, Any]]) -> list[Tool]:
    """`compile_tool` for a list; a tool given twice counts once, two different ones of one name are a ValueError."""
    by_name: dict[str, Tool] = {}
    for tool in map(compile_tool, tools):
        if by_name.setdefault(tool.name, tool).grammar != tool.grammar:
            raise ValueError(f"two different tools have the name {tool.name!r}; give each its own")
    return list(by_name.values())


def _narrow(schema: Any, where: str) -> dict[str, Any]:
    """A schema whose every instance is short and is an instance of `schema`."""
    if schema is True or schema == {}:
        return _anything()
    if not isinstance(schema, Mapping):
        raise ValueError(f"{where}: {schema!r} is not a JSON schema that has instances")
    s = {key: value for key, value in schema.items() if key not in ANNOTATIONS and not key.startswith("x-")}
    unknown = sorted(set(s) - _KEYWORDS)
    if unknown:
        raise ValueError(
            f"{where}: the JSON schema keyword {unknown[0]!r} cannot be enforced; leave it out and check in the tool"
        )

    branches = s.pop("allOf", None)
    if branches is not None:  # pydantic wraps a lone $ref so; a true intersection would clash with closed objects
        if len(branches) != 1 or set(s) - {"$defs", "definitions"}:
            raise ValueError(f"{where}: the JSON schema keyword 'allOf' is supported with a single schema only")
        s |= branches[0]
        return _narrow(s, where)
    for key in ("$defs", "definitions"):
        if key in s:
            s[key] = {name: _narrow(part, f"{where}, {name}") for name, part in s[key].items()}
    structure = set(s) - {"$defs", "definitions"}
    if not structure:
        return s | _anything()
    if "$ref" in s and not re.match(r"#/(\$defs|definitions)/", s["$ref"]):
        raise ValueError(f"{where}: '$ref' may only point into $defs, not to {s['$ref']!r}")
    for key in ("$ref", "anyOf", "oneOf"):
        if key in s:
            if structure - {key}:
                beside = sorted(structure - {key})[0]
                raise ValueError(f"{where}: {beside!r} beside {key!r} cannot be enforced; move it inside")
            if key != "$ref":
                s[key] = [_narrow(part, where) for part in s[key]]
            return s
    if "enum" in s or "const" in s:
        return s
    if "type" not in s:
        s["type"] = next(kind for kind, keys in _IMPLIED_TYPE.items() if structure & keys)

    kinds = {s["type"]} if isinstance(s["type"], str) else set(s["type"])
    if "string" in kinds:
        _narrow_string(s)
    if kinds & {"integer", "number"}:
        _narrow_number(s, kinds, where)
    if "array" in kinds:
        _narrow_array(s, where)
    if "object" in kinds:
        _narrow_object(s, where)
    return s


def _spell_out(s: dict[str, Any]) -> frozenset[str]:
    """Makes every argument required and the optional ones nullable, see `chains.prompting`; returns the latter."""
    properties = s.get("properties") or {}
    optional = frozenset(name for name in properties if name not in s.get("required", ()))
    if not optional or "minProperties" in s or s.get("maxProperties", len(properties)) < len(properties):
        return frozenset()
    for name in optional:
        properties[name] = {"anyOf": [properties[name], {"type": "null"}]}
    s["required"] = list(properties)
    return optional


def _anything() -> dict[str, Any]:
    """Any scalar: nested values of no declared shape have no bound."""
    return {
        "anyOf": [
            {"type": "string", "maxLength": MAX_STRING},
            {"type": "integer", "minimum": -MAX_MAGNITUDE, "maximum": MAX_MAGNITUDE},
            {"type": "boolean"},
            {"type": "null"},
        ]
    }


def _narrow_string(s: dict[str, Any]) -> None:
    s.setdefault("maxLength", max(MAX_STRING, s.get("minLength", 0)))
    if s.get("format") not in FORMATS:
        s.pop("format", None)  # JSON Schema lets a format annotate only


def _narrow_number(s: dict[str, Any], kinds: set[str], where: str) -> None:
    if "number" in kinds and "multipleOf" in s:
        raise ValueError(f"{where}: the JSON schema keyword 'multipleOf' is supported for integers only")
    low, high = s.get("minimum", s.get("exclusiveMinimum")), s.get("maximum", s.get("exclusiveMaximum"))
    if low is not None and high is not None and low > high:
        raise ValueError(f"{where}: no number lies between the minimum {low} and the maximum {high}")
    if "number" in kinds:
        _close_bounds(s, where)
    if low is None:
        s["minimum"] = min(high or 0, 0) - MAX_MAGNITUDE
    if high is None:
        s["maximum"] = max(low or 0, 0) + MAX_MAGNITUDE


def _close_bounds(s: dict[str, Any], where: str) -> None:
    """Exclusive bounds of a number as bounds a millionth further in; llguidance lets `0` pass for `> 0.0`."""
    low, high = s.pop("exclusiveMinimum", None), s.pop("exclusiveMaximum", None)
    if low is not None and low == high:
        raise ValueError(f"{where}: no number lies between the minimum {low} and the maximum {high}")
    span = min(float("inf") if None in (high, low) else (high - low) / 1000, 1.0)
    if low is not None:
        s["minimum"] = max(s.get("minimum", low), low + min(span, max(1e-6, abs(low) * 1e-9)))
    if high is not None:
        s["maximum"] = min(s.get("maximum", high), high - min(span, max(1e-6, abs(high) * 1e-9)))


def _narrow_array(s: dict[str, Any], where: str) -> None:
    prefix = [_narrow(part, where) for part in s.get("prefixItems", ())]
    if prefix:
        s["prefixItems"] = prefix
    items = s.get("items", {})
    s["items"] = False if items is False else _narrow(items, where)
    s.setdefault("maxItems", len(prefix) if items is False else max(MAX_ITEMS, s.get("minItems", 0), len(prefix)))


def _narrow_object(s: dict[str, Any], where: str) -> None:
    properties = s.get("properties", {})
    s["properties"] = {name: _narrow(part, f"{where}, {name}") for name, part in properties.items()}
    missing = [name for name in s.get("required", ()) if name not in properties]
    more = s.get("additionalProperties", False)
    if missing and more is False:
        raise ValueError(f"{where}: {missing[0]!r} is required but not among the properties")
    if s.get("minProperties", 0) > 1:
        raise ValueError(f"{where}: the JSON schema keyword 'minProperties' is supported up to 1")
    s["additionalProperties"] = False if more is False else _narrow(more, where)
    if more is not False and not properties:
        s.setdefault("maxProperties", MAX_ITEMS)


class Vocabulary:
    """A tokenizer's tokens as llguidance and the limits below need them; takes half a second to build."""

    def __init__(self, tokenizer: Any, size: int) -> None:
        from llguidance.hf import from_tokenizer

        self.size = size  # logits a model gives; some have more than the tokenizer has tokens
        self.lib = from_tokenizer(tokenizer, n_vocab=max(size, len(tokenizer)))
        self.bytes = [self.lib.decode_bytes([token]) for token in range(size)]
        self.numeric = np.array([text[:1] in _NUMBER_BYTES for text in self.bytes])  # (V,) may go on with a number
        self.space = [token for token, text in enumerate(self.bytes) if text == b" " or text.startswith(b" {")]
        self.line = [token for token, text in enumerate(self.bytes) if text.startswith(b"\n")]
        self.quoted = np.array([text[:1] == b'"' for text in self.bytes])  # (V,) begins with a quote
        self.opening = [token for token, text in enumerate(self.bytes) if text.strip(b" ") == b"{"]
        self.braces = [token for token, text in enumerate(self.bytes) if b"{" in text]
        mark = MARK.encode()
        self.mark = np.array([text.lstrip(b' "').startswith(mark) for text in self.bytes])  # (V,) begins with MARK
        self.null = self.bytes.index(b"null") if b"null" in self.bytes else -1  # small vocabularies spell it
        self.breaks = [token for token, text in enumerate(self.bytes) if not text[:1].isalnum()]  # may end a word
        self.whole = {text: token for token, text in reversed([*enumerate(self.bytes)]) if text}
        heads = [(token, text.partition(b'"')[0]) for token, text in enumerate(self.bytes) if b'"' in text]
        self.closing = [(token, head) for token, head in heads if not head.endswith(b"\\")]  # and what they end
        self.quote, self.brace, self.bracket = (self.bytes.index(mark) for mark in (b'"', b"}", b"]"))


_NUMBER_BYTES = {bytes([c]) for c in b"0123456789.eE+-"}


class Arguments:
    """The arguments of one call while they are written: which tokens may come next, and which must.

    Limits stand beside the grammar. A fraction ends after MAX_DIGITS digits. After `budget` tokens whatever can be
    closed is closed, so that an untrained or looping model still ends with a valid call. Without `marks` there is no
    text that the mark for quoted text could stand for, so no string begins with it that need not.
    """

    def __init__(self, tool: Tool, vocabulary: Vocabulary, budget: int, marks: bool = True) -> None:
        from llguidance import LLMatcher

        self._tool, self._vocabulary, self._budget, self._marks = tool, vocabulary, budget, marks
        self._matcher = LLMatcher(vocabulary.lib, tool.grammar, log_level=0)
        self._check()
        self._text = bytearray()
        self._tokens = 0
        self._in_string = self._escaped = False
        self._number, self._string = bytearray(), bytearray()

    @property
    def schema(self) -> Mapping[str, Any]:
        """Of the arguments, as the tool gives it."""
        schema: Mapping[str, Any] = self._tool.description["parameters"]
        return schema

    def copy(self) -> Arguments:
        """These arguments, to try out how they might go on."""
        twin = copy.copy(self)
        twin._matcher = self._matcher.deep_copy()
        twin._text, twin._number, twin._string = bytearray(self._text), bytearray(self._number), bytearray(self._string)
        return twin

    def fits(self, *tokens: int) -> bool:
        """Whether the grammar lets `tokens` come next."""
        return bool(self._matcher.validate_tokens(list(tokens)) == len(tokens))

    @property
    def done(self) -> bool:
        return bool(self._matcher.is_stopped())

    @property
    def text(self) -> str:
        """The JSON so far, compact."""
        return self._text.decode(errors="ignore").strip()

    @property
    def string(self) -> bytes:
        """What stands in a string that is not closed yet, with its escapes; empty outside of strings."""
        return bytes(self._string) if self._in_string else b""

    def forced(self) -> list[int]:
        """Consume and return the tokens that the grammar leaves no choice about."""
        tokens = [] if self.done else list(self._matcher.compute_ff_tokens())
        self._consume(tokens)
        if not self.done and self._must_be_null():
            self._consume([self._vocabulary.null])
            tokens += [self._vocabulary.null, *self.forced()]
        return tokens

    def _must_be_null(self) -> bool:
        """Whether a text argument was begun without its quote, which is one token with the colon where it is meant."""
        if self._vocabulary.null < 0 or self._in_string or not self._text.endswith(b'":'):
            return False
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        mask = np.unpackbits(bits, bitorder="little")[: self._vocabulary.size].astype(np.bool_)
        others = mask & ~self._vocabulary.quoted
        return bool(others[self._vocabulary.null]) and all(
            b"null".startswith(self._vocabulary.bytes[token]) for token in np.flatnonzero(others)
        )

    def accept(self, token: int) -> list[int]:
        """Consume a chosen token; returns it and the forced ones after it."""
        self._consume([token])
        return [token, *self.forced()]

    def allowed(self) -> NDArray[np.bool_]:
        """(V,) which tokens may come next; at least one."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        mask: NDArray[np.bool_] = np.unpackbits(bits, bitorder="little")[: self._vocabulary.size].astype(np.bool_)
        self._check()
        if not self._marks and self._text.endswith((b'"', b'" ', b":")):
            others = mask & ~self._vocabulary.mark
            mask = others if others.any() else mask
        late = self._tokens >= self._budget
        digits = sum(byte in b"0123456789" for byte in self._number)
        if self._number and (late or (b"." in self._number and digits >= MAX_DIGITS)):
            ended = mask & ~self._vocabulary.numeric
            mask = ended if ended.any() else mask
        if late:
            v = self._vocabulary
            closing = [t for t in ([v.quote] if self._in_string else [v.brace, v.bracket]) if mask[t]]
            if closing:
                mask = np.zeros_like(mask)
                mask[closing] = True
        if not mask.any():
            raise RuntimeError(f"tool {self._tool.name}: no token continues {self.text!r}; its schema is too narrow")
        return mask

    def _consume(self, tokens: list[int]) -> None:
        if tokens and not self._matcher.consume_tokens(tokens):
            self._check()
        self._tokens += len(tokens)
        for token in tokens:
            self._text += self._vocabulary.bytes[token]
            for byte in self._vocabulary.bytes[token]:
                self._follow(byte)

    def _follow(self, byte: int) -> None:
        if self._in_string:
            self._string.append(byte)
            if self._escaped:
                self._escaped = False
            elif byte == ord("\\"):
                self._escaped = True
            elif byte == ord('"'):
                self._in_string = False
        elif byte == ord('"'):
            self._in_string = True
            self._string.clear()
        if not self._in_string and bytes([byte]) in _NUMBER_BYTES:
            self._number.append(byte)
        else:
            self._number.clear()

    def _check(self) -> None:
        if self._matcher.is_error():
            raise RuntimeError(f"tool {self._tool.name}: {self._matcher.get_error().strip().splitlines()[0]}")
