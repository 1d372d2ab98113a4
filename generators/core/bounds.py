"""Whether a number that was asked for, or an option of a family, is one that can be served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from generators.core.errors import RequestError

Number = TypeVar("Number", int, float)


def within(name: str, value: Any, least: Number, most: Number) -> Number:
    """`value` if it is a number in [least, most], and whole where `least` is. Raises `RequestError`."""
    whole = isinstance(least, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not least <= value <= most:
        raise RequestError(f"{name} is {value!r}; it is a {'whole ' if whole else ''}number from {least} to {most:,}.")
    return value  # type: ignore[return-value]


def check_options(options: Any, bounds: Mapping[str, tuple[float, float]], *rates: str) -> None:
    """Raise ValueError for an option outside its bounds, both of which it may have, or a rate not in (0, 1]."""
    for name, (least, most) in bounds.items():
        if not least <= getattr(options, name) <= most:
            raise ValueError(f"{name} is {getattr(options, name)}; it must be from {least} to {most}.")
    for name in rates:
        if not 0 < getattr(options, name) <= 1:
            raise ValueError(f"{name} is {getattr(options, name)}; it must be above 0, up to 1.")
