"""What transformers here are built of: rotary attention with normed queries and keys, and blocks that start as nothing.

They are those of NanoChat (Karpathy 2025), so that a network of them can be saved as one of transformers' own.

Shapes: B sequences, T positions, S positions seen (with a cache, those before too), w = width, h = heads.
Norms are root mean squares without weights (Zhang & Sennrich 2019). The last matrix of each half of a block starts from
zero, so that a new network passes its input on.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

ROTARY_BASE = 1024.0
EPS = 1e-6  # under the root of a norm
Cache = tuple[Tensor, Tensor]  # keys and values of the positions before, each (B, h, S, w / h)


def norm(x: Tensor) -> Tensor:
    """`x` over the root mean square of its last dimension."""
    return functional.rms_norm(x, (x.size(-1),), eps=EPS)


def rotary_tables(positions: int, size: int) -> Tensor:
    """Cosines and sines of the angles at each position (Su et al. 2021): (2, positions, size / 2)."""
    speeds = ROTARY_BASE ** -(torch.arange(0, size, 2).float() / size)
    angles = torch.outer(torch.arange(positions).float(), speeds)
    return torch.stack([angles.cos(), angles.sin()])


def rotated(x: Tensor, tables: Tensor) -> Tensor:
    """Queries or keys (B, h, T, w / h), neighbours as pairs, turned back by their positions' angles, as `tables` say.

    The pairs are taken for complex numbers: one product in place of seven passes over the memory.
    """
    pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * torch.complex(tables[0], -tables[1])).flatten(-2)


def attended(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """Values (B, h, S, w / h) summed by softmax attention (Vaswani et al. 2017): (B, h, T, w / h)."""
    if q.device.type != "cpu":
        return functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    with torch.autocast("cpu", enabled=False):  # its backward pass takes three times as long in bf16
        return functional.scaled_dot_product_attention(
            q.float(), k.float(), v.float(), attn_mask=mask, is_causal=causal
        )


def looked_back(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of one position, `q` (B, h, 1, w / h), to all S of `k` and `v`: (B, h, 1, w / h).

    For one position plain sums are quicker than torch's own attention, which wakes other threads for it.
    """
    weights = ((q * k).sum(-1) / q.size(-1) ** 0.5).softmax(-1)  # (B, h, S)
    seen: Tensor = (weights[..., None] * v).sum(2, keepdim=True)
    return seen


class Attention(nn.Module):
    """Attention of `heads` heads over (B, T, width); causal unless told otherwise."""

    def __init__(self, width: int, heads: int, causal: bool = True) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.out.weight)

    def forward(self, x: Tensor, tables: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """(B, T, w) and the `rotary_tables` of its T positions -> (B, T, w), and the cache for what comes after."""
        b, t, w = x.shape
        q, k, v = self.projected(x, tables)
        if cache is not None:
            k, v = torch.cat([cache[0], k], 2), torch.cat([cache[1], v], 2)
        if cache is not None and t == 1:
            seen = looked_back(q, k, v)
        else:
            mask = None
            if cache is not None and self.causal:
                s = k.size(2)
                mask = torch.ones(t, s, dtype=torch.bool, device=x.device).tril(s - t)
            seen = attended(q, k, v, mask, self.causal and cache is None)
        return self.out(seen.transpose(1, 2).reshape(b, t, w)), (k, v)

    def projected(self, x: Tensor, tables: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (B, h, T, w / h)."""
        b, t, w = x.shape
        q, k, v = self.qkv(x).view(b, t, 3, self.heads, w // self.heads).permute(2, 0, 3, 1, 4)
        return rotated(norm(q), tables), rotated(norm(k), tables), v

    def weights(self, x: Tensor, tables: Tensor) -> Tensor:
        """How much of each position's value every position takes, (B, h, T, T): rows sum to 1."""
        q, k, _ = self.projected(x, tables)
        logits = q @ k.transpose(-1, -2) / q.size(-1) ** 0.5
        if self.causal:
            logits = logits.masked_fill(torch.ones_like(logits, dtype=torch.bool).triu(1), -torch.inf)
        return functional.softmax(logits, -1)


class Block(nn.Module):
    """Attention, then two dense layers with squared ReLU between (So et al. 2021), each on normed input and added."""

    def __init__(self, width: int, heads: int, dropout: float, causal: bool = True) -> None:
        super().__init__()
        self.attention = Attention(width, heads, causal)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        nn.init.zeros_(self.down.weight)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, tables: Tensor, cache: Cache | None = None) -> tuple[Tensor, Cache]:
        """(B, T, w) -> (B, T, w), and the cache for what comes after."""
        seen, cache = self.attention(norm(x), tables, cache)
        x = x + self.dropout(seen)
        return x + self.dropout(self.down(functional.relu(self.up(norm(x))).square())), cache


def attention_of(blocks: Iterable[Block], x: Tensor, tables: Tensor) -> Tensor:
    """The attention within blocks that read x (1, T, w) one after the other: (blocks, h, T, T)."""
    found = []
    for block in blocks:
        found.append(block.attention.weights(norm(x), tables)[0])
        x, _ = block(x, tables)
    return torch.stack(found)
