"""Which tool, by likelihood: the probability of each candidate's tokens, among the candidates.

The candidates form a trie over tokens. When one first token holds nearly all of the mass, only that candidate is
followed, in the forward pass that has to be made anyway. Otherwise the whole trie goes through the model in a single
pass, each node attending to its own ancestors only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

Ranking = tuple[tuple[str, float], ...]  # name and probability of every candidate, likeliest first
REMAINDER = 0.01  # probability that may stay unresolved among the candidates


class Writer(Protocol):
    """What choosing needs of a session (see `chains.session.Session`)."""

    def push(self, tokens: Sequence[int]) -> None: ...
    def logits(self, last: int = 1) -> torch.Tensor: ...
    def rewind(self, count: int) -> None: ...
    def branch(self, tokens: Sequence[int], parents: Sequence[int]) -> torch.Tensor: ...


@dataclass(frozen=True)
class Candidate:
    """A name and its tokens; `ends` are the tokens that may follow it, needed where one name begins another."""

    name: str
    tokens: tuple[int, ...]
    ends: tuple[int, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The likeliest candidate; probabilities are among the candidates and sum to one."""

    candidate: Candidate
    confidence: float
    ranking: Ranking
    written: bool  # its tokens (and `tail`) already stand in the session


def candidates(names: Sequence[str], tokens: Sequence[Sequence[int]], ends: Sequence[Sequence[int]]) -> list[Candidate]:
    """Candidates that carry their `ends`, but those with which another one goes on, only where their tokens are the
    beginning of another's.
    """
    found = []
    for i, own in enumerate(tokens):
        longer = [other for j, other in enumerate(tokens) if j != i and list(other[: len(own)]) == list(own)]
        further = {other[len(own)] for other in longer if len(other) > len(own)}
        found.append(
            Candidate(names[i], tuple(own), tuple(end for end in ends[i] if end not in further) if longer else ())
        )
    return found


def choose(
    writer: Writer,
    options: Sequence[Candidate],
    tail: Callable[[str], Sequence[int]],
    calibrated: Callable[[Ranking], Ranking] = tuple,
) -> Choice:
    """The likeliest of `options` as the continuation of what `writer` holds, right to within REMAINDER.

    `tail(name)` are the tokens that must follow a name; a name that is written is written together with them.
    `calibrated` gives the ranking its final probabilities and order.
    """
    if len(options) == 1:
        return Choice(options[0], 1.0, ((options[0].name, 1.0),), written=False)
    root = writer.logits()[0].log_softmax(-1)  # (V,)
    first = {option.tokens[0]: math.exp(float(root[option.tokens[0]])) for option in options}
    bound = {option.name: first[option.tokens[0]] for option in options}  # none is likelier than its first token
    exact = {o.name: bound[o.name] for o in options if len(o.tokens) == 1 and not o.ends}

    groups = sorted(first, key=lambda token: -first[token])
    leaders = [option for option in options if option.tokens[0] == groups[0]]
    written = 0
    if len(leaders) == 1 and first[groups[0]] >= (1 - REMAINDER) * sum(first.values()) and leaders[0].name not in exact:
        follow = [*leaders[0].tokens, *tail(leaders[0].name)]
        writer.push(follow)
        written = len(follow)
        after = writer.logits(written)  # (n, V)
        exact[leaders[0].name] = bound[leaders[0].name] * _path(after, leaders[0])
    rest = [option for option in options if option.name not in exact]
    while rest:
        remainder = sum({o.tokens[0]: bound[o.name] for o in rest}.values())
        if remainder <= REMAINDER * (remainder + sum(exact.values())):
            break
        if written:
            writer.rewind(written)
            written = 0
        likely = [o for o in rest if bound[o.name] >= REMAINDER * remainder] or rest
        exact |= {name: first[o.tokens[0]] * p for o, (name, p) in zip(likely, _scores(writer, likely), strict=True)}
        rest = [option for option in rest if option.name not in exact]

    shared = {o.tokens[0]: sum(r.tokens[0] == o.tokens[0] for r in rest) for o in rest}
    mass = exact | {o.name: bound[o.name] / shared[o.tokens[0]] for o in rest}
    total = sum(mass.values()) or 1.0
    ranking = calibrated(tuple(sorted(((name, p / total) for name, p in mass.items()), key=lambda pair: -pair[1])))
    winner = next(option for option in options if option.name == ranking[0][0])
    if written and winner is not leaders[0]:
        writer.rewind(written)
        written = 0
    return Choice(winner, ranking[0][1], ranking, written=bool(written))


def _path(after: torch.Tensor, option: Candidate) -> float:
    """Probability of the tokens after the first, then of an end, from the logits `after` (n, V) the n tokens."""
    log_p = after[: len(option.tokens)].log_softmax(-1)
    p = sum(float(log_p[i, token]) for i, token in enumerate(option.tokens[1:]))
    if option.ends:
        p += float(log_p[len(option.tokens) - 1, list(option.ends)].logsumexp(-1))
    return math.exp(p)


def _scores(writer: Writer, options: Sequence[Candidate]) -> list[tuple[str, float]]:
    """Name and probability, given its first token, of each option; one pass over the trie of all."""
    import torch

    index: dict[tuple[int, ...], int] = {}
    tokens: list[int] = []
    parents: list[int] = []
    for option in options:
        needed = len(option.tokens) - (not option.ends)  # what follows the last token matters only to find an end
        for depth in range(1, needed + 1):
            path = option.tokens[:depth]
            if path not in index:
                index[path] = len(tokens)
                tokens.append(path[-1])
                parents.append(index.get(path[:-1], -1))
    after = writer.branch(tokens, parents)  # (nodes, V)
    scores = []
    for option in options:
        rows = [index[option.tokens[:d]] for d in range(1, len(option.tokens) + 1) if option.tokens[:d] in index]
        scores.append((option.name, _path(torch.as_tensor(after[rows]), option)))
    return scores
