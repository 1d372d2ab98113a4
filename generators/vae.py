"""A convolutional, class-conditional variational autoencoder (Kingma & Welling 2014) for small pictures.

What is unusual:

* The likelihood is Bernoulli on intensities in [0, 1] (binary cross entropy, eq. 10 of the paper), so a score is
  in nats and may be compared with other VAEs that say "BCE", not with bits per dimension of a discrete likelihood.
* Samples are not drawn from N(0, I). After training, a mixture of Gaussians is fitted, class by class, to the aggregate
  posterior of the training pictures, and latents are drawn from it: the second stage of Dai & Wipf 2019 and Ghosh et
  al. 2020, at the price of a few seconds. The score is still the ELBO under N(0, I).
* Pictures are the decoder's means, each decoded in a batch of one, so its bits do not depend on how many are asked for.

The network stands in `generators.core.vae_net`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from generators.core.arrays import net_arrays, restore_net, under
from generators.core.augment import shifted
from generators.core.bounds import check_options
from generators.core.errors import CheckpointError
from generators.core.generator import Cancel, ModelInfo, rng, torch_rng
from generators.core.metrics import Classifier
from generators.core.mixture import Mixture, draw_mixture, fit_mixture
from generators.core.pictures import SIZES, Floats, PictureModel, Pixels, square_pictures
from generators.core.training import Run, share, shuffled, train
from generators.core.vae_net import Net, importance_weighted_nll, neg_elbo
from generators.data.splits import Images, Splits

if TYPE_CHECKING:
    from accelerate import Accelerator

VALIDATION = 1000  # held-out pictures that choose between the checkpoints of a run
SCARCE = 10_000  # training pictures below which they are shifted at random, so that they are not learned by heart
SCORE_SEED = 0
CLASSIFIER_PASSES, CLASSIFIER_PICTURES = 3, 20_000  # what the classifier of the second stage sees of 28x28 pixels


@dataclass
class Config:
    """Options of a VAE."""

    size: int = 0  # side of the pictures in pixels: 28, 32 or 64; 0: as the data has it
    latent: int = 24  # numbers that a picture is squeezed into, 1 to 512
    width: int = 16  # channels at half the resolution; four times as many at the coarsest, 4 to 256
    hidden: int = 192  # units of the dense layers, 8 to 4096
    label_width: int = 16  # numbers that stand for a label, 1 to 256
    batch: int = 64  # pictures a step, 1 to 8192
    learning_rate: float = 4e-3  # of AdamW at its peak, above 0 to 1
    components: int = 4  # Gaussians a class that latents are drawn from, 0 to 64; 0: the prior N(0, I)
    min_confidence: float = (
        0.7  # draw latents like those of pictures whose label a classifier sees this surely, 0 to 1; 0: like all
    )
    beta: float = 1.0  # weight of the KL term in training (Higgins et al. 2017), above 0 to 100
    free_bits: float = (
        0.0  # nats a latent number that the KL term leaves free in training (Kingma et al. 2016), 0 to 10
    )

    def __post_init__(self) -> None:
        bounds = {"latent": (1, 512), "width": (4, 256), "hidden": (8, 4096), "label_width": (1, 256)}
        bounds |= {"batch": (1, 8192), "components": (0, 64)}
        check_options(self, bounds, "learning_rate")
        if not 0 < self.beta <= 100 or not 0 <= self.free_bits <= 10:
            raise ValueError(
                f"beta is {self.beta} and free_bits {self.free_bits}; they must be above 0, up to 100, and 0 to 10."
            )
        if not 0 <= self.min_confidence < 1:
            raise ValueError(f"min_confidence is {self.min_confidence}; it must be from 0 to below 1.")
        if self.size not in (0, *SIZES):
            raise ValueError(f"size is {self.size}; it must be 28, 32 or 64, or 0 for the data's own.")


class _Stepper:
    """The VAE's side of the training loop."""

    def __init__(self, model: VAE, splits: Splits[Images], config: Config, seed: int) -> None:
        self.model, self.config, self.seed = model, config, seed
        self.modules: dict[str, nn.Module] = {"net": model.net}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "net": torch.optim.AdamW(
                model.net.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
            )
        }
        self.val = splits.val.take(np.arange(min(len(splits.val), VALIDATION)))
        self.shift = config.size // 14 if len(splits.train) < SCARCE else 0

    def step(self, batch: Images, i: int, accelerator: Accelerator) -> dict[str, float]:
        config = self.config
        noise = torch.randn(config.batch, self.model.net.latent, generator=torch_rng(self.seed, i))
        x, label = _tensors(batch)
        if self.shift:
            x = shifted(x, self.shift, torch_rng(self.seed + 1, i), config.batch)
        x, label, noise = (tensor.to(accelerator.device) for tensor in (x, label, noise[share(config.batch)]))
        reconstruction, divergence = self.modules["net"](x, label, noise)
        elbo = (reconstruction + divergence.sum(1)).mean()
        loss, priced = elbo, divergence.mean(0)  # (d,)
        if config.beta != 1 or config.free_bits:
            loss = reconstruction.mean() + config.beta * priced.clamp_min(config.free_bits).sum()
        self.optimizers["net"].zero_grad()
        accelerator.backward(loss / x[0].numel())  # nats per pixel: gradients of one scale whatever the size
        norm = accelerator.clip_grad_norm_(self.modules["net"].parameters(), 1.0)
        self.optimizers["net"].step()
        kl = float(priced.detach().sum())
        return {"neg_elbo_nats": elbo.item(), "kl_nats": kl, "gradient_norm": float(norm or 0)}

    def validate(self) -> dict[str, float]:
        figures = self.model.score(self.val)
        return {name: figures[name] for name in ("neg_elbo_nats", "kl_nats")}

    def samples(self) -> NDArray[np.uint8]:
        images: NDArray[np.uint8] = self.model.sample(16, seed=self.seed)["images"]
        return images


