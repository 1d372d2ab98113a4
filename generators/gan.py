"""Generative adversarial networks (Goodfellow et al. 2014) for small pictures: `dcgan`, and `cgan` with a label.

What is unusual:

* The loss pairs each real picture with a made one of the same label (relativistic pairing, Jolicoeur-Martineau 2019)
  and penalises the discriminator's slope at both (R1 and R2): the objective of Huang et al. 2024. There is no batch
  norm, so several processes compute what one does.
* A step costs one pass through the discriminator. The generator's gradient is the slope of the discriminator at the
  made pictures, which the discriminator's own backward pass has computed already but for one factor a picture.
* The penalty's second derivative is the dear part, so it is taken at every fourth picture of a batch.
* `guidance` adds, for labelled data, how well a head of the discriminator that is trained on real pictures alone knows
  the labels of the made ones (Odena et al. 2017), at every fourth too. It makes labels clearer and pictures a little
  more alike.
* `recipe=original` is the DCGAN of Radford et al. 2016, to compare with: batch norm, transposed convolutions, binary
  cross entropy, Adam at 2e-4 with beta1 0.5; raw weights instead of their average.

The networks stand in `generators.core.gan_nets`.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from generators.core.arrays import under
from generators.core.augment import shifted
from generators.core.bounds import check_options
from generators.core.errors import CheckpointError
from generators.core.gan_nets import DiscriminatorNet, GeneratorNet, OriginalDiscriminator, OriginalGenerator
from generators.core.generator import Cancel, ModelInfo, rng, torch_rng
from generators.core.metrics import failure, sliced_wasserstein
from generators.core.pictures import SIZES, Floats, PictureModel, Pixels, square_pictures
from generators.core.training import Run, share, shuffled, train
from generators.data.splits import Images, Splits

if TYPE_CHECKING:
    from accelerate import Accelerator

PENALISED = 4  # the slope is penalised at every fourth picture
SCARCE = 5000  # training pictures below which they are shifted at random, so that they cannot be learned by heart
PATIENCE = 600  # steps before a training can be said to have failed
FAILURES = 3  # looks in a row, a tenth of the run apart, at which it must have
SCORE_SEED = 0
INVERSION_STEPS = 150


@dataclass
class Config:
    """Options of a GAN."""

    recipe: Literal["modern", "original"] = "modern"  # original: the DCGAN of 2016, for dcgan alone
    size: int = 0  # side of the pictures in pixels: 28, 32 or 64; 0: as the data has it
    latent: int = 64  # random numbers that a picture is made of, 1 to 512
    width: int = 24  # the generator's channels at full resolution; four times as many at the coarsest, 4 to 256
    discriminator_width: int = 48  # the discriminator's channels at half the resolution, 4 to 256
    hidden: int = 256  # units of the generator's dense layer, 8 to 4096
    features: int = 256  # units of the discriminator's dense layer, 8 to 4096
    label_width: int = 32  # numbers that stand for a label, 1 to 256
    batch: int = 64  # pictures a step, over all processes, 4 to 8192
    learning_rate: float = 1e-3  # of Adam at its peak, for both networks, above 0 to 1
    penalty: float = 1.0  # weight of the squared slopes R1 + R2 for pictures of 28x28, 0 to 1000
    guidance: float = 0.1  # weight of the labels' cross entropy in the generator's loss, 0 to 10

    def __post_init__(self) -> None:
        bounds = {"latent": (1, 512), "width": (4, 256), "discriminator_width": (4, 256), "hidden": (8, 4096)}
        bounds |= {"features": (8, 4096), "label_width": (1, 256), "batch": (4, 8192)}
        bounds |= {"penalty": (0, 1000), "guidance": (0, 10)}
        check_options(self, bounds, "learning_rate")
        if self.size not in (0, *SIZES):
            raise ValueError(f"size is {self.size}; it must be 28, 32 or 64, or 0 for the data's own.")


class _Stepper:
    """A GAN's side of the training loop."""

    def __init__(self, model: GAN, splits: Splits[Images], config: Config, seed: int) -> None:
        classes = len(model.info.labels)
        self.model, self.config, self.seed, self.images = model, config, seed, splits.train
        self.original = config.recipe == "original"
        self.guidance = config.guidance if classes and not self.original else 0.0
        discriminator: nn.Module = (
            OriginalDiscriminator(config, model.channels)
            if self.original
            else DiscriminatorNet(config, classes, model.channels, self.guidance > 0)
        )
        self.modules: dict[str, nn.Module] = {
            "generator": model.net,
            "discriminator": discriminator.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        }
        betas = (0.5, 0.999) if self.original else (0.0, 0.99)
        self.optimizers: dict[str, torch.optim.Optimizer] = {
            name: torch.optim.Adam(module.parameters(), lr=config.learning_rate, betas=betas, fused=True)
            for name, module in self.modules.items()
        }
        self.penalty = config.penalty * (config.size / 28) ** 2
        self.shift = config.size // 8 if len(splits.train) < SCARCE else 0
        self.taken = 0  # steps of the whole run
        self.failures = 0  # looks in a row at which it had failed

    def step(self, batch: Images, i: int, accelerator: Accelerator) -> dict[str, float]:
        self.taken = i + 1
        z = torch.randn(self.config.batch, self.config.latent, generator=torch_rng(self.seed, i))
        x, label = _tensors(batch)
        tensors = (x, label, z[share(self.config.batch)])
        x, label, z = (tensor.to(accelerator.device) for tensor in tensors)
        return (self._original if self.original else self._modern)(x, label, z, i, accelerator)

    def _modern(self, x: Tensor, label: Tensor, z: Tensor, i: int, accelerator: Accelerator) -> dict[str, float]:
        """Huang et al. 2024, eq. 3: softplus(-(D(x) - D(G(z)))), and its negative margin for the generator."""
        generator, discriminator = self.modules["generator"], self.modules["discriminator"]
        half, labels = len(x), label.repeat(2)
        made = generator(z, label)  # (B, C, S, S)
        pair = torch.cat([x, made.detach()]).contiguous(memory_format=torch.channels_last).requires_grad_()
        seen = shifted(pair, self.shift, torch_rng(self.seed + 1, i), self.config.batch) if self.shift else pair

        # A part of both kinds, for what needs a derivative more.
        part = torch.arange(0, 2 * half, PENALISED, device=x.device)
        some = pair.detach()[part].contiguous(memory_format=torch.channels_last).requires_grad_()
        logits, guess = accelerator.unwrap_model(discriminator)(some, labels[part])
        (slope,) = torch.autograd.grad(logits.sum(), some, create_graph=True)
        slopes = slope.float().square().flatten(1).sum(1).mean()  # of both kinds, so this is gamma/2 (R1 + R2)
        pull = None
        if guess is not None:
            fakes = part >= half
            unclear = functional.cross_entropy(guess[fakes], labels[part][fakes])
            (pull,) = torch.autograd.grad(unclear, some, retain_graph=True)

        logits, guess = discriminator(seen, labels)
        margin = logits[:half] - logits[half:]
        paired = functional.softplus(-margin).mean()
        loss = paired + self.penalty * slopes
        if guess is not None:
            loss = loss + 0.5 * functional.cross_entropy(guess[:half], label)
        accelerator.backward(loss)

        # dL_D/dG = sigmoid(-margin)/B dD/dG, and dL_G/dG = -sigmoid(margin)/B dD/dG for L_G = softplus(margin).
        with torch.no_grad():
            assert pair.grad is not None
            factor = torch.sigmoid(margin) / torch.sigmoid(-margin).clamp_min(1e-10)  # (B,)
            wanted = -factor[:, None, None, None] * pair.grad[half:]
            if pull is not None:
                wanted[part[fakes] - half] += self.guidance * pull[fakes]
        figures = {
            "discriminator_loss": paired.item(),
            "generator_loss": functional.softplus(margin.detach()).mean().item(),
            "squared_slope": slopes.item(),
        }
        self._move("discriminator", figures)
        accelerator.backward(made, gradient=wanted.to(made.dtype))
        self._move("generator", figures)
        if pull is not None:
            figures["label_loss"] = unclear.item()
        return figures

    def _original(self, x: Tensor, label: Tensor, z: Tensor, i: int, accelerator: Accelerator) -> dict[str, float]:
        """Radford et al. 2016: binary cross entropy, the non-saturating loss for the generator."""
        generator, discriminator = self.modules["generator"], self.modules["discriminator"]
        made = generator(z, label)
        loss = x.new_zeros(())
        for pictures, truth in ((x, 1.0), (made.detach(), 0.0)):  # batch norm over one kind at a time
            logits, _ = discriminator(pictures, label)
            part = functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))
            accelerator.backward(part)
            loss = loss + part.detach()
        figures = {"discriminator_loss": loss.item()}
        self._move("discriminator", figures)
        logits, _ = discriminator(made, label)
        fooled = functional.binary_cross_entropy_with_logits(logits, torch.ones_like(logits))
        accelerator.backward(fooled)
        figures["generator_loss"] = fooled.item()
        self._move("generator", figures)
        self.optimizers["discriminator"].zero_grad()  # what the generator's loss left there
        return figures

    def _move(self, name: str, figures: dict[str, float]) -> None:
        """One step of a network's optimiser; notes the norm of its gradient."""
        gradients = [p.grad for p in self.modules[name].parameters() if p.grad is not None]
        figures[f"{name}_gradient"] = float(torch.nn.utils.get_total_norm(gradients))
        self.optimizers[name].step()
        self.optimizers[name].zero_grad()

    def validate(self) -> dict[str, float]:
        """Nothing that could choose weights; raises ValueError where training has failed, at three looks in a row."""
        if self.taken >= PATIENCE:
            problem = failure(self.model, self.images, self.seed)
            self.failures = self.failures + 1 if problem else 0
            if self.failures >= FAILURES:
                raise ValueError(
                    f"Training stopped, because {problem}: start again with a smaller --set learning_rate "
                    f"(now {self.config.learning_rate:g}), a larger --set penalty (now {self.config.penalty:g}) or "
                    f"another --seed."
                )
        return {}

    def samples(self) -> Pixels:
        classes = len(self.model.info.labels) or 8
        images: Pixels = self.model.sample(2 * classes if classes <= 16 else 32, seed=self.seed)["images"]
        return images


