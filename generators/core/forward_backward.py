"""The recursions of hidden Markov models, batched over sequences: forward, backward, expected counts, Viterbi.

What is unusual: each recursion is normalised by its own sums, and only now and then; a place's two halves are weighed
against each other where they meet. Only the backward one is kept. Forwards, the expected counts are taken in pieces
that stay in the cache.

Observations are whole numbers, rows of a table of emission probabilities: the symbols themselves, or, where
observations are continuous, their places. Shorter sequences of a block end in padding, whose emission is 1 in every
state: a row-stochastic matrix carries both recursions through it unchanged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

Implementation = Literal["scaling", "log"]
EVERY = 8  # steps from one normalisation to the next
PIECE = 8  # steps whose emissions are looked up, and whose counts are taken, at once
CELLS = 2**24  # places times states of a block, at most where it has more than one sequence


@dataclass(frozen=True)
class Block:
    """Sequences of similar length. rows: (N,) their numbers; symbols: (T, N) rows of the emissions, `pad` at ends."""

    rows: Tensor
    symbols: Tensor
    pad: int
    padded: bool

    @property
    def lengths(self) -> Tensor:
        """(N,) of the sequences."""
        return (self.symbols != self.pad).sum(0)

    def to(self, device: torch.device) -> Block:
        """The same on a device."""
        return Block(self.rows.to(device), self.symbols.to(device), self.pad, self.padded)


def blocks(symbols: Tensor, lengths: Tensor, states: int, pad: int) -> Iterator[Block]:
    """Sequences of `lengths` (N,), one after the other in `symbols` (sum,), as blocks that fit into memory."""
    order = torch.argsort(lengths, descending=True, stable=True)
    starts = torch.cumsum(lengths, 0) - lengths
    sizes = lengths[order].tolist()
    begin = 0
    while begin < len(sizes):
        longest, end = sizes[begin], begin + 1
        most = max(CELLS // (longest * states), 1)
        while end < len(sizes) and end - begin < most and 2 * sizes[end] >= longest:
            end += 1
        rows = order[begin:end]
        steps = torch.arange(longest, device=symbols.device)[:, None]
        inside = steps < lengths[rows]  # (T, N)
        places = torch.where(inside, starts[rows] + steps, 0)
        found = torch.where(inside, symbols[places], pad)
        yield Block(rows, found.contiguous(), pad, sizes[end - 1] < longest)
        begin = end


@dataclass(frozen=True)
class Chain:
    """A model's parameters as the recursions need them.

    start (S,), transitions (S, S); log_table (R + 1, S): log emission probabilities or densities, the padding last.
    """

    start: Tensor
    transitions: Tensor
    log_table: Tensor

    def scaled(self) -> tuple[Tensor, Tensor]:
        """The table (R + 1, S) with 1 as each row's largest emission, and the logarithms (R + 1,) of what that took."""
        shift = self.log_table.amax(1)
        shift = torch.where(shift.isfinite(), shift, 0.0)
        table = torch.exp(self.log_table - shift[:, None])
        return torch.where(table >= 100 * torch.finfo(table.dtype).tiny, table, 0.0), shift


@dataclass
class Counts:
    """Expected counts (the E-step) of a block or of many.

    first (S,) of the states that sequences begin in, moves (S, S) from state to state, emitted (R, S) of each row of
    the emissions in each state, log_likelihood () in nats.
    """

    first: Tensor
    moves: Tensor
    emitted: Tensor
    log_likelihood: Tensor

    @classmethod
    def none(cls, chain: Chain) -> Counts:
        """Counts of nothing yet."""
        zeros = chain.start.new_zeros
        rows, states = chain.log_table.shape
        return cls(zeros(states), zeros(states, states), zeros(rows, states), zeros(()))


class Workspace:
    """Memory of the recursions that is kept from step to step: new pages cost as much as the arithmetic."""

    def __init__(self) -> None:
        self._store = torch.empty(0)

    def take(self, size: int, like: Tensor) -> Tensor:
        """(size,) numbers of any value, of the kind of `like`."""
        if self._store.numel() < size or self._store.dtype != like.dtype or self._store.device != like.device:
            self._store = like.new_empty(size)
        return self._store[:size]


@torch.no_grad()
def count(chain: Chain, block: Block, into: Counts, work: Workspace, how: Implementation = "scaling") -> None:
    """Add a block's expected counts to `into` (Rabiner 1989, eq. 37-40). Raises ValueError for an impossible sequence.

    What underflows in the scaled recursions is computed in log space.
    """
    if how == "log" or not any(_count_scaled(chain, block, into, work, every) for every in (EVERY, 1)):
        _count_log(chain, block, into)