class VAE(PictureModel):
    """A class-conditional convolutional VAE for square grey or colour pictures; see the module's docstring."""

    family = "vae"
    kinds = frozenset({"vae"})
    Config = Config

    def __init__(self, info: ModelInfo, channels: int) -> None:
        self.info = info
        self.channels = channels
        self.config = Config(**info.config)
        self.size = self.config.size
        self.net = Net(self.config, len(info.labels), channels)
        self.mixture: Mixture | None = None

    @classmethod
    def fit(cls, splits: Splits[Images], config: Any, run: Run) -> Self:
        splits, size, channels = square_pictures(splits, config.size, cls.family)
        config = Config(**{**asdict(config), "size": size})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)  # torch's initialisers know only the global generator
            model = cls(ModelInfo.of(cls, splits, config, run.seed), channels)
        model.info.parameters = sum(tensor.numel() for tensor in model.net.parameters())
        model.net = model.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # a quarter faster
        order, mine = shuffled(len(splits.train), config.batch, run.seed), share(config.batch)
        stepper = _Stepper(model, splits, config, run.seed)
        identity = {**asdict(config), "data_sha256": splits.source.sha256, "pictures": len(splits.train)}
        model.trained = train(stepper, lambda step: splits.train.take(order(step)[mine]), run, identity=identity)
        model.net = model.net.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)  # type: ignore[call-overload]
        model.net.half().float()  # as it will be stored, so that it scores the same before and after
        if config.components:
            model._fit_mixture(splits.train, run.seed)
        return model

    def _fit_mixture(self, images: Images, seed: int) -> None:
        """The second stage: each class's aggregate posterior as a mixture of Gaussians.

        Of the pictures whose reconstructions still show their label, that is; of all pictures of a class where fewer
        than a tenth do.
        """
        mean, variance = self._posterior(images)
        groups = [images.labels == label for label in range(max(1, len(images.names)))]
        shown = self._confidence(images, mean, seed) >= self.config.min_confidence
        groups = [group & shown if 10 * (group & shown).sum() >= group.sum() else group for group in groups]
        self.mixture = fit_mixture(mean, variance, groups, self.config.components, seed)

    def _confidence(self, images: Images, mean: Floats, seed: int) -> Floats:
        """How surely a classifier of the pictures sees the labels of their reconstructions, (N,); 1 without labels.

        It is trained here, on an eighth of what the VAE saw at most, and not kept.
        """
        steps = self.trained.steps if self.trained else 0
        eighth = steps * self.config.batch / (8 * CLASSIFIER_PASSES)
        seen = int(min(CLASSIFIER_PICTURES * (28 / self.size) ** 2, eighth))
        if len(images.names) < 2 or not self.config.min_confidence or seen < len(images.names):
            return np.ones(len(images), np.float32)
        chosen = rng(seed, 0).permutation(len(images))[:seen]
        classifier = Classifier.fit(images.take(chosen), seed, epochs=CLASSIFIER_PASSES)
        parts = [slice(i, i + 500) for i in range(0, len(images), 500)]
        labels = images.labels
        return np.concatenate([classifier.confidence(self.decode(mean[i], labels[i]), labels[i]) for i in parts])

    @torch.no_grad()
    def _posterior(self, images: Images, batch: int = 500) -> tuple[Floats, Floats]:
        """Mean and variance of q(z | x, y), each (N, d)."""
        parts = []
        images = self.fitting(images)
        for start in range(0, len(images), batch):
            x, label = _tensors(images.take(np.arange(start, min(start + batch, len(images)))), self._device)
            mean, log_variance = self.net.encode(x, self.net.embed(label))
            parts.append(torch.stack([mean, log_variance.exp()]).cpu().numpy())
        mean, variance = np.concatenate(parts, axis=1)
        return mean, variance

    @property
    def _device(self) -> torch.device:
        return next(self.net.parameters()).device

    @torch.no_grad()
    def score(self, split: Images) -> dict[str, float]:
        """One-sample negative ELBO in nats a picture, over all of `split`, Bernoulli on intensities; and its two terms.

        The noise of picture i is drawn from (0, i), so the figure is the same at every call.
        """
        images = self.fitting(split)
        if not len(images):
            raise ValueError("There are no pictures to score.")
        totals = np.zeros(2)
        for start in range(0, len(images), 500):
            index = np.arange(start, min(start + 500, len(images)))
            x, label = _tensors(images.take(index), self._device)
            noise = np.stack([rng(SCORE_SEED, int(i)).standard_normal(self.net.latent, np.float32) for i in index])
            terms = self.net(x, label, torch.from_numpy(noise).to(self._device))
            totals += [float(term.double().sum()) for term in terms]
        reconstruction, divergence = totals / len(images)
        return {
            "neg_elbo_nats": float(reconstruction + divergence),
            "reconstruction_nats": float(reconstruction),
            "kl_nats": float(divergence),
            "n": len(images),
        }

    @torch.no_grad()
    def nll(self, split: Images, samples: int = 500, seed: int = SCORE_SEED) -> dict[str, float]:
        """-log p(x | y) in nats a picture by `samples` importance-weighted draws (`importance_weighted_nll`).

        Prior N(0, I), Bernoulli likelihood on intensities in [0, 1]; `n` is the pictures scored. `samples` decodings a
        picture: about a second a picture for 5,000. Raises ValueError for no pictures or samples below 1.
        """
        images = self.fitting(split)
        if not len(images) or samples < 1:
            raise ValueError(f"There are {len(images)} pictures and {samples} samples; give 1 or more of each.")
        total = 0.0
        for i in range(len(images)):
            x, label = _tensors(images.take(np.asarray([i])), self._device)
            e = self.net.embed(label)
            mean, log_variance = self.net.encode(x, e)

            def log_likelihood(z: Tensor, x: Tensor = x, e: Tensor = e) -> Tensor:
                logits = self.net.decode(z[:, 0], e.expand(len(z), -1))  # (J, C, S, S)
                losses = functional.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
                return -losses.flatten(1).sum(1)[:, None]

            total += float(
                importance_weighted_nll(log_likelihood, mean, log_variance, samples, torch_rng(seed, i)).sum()
            )
        return {"nll_nats": total / len(images), "samples": samples, "n": len(images)}

    def encode(self, images: Images) -> Floats:
        """Posterior means of the pictures' latents, (N, latent)."""
        return self._posterior(images)[0]

    def decode(self, latents: Floats, labels: NDArray[np.int64]) -> Pixels:
        """Pictures (N, S, S[, 3]) of latents (N, latent) and labels (N,), which are ignored where the data had none."""
        embeddings = np.stack([self.embedding(int(label)) for label in labels])
        return np.concatenate(
            [self.render(latents[i : i + 500], embeddings[i : i + 500]) for i in range(0, len(latents), 500)]
        )

    def reconstruct(self, images: Images) -> Pixels:
        """The pictures through the bottleneck and back, one by one: decoder means at the posterior means."""
        images = self.fitting(images)
        latents = self._posterior(images, batch=1)[0]
        return np.stack(
            [self.render_one(z, self.embedding(int(y))) for z, y in zip(latents, images.labels, strict=True)]
        )

    def denoise(self, images: Images, steps: int = 50) -> Pixels:
        """What the model takes noisy pictures for: the decoder's means at the latents of highest p(x | z, y) p(z).

        Found from the posterior means by `steps` of gradient ascent, which undo what noise does to the encoder.
        """
        images = self.fitting(images)
        parts = []
        for start in range(0, len(images), 500):
            x, label = _tensors(images.take(np.arange(start, min(start + 500, len(images)))), self._device)
            e = self.net.embed(label).detach()
            with torch.enable_grad():
                z = self.net.encode(x, e)[0].detach().requires_grad_()
                optimizer = torch.optim.Adam([z], lr=0.05)
                for _ in range(steps):
                    fit, _ = neg_elbo(x, self.net.decode(z, e), z, torch.zeros_like(z))
                    optimizer.zero_grad()
                    (fit + 0.5 * z.square().sum(1)).sum().backward()  # type: ignore[no-untyped-call]
                    optimizer.step()
            parts.append(self.render(z.detach().cpu().numpy(), e.cpu().numpy()))
        return np.concatenate(parts)

    def latent_map(self, images: Images) -> Floats:
        """The pictures' places on a map of the latents in two dimensions, (N, 2): their two principal components."""
        means = self.encode(images).astype(np.float64)
        means -= means.mean(0)
        axes = np.linalg.svd(means, full_matrices=False)[2][:2]
        return np.asarray(means @ axes.T, np.float32)

    def latent(self, label: int, random: np.random.Generator) -> Floats:
        if self.mixture is None:
            return random.standard_normal(self.net.latent, np.float32)
        return draw_mixture(self.mixture, label, random)

    def centre(self, label: int) -> Floats:
        if self.mixture is None:
            return np.zeros(self.net.latent, np.float32)
        return np.asarray(self.mixture["weights"][label] @ self.mixture["means"][label], np.float32)

    @torch.no_grad()
    def embedding(self, label: int) -> Floats:
        return self.net.embed(torch.tensor([label], device=self._device))[0].cpu().numpy()

    def invert(self, pixels: Pixels, label: int | None, cancel: Cancel) -> tuple[Floats, int, float]:
        """The posterior mean, and the label of the highest one-sample ELBO; the badness is the negative ELBO."""
        known = tuple(self.info.labels)
        labels = range(max(1, len(known))) if label is None else [label]
        shown = [Images(pixels[None], np.asarray([y], np.int64), known) for y in labels]
        losses = [self.score(images)["neg_elbo_nats"] for images in shown]
        best = int(np.argmin(losses))
        return self._posterior(shown[best])[0][0], labels[best], losses[best]

    @torch.no_grad()
    def render(self, latents: Floats, embeddings: Floats) -> Pixels:
        z, e = (torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(self._device) for a in (latents, embeddings))
        means = (255 * self.net.decode(z, e).sigmoid()).round().byte().cpu().numpy()  # (B, C, S, S)
        return means[:, 0] if self.channels == 1 else means.transpose(0, 2, 3, 1)

    def state(self) -> dict[str, NDArray[Any]]:
        arrays = net_arrays(self.net)
        if self.mixture is not None:
            arrays |= {f"mixture.{name}": array for name, array in self.mixture.items()}
        return arrays

    @classmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        try:
            channels = state["net.down.0.weight"].shape[1]
            with torch.device("meta"):  # no random start that would be overwritten
                model = cls(info, channels)
            restore_net(model.net, state)
            mixture = under("mixture.", state)
            if mixture:
                model.mixture = Mixture(**mixture)  # type: ignore[typeddict-item]
                if model.mixture["means"].shape[::2] != (max(1, len(info.labels)), model.config.latent):
                    raise ValueError("a mixture of another shape")
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            raise CheckpointError(f"The weights of {info.name} do not fit its config.json; train it again.") from error
        return model

    def card_notes(self) -> str:
        drawn = (
            f"Latents are drawn from {self.config.components} Gaussians a class fitted to the training pictures' "
            f"aggregate posterior"
            if self.mixture is not None
            else "Latents are drawn from N(0, I)"
        )
        return (
            "A convolutional variational autoencoder (Kingma & Welling 2014), conditioned on the label where there is "
            f"one. `neg_elbo_nats` is the one-sample negative ELBO a picture with prior N(0, I) and a Bernoulli "
            f"likelihood on intensities in [0, 1]. {drawn}; pictures are the decoder's means."
        )


def _tensors(images: Images, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Intensities (B, C, S, S) in [0, 1] and labels (B,)."""
    pixels = torch.from_numpy(images.pixels).to(device)
    x = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return x.float() / 255, torch.from_numpy(images.labels).to(device)
