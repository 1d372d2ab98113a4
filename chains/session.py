"""A prompt and its continuation under one model: which tokens stand, and the keys and values computed for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from chains.engine import Engine


class Session:
    """A growing stretch of tokens under one model; pushed tokens are computed when logits are asked for."""

    def __init__(
        self, engine: Engine, tuned: bool, key: tuple[bool, tuple[int, ...]], tokens: list[int], shared: int, cache: Any
    ) -> None:
        self._engine, self._tuned, self._key = engine, tuned, key
        self._tokens, self._computed = tokens, shared
        self._rows: torch.Tensor | None = None  # (n, V) after the n newest of the computed tokens
        self._cache = engine.cache(tuned, cache, shared)

    def __len__(self) -> int:
        return len(self._tokens)

    def said(self) -> list[int]:
        """The tokens after the prompt's constant beginning."""
        return self._tokens[len(self._key[1]) :]

    def push(self, tokens: Sequence[int]) -> None:
        self._tokens.extend(tokens)

    def logits(self, last: int = 1) -> torch.Tensor:
        """Logits (last, V) after each of the `last` newest tokens; at no cost where the last computation gave them."""
        if self._computed < len(self._tokens) or self._rows is None or len(self._rows) < last:
            start = min(self._computed, len(self._tokens) - last)
            if start < self._computed:
                self._cache.crop(start - self._computed)
            self._rows = self._engine.forward(self._tuned, self._tokens[start:], self._cache, last)
            self._computed = len(self._tokens)
        return self._rows[len(self._rows) - last :]

    def rewind(self, count: int) -> None:
        """Forget the `count` newest tokens."""
        del self._tokens[len(self._tokens) - count :]
        if self._computed > len(self._tokens):
            surplus = self._computed - len(self._tokens)
            self._cache.crop(-surplus)
            self._computed = len(self._tokens)
            if self._rows is not None:
                self._rows = self._rows[: len(self._rows) - surplus] if surplus < len(self._rows) else None

    def branch(self, tokens: Sequence[int], parents: Sequence[int]) -> torch.Tensor:
        """Logits (n, V) after each node of a tree of continuations; the session itself stays as it was.

        `parents` are indices into `tokens`, each before its child; -1 is the session's end.
        Every node sees the session, its ancestors and itself.
        """
        import torch

        assert self._computed == len(self._tokens)
        past, n = len(self._tokens), len(tokens)
        sees = torch.zeros(n, past + n, dtype=torch.bool)
        sees[:, :past] = True
        depth: list[int] = []
        for i, parent in enumerate(parents):
            if parent >= 0:
                sees[i, past:] = sees[parent, past:]
            sees[i, past + i] = True
            depth.append(depth[parent] + 1 if parent >= 0 else 0)
        hidden = torch.finfo(self._engine.dtype).min
        mask = torch.zeros(1, 1, n, past + n, dtype=self._engine.dtype).masked_fill(~sees, hidden)
        device = self._engine.device
        positions = torch.tensor([[past + d for d in depth]], device=device)
        logits = self._engine.forward(
            self._tuned, tokens, self._cache, n, attention_mask=mask.to(device), position_ids=positions
        )
        self._cache.crop(-n)
        return logits

    def keep(self) -> None:
        """Leave what was computed for the next turn that begins the same way."""
        self._engine.keep(self._key, self._tokens[: self._computed], self._cache)
