"""The networks of a GAN, and those of the DCGAN of 2016 beside them.

Shapes, for one channel and size S (28, 32 or 64), s = S/4 (S/8 for 64), w = `width`, v = `discriminator_width`:

    generator      [z (B, d), label] -> (B, hidden) -> (B, 4w, s, s) -> (B, 2w, S/2, S/2) -> (B, w, S, S)
                   -> (B, 1, S, S)
    discriminator  (B, 1, S, S) -> (B, v, S/2, S/2) -> (B, 2v, s, s) -> (B, features) -> logits (B,)
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

LEAK = 0.2  # slope of LeakyReLU below zero


class Sizes(Protocol):
    """What of a GAN's options shapes its networks; see `generators.gan.Config`."""

    size: int
    latent: int
    width: int
    discriminator_width: int
    hidden: int
    features: int
    label_width: int


class Block(nn.Module):
    """A residual block of two 3x3 convolutions that begins as the identity: (B, c, H, W) -> the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, 1, 1)
        self.second = nn.Conv2d(channels, channels, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.leaky_relu(self.first(functional.leaky_relu(x, LEAK)), LEAK)
        out: Tensor = x + self.second(inner)
        return out


class GeneratorNet(nn.Module):
    """Latents and labels to pictures; `classes` 0 for data without labels."""

    def __init__(self, config: Sizes, classes: int, channels: int) -> None:
        super().__init__()
        width, ups = config.width, 3 if config.size == 64 else 2
        widths = [4 * width] * (ups - 1) + [2 * width, width]  # from the coarsest resolution to the finest
        self.coarse = (widths[0], config.size // 2**ups)
        label = config.label_width if classes else 0
        self.labels = nn.Embedding(classes, label) if classes else None
        self.dense = nn.Sequential(
            nn.Linear(config.latent + label, config.hidden),
            nn.LeakyReLU(LEAK),
            nn.Linear(config.hidden, self.coarse[0] * self.coarse[1] ** 2),
        )
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(widths):
            # Shuffled to twice the size (Shi et al. 2016), which begins as a doubling of pixels: no checkerboard.
            layers += [Block(wide), nn.LeakyReLU(LEAK), nn.Conv2d(wide, 4 * narrow, 3, 1, 1), nn.PixelShuffle(2)]
        layers += [nn.LeakyReLU(LEAK), nn.Conv2d(width, channels, 3, 1, 1)]
        self.up = nn.Sequential(*layers)
        _initialise(self)
        for layer, after in pairwise(layers):
            if isinstance(after, nn.PixelShuffle):
                assert isinstance(layer, nn.Conv2d)
                alike = layer.weight.detach()[::4].repeat_interleave(4, 0)  # Aitken et al. 2017
                layer.weight.data.copy_(alike)
        last = layers[-1].weight
        assert isinstance(last, Tensor)
        nn.init.normal_(last, 0, 0.1 / math.sqrt(9 * width))

    def embed(self, label: Tensor) -> Tensor:
        """Labels (B,) int64 as (B, label_width); (B, 0) where the data has none."""
        if self.labels is None:
            return label.new_zeros((len(label), 0), dtype=torch.float32)
        embedding: Tensor = self.labels(label)
        return embedding

    def paint(self, z: Tensor, embedding: Tensor) -> Tensor:
        """Latents (B, d) and embeddings (B, e) -> pictures (B, C, S, S), black -1, white 1, not clipped to them."""
        h = self.dense(torch.cat([z, embedding], 1)).view(-1, self.coarse[0], self.coarse[1], self.coarse[1])
        painted: Tensor = self.up(h.contiguous(memory_format=torch.channels_last))
        return painted.float()

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Latents (B, d) and labels (B,) -> pictures (B, C, S, S)."""
        return self.paint(z, self.embed(label))


