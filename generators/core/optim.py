"""Muon: momentum whose matrices are brought to their nearest orthogonal one before they are taken off the weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Coefficients of the quintic that drives singular values towards 1 (Jordan et al. 2024); they need not become 1.
_QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalised(matrices: Tensor, rounds: int = 5) -> Tensor:
    """About U V^T of each of `matrices` = U S V^T, (..., M, N), by Newton-Schulz steps, which are matrix products."""
    a, b, c = _QUINTIC
    tall = matrices.size(-2) > matrices.size(-1)
    x = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(rounds):
        square = x @ x.mT
        x = a * x + (b * square + c * square @ square) @ x
    found: Tensor = x.mT if tall else x
    return found


class Muon(torch.optim.Optimizer):
    """For the matrices inside a network (Jordan et al. 2024); vectors, embeddings and the last layer want Adam.

    lr: the step's size in units of an orthogonal matrix, times sqrt(rows / columns) for a tall one. momentum:
    Nesterov's.
    """

    def __init__(self, params: Iterable[Tensor], lr: float = 0.02, momentum: float = 0.95) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step; `closure` is not supported."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[Tensor]] = {}
            for weights in group["params"]:
                if weights.grad is not None:
                    alike.setdefault(weights.shape, []).append(weights)
            for shape, some in alike.items():  # at once: small products cost more to start than to do
                updates = orthogonalised(torch.stack([self._momentum(weights, group["momentum"]) for weights in some]))
                for weights, update in zip(some, updates, strict=True):
                    weights.add_(update, alpha=-group["lr"] * max(1.0, shape[0] / shape[1]) ** 0.5)

    def _momentum(self, weights: Tensor, momentum: float) -> Tensor:
        """Nesterov's momentum of a weight's gradients."""
        state = self.state[weights]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(weights)
        kept: Tensor = state["momentum_buffer"]
        assert weights.grad is not None
        kept.lerp_(weights.grad, 1 - momentum)
        return weights.grad.lerp(kept, momentum)


def muon_and_adam(
    net: nn.Module, inside: nn.Module, matrix_rate: float, rate: float, betas: tuple[float, float]
) -> dict[str, torch.optim.Optimizer]:
    """Muon for the matrices of `inside`, a part of `net`, and Adam for all else."""
    matrices = [p for p in inside.parameters() if p.ndim == 2]
    chosen = {id(p) for p in matrices}
    rest = [p for p in net.parameters() if id(p) not in chosen]
    return {
        "matrices": Muon(matrices, lr=matrix_rate),
        "rest": torch.optim.AdamW(rest, lr=rate, betas=betas, weight_decay=0.0, fused=True),
    }
