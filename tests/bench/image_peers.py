"""What the image families are compared with, written anew and small: the DCGAN recipe, and pythae's VAE.

The DCGAN is that of Radford et al. 2016 as it is commonly run at this size: batch norm, transposed convolutions, binary
cross entropy, Adam at 2e-4 with beta1 0.5, batches of 128, weights from N(0, 0.02), 100 random numbers a picture, width
32. pythae's VAE is its own model with its own MNIST networks (latent 16, its BCE loss), trained with Adam by a plain
loop, so that its trainer's checkpoints and printing cost it no time. Both run in fp32, as their authors run them.
"""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from generators.core.training import shuffled
from generators.data.splits import Images, Splits

WIDTH = 32
SAMPLES = 10_000


def dcgan(splits: Splits[Images], seconds: float, seed: int) -> tuple[dict[str, float], np.ndarray]:
    """Figures and 10,000 samples of the DCGAN recipe after `seconds` of training."""
    torch.manual_seed(seed)
    up = [
        nn.ConvTranspose2d(100, 4 * WIDTH, 7, bias=False), nn.BatchNorm2d(4 * WIDTH), nn.ReLU(),
        nn.ConvTranspose2d(4 * WIDTH, 2 * WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * WIDTH), nn.ReLU(),
        nn.ConvTranspose2d(2 * WIDTH, 1, 4, 2, 1, bias=False), nn.Tanh(),
    ]  # fmt: skip
    down = [
        nn.Conv2d(1, 2 * WIDTH, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(2 * WIDTH, 4 * WIDTH, 4, 2, 1, bias=False), nn.BatchNorm2d(4 * WIDTH), nn.LeakyReLU(0.2),
        nn.Conv2d(4 * WIDTH, 1, 7, bias=False), nn.Flatten(0),
    ]  # fmt: skip
    generator, discriminator = nn.Sequential(*up), nn.Sequential(*down)
    for module in (*up, *down):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.02)
    optimizers = [torch.optim.Adam(net.parameters(), 2e-4, (0.5, 0.999)) for net in (generator, discriminator)]
    bce, ones, zeros = functional.binary_cross_entropy_with_logits, torch.ones(128), torch.zeros(128)
    order, step, began = shuffled(len(splits.train), 128, seed), 0, time.monotonic()
    while time.monotonic() - began < seconds:
        real = intensities(splits.train.pixels[order(step)]) * 2 - 1
        made = generator(torch.randn(128, 100, 1, 1))
        optimizers[1].zero_grad()
        (bce(discriminator(real), ones) + bce(discriminator(made.detach()), zeros)).backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        bce(discriminator(made), ones).backward()
        optimizers[0].step()
        step += 1
    spent = time.monotonic() - began
    generator.eval()
    with torch.no_grad():
        images = [generator(torch.randn(500, 100, 1, 1))[:, 0] for _ in range(SAMPLES // 500)]
    pixels = ((torch.cat(images) + 1) * 127.5).round().byte().numpy()
    return {"steps": step, "seconds": spent}, pixels


def pythae(splits: Splits[Images], seconds: float, seed: int) -> tuple[dict[str, float], np.ndarray]:
    """The same of pythae's VAE, with its one-sample negative ELBO on the test pictures. Raises ImportError."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST

    torch.manual_seed(seed)
    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=16, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder_Conv_VAE_MNIST(config), decoder=Decoder_Conv_AE_MNIST(config))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    order, step, began = shuffled(len(splits.train), 128, seed), 0, time.monotonic()
    while time.monotonic() - began < seconds:
        loss = model({"data": intensities(splits.train.pixels[order(step)])}).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
    spent = time.monotonic() - began
    model.eval()
    assert splits.test is not None
    pixels, total, images = splits.test.pixels, 0.0, []
    torch.manual_seed(seed)
    with torch.no_grad():
        for start in range(0, len(pixels), 500):
            part = pixels[start : start + 500]
            total += float(model({"data": intensities(part)}).loss) * len(part)
        for _ in range(SAMPLES // 500):
            means = model.decoder(torch.randn(500, 16)).reconstruction
            images.append((255 * means[:, 0]).round().byte().numpy())
    return {"neg_elbo_nats": total / len(pixels), "steps": step, "seconds": spent}, np.concatenate(images)


def intensities(pixels: np.ndarray) -> torch.Tensor:
    """Grey pictures (B, S, S) uint8 -> (B, 1, S, S) in [0, 1]."""
    return torch.from_numpy(pixels)[:, None].float() / 255