class GAN(PictureModel):
    """What `dcgan` and `cgan` share; see the module's docstring."""

    kinds = frozenset({"gan"})
    Config = Config
    labelled = False

    def __init__(self, info: ModelInfo, channels: int) -> None:
        self.info = info
        self.channels = channels
        self.config = Config(**info.config)
        self.size = self.config.size
        self.net: GeneratorNet | OriginalGenerator = (
            OriginalGenerator(self.config, channels)
            if self.config.recipe == "original"
            else GeneratorNet(self.config, len(info.labels), channels)
        )

    @classmethod
    def fit(cls, splits: Splits[Images], config: Any, run: Run) -> Self:
        if cls.labelled and len(splits.train.names) < 2:
            raise ValueError(
                f"{cls.family} draws by class, and the data has none: put each class's pictures into a sub-folder of "
                f"its own, or train dcgan."
            )
        if config.recipe == "original":
            if cls.labelled:
                raise ValueError("recipe=original knows no labels: train dcgan with it.")
            config = _original(config)
        elif len(range(config.batch)[share(config.batch)]) % PENALISED:
            raise ValueError(f"batch is {config.batch}; give a multiple of {PENALISED} for each process.")
        splits, size, channels = square_pictures(splits, config.size, cls.family)
        if not cls.labelled:
            splits = Splits(_unlabelled(splits.train), _unlabelled(splits.val), None, splits.source)
        config = Config(**{**asdict(config), "size": size})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)  # torch's initialisers know only the global generator
            model = cls(ModelInfo.of(cls, splits, config, run.seed), channels)
            model.net = model.net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            stepper = _Stepper(model, splits, config, run.seed)
        model.info.parameters = sum(tensor.numel() for tensor in model.net.parameters())
        order, mine = shuffled(len(splits.train), config.batch, run.seed), share(config.batch)
        identity = {**asdict(config), "data_sha256": splits.source.sha256, "pictures": len(splits.train)}
        gamma = math.inf if config.recipe == "original" else 16.0
        model.trained = train(
            stepper, lambda step: splits.train.take(order(step)[mine]), run, identity=identity, ema_gamma=gamma
        )
        model.net = model.net.to(memory_format=torch.contiguous_format).eval().requires_grad_(False)  # type: ignore[call-overload]
        model.net.half().float()  # as it will be stored, so that it makes the same before and after
        return model

    def score(self, split: Images) -> dict[str, float]:
        """The sliced Wasserstein distance of as many samples as `split` has pictures; a GAN has no likelihood."""
        images = self.fitting(split) if self.info.labels else self.fitting(_unlabelled(split))
        if len(images) < 2:
            raise ValueError(f"There are {len(images)} pictures to score; give 2 or more.")
        made = self.sample_like(images, seed=SCORE_SEED)["images"]
        return {"sliced_wasserstein": sliced_wasserstein(made, images.pixels, seed=SCORE_SEED), "n": len(images)}

    def latent(self, label: int, random: np.random.Generator) -> Floats:
        return random.standard_normal(self.config.latent, np.float32)

    def centre(self, label: int) -> Floats:
        return np.zeros(self.config.latent, np.float32)

    @torch.no_grad()
    def embedding(self, label: int) -> Floats:
        return self.net.embed(torch.tensor([label], device=self._device))[0].cpu().numpy()

    @property
    def _device(self) -> torch.device:
        return next(self.net.parameters()).device

    @torch.no_grad()
    def render(self, latents: Floats, embeddings: Floats) -> Pixels:
        training = self.net.training
        self.net.eval()
        z, e = (torch.from_numpy(np.ascontiguousarray(a, np.float32)).to(self._device) for a in (latents, embeddings))
        painted = self.net.paint(z, e).clamp(-1, 1)
        self.net.train(training)
        pixels = (127.5 * (painted + 1)).round().byte().cpu().numpy()  # (B, C, S, S)
        return pixels[:, 0] if self.channels == 1 else pixels.transpose(0, 2, 3, 1)

    def invert(self, pixels: Pixels, label: int | None, cancel: Cancel) -> tuple[Floats, int, float]:
        """The latent whose picture is nearest, by gradient descent from the best of some draws (Zhu et al. 2016).

        The badness is the mean squared difference of intensities in [-1, 1].
        """
        labels = list(range(max(1, len(self.info.labels)))) if label is None else [label]
        draws, kept = max(16, 128 // len(labels)), 8
        starts = np.stack([self.latent(y, rng(SCORE_SEED, i)) for y in labels for i in range(draws)])
        tags = np.repeat(labels, draws)
        table = np.stack([self.embedding(y) for y in range(max(1, len(self.info.labels)))])
        wanted = _pictures(pixels[None]).to(self._device)
        e = torch.from_numpy(table[tags]).to(self._device)
        z = torch.from_numpy(starts).to(self._device)
        with torch.no_grad():
            parts = [self.net.paint(z[i : i + 256], e[i : i + 256]) for i in range(0, len(z), 256)]
            far = torch.cat([(part.clamp(-1, 1) - wanted).square().flatten(1).mean(1) for part in parts])
        chosen = far.argsort()[:kept]
        e, z = e[chosen], z[chosen].requires_grad_()
        optimizer = torch.optim.Adam([z], lr=0.05)
        for _ in range(INVERSION_STEPS):
            cancel.check()
            far = (self.net.paint(z, e) - wanted).square().flatten(1).mean(1)
            optimizer.zero_grad()
            # A weak prior keeps latents where the generator was trained.
            (far + 1e-3 * z.square().mean(1)).sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        far = far.detach()
        best = int(far.argmin())
        return z[best].detach().cpu().numpy(), int(tags[int(chosen[best])]), float(far[best])

    def state(self) -> dict[str, NDArray[Any]]:
        return {
            f"net.{name}": (tensor.half() if tensor.is_floating_point() else tensor).cpu().numpy()
            for name, tensor in self.net.state_dict().items()
        }

    @classmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        try:
            with torch.device("meta"):  # no random start that would be overwritten
                model = cls(info, _channels(info, state))
            net = {name: torch.from_numpy(array) for name, array in under("net.", state).items()}
            net = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in net.items()}
            model.net.load_state_dict(net, assign=True)
        except (KeyError, TypeError, ValueError, RuntimeError, IndexError) as error:
            raise CheckpointError(f"The weights of {info.name} do not fit its config.json; train it again.") from error
        model.net.eval().requires_grad_(False)
        return model

    def card_notes(self) -> str:
        if self.config.recipe == "original":
            how = "with the recipe of Radford et al. 2016"
        else:
            how = (
                "with the relativistic pairing loss and the penalties R1 and R2 (Huang et al. 2024), without batch "
                "norm; the weights are a running average of the generator's"
            )
        return (
            f"A generative adversarial network (Goodfellow et al. 2014) trained {how}. `sliced_wasserstein` is between "
            "intensities in [0, 1] over random directions; a GAN has no likelihood. Given pictures are varied and "
            "morphed from the latent whose picture is nearest."
        )


