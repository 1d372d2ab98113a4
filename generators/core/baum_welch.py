"""Baum-Welch as a side of the shared training loop: a step is an EM step, so budgets, resuming and processes work.

A step on all sequences is plain EM, and what it maximises, likelihood times prior, must not fall from step to step. A
step on a batch is stepwise EM (Cappe & Moulines 2009; Liang & Klein 2009): expected counts are an average in which
older steps weigh less. On several processes the counts are summed over all of them.

Symbol 0 stands for all that is unknown. The kinds of a list of items have a state each, after the others, which emits
the kind's start symbol and nothing else and which only a sequence's beginning is in; EM leaves such zeros as they are.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from generators.core.forward_backward import Block, Chain, Counts, Workspace, blocks, count
from generators.core.generator import Texts, torch_rng
from generators.core.hidden_markov import check_rise, normalised
from generators.core.kneser_ney import Floats, Ints
from generators.core.symbols import blocks as parts
from generators.core.symbols import stored
from generators.core.training import share, shuffled
from generators.core.vocabulary import Vocabulary

if TYPE_CHECKING:
    from accelerate import Accelerator

MOVES = 1.0  # pseudo-count of every transition and first state
FORGETTING = 0.6  # stepwise EM: the counts of step k weigh (k + 2)^-0.6


class Parameters(nn.Module):
    """start (S,), transitions (S, S) and emissions (S, V), each row probabilities, in float64."""

    start: Tensor
    transitions: Tensor
    emissions: Tensor

    def __init__(self, start: Tensor, transitions: Tensor, emissions: Tensor) -> None:
        super().__init__()
        for name, value in (("start", start), ("transitions", transitions), ("emissions", emissions)):
            self.register_buffer(name, value.double())

    @classmethod
    def random(cls, states: int, shares: Floats, kinds: Ints, seed: int) -> Self:
        """To start EM from: each state's emissions are the text's `shares` (V,), each times a random factor.

        kinds: how many items of each kind there are; (0,) where there are no kinds.
        """
        random = torch_rng(seed)
        mixed = _dirichlet(random, states, len(shares)) * torch.from_numpy(shares)
        total = states + len(kinds)
        start, transitions = torch.zeros(total, dtype=torch.float64), torch.zeros(total, total, dtype=torch.float64)
        emissions = torch.zeros(total, len(shares) + len(kinds), dtype=torch.float64)
        emissions[:states, : len(shares)] = mixed / mixed.sum(1, keepdim=True)
        transitions[:, :states] = _dirichlet(random, total, states)
        if len(kinds):
            start[states:] = torch.from_numpy(np.maximum(kinds, 1) / np.maximum(kinds, 1).sum())
            emissions[states:, len(shares) :] = torch.eye(len(kinds), dtype=torch.float64)
        else:
            start[:] = _dirichlet(random, 1, states)[0]
        return cls(start, transitions, emissions)

    def chain(self) -> Chain:
        """As the recursions take them."""
        padding = self.start.new_zeros(1, len(self.start))
        return Chain(self.start, self.transitions, torch.cat([self.emissions.T.log(), padding]))

    def blocks(self, symbols: Ints, lengths: Ints) -> list[Block]:
        """Sequences of symbols, one after the other, as blocks."""
        states, rows = self.emissions.shape
        return list(blocks(torch.from_numpy(symbols), torch.from_numpy(lengths), states, rows))


def _dirichlet(random: torch.Generator, rows: int, columns: int) -> Tensor:
    """Rows of probabilities, every one as likely."""
    drawn = -torch.log1p(-torch.rand(rows, columns, generator=random, dtype=torch.float64)) + 1e-12
    return drawn / drawn.sum(1, keepdim=True)


@dataclass(frozen=True)
class Sequences:
    """What is learnt from: `symbols` (N,), and where each sequence begins, with the end of the last, (R + 1,)."""

    symbols: NDArray[Any]
    begins: Ints

    @classmethod
    def of(cls, texts: Texts, vocabulary: Vocabulary, length: int, check: Callable[[], None]) -> Self:
        """A running text in pieces of `length` symbols; a list's items, each after its kind's start symbol, to its end.

        Raises `Cancelled` as `check` does.
        """
        if texts.running:
            symbols, _ = stored(vocabulary.encode_all(texts.pieces()), len(vocabulary), check)
            return cls(symbols, np.append(np.arange(0, len(symbols), length), len(symbols)))
        kinds = texts.labels or (0,) * len(texts)
        rows = [item_symbols(vocabulary, item, kind) for item, kind in zip(texts.items, kinds, strict=True)]
        return cls(np.concatenate(rows), np.cumsum([0, *map(len, rows)]))

    def __len__(self) -> int:
        """How many there are."""
        return len(self.begins) - 1

    def counts(self, size: int) -> Ints:
        """(size,) how often each symbol is met, start symbols left out."""
        return sum((np.bincount(part, minlength=size)[:size] for part in parts(self.symbols)), np.zeros(size, np.int64))

    def take(self, rows: NDArray[np.int64]) -> tuple[Ints, Ints]:
        """The symbols of some sequences, one after the other, and the lengths of these."""
        each = [self.symbols[self.begins[row] : self.begins[row + 1]] for row in rows]
        return np.concatenate(each).astype(np.int64), np.asarray([len(part) for part in each], dtype=np.int64)


def item_symbols(vocabulary: Vocabulary, item: str, kind: int) -> Ints:
    """An item's symbols after the start symbol of its kind, with its end, a line's end."""
    return np.concatenate([[len(vocabulary) + kind], vocabulary.encode(item + "\n")]).astype(np.int64)


class BaumWelch:
    """EM of `net` on `sequences`.

    batch: sequences a step, 0 for all. shares (V,) of the symbols: the prior of each state's emissions is `prior`
    pseudo-observations spread as they are. judge: held-out figures, see `generators.core.training.Stepper.validate`.
    """

    def __init__(
        self,
        net: Parameters,
        sequences: Sequences,
        *,
        batch: int,
        prior: float,
        shares: Floats,
        judge: Callable[[], dict[str, float]] | None = None,
    ) -> None:
        self.modules: dict[str, nn.Module] = {"net": net}
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.sequences, self.batch = sequences, batch if batch < len(sequences) else 0
        if judge is not None:
            self.validate = judge
        pseudo = np.append(prior * shares, np.zeros(net.emissions.shape[1] - len(shares)))  # none of a start symbol
        self.pseudo = torch.from_numpy(pseudo)
        self.work, self.objective = Workspace(), -math.inf
        self.counts: Counts | None = None  # of stepwise EM

    def batches(self, seed: int) -> Callable[[int], list[Block]]:
        """This process's part of the sequences of a step."""
        net = self.modules["net"]
        assert isinstance(net, Parameters)
        if not self.batch:
            world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
            whole = net.blocks(*self.sequences.take(np.arange(len(self.sequences))[rank::world]))
            return lambda step: whole
        order, mine = shuffled(len(self.sequences), self.batch, seed), share(self.batch)
        return lambda step: net.blocks(*self.sequences.take(order(step)[mine]))

    def step(self, batch: list[Block], i: int, accelerator: Accelerator) -> dict[str, float]:
        net = accelerator.unwrap_model(self.modules["net"])
        chain, device = net.chain(), net.start.device
        counts = Counts.none(chain)
        for block in batch:
            count(chain, block.to(device), counts, self.work)
        observed = torch.tensor(float(sum(int(block.lengths.sum()) for block in batch)), device=device)
        if accelerator.num_processes > 1:
            for name in ("first", "moves", "emitted", "log_likelihood"):
                setattr(counts, name, accelerator.reduce(getattr(counts, name), reduction="sum"))
            observed = accelerator.reduce(observed, reduction="sum")
        nats = -float(counts.log_likelihood) / float(observed)
        if not self.batch:
            objective = float(counts.log_likelihood) + self.log_prior(net)
            check_rise(i, self.objective, objective)
            self.objective = objective
        else:
            counts = self._averaged(counts, len(self.sequences) / self.batch, (i + 2) ** -FORGETTING)
        self.maximise(net, counts)
        return {"nats_per_symbol": nats}

    def _averaged(self, counts: Counts, times: float, weight: float) -> Counts:
        """The average of all steps' counts, each scaled to the whole text."""
        scaled = {name: getattr(counts, name) * times for name in ("first", "moves", "emitted")}
        if self.counts is None:
            self.counts = replace(counts, **scaled)
        for name, value in scaled.items():
            getattr(self.counts, name).lerp_(value, weight)
        return self.counts

    def maximise(self, net: Parameters, counts: Counts) -> None:
        """The M-step."""
        allowed = net.transitions > 0
        net.start.copy_(normalised(counts.first + MOVES * (net.start > 0), net.start))
        net.transitions.copy_(normalised(counts.moves + MOVES * allowed, net.transitions))
        free = (net.emissions @ (self.pseudo > 0).double() > 0)[:, None]  # not the states of start symbols
        emitted = counts.emitted[:-1].T + self.pseudo.to(net.emissions.device) * free
        net.emissions.copy_(normalised(emitted, net.emissions))

    def log_prior(self, net: Parameters) -> float:
        """Log density of the parameters under their prior, up to a constant; impossible ones are no part of it."""
        moves = sum(float(part[part > 0].log().sum()) for part in (net.start, net.transitions))
        pseudo = self.pseudo.to(net.emissions.device)
        return MOVES * moves + float((pseudo * torch.where(net.emissions > 0, net.emissions, 1.0).log()).sum())

    def memory(self) -> dict[str, Tensor]:
        """What goes from step to step: the last objective, and of stepwise EM the average of the counts."""
        found = {"objective": torch.tensor(self.objective, dtype=torch.float64)}
        for name in ("first", "moves", "emitted") if self.counts is not None else ():
            found[name] = getattr(self.counts, name)
        return found

    def remember(self, memory: dict[str, Tensor]) -> None:
        """Go on from what `memory` gave."""
        self.objective = float(memory["objective"])
        if "first" in memory:
            zero = memory["objective"] * 0
            self.counts = Counts(memory["first"], memory["moves"], memory["emitted"], zero)
