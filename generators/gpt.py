"""A decoder-only transformer of characters or byte pairs (Radford et al. 2018), in a small form for two cores.

What differs from GPT-2: rotary positions, normed queries and keys, squared ReLU, norms without weights, blocks that
start as nothing, and logits kept within +-CAP by tanh; that is NanoChat's form (Karpathy 2025), which transformers
knows. Matrices are trained by Muon, the rest by Adam. The parts are in `generators.core.layers`, `optim` and
`language_model`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from generators.core.bounds import check_options
from generators.core.bpe import check_size
from generators.core.language_model import LanguageModel
from generators.core.layers import Block, Cache, attention_of, norm, rotary_tables
from generators.core.optim import muon_and_adam

CAP = 15.0  # of a logit


@dataclass
class Config:
    """Options of a GPT."""

    layers: int = 4  # blocks, 1 to 48
    width: int = 128  # numbers that stand for a position, a multiple of heads, 8 to 2048
    heads: int = 4  # heads of attention a block, 1 to 64
    context: int = 128  # symbols that it sees, 8 to 4096
    batch: int = 16  # pieces of `context` symbols a step, over all processes, 1 to 4096
    tokens: int = 0  # different ones of byte-pair encoding at most, 256 to 32000; 0: characters
    dropout: float = 0.0  # share of each half block's output that is left out in training, 0 to 0.9
    learning_rate: float = 3e-3  # of Adam at its peak, above 0 to 1
    matrix_rate: float = 2e-2  # of Muon at its peak, above 0 to 1
    lora: int = 0  # rank of the matrices' updates when it goes on from a model, 0 for full ones, to 256

    clip: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        bounds = {"layers": (1, 48), "width": (8, 2048), "heads": (1, 64), "context": (8, 4096), "batch": (1, 4096)}
        check_options(self, {**bounds, "dropout": (0, 0.9), "lora": (0, 256)}, "learning_rate", "matrix_rate")
        check_size(self.tokens)
        if self.width % (2 * self.heads):
            raise ValueError(f"width is {self.width}; it must be a multiple of twice the heads, {2 * self.heads}.")


class Net(nn.Module):
    """Symbols (B, T) -> logits (B, T, symbols) and each block's keys and values."""

    def __init__(self, config: Config, symbols: int) -> None:
        super().__init__()
        width = config.width
        self.symbols = nn.Embedding(symbols, width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(Block(width, config.heads, config.dropout) for _ in range(config.layers))
        self.head = nn.Linear(width, symbols, bias=False)
        nn.init.zeros_(self.head.weight)
        self.tables: Tensor
        self.register_buffer("tables", rotary_tables(config.context, width // config.heads), persistent=False)

    def forward(self, symbols: Tensor, carried: list[Cache] | None = None) -> tuple[Tensor, list[Cache]]:
        """`carried` from the call that read what stands before; together at most `context` positions."""
        x = self.dropout(norm(self.symbols(symbols)))
        at = 0 if carried is None else carried[0][0].size(2)
        tables, caches = self.tables[:, at : at + symbols.size(1)], []
        for i, block in enumerate(self.blocks):
            x, cache = block(x, tables, None if carried is None else carried[i])
            caches.append(cache)
        return CAP * torch.tanh(self.head(norm(x)).float() / CAP), caches


class GPT(LanguageModel):
    """A transformer that writes text, or invents items like those of a list; see the module's docstring."""

    family = "gpt"
    kinds = frozenset({"neural", "transformer"})
    Config = Config
    inside = "blocks"
    tables = ("symbols.weight", "head.weight")
    net: Net

    def build(self, symbols: int) -> Net:
        return Net(self.config, symbols)

    @property
    def reach(self) -> int:
        return int(self.config.context)

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return muon_and_adam(
            self.net, self.net.blocks, self.config.matrix_rate, self.config.learning_rate, betas=(0.8, 0.95)
        )

    def workings(self, read: Tensor) -> dict[str, Any]:
        """The attention of each place to what is read."""
        x, tables = norm(self.net.symbols(read[None])), self.net.tables[:, : len(read)]
        return {"attention": attention_of(self.net.blocks, x, tables).numpy()}

    def card_notes(self) -> str:
        c, unit = self.config, self.vocabulary.unit
        return (
            f"A decoder-only transformer of {unit}s: {c.layers} blocks, {c.width} wide, {c.heads} heads, which sees "
            f"{c.context} {unit}s. `nats_per_char` is exact over the whole text, every {unit} (after the first "
            f"half window) predicted from at least {c.context // 2} before it.{self.vocabulary.notes}"
        )