def _count_scaled(chain: Chain, block: Block, into: Counts, work: Workspace, every: int) -> bool:
    """Add a block's counts by the scaled recursions; False, and nothing is added, where they underflow."""
    (steps, n), states = block.symbols.shape, len(chain.start)
    table, shift = chain.scaled()
    omega = work.take(steps * n * states, table).view(steps, n, states)  # emission * beta, up to a factor
    least = _backward(chain, table, block.symbols, omega, every)
    found = Counts(*(torch.zeros_like(part) for part in (into.first, into.moves, into.emitted, into.log_likelihood)))
    # The step before and those at hand: alpha up to a factor, and what it is before the emission.
    alpha, reached = table.new_empty(PIECE + 1, n, states), table.new_empty(PIECE, n, states)
    emissions, pairs = torch.empty_like(reached), table.new_empty(PIECE, states, states)
    rows = list(zip(alpha, alpha[1:], reached, emissions, strict=False))
    moves = [_product(chain.transitions, row) for row in reached]
    for t in range(0, steps, PIECE):
        symbols, after = block.symbols[t : t + PIECE], omega[t : t + PIECE]
        size, norms = len(symbols), table.new_ones(len(symbols), n, 1)
        torch.index_select(table, 0, symbols.flatten(), out=emissions[:size].view(-1, states))
        for i in range(size):
            before, now, moved, emission = rows[i]
            if t + i:
                moves[i](before)
            else:
                moved.copy_(chain.start.expand_as(moved))
            torch.mul(moved, emission, out=now)
            if (t + i) % every == 0:
                now.div_(torch.sum(now, -1, keepdim=True, out=norms[i]))
        shares = reached[:size].mul_(after)  # alpha beta
        scale = shares.sum(-1, keepdim=True)
        if not bool(torch.minimum(least, torch.minimum(norms.amin(), scale.amin())) > _tiny(table)):
            return False
        shares.mul_(scale.reciprocal_())
        found.emitted.index_add_(0, symbols.flatten(), shares.flatten(0, 1))
        found.log_likelihood += norms.log().sum()
        if t == 0:
            found.first += shares[0].sum(0)
        if block.padded:
            scale.masked_fill_((symbols == block.pad)[..., None], 0.0)  # nothing moves into the padding
        after.mul_(scale)
        begin = int(t == 0)  # nor into the first place
        _product(after[begin:], pairs[begin:size])(alpha[begin:size].mT)
        found.moves += pairs[begin:size].sum(0)
        alpha[0] = alpha[size]
    last = alpha[0].sum(-1)
    if not bool(last.amin() > _tiny(table)):
        return False
    into.first += found.first
    into.moves += found.moves * chain.transitions
    into.emitted += found.emitted
    into.log_likelihood += found.log_likelihood + last.log().sum() + shift[block.symbols].sum()
    return True


def _backward(chain: Chain, table: Tensor, symbols: Tensor, omega: Tensor, every: int) -> Tensor:
    """Fill `omega` (T, N, S) with emission * beta, each up to a factor; returns the least sum it was divided by."""
    steps, n, states = omega.shape
    moved, sums, least = torch.empty_like(omega[0]), table.new_empty(n, 1), table.new_ones(())
    move = _product(chain.transitions.T.contiguous(), moved)
    emissions, now = table.new_empty(PIECE, n, states), omega[-1]
    for end in range(steps, 0, -PIECE):
        some = symbols[max(end - PIECE, 0) : end]
        torch.index_select(table, 0, some.flatten(), out=emissions[: len(some)].view(-1, states))
        for i in range(len(some) - 1, -1, -1):
            t = end - len(some) + i
            if t + 1 < steps:
                move(now)
                now = torch.mul(moved, emissions[i], out=omega[t])
            else:
                now.copy_(emissions[i])
            if t % every == 0:
                now.div_(torch.sum(now, -1, keepdim=True, out=sums))
                least = torch.minimum(least, sums.amin())
    return least


def _tiny(like: Tensor) -> float:
    """A sum below this is computed anew: normalised at every step, and in log space where that is not enough."""
    return float(torch.finfo(like.dtype).tiny ** 0.6)


def _product(b: Tensor, out: Tensor) -> Callable[[Tensor], Any]:
    """What puts a b into `out`. On a CPU by NumPy, whose OpenBLAS takes half of MKL's time for products so small."""
    if out.device.type != "cpu":
        return lambda a: torch.matmul(a, b, out=out)
    right, found = b.numpy(), out.numpy()
    return lambda a: np.matmul(a.numpy(), right, found)


