"""A network of symbols as what predicts the next one, with what it carried from those before.

Of one continuation it reads a symbol at a time; of several it reads the same symbol of all at once, or whole ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from generators.core.kneser_ney import UNKNOWN, Floats, Ints


class Carrying(Protocol):
    """A network of symbols: (B, T) and what it carried -> logits (B, T, V), what it carries on."""

    def __call__(self, symbols: Tensor, carried: Any = None) -> tuple[Tensor, Any]: ...


@dataclass(frozen=True)
class State:
    """What a predictor knows of the symbols so far: the last ones, what the network carries, the next one's logits."""

    tail: tuple[int, ...]
    carried: Any
    logits: Tensor  # (V,)


@dataclass(frozen=True)
class States:
    """K states that have read as many symbols: their last ones (K, T), what the network carries, logits (K, V)."""

    tails: Tensor
    carried: Any
    logits: Tensor


class NetPredictor:
    """A network as a `generators.core.writing.Predictor` of `size` symbols. reach: those it sees at most, 0 for any."""

    def __init__(self, net: Carrying, size: int, reach: int, unknown: float) -> None:
        self.net, self.size, self.reach, self.unknown = net, size, reach, unknown

    @torch.inference_mode()
    def context(self, symbols: list[int]) -> State:
        """All of the symbols that the network can see, read at once; without any, the unknown one."""
        tail = tuple(symbols[-self.reach :] if self.reach else symbols) or (UNKNOWN,)
        logits, carried = self.net(torch.tensor([tail]))
        return State(tail if self.reach else (), carried, logits[0, -1])

    @torch.inference_mode()
    def extend(self, context: State, symbol: int) -> State:
        """One symbol more; where the network has seen all that it can, it reads the last half again."""
        tail = (*context.tail, symbol)
        if self.reach and len(tail) > self.reach:
            return self.context(list(tail[-self.reach // 2 :]))
        logits, carried = self.net(torch.tensor([[symbol]]), context.carried)
        return State(tail if self.reach else (), carried, logits[0, -1])

    def distribution(self, context: State, longest: int | None = None) -> Floats:
        """(size,) the next symbol's probabilities."""
        return probabilities(context.logits[: self.size], self.unknown).double().numpy()

    # See generators.core.writing.Parallel

    @torch.inference_mode()
    def advanced(self, context: State, symbols: Sequence[int]) -> State:
        """The context after these symbols, of which only the last window is read."""
        if not len(symbols):
            return context
        read = (*context.tail, *symbols)
        start, stop = self._windows(len(context.tail), len(symbols))[-1]
        if start or not self.reach:
            carried = None if start else context.carried
            logits, carried = self.net(torch.tensor([read[start:stop]]), carried)
            return State(read[start:stop] if self.reach else (), carried, logits[0, -1])
        logits, carried = self.net(torch.tensor([symbols]), context.carried)
        return State(read, carried, logits[0, -1])

    def forked(self, context: State, count: int) -> States:
        """A context `count` times over."""
        tails = torch.tensor([context.tail], dtype=torch.long).expand(count, -1)
        carried = _rows_of(context.carried, torch.zeros(count, dtype=torch.long))
        return States(tails, carried, context.logits.expand(count, -1))

    @torch.inference_mode()
    def stepped(self, contexts: States, rows: Ints, symbols: Ints) -> States:
        """Those of `rows`, each after one more symbol."""
        some, said = torch.from_numpy(rows), torch.from_numpy(symbols)[:, None]
        tails = contexts.tails[some]
        if self.reach:
            tails = torch.cat([tails, said], 1)
        if self.reach and tails.size(1) > self.reach:
            tails = tails[:, -self.reach // 2 :]
            logits, carried = self.net(tails)
        else:
            kept = contexts.carried if len(some) == len(contexts.tails) else _rows_of(contexts.carried, some)
            logits, carried = self.net(said, kept)
        return States(tails, carried, logits[:, -1])

    def each_distribution(self, contexts: States) -> Floats:
        """(K, size) the next symbol's probabilities in each of K contexts."""
        return probabilities(contexts.logits[:, : self.size], self.unknown).numpy()

    def foreseen(self, context: State, rows: Sequence[Sequence[int]]) -> list[Floats]:
        """For every row of T symbols after the context, (T + 1, size): before each of them, and after the last."""
        return [probabilities(logits[:, : self.size], self.unknown).numpy() for logits in self.logits(context, rows)]

    @torch.inference_mode()
    def logits(self, context: State, rows: Sequence[Sequence[int]]) -> list[Tensor]:
        """What `foreseen` is made of: (T + 1, V) for every row (T,)."""
        seen = len(context.tail)
        windows = [self._windows(seen, len(row)) for row in rows]
        longest = max(part[0][1] for part in windows) - seen
        found = [context.logits.expand(len(rows), 1, -1)]  # then what is read on from the context, all rows at once
        if longest:
            read = torch.tensor([[*row[:longest], *[UNKNOWN] * (longest - len(row))] for row in rows])
            carried = _rows_of(context.carried, torch.zeros(len(rows), dtype=torch.long))
            found.append(self.net(read, carried)[0])
        first = torch.cat(found, 1)
        parts = [[first[k, : part[0][1] - seen + 1]] for k, part in enumerate(windows)]
        later = [(k, start, stop) for k, part in enumerate(windows) for start, stop in part[1:]]
        if later:
            width, half = max(stop - start for _, start, stop in later), len(range(self.reach)[-self.reach // 2 :])
            whole = [(*context.tail, *row) for row in rows]
            read = torch.tensor([[*whole[k][at:to], *[UNKNOWN] * (width - to + at)] for k, at, to in later])
            for (k, start, stop), logits in zip(later, self.net(read)[0], strict=True):
                parts[k].append(logits[half - 1 : stop - start])
        return [torch.cat(part) for part in parts]

    def _windows(self, seen: int, more: int) -> list[tuple[int, int]]:
        """Where the windows lie, begin and end, in which `extend` reads `more` symbols after the `seen` ones."""
        if not self.reach or seen + more <= self.reach:
            return [(0, seen + more)]
        half, found, end = len(range(self.reach)[-self.reach // 2 :]), [(0, self.reach)], self.reach
        while end < seen + more:
            start = end + 1 - half
            end = min(start + self.reach, seen + more)
            found.append((start, end))
        return found

    def knows(self, symbols: list[int]) -> bool:
        """It can tell what follows whatever symbols."""
        return True

    @torch.inference_mode()
    def familiarity(self, symbols: list[int]) -> float:
        """The mean log probability of the symbols after the first."""
        if len(symbols) < 2:
            return 0.0
        logits, _ = self.net(torch.tensor([symbols[:-1]]))
        losses = functional.cross_entropy(logits[0, :, 1 : self.size], torch.tensor(symbols[1:]) - 1)
        return -float(losses)

    @property
    def lookbacks(self) -> tuple[None, None]:
        """It always sees all there is."""
        return (None, None)

    def followers(self, symbol: int) -> None:
        """Any symbol may follow."""
        return None


def probabilities(logits: Tensor, unknown: float) -> Tensor:
    """Probabilities (..., size) of logits: the unknown symbol, the first, has the share `unknown`."""
    p = functional.softmax(logits.double()[..., 1:], -1) * (1 - unknown)
    return torch.cat([torch.full_like(p[..., :1], unknown), p], -1)


def _rows_of(carried: Any, rows: Tensor) -> Any:
    """Of what a network carries those rows: keys and values (B, h, S, w), or states of a layer (1, B, w)."""
    if isinstance(carried, Tensor):
        return carried.index_select(1 if carried.ndim == 3 else 0, rows)
    return type(carried)(_rows_of(part, rows) for part in carried)
