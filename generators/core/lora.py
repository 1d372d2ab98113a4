"""Low-rank updates of a network's matrices (LoRA: Hu et al. 2021), for fine-tuning that moves little of it.

A matrix W stays as it is and is used as W + SCALE / r B A (eq. 3), where B (M, r) starts from zero, so that training
begins with the network as it was. The sum is taken before the network runs, not a second path beside it: that serves
recurrent layers too, and makes the merged network the very one that was trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from generators.core.generator import torch_rng

SCALE = 16.0  # alpha in the paper


class LowRank(nn.Module):
    """`net`, called as it is, of which two things are trained: low-rank updates, and some rows of its tables.

    inside: the part of `net` whose matrices (M, N) each get an update of rank `rank`. tables: the names of tensors with
    a row a symbol, of which the rows `new` (K,) are trained whole.
    """

    def __init__(
        self, net: nn.Module, rank: int, inside: nn.Module, tables: Sequence[str], new: Tensor, seed: int
    ) -> None:
        super().__init__()
        self.net = net.requires_grad_(False)
        chosen = {id(p) for p in inside.parameters() if p.ndim == 2}
        matrices = {name: p for name, p in net.named_parameters() if id(p) in chosen}
        self.matrices, self.tables = list(matrices), list(tables) if len(new) else []
        generator = torch_rng(seed)
        self.right = nn.ParameterList(  # A
            torch.randn(rank, p.size(1), generator=generator) / p.size(1) ** 0.5 for p in matrices.values()
        )
        self.left = nn.ParameterList(torch.zeros(p.size(0), rank) for p in matrices.values())  # B
        self.rows = nn.ParameterList(net.get_parameter(name)[new].clone() for name in self.tables)
        self.new: Tensor
        self.register_buffer("new", new, persistent=False)

    def forward(self, *given: Any) -> Any:
        """What the network makes of `given` with its updates."""
        return functional_call(self.net, self.updated(), given)

    def updated(self) -> dict[str, Tensor]:
        """The tensors of the network that are not as they were, by name."""
        found = {
            name: self.net.get_parameter(name) + SCALE / left.size(1) * left @ right
            for name, left, right in zip(self.matrices, self.left, self.right, strict=True)
        }
        for name, rows in zip(self.tables, self.rows, strict=True):
            found[name] = self.net.get_parameter(name).index_copy(0, self.new, rows)
        return found

    @torch.no_grad()
    def merged(self) -> nn.Module:
        """The network itself, with the updates in its weights."""
        for name, tensor in self.updated().items():
            self.net.get_parameter(name).copy_(tensor)
        return self.net

    def optimizers(self, rate: float) -> dict[str, torch.optim.Optimizer]:
        """Adam for what is trained."""
        trained = [p for p in self.parameters() if p.requires_grad]
        return {"updates": torch.optim.AdamW(trained, lr=rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True)}