def _count_log(chain: Chain, block: Block, into: Counts) -> None:
    """Add a block's counts by the recursions in log space, which underflow nowhere."""
    symbols, moves = block.symbols, chain.transitions.log()
    emissions = chain.log_table[symbols]  # (T, N, S)
    alpha, beta = torch.empty_like(emissions), torch.zeros_like(emissions)
    alpha[0] = chain.start.log() + emissions[0]
    for t in range(1, len(symbols)):
        alpha[t] = torch.logsumexp(alpha[t - 1][:, :, None] + moves, 1) + emissions[t]
    for t in range(len(symbols) - 2, -1, -1):
        beta[t] = torch.logsumexp(moves + (emissions[t + 1] + beta[t + 1])[:, None, :], 2)
    nats = torch.logsumexp(alpha[-1], -1)  # (N,)
    _check_possible(nats, block)
    shares = torch.exp(alpha + beta - nats[:, None])
    into.emitted.index_add_(0, symbols.flatten(), shares.flatten(0, 1))
    into.first += shares[0].sum(0)
    after = emissions + beta - nats[:, None]
    after.masked_fill_((symbols == block.pad)[..., None], -torch.inf)
    for t in range(1, len(symbols)):
        into.moves += torch.exp(alpha[t - 1][:, :, None] + moves + after[t][:, None, :]).sum(0)
    into.log_likelihood += nats.sum()


def _check_possible(nats: Tensor, block: Block) -> None:
    """Raise ValueError where a sequence's log-likelihood (N,) is that of probability 0."""
    if not bool(nats.isfinite().all()):
        row = int(block.rows[~nats.isfinite()][0])
        raise ValueError(
            f"Sequence {row} has probability 0 under the model: allow its states and symbols with a pseudo-count."
        )


@torch.no_grad()
def log_likelihoods(chain: Chain, block: Block, how: Implementation = "scaling") -> Tensor:
    """(N,) nats of a block's sequences, -inf for an impossible one; by the forward recursion alone."""
    if how == "scaling":
        found = _filtered(chain, block)
        if bool(found.isfinite().all()):
            return found
    moves = chain.transitions.log()
    alpha = chain.start.log() + chain.log_table[block.symbols[0]]
    for symbols in block.symbols[1:]:
        alpha = torch.logsumexp(alpha[:, :, None] + moves, 1) + chain.log_table[symbols]
    return torch.logsumexp(alpha, -1)


def _filtered(chain: Chain, block: Block) -> Tensor:
    """(N,) nats by the scaled forward recursion; not finite where it underflows."""
    (steps, n), states = block.symbols.shape, len(chain.start)
    table, shift = chain.scaled()
    norms = table.new_ones(steps, n, 1)
    now, moved = chain.start.expand(n, -1), table.new_empty(n, states)
    move = _product(chain.transitions, moved)
    for k in range(0, steps, PIECE):
        some = block.symbols[k : k + PIECE]
        emissions = table.index_select(0, some.flatten()).view(*some.shape, states)
        for i, emission in enumerate(emissions):
            if k + i:
                move(now)
                now = torch.mul(moved, emission, out=emission)
            else:
                now = emission.mul_(now)
            if (k + i) % EVERY == 0:
                now.div_(torch.sum(now, -1, keepdim=True, out=norms[k + i]))
    last = now.sum(-1)
    found = norms.log().sum((0, 2)) + last.log() + shift[block.symbols].sum(0)
    sure = (norms.amin((0, 2)) > _tiny(table)) & (last > _tiny(table))
    return torch.where(sure, found, torch.nan)


@torch.no_grad()
def viterbi(chain: Chain, block: Block) -> tuple[Tensor, Tensor]:
    """The likeliest states (T, N) of a block's sequences and the log probability (N,) of states and symbols together.

    Raises ValueError for an impossible sequence. Of equally likely states the first is taken (Viterbi 1967).
    """
    (steps, n), states = block.symbols.shape, len(chain.start)
    moves, stay = chain.transitions.log(), torch.arange(states, device=block.symbols.device)
    back = torch.empty(steps, n, states, dtype=torch.int16, device=stay.device)
    best = chain.start.log() + chain.log_table[block.symbols[0]]
    for t in range(1, steps):
        reached, at = (best[:, :, None] + moves).max(1)
        reached += chain.log_table[block.symbols[t]]
        if block.padded:
            ended = (block.symbols[t] == block.pad)[:, None]
            reached, at = torch.where(ended, best, reached), torch.where(ended, stay, at)
        best, back[t] = reached, at
    nats, state = best.max(-1)
    _check_possible(nats, block)
    path = torch.empty_like(block.symbols)
    path[-1] = state
    for t in range(steps - 1, 0, -1):
        path[t - 1] = back[t].gather(1, path[t][:, None])[:, 0]
    return path, nats
