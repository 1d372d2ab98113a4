"""What pictures may undergo in training, so that few of them are not learned by heart."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from generators.core.training import share


def shifted(pictures: Tensor, most: int, random: torch.Generator, batch: int) -> Tensor:
    """Each picture of (k B, C, S, S) moved by up to `most` pixels, the border repeated (Zhao et al. 2020).

    B: this process's part of the step's `batch`. Differentiable. The same for a picture whatever the number of
    processes: all shifts of the step are drawn.
    """
    mine, size = share(batch), pictures.shape[-1]
    parts = len(pictures) // len(range(batch)[mine])
    moves = torch.randint(0, 2 * most + 1, (parts, batch, 2), generator=random)[:, mine].reshape(-1, 2)
    padded = functional.pad(pictures, (most, most, most, most), mode="replicate")
    moved = [p[:, y : y + size, x : x + size] for p, (y, x) in zip(padded, moves.tolist(), strict=True)]
    return torch.stack(moved).contiguous(memory_format=torch.channels_last)
