"""What a model of text does on one line: how surprised it is by each token, and what goes on within it.

`Generator.look_inside` makes one, `generators.core.inside_picture` draws it. A family tells what is particular to it in
the fields that it has; those of others stay empty.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.errors import RequestError

LONGEST = 120  # characters of a line
GUESSES = 3  # likeliest tokens that are told at each place
FOLLOWERS = 5  # commonest tokens after an n-gram that are told
DIGITS = 4  # after the point, in JSON

Array = NDArray[np.float32]
Guesses = list[list[tuple[str, float]]]
Followers = Sequence[tuple[str, list[tuple[str, int]]]]


@dataclass(frozen=True, kw_only=True)
class Inside:
    """A line of T tokens as a model sees it. L layers, H heads, W units a layer, N the longest n-gram, E experts."""

    model: str
    family: str
    unit: str  # what a token is: character, token (of byte-pair encoding) or word
    tokens: list[str]  # (T,) what is predicted; of a list's item with the line's end
    read: list[str]  # (T,) what is read last before that, "" for what stands before a text; BERT reads `tokens`
    nats: NDArray[np.float64]  # (T,) -ln p of each token, as `score` counts it
    guesses: Guesses  # (T, 3) the likeliest tokens in each place and their probabilities
    kind: str = ""  # of a list with kinds: the one that it takes the item for
    attention: Array | None = None  # (L, H, T, T) of each place, a row, to what is read: rows sum to 1
    gates: Mapping[str, Array] = field(default_factory=dict)  # (L, T, W) in [0, 1] by name, after reading `read`
    states: Mapping[str, Array] = field(default_factory=dict)  # (L, T, W) `hidden` and, of an LSTM, `cell`
    orders: Array | None = None  # (N + 1, T) share of p that n-grams of each length give; order 0 is uniform
    counts: NDArray[np.int64] | None = None  # (N, T) how often the n-gram of each length that ends there was counted
    totals: NDArray[np.int64] | None = None  # (N, T) how often its context was, whatever followed
    followers: Followers = field(default_factory=list)  # (T,) longest context that is known there, what followed it
    posteriors: Array | None = None  # (T, S) how likely a hidden Markov model's states are in each place of the line
    path: NDArray[np.int64] | None = None  # (T,) the likeliest states, all together (Viterbi)
    state_names: Sequence[str] = field(default_factory=list)  # (S,) what each state emits most
    weights: Array | None = None  # (T, E) of a mixture's experts, rows sum to 1
    experts: Sequence[str] = field(default_factory=list)  # (E,)

    def to_json(self) -> str:
        """One JSON object with the fields that are not empty, arrays as lists of numbers with four digits."""
        held = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return json.dumps({name: _plain(value) for name, value in held.items() if _is_told(value)}, ensure_ascii=False)


def one_line(text: str, name: str) -> str:
    """`text` if it can be looked at whole. Raises `RequestError` for an empty or a long one."""
    if not text.strip():
        raise RequestError(f"There is no text to look at; give {name} a line of up to {LONGEST} characters.")
    if len(text) > LONGEST:
        raise RequestError(f"The line has {len(text):,} characters; give {name} one of at most {LONGEST}.")
    return text


def best(p: NDArray[np.floating[Any]], tokens: Sequence[str]) -> Guesses:
    """The likeliest tokens of each row of probabilities (T, size), the likeliest first."""
    order = np.argsort(-p, axis=1, kind="stable")[:, :GUESSES]
    return [[(tokens[i], float(row[i])) for i in chosen] for row, chosen in zip(p, order.tolist(), strict=True)]


def under_kinds(
    p: NDArray[np.float64], symbols: NDArray[np.int64], shares: NDArray[np.float64]
) -> tuple[NDArray[np.float64], int]:
    """Of an item that may be of K kinds: what stands in each place, (T, size), and the kind that it likeliest is.

    p: (K, T, size) given each kind. symbols: (T,) the item's. shares: (K,) of the kinds before anything is read; what
    was read so far says by Bayes' rule how likely each kind is.
    """
    said = np.log(np.take_along_axis(p, symbols[None, :, None], 2)[:, :, 0])
    logs = np.log(shares)[:, None] + np.concatenate([np.zeros((len(p), 1)), np.cumsum(said, 1)], 1)
    posterior = np.exp(logs - np.logaddexp.reduce(logs, axis=0))
    return np.einsum("kt,kts->ts", posterior[:, :-1], p), int(posterior[:, -1].argmax())


def _is_told(value: Any) -> bool:
    return value is not None and (isinstance(value, np.ndarray) or bool(value))


def _plain(value: Any) -> Any:
    """Arrays as nested lists, numbers rounded, all else as it is."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "iu":
            return value.tolist()
        return np.round(value.astype(np.float64), DIGITS).tolist()
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return round(value, DIGITS) if isinstance(value, float) else value
