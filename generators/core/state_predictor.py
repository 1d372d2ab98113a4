"""A hidden Markov model's states as what predicts the next symbol, of one text or of several at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from generators.core.baum_welch import Parameters
from generators.core.kneser_ney import Floats, Ints


class StatePredictor:
    """A model's states as a `generators.core.writing.Predictor`, and a `Parallel` one.

    A context is how likely each state is next, (S,), given the symbols so far; of K texts at once, (K, S).
    """

    def __init__(self, net: Parameters, size: int) -> None:
        self.size = size
        self.start, self.transitions = net.start.numpy(), net.transitions.numpy()
        self.emissions = net.emissions.numpy()

    def context(self, symbols: list[int]) -> Floats:
        """What is next after the symbols."""
        return self.advanced(self.start, symbols)

    def extend(self, context: Floats, symbol: int) -> Floats:
        """One symbol more (the forward recursion: Rabiner 1989, eq. 20)."""
        p = context * self.emissions[:, symbol]
        return np.asarray((p / p.sum()) @ self.transitions)

    def distribution(self, context: Floats, longest: int | None = None) -> Floats:
        """(size,) the next symbol's probabilities."""
        return np.asarray((context @ self.emissions)[: self.size])

    def advanced(self, context: Floats, symbols: Sequence[int]) -> Floats:
        """The context after these symbols."""
        for symbol in symbols:
            context = self.extend(context, symbol)
        return context

    def forked(self, context: Floats, count: int) -> Floats:
        """A context `count` times over."""
        return np.repeat(context[None], count, 0)

    def stepped(self, contexts: Floats, rows: Ints, symbols: Ints) -> Floats:
        """Those of `rows`, each after one more symbol."""
        p = contexts[rows] * self.emissions[:, symbols].T
        return np.asarray((p / p.sum(1, keepdims=True)) @ self.transitions)

    def each_distribution(self, contexts: Floats) -> Floats:
        """(K, size) the next symbol's probabilities in each of K contexts."""
        return np.asarray((contexts @ self.emissions)[:, : self.size])

    def foreseen(self, context: Floats, rows: Sequence[Sequence[int]]) -> list[Floats]:
        """For every row of T symbols after the context, (T + 1, size): before each of them, and after the last."""
        found = []
        for row in rows:
            contexts = [context]
            for symbol in row:
                contexts.append(self.extend(contexts[-1], symbol))
            found.append(self.each_distribution(np.stack(contexts)))
        return found

    def familiarity(self, symbols: list[int]) -> float:
        """The mean log probability of the symbols after the first."""
        p, found = self.extend(self.start, symbols[0]), []
        for symbol in symbols[1:]:
            found.append(np.log(p @ self.emissions[:, symbol]))
            p = self.extend(p, symbol)
        return float(np.mean(found)) if found else 0.0

    def knows(self, symbols: list[int]) -> bool:
        """It can tell what follows whatever symbols."""
        return True

    def followers(self, symbol: int) -> None:
        """Any symbol may follow."""
        return None

    @property
    def lookbacks(self) -> tuple[None, None]:
        """It always knows of all there is."""
        return (None, None)
