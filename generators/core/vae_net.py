"""The network of a VAE, the two terms of its bound, and the importance-weighted estimate of what it bounds.

Shapes, for one channel and size S (28, 32 or 64), s = S/4 (S/8 for 64), w = `width`, d = `latent`:

    encoder  (B, 1, S, S) -> (B, w, S/2, S/2) -> (B, 4w, s, s) -> [flat, label] -> (B, hidden) -> 2 x (B, d)
    decoder  [z (B, d), label] -> (B, hidden) -> (B, 4w, s, s) -> (B, w, S/2, S/2) -> logits (B, 1, S, S)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional


class Sizes(Protocol):
    """What of a VAE's options shapes its network; see `generators.vae.Config`."""

    size: int
    latent: int
    width: int
    hidden: int
    label_width: int


class Net(nn.Module):
    """Encoder and decoder; `classes` 0 for data without labels."""

    def __init__(self, config: Sizes, classes: int, channels: int) -> None:
        super().__init__()
        width, ups = config.width, 2 if config.size == 64 else 1  # extra halvings beyond the first
        self.latent = config.latent
        self.coarse = (4 * width, config.size // 2 ** (ups + 1))
        flat = self.coarse[0] * self.coarse[1] ** 2
        label = config.label_width if classes else 0
        self.labels = nn.Embedding(classes, label) if classes else None

        down: list[nn.Module] = [nn.Conv2d(channels, width, 4, 2, 1), nn.ReLU()]
        for i in range(ups):
            down += [nn.Conv2d(width * (1 if i == 0 else 4), 4 * width, 4, 2, 1), nn.ReLU()]
        self.down = nn.Sequential(*down, nn.Flatten())
        self.to_latent = nn.Sequential(
            nn.Linear(flat + label, config.hidden), nn.ReLU(), nn.Linear(config.hidden, 2 * config.latent)
        )

        self.from_latent = nn.Sequential(
            nn.Linear(config.latent + label, config.hidden), nn.ReLU(), nn.Linear(config.hidden, flat), nn.ReLU()
        )
        # A 3x3 convolution to four times the channels, shuffled to twice the size (Shi et al. 2016): no checkerboard,
        # and faster on a CPU than a transposed convolution.
        up: list[nn.Module] = []
        for i in range(ups):
            out = width if i == ups - 1 else 4 * width
            up += [nn.Conv2d(4 * width, 4 * out, 3, 1, 1), nn.PixelShuffle(2), nn.ReLU()]
        up += [nn.Conv2d(width, width, 3, 1, 1), nn.ReLU(), nn.Conv2d(width, 4 * channels, 3, 1, 1), nn.PixelShuffle(2)]
        self.up = nn.Sequential(*up)

    def embed(self, label: Tensor) -> Tensor:
        """Labels (B,) int64 as (B, label_width); (B, 0) where the data has none."""
        if self.labels is None:
            return label.new_zeros((len(label), 0), dtype=torch.float32)
        embedding: Tensor = self.labels(label)
        return embedding

    def encode(self, x: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """Intensities (B, C, S, S) in [0, 1] -> mean and log variance of q(z | x, y), each (B, d)."""
        features = self.down(2 * x - 1)  # (B, flat)
        mean, log_variance = self.to_latent(torch.cat([features, embedding], 1)).float().chunk(2, 1)
        return mean, log_variance

    def decode(self, z: Tensor, embedding: Tensor) -> Tensor:
        """Latents (B, d) -> logits of p(x | z, y), (B, C, S, S)."""
        features = self.from_latent(torch.cat([z, embedding], 1))  # (B, flat)
        logits: Tensor = self.up(features.view(-1, self.coarse[0], self.coarse[1], self.coarse[1]))
        return logits.float()

    def forward(self, x: Tensor, label: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction (B,) and KL (B, d) terms of the negative ELBO in nats."""
        embedding = self.embed(label)
        mean, log_variance = self.encode(x, embedding)
        z = mean + (0.5 * log_variance).exp() * noise
        return neg_elbo(x, self.decode(z, embedding), mean, log_variance)


def neg_elbo(x: Tensor, logits: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of the one-sample negative ELBO (Kingma & Welling 2014, eq. 10), in nats: (B,) and (B, d).

    Reconstruction: -log p(x|z), Bernoulli with `logits`, summed over all pixels; KL: of N(mean, exp(log_variance)) from
    N(0, I), in closed form, one number a latent's.
    """
    reconstruction = functional.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
    divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1)
    return reconstruction, divergence


def importance_weighted_nll(
    log_likelihood: Callable[[Tensor], Tensor],
    mean: Tensor,
    log_variance: Tensor,
    samples: int,
    generator: torch.Generator,
    chunk: int = 500,
) -> Tensor:
    """-log p(x) in nats, (B,): -log 1/k sum_j p(x|z_j) p(z_j) / q(z_j|x), z_j from q (Burda et al. 2016, eq. 8).

    `log_likelihood` maps latents (J, B, d) to log p(x|z) (J, B); the prior is N(0, I); q is N(mean, exp(log_variance)),
    each (B, d). An upper bound in expectation, which falls towards -log p(x) as k = `samples` grows.
    """
    total = torch.full((len(mean),), -torch.inf, dtype=torch.float64)
    for start in range(0, samples, chunk):
        noise = torch.randn(min(chunk, samples - start), *mean.shape, generator=generator)  # (J, B, d)
        z = mean + (0.5 * log_variance).exp() * noise
        ratio = 0.5 * (noise.square() - z.square() + log_variance).sum(2)  # log p(z) - log q(z|x)
        total = torch.logaddexp(total, (log_likelihood(z) + ratio).double().logsumexp(0))
    return math.log(samples) - total