class DiscriminatorNet(nn.Module):
    """Pictures and labels to logits, by projection (Miyato & Koyama 2018); with `guided`, a head that names labels."""

    def __init__(self, config: Sizes, classes: int, channels: int, guided: bool) -> None:
        super().__init__()
        width, downs = config.discriminator_width, 3 if config.size == 64 else 2
        widths = [width // 2, width, 2 * width][-downs:]  # from the finest resolution to the coarsest
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1)]
        for narrow, wide in pairwise(widths):
            layers += [nn.LeakyReLU(LEAK), nn.Conv2d(narrow, wide, 4, 2, 1)]
        flat = widths[-1] * (config.size // 2**downs) ** 2
        layers += [Block(widths[-1]), nn.LeakyReLU(LEAK), nn.Flatten(), nn.Linear(flat, config.features)]
        self.down = nn.Sequential(*layers, nn.LeakyReLU(LEAK))
        self.real = nn.Linear(config.features, 1)
        self.labels = nn.Embedding(classes, config.features) if classes else None
        self.guess = nn.Linear(config.features, classes) if guided else None
        _initialise(self)
        for weight in [self.real.weight, *([self.labels.weight] if self.labels else [])]:
            nn.init.normal_(weight, 0, 1 / math.sqrt(config.features))

    def forward(self, x: Tensor, label: Tensor) -> tuple[Tensor, Tensor | None]:
        """Pictures (B, C, S, S) and labels (B,) -> logits (B,) and, where it is guided, the labels' logits (B, K)."""
        features = self.down(x).float()
        logits = self.real(features)[:, 0].float()
        if self.labels is not None:
            logits = logits + (features * self.labels(label)).sum(1)
        return logits, self.guess(features).float() if self.guess is not None else None


def _initialise(net: nn.Module) -> None:
    """He initialisation for LeakyReLU, no bias; residual blocks begin as the identity (fixup, Zhang et al. 2019)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, LEAK)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    for module in net.modules():
        if isinstance(module, Block):
            nn.init.zeros_(module.second.weight)


class OriginalGenerator(nn.Module):
    """The generator of Radford et al. 2016, at `width` channels; unconditional."""

    def __init__(self, config: Sizes, channels: int) -> None:
        super().__init__()
        width, ups = config.width, 3 if config.size == 64 else 2
        narrow = width * 2**ups
        layers: list[nn.Module] = [nn.ConvTranspose2d(config.latent, narrow, config.size // 2**ups, bias=False)]
        for _ in range(ups - 1):
            layers += [nn.BatchNorm2d(narrow), nn.ReLU()]
            layers += [nn.ConvTranspose2d(narrow, narrow // 2, 4, 2, 1, bias=False)]
            narrow //= 2
        layers += [nn.BatchNorm2d(narrow), nn.ReLU(), nn.ConvTranspose2d(narrow, channels, 4, 2, 1), nn.Tanh()]
        self.up = nn.Sequential(*layers)
        _initialise_original(self)

    def embed(self, label: Tensor) -> Tensor:
        """(B, 0): it knows no labels."""
        return label.new_zeros((len(label), 0), dtype=torch.float32)

    def paint(self, z: Tensor, embedding: Tensor) -> Tensor:
        """Latents (B, d) -> pictures (B, C, S, S) in [-1, 1]."""
        painted: Tensor = self.up(z[:, :, None, None])
        return painted.float()

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        """Latents (B, d) -> pictures (B, C, S, S)."""
        return self.paint(z, self.embed(label))


class OriginalDiscriminator(nn.Module):
    """The discriminator of Radford et al. 2016, at `width` channels."""

    def __init__(self, config: Sizes, channels: int) -> None:
        super().__init__()
        wide, downs = 2 * config.width, 3 if config.size == 64 else 2
        layers: list[nn.Module] = [nn.Conv2d(channels, wide, 4, 2, 1), nn.LeakyReLU(LEAK)]
        for _ in range(downs - 1):
            layers += [nn.Conv2d(wide, 2 * wide, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * wide), nn.LeakyReLU(LEAK)]
            wide *= 2
        layers += [nn.Conv2d(wide, 1, config.size // 2**downs, bias=False), nn.Flatten(0)]
        self.down = nn.Sequential(*layers)
        _initialise_original(self)

    def forward(self, x: Tensor, label: Tensor) -> tuple[Tensor, None]:
        """Pictures (B, C, S, S) -> logits (B,)."""
        return self.down(x).float(), None


def _initialise_original(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02)
