"""A convolutional, class-conditional variational autoencoder (Kingma & Welling 2014) for small pictures.

What is unusual:

* The likelihood is Bernoulli on intensities in [0, 1] (binary cross entropy, eq. 10 of the paper), so a score is
  in nats and may be compared with other VAEs that say "BCE", not with bits per dimension of a discrete likelihood.
* Samples are not drawn from N(0, I). After training, a mixture of Gaussians is fitted, class by class, to the aggregate
  posterior of the training pictures, and latents are drawn from it: the second stage of Dai & Wipf 2019 and Ghosh et
  al. 2020, at the price of a few seconds. The score is still the ELBO under N(0, I).
* Pictures are the decoder's means, each decoded in a batch of one, so its bits do not depend on how many are asked for.

Shapes, for one channel and size S (28, 32 or 64), s = S/4 (S/8 for 64), w = `width`, d = `latent`:

    encoder  (B, 1, S, S) -> (B, w, S/2, S/2) -> (B, 4w, s, s) -> [flat, label] -> (B, hidden) -> 2 x (B, d)
    decoder  [z (B, d), label] -> (B, hidden) -> (B, 4w, s, s) -> (B, w, S/2, S/2) -> logits (B, 1, S, S)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from generators.core import inputs
from generators.core.arrays import under
from generators.core.bounds import within
from generators.core.errors import CheckpointError, RequestError
from generators.core.generator import Cancel, Generator, ModelInfo, Partial, Request, rng, torch_rng
from generators.core.labels import match_label
from generators.core.mixture import Mixture, draw_mixture, fit_mixture
from generators.core.training import Run, shuffled, train
from generators.data.images import fit as fit_pictures
from generators.data.splits import Images, Splits

if TYPE_CHECKING:
    from accelerate import Accelerator

SIZES = (28, 32, 64)
MAX_COUNT = 64
VALIDATION = 1000  # held-out pictures that choose between the checkpoints of a run
SCORE_SEED = 0


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

    def __post_init__(self) -> None:
        bounds = {"latent": (1, 512), "width": (4, 256), "hidden": (8, 4096), "label_width": (1, 256)}
        bounds |= {"batch": (1, 8192), "components": (0, 64)}
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from {low} to {high}.")
        if not 0 < self.learning_rate <= 1:
            raise ValueError(f"learning_rate is {self.learning_rate}; it must be above 0, up to 1.")
        if self.size not in (0, *SIZES):
            raise ValueError(f"size is {self.size}; it must be 28, 32 or 64, or 0 for the data's own.")


class Net(nn.Module):
    """Encoder and decoder; `classes` 0 for data without labels."""

    def __init__(self, config: Config, classes: int, channels: int) -> None:
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
        """Reconstruction and KL terms of the negative ELBO in nats, each (B,)."""
        embedding = self.embed(label)
        mean, log_variance = self.encode(x, embedding)
        z = mean + (0.5 * log_variance).exp() * noise
        return neg_elbo(x, self.decode(z, embedding), mean, log_variance)


def neg_elbo(x: Tensor, logits: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """The two terms of the one-sample negative ELBO (Kingma & Welling 2014, eq. 10), in nats, each (B,).

    Reconstruction: -log p(x|z), Bernoulli with `logits`, summed over all pixels; KL: of N(mean, exp(log_variance)) from
    N(0, I), in closed form.
    """
    reconstruction = functional.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(1)
    divergence = 0.5 * (mean.square() + log_variance.exp() - log_variance - 1).sum(1)
    return reconstruction, divergence


class _Stepper:
    """The VAE's side of the training loop."""

    def __init__(self, model: VAE, splits: Splits[Images], config: Config, seed: int) -> None:
        self.model, self.seed = model, seed
        self.modules: dict[str, nn.Module] = {"net": model.net}
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            "net": torch.optim.AdamW(
                model.net.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-4, fused=True
            )
        }
        self.val = splits.val.take(np.arange(min(len(splits.val), VALIDATION)))

    def step(self, batch: Images, i: int, accelerator: Accelerator) -> dict[str, float]:
        x, label = _tensors(batch)
        noise = torch.randn(
            len(x),
            self.model.net.latent,
            generator=torch_rng(self.seed, i * accelerator.num_processes + accelerator.process_index),
        )
        x, label, noise = (tensor.to(accelerator.device) for tensor in (x, label, noise))
        reconstruction, divergence = self.modules["net"](x, label, noise)
        loss = (reconstruction + divergence).mean()
        self.optimizers["net"].zero_grad()
        accelerator.backward(loss / x[0].numel())  # nats per pixel: gradients of one scale whatever the size
        accelerator.clip_grad_norm_(self.modules["net"].parameters(), 1.0)
        self.optimizers["net"].step()
        return {"neg_elbo_nats": loss.item(), "kl_nats": divergence.mean().item()}

    def validate(self) -> dict[str, float]:
        figures = self.model.score(self.val)
        return {name: figures[name] for name in ("neg_elbo_nats", "kl_nats")}

    def samples(self) -> NDArray[np.uint8]:
        images: NDArray[np.uint8] = self.model.sample(16, seed=self.seed)["images"]
        return images


