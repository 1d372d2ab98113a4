"""A network of symbols as what predicts the next one, a symbol at a time, with what it carried from those before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from generators.core.kneser_ney import UNKNOWN, Floats


class Carrying(Protocol):
    """A network of symbols: (B, T) and what it carried -> logits (B, T, V), what it carries on."""

    def __call__(self, symbols: Tensor, carried: Any = None) -> tuple[Tensor, Any]: ...


@dataclass(frozen=True)
class State:
    """What a predictor knows of the symbols so far: the last ones, what the network carries, the next one's logits."""

    tail: tuple[int, ...]
    carried: Any
    logits: Tensor  # (V,)


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
    def reversible(self) -> bool:
        """It has no `before`."""
        return False

    @property
    def lookbacks(self) -> tuple[None, None]:
        """It always sees all there is."""
        return (None, None)

    def before(self, symbols: list[int]) -> None:
        """It predicts forwards only."""
        return None

    def followers(self, symbol: int) -> None:
        """Any symbol may follow."""
        return None


def probabilities(logits: Tensor, unknown: float) -> Tensor:
    """Probabilities (..., size) of logits: the unknown symbol, the first, has the share `unknown`."""
    p = functional.softmax(logits.double()[..., 1:], -1) * (1 - unknown)
    return torch.cat([torch.full_like(p[..., :1], unknown), p], -1)