class DCGAN(GAN):
    """A GAN that learns from pictures alone and draws any of them."""

    family = "dcgan"


class CGAN(GAN):
    """A GAN that draws the label it is asked for."""

    family = "cgan"
    labelled = True


def _original(config: Config) -> Config:
    """The options with those of the original recipe where they were left alone."""
    plain, given = asdict(Config()), asdict(config)
    usual = {"latent": 100, "width": 32, "batch": 128, "learning_rate": 2e-4}
    return Config(**{name: usual.get(name, value) if value == plain[name] else value for name, value in given.items()})


def _channels(info: ModelInfo, state: dict[str, NDArray[Any]]) -> int:
    """A stored generator's channels: those of its last layer."""
    layers = {
        int(name.split(".")[2]): array for name, array in state.items() if re.fullmatch(r"net\.up\.\d+\.weight", name)
    }
    last = layers[max(layers)]
    return int(last.shape[1] if info.config.get("recipe") == "original" else last.shape[0])


def _unlabelled(images: Images) -> Images:
    return Images(images.pixels, np.zeros(len(images), np.int64))


def _pictures(pixels: Pixels) -> Tensor:
    """Pictures (B, S, S[, 3]) uint8 -> (B, C, S, S) in [-1, 1]."""
    x = torch.from_numpy(np.ascontiguousarray(pixels))
    return (x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)).float() / 127.5 - 1


def _tensors(images: Images) -> tuple[Tensor, Tensor]:
    """Pictures (B, C, S, S) in [-1, 1] and labels (B,)."""
    return _pictures(images.pixels), torch.from_numpy(images.labels)