class VAE(Generator):
    """A class-conditional convolutional VAE for square grey or colour pictures; see the module's docstring."""

    family = "vae"
    kinds = frozenset({"vae"})
    medium = "image"
    tasks = frozenset({"generate_image", "morph_images"})
    Config = Config

    def __init__(self, info: ModelInfo, channels: int) -> None:
        self.info = info
        self.channels = channels
        self.config = Config(**info.config)
        self.net = Net(self.config, len(info.labels), channels)
        self.mixture: Mixture | None = None

    @classmethod
    def fit(cls, splits: Splits[Images], config: Any, run: Run) -> Self:
        pixels = splits.train.pixels
        size = config.size or pixels.shape[1]
        if size not in SIZES or pixels.shape[1] != pixels.shape[2]:
            raise ValueError(
                f"The pictures are {_spell(pixels.shape[2:0:-1])}; a VAE takes squares of 28, 32 or 64: --set size=32."
            )
        config = Config(**{**asdict(config), "size": size})
        channels = 3 if pixels.ndim == 4 else 1
        train_part, val_part = (fit_pictures(part, size, channels == 3) for part in (splits.train, splits.val))
        splits = Splits(train_part, val_part, None, splits.source)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)  # torch's initialisers know only the global generator
            model = cls(ModelInfo.of(cls, splits, config, run.seed), channels)
        model.info.parameters = sum(tensor.numel() for tensor in model.net.parameters())
        model.net = model.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # a quarter faster
        order = shuffled(len(splits.train), config.batch, run.seed)
        stepper = _Stepper(model, splits, config, run.seed)
        identity = {**asdict(config), "data_sha256": splits.source.sha256, "pictures": len(splits.train)}
        train(stepper, lambda step: splits.train.take(order(step)), run, identity=identity)
        model.net = model.net.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)  # type: ignore[call-overload]
        model.net.half().float()  # as it will be stored, so that it scores the same before and after
        if config.components:
            model._fit_mixture(splits.train, run.seed)
        return model

    def _fit_mixture(self, images: Images, seed: int) -> None:
        """The second stage: each class's aggregate posterior as a mixture of Gaussians."""
        mean, variance = self._posterior(images)
        groups = [images.labels == label for label in range(max(1, len(images.names)))]
        self.mixture = fit_mixture(mean, variance, groups, self.config.components, seed)

    @torch.no_grad()
    def _posterior(self, images: Images) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Mean and variance of q(z | x, y), each (N, d)."""
        parts = []
        images = self._fitting(images)
        for start in range(0, len(images), 500):
            x, label = _tensors(images.take(np.arange(start, min(start + 500, len(images)))), self._device)
            mean, log_variance = self.net.encode(x, self.net.embed(label))
            parts.append(torch.stack([mean, log_variance.exp()]).cpu().numpy())
        mean, variance = np.concatenate(parts, axis=1)
        return mean, variance

    @property
    def _device(self) -> torch.device:
        return next(self.net.parameters()).device

    def _fitting(self, images: Images) -> Images:
        """The images in this model's size, channels and numbering of labels. Raises ValueError for unknown labels."""
        name, known, names = self.info.name or "this VAE", self.info.labels, list(images.names)
        images = fit_pictures(images, self.config.size, self.channels == 3)
        if known and known != names:
            if not names or not set(names) <= set(known):
                classes = ", ".join(names) or "none"
                raise ValueError(f"The pictures' classes are {classes}; {name} knows {', '.join(known)}.")
            numbers = np.asarray([known.index(label) for label in names], dtype=np.int64)
            return Images(images.pixels, numbers[images.labels], tuple(known))
        return images

    @torch.no_grad()
    def score(self, split: Images) -> dict[str, float]:
        """One-sample negative ELBO in nats a picture, over all of `split`, Bernoulli on intensities; and its two terms.

        The noise of picture i is drawn from (0, i), so the figure is the same at every call.
        """
        images = self._fitting(split)
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

    def encode(self, images: Images) -> NDArray[np.float32]:
        """Posterior means of the pictures' latents, (N, latent)."""
        return self._posterior(images)[0]

    @torch.no_grad()
    def decode(self, latents: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Pictures (N, S, S[, 3]) of latents (N, latent) and labels (N,), which are ignored where the data had none."""
        parts = []
        for start in range(0, len(latents), 500):
            z = torch.from_numpy(np.ascontiguousarray(latents[start : start + 500], np.float32)).to(self._device)
            label = torch.from_numpy(np.ascontiguousarray(labels[start : start + 500], np.int64)).to(self._device)
            parts.append(self._render(z, self.net.embed(label)))
        return np.concatenate(parts)

    def reconstruct(self, images: Images) -> NDArray[np.uint8]:
        """The pictures through the bottleneck and back: decoder means at the posterior means."""
        images = self._fitting(images)
        return self.decode(self.encode(images), images.labels)

    def sample(self, count: int, *, label: str | None = None, seed: int = 0) -> dict[str, NDArray[Any]]:
        if count < 1:
            raise RequestError(f"count is {count}; it must be 1 or more.")
        classes = max(1, len(self.info.labels))
        labels = np.arange(count, dtype=np.int64) % classes if label is None else np.full(count, self._label(label))
        latents = np.stack([self._latent(int(y), rng(seed, i)) for i, y in enumerate(labels)])
        return {"images": self.decode(latents, labels), "labels": labels}

    def draw(self, request: Request, *, seed: int, cancel: Cancel) -> Iterator[Any]:
        args = dict(request.args)
        if request.task == "generate_image":
            subject, count = str(args.get("subject", "")), within("count", args.get("count", 1), 1, MAX_COUNT)
            label = self._label(subject)
            if subject and not self.info.labels:
                yield Partial(f"{self.info.name} learned from pictures without labels, so it ignores {subject!r}.")
            for i in range(count):
                cancel.check()
                yield self._one(self._latent(label, rng(seed, i)), self._embedding(label))
        else:
            frames = within("frames", args.get("frames", 16), 2, MAX_COUNT)
            ends = [str(args.get(name, "")) for name in ("start", "end")]
            pixels = [self._picture(end) for end in ends]
            labels, told = self._labels(ends, pixels)
            yield from map(Partial, told)
            if any(end and shown is None for end, shown in zip(ends, pixels, strict=True)) and not self.info.labels:
                yield Partial(
                    f"{self.info.name} learned from pictures without labels: it morphs one picture into another."
                )
            first, last = (
                self._latent(label, rng(seed, i)) if shown is None else self.encode(self._as_images(shown, label))[0]
                for i, (label, shown) in enumerate(zip(labels, pixels, strict=True))
            )
            from_, to = (self._embedding(label) for label in labels)
            for t in np.linspace(0, 1, frames):
                cancel.check()
                yield self._one(slerp(first, last, float(t)), slerp(from_, to, float(t)))

    def _label(self, subject: str) -> int:
        """The number of the label that `subject` spells; 0 where there are no labels. Raises `RequestError`."""
        if not self.info.labels:
            return 0
        found = match_label(subject, self.info.labels)
        if found is None:
            raise RequestError(
                f"{self.info.name or 'This VAE'} does not know {subject!r}; it knows {', '.join(self.info.labels)}."
            )
        return self.info.labels.index(found)

    def _picture(self, end: str) -> NDArray[np.uint8] | None:
        """The picture whose id `end` is; None for a label, also for one that is spelled like an id.

        Raises `RequestError` where there is no such picture or it has another size or other channels.
        """
        if not inputs.is_id(end) or match_label(end, self.info.labels):
            return None
        pixels, size = inputs.picture(end), self.config.size
        if pixels.shape != (size, size, 3)[: 2 if self.channels == 1 else 3]:
            has, takes = ("colour" if colour else "grey" for colour in (pixels.ndim == 3, self.channels == 3))
            raise RequestError(
                f"The picture {end} is {_spell(pixels.shape[1::-1])} in {has}; {self.info.name} takes {size}x{size} in "
                f"{takes}: give one of its own pictures, or convert this one."
            )
        return pixels

    def _as_images(self, pixels: NDArray[np.uint8], label: int) -> Images:
        return Images(pixels[None], np.asarray([label], np.int64), tuple(self.info.labels))

    def _labels(self, ends: list[str], pixels: list[NDArray[np.uint8] | None]) -> tuple[list[int], list[str]]:
        """The ends' labels, and for each picture a sentence on what it was taken for: nothing says what it shows.

        It is taken for what the other end is, or where both are pictures for the label of the highest ELBO.
        """
        named = [self._label(end) for end, shown in zip(ends, pixels, strict=True) if shown is None]
        labels, told = [], []
        for end, shown in zip(ends, pixels, strict=True):
            if shown is None:
                labels.append(self._label(end))
                continue
            labels.append(named[0] if named else self._likeliest(shown))
            if self.info.labels:
                why = "the other end" if named else "the likeliest"
                told.append(f"The picture {end} was taken for {self.info.labels[labels[-1]]}, {why}.")
        return labels, told

    def _likeliest(self, pixels: NDArray[np.uint8]) -> int:
        """The label under which the picture has the highest one-sample ELBO, with the same noise for each."""
        known = self.info.labels
        images = (self._as_images(pixels, label) for label in range(max(1, len(known))))
        return int(np.argmin([self.score(image)["neg_elbo_nats"] for image in images]))

    def _latent(self, label: int, random: np.random.Generator) -> NDArray[np.float32]:
        """One latent (d,) of a class: from the fitted mixture, or from the prior where there is none."""
        if self.mixture is None:
            return random.standard_normal(self.net.latent, np.float32)
        return draw_mixture(self.mixture, label, random)

    @torch.no_grad()
    def _embedding(self, label: int) -> NDArray[np.float32]:
        return self.net.embed(torch.tensor([label], device=self._device))[0].cpu().numpy()

    def _one(self, latent: NDArray[np.float32], embedding: NDArray[np.float32]) -> NDArray[np.uint8]:
        """One picture, decoded in a batch of one."""
        z, e = (torch.from_numpy(array[None]).to(self._device) for array in (latent, embedding))
        picture: NDArray[np.uint8] = self._render(z, e)[0]
        return picture

    @torch.no_grad()
    def _render(self, z: Tensor, embedding: Tensor) -> NDArray[np.uint8]:
        means = (255 * self.net.decode(z, embedding).sigmoid()).round().byte().cpu().numpy()  # (B, C, S, S)
        return means[:, 0] if self.channels == 1 else means.transpose(0, 2, 3, 1)

    def state(self) -> dict[str, NDArray[Any]]:
        arrays = {f"net.{name}": tensor.half().cpu().numpy() for name, tensor in self.net.state_dict().items()}
        if self.mixture is not None:
            arrays |= {f"mixture.{name}": array for name, array in self.mixture.items()}
        return arrays

    @classmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        try:
            channels = state["net.down.0.weight"].shape[1]
            with torch.device("meta"):  # no random start that would be overwritten
                model = cls(info, channels)
            net = {name: torch.from_numpy(array).float() for name, array in under("net.", state).items()}
            model.net.load_state_dict(net, assign=True)
            mixture = under("mixture.", state)
            if mixture:
                model.mixture = Mixture(**mixture)  # type: ignore[typeddict-item]
                if model.mixture["means"].shape[::2] != (max(1, len(info.labels)), model.config.latent):
                    raise ValueError("a mixture of another shape")
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            raise CheckpointError(f"The weights of {info.name} do not fit its config.json; train it again.") from error
        model.net.eval().requires_grad_(False)
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


def slerp(a: NDArray[np.float32], b: NDArray[np.float32], t: float) -> NDArray[np.float32]:
    """Between two vectors, t in [0, 1], on the arc between their directions, length in proportion (Shoemake 1985)."""
    lengths = float(np.linalg.norm(a)), float(np.linalg.norm(b))
    if min(lengths) < 1e-8:
        return np.asarray((1 - t) * a + t * b, np.float32)
    angle = float(np.arccos(np.clip(a @ b / (lengths[0] * lengths[1]), -1, 1)))
    if angle < 1e-4 or angle > np.pi - 1e-4:
        return np.asarray((1 - t) * a + t * b, np.float32)
    direction = (np.sin((1 - t) * angle) * a / lengths[0] + np.sin(t * angle) * b / lengths[1]) / np.sin(angle)
    return np.asarray(((1 - t) * lengths[0] + t * lengths[1]) * direction, np.float32)


def _tensors(images: Images, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Intensities (B, C, S, S) in [0, 1] and labels (B,)."""
    pixels = torch.from_numpy(images.pixels).to(device)
    x = pixels[:, None] if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
    return x.float() / 255, torch.from_numpy(images.labels).to(device)


def _spell(shape: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in shape)
