"""Whether a number that was asked for is one that can be served."""

from __future__ import annotations

from typing import Any, TypeVar

from generators.core.errors import RequestError

Number = TypeVar("Number", int, float)


def within(name: str, value: Any, least: Number, most: Number) -> Number:
    """`value` if it is a number in [least, most], and whole where `least` is. Raises `RequestError`."""
    whole = isinstance(least, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not least <= value <= most:
        raise RequestError(f"{name} is {value!r}; it is a {'whole ' if whole else ''}number from {least} to {most:,}.")
    return value  # type: ignore[return-value]
