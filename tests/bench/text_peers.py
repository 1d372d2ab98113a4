"""What the neural text families are compared with, written anew and small: nanoGPT's recipe for a CPU.

That is its README's command for a laptop: 4 blocks, 128 wide, 4 heads, 64 characters of context, 12 pieces a step,
2,000 steps, no dropout; AdamW (0.9, 0.99), weight decay 0.1, a peak of 1e-3 after 100 steps that falls to 1e-4 by a
cosine; GPT-2's blocks (layer norm, GELU, learnt positions, weights tied), fp32.
"""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

LAYERS, WIDTH, HEADS, CONTEXT, BATCH, STEPS = 4, 128, 4, 64, 12, 2000


class Block(nn.Module):
    """One block: attention, then a dense part, each after a layer norm."""

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH, bias=False) for _ in range(2))
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH, bias=False), nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        b, t, _ = x.shape
        q, k, v = self.qkv(self.norms[0](x)).view(b, t, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(seen.transpose(1, 2).reshape(b, t, WIDTH))
        return x + self.down(functional.gelu(self.up(self.norms[1](x))))


class NanoGPT(nn.Module):
    """Symbols (B, T) -> logits (B, T, symbols)."""

    def __init__(self, symbols: int) -> None:
        super().__init__()
        self.symbols, self.places = nn.Embedding(symbols, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))
        self.norm = nn.LayerNorm(WIDTH, bias=False)
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                last = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(weight, std=0.02 / math.sqrt(2 * LAYERS) if last else 0.02)

    def forward(self, symbols: Tensor) -> Tensor:
        x = self.symbols(symbols) + self.places(torch.arange(symbols.size(1)))
        return self.norm(self.blocks(x)) @ self.symbols.weight.T


def nanogpt(train: np.ndarray, held_out: np.ndarray, symbols: int, seed: int) -> dict[str, float]:
    """`nats_per_char` on the whole of `held_out`, (N,) symbols, after its 2,000 steps on `train`, and `seconds`."""
    torch.manual_seed(seed)
    net, random = NanoGPT(symbols), np.random.default_rng(seed)
    decayed = [weight for weight in net.parameters() if weight.ndim == 2]
    rest = [weight for weight in net.parameters() if weight.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
    began = time.monotonic()
    for step in range(STEPS):
        fall = 0.5 * (1 + math.cos(math.pi * max(step - 100, 0) / (STEPS - 100)))
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * step / 100 if step < 100 else 1e-4 + 9e-4 * fall
        starts = random.integers(0, len(train) - CONTEXT, BATCH)
        pieces = torch.from_numpy(np.stack([train[start : start + CONTEXT + 1] for start in starts]))
        loss = functional.cross_entropy(net(pieces[:, :-1]).flatten(0, 1), pieces[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
    seconds = time.monotonic() - began
    return {"nats_per_char": exact(net, held_out), "seconds": seconds}


@torch.inference_mode()
def exact(net: NanoGPT, symbols: np.ndarray) -> float:
    """Nats of every symbol but the first, from at least half a window before it (the first half window excepted)."""
    half, tokens = CONTEXT // 2, torch.from_numpy(symbols)
    read, said = tokens[:-1], tokens[1:]
    starts = [*range(0, len(read) - CONTEXT, half), len(read) - CONTEXT]
    nats, done = 0.0, 0
    for start in starts:
        log_p = net(read[None, start : start + CONTEXT])[0].log_softmax(-1)
        losses = -log_p.gather(1, said[start : start + CONTEXT, None])[:, 0]
        nats, done = nats + float(losses[done - start :].double().sum()), start + CONTEXT
    return nats / len(said)
