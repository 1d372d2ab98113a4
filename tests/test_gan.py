"""GANs: the shared backward pass against the two losses, stopping, labels, requests, resume."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from test_vae import NAMES, pictures
from torch.nn import functional

from generators.core.artifact import Image
from generators.core.augment import shifted
from generators.core.errors import Cancelled, CheckpointError, RequestError
from generators.core.gan_nets import DiscriminatorNet, GeneratorNet
from generators.core.generator import Cancel, ModelInfo, Partial, Request
from generators.core.inputs import reading
from generators.core.training import Run
from generators.data.splits import Images, Splits
from generators.gan import CGAN, DCGAN, Config, _Stepper, _tensors, failure

SMALL = Config(
    latent=4, width=8, discriminator_width=8, hidden=32, features=16, label_width=4, batch=16, learning_rate=3e-3
)  # fmt: skip


def splits(**options) -> Splits[Images]:
    return Splits(pictures(160, 0, **options), pictures(40, 1, **options))


@pytest.fixture(scope="module")
def model() -> CGAN:
    made = CGAN.fit(splits(), SMALL, Run(steps=250, precision="fp32"))
    made.info.name = "cgan-test"
    return made


def made(model, task: str = "generate_image", seed: int = 0, **args) -> list:
    return list(model.draw(Request(task, args), seed=seed, cancel=Cancel()))


def stepper_of(config: Config, labels: bool = True, seed: int = 3) -> tuple[_Stepper, Splits[Images]]:
    data = splits(names=NAMES if labels else ())
    config = Config(**{**asdict(config), "size": 28})
    torch.manual_seed(seed)
    cls = CGAN if labels else DCGAN
    return _Stepper(cls(ModelInfo.of(cls, data, config, seed), 1), data, config, seed), data


def test_one_pass_gives_both_networks_the_gradients_of_their_own_losses():
    """Huang et al. 2024: each network's gradient, computed the slow way, is what one step leaves behind."""
    stepper, data = stepper_of(Config(**{**asdict(SMALL), "penalty": 0.7, "guidance": 0.3}))
    stepper.shift = 0
    found: dict[str, list[torch.Tensor]] = {}
    stepper._move = lambda name, figures: found.setdefault(  # type: ignore[method-assign]
        name, [p.grad.clone() for p in stepper.modules[name].parameters()]
    )
    x, y = _tensors(data.train.take(np.arange(16)))
    z = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))
    stepper._modern(x, y, z, 0, Accelerator(cpu=True))

    generator, discriminator = stepper.modules["generator"], stepper.modules["discriminator"]
    assert isinstance(discriminator, DiscriminatorNet)
    fake = generator(z, y)
    margin = discriminator(x, y)[0] - discriminator(fake.detach(), y)[0]
    slopes = []
    for part in (x[::4], fake.detach()[::4]):
        part = part.clone().requires_grad_()
        (slope,) = torch.autograd.grad(discriminator(part, y[::4])[0].sum(), part, create_graph=True)
        slopes.append(slope.square().flatten(1).sum(1).mean())
    loss = functional.softplus(-margin).mean() + 0.7 * sum(slopes) / 2
    loss = loss + 0.5 * functional.cross_entropy(discriminator(x, y)[1], y)
    wanted = torch.autograd.grad(loss, list(discriminator.parameters()))
    for name, a, b in zip(dict(discriminator.named_parameters()), found["discriminator"], wanted, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-6), name

    judged, guess = discriminator(fake, y)
    loss = functional.softplus(discriminator(x, y)[0] - judged).mean()
    loss = loss + 0.3 * functional.cross_entropy(guess[::4], y[::4])
    for a, b in zip(found["generator"], torch.autograd.grad(loss, list(generator.parameters())), strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-7)


def test_the_slope_is_that_of_finite_differences():
    stepper, data = stepper_of(SMALL)
    discriminator = stepper.modules["discriminator"].double()
    x, y = _tensors(data.train.take(np.arange(2)))
    x = x.double().requires_grad_()
    discriminator.forward = lambda x, y: discriminator.real(discriminator.down(x))[:, 0]  # type: ignore[method-assign]
    (slope,) = torch.autograd.grad(discriminator(x, y).sum(), x)
    along = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).double()
    step = 1e-6
    with torch.no_grad():
        apart = discriminator(x + step * along, y) - discriminator(x - step * along, y)
    assert torch.allclose((slope * along).flatten(1).sum(1), apart / (2 * step), rtol=1e-4)


def test_training_learns_what_the_labels_mean(model: CGAN):
    arrays = model.sample(40, seed=5)
    bright = arrays["images"].mean((1, 2)) > 115
    assert (bright == (arrays["labels"] == 1)).mean() > 0.9
    assert failure(model, splits().train, 0) == ""
    assert (
        model.trained is not None and {"discriminator_loss", "generator_gradient"} <= model.trained.history[-1].keys()
    )


def test_scores_fall_with_training_and_are_the_same_each_time(model: CGAN):
    held_out = pictures(60, 7)
    untrained = CGAN.fit(splits(), SMALL, Run(steps=1))
    assert model.score(held_out) == model.score(held_out)
    assert model.score(held_out)["sliced_wasserstein"] < untrained.score(held_out)["sliced_wasserstein"]


def test_saved_and_loaded_it_is_the_same_model(model: CGAN, tmp_path: Path):
    folder = model.save_pretrained(tmp_path / "cgan-test")
    again = CGAN.from_pretrained(folder)
    assert np.array_equal(again.sample(6, seed=3)["images"], model.sample(6, seed=3)["images"])
    with pytest.raises(CheckpointError, match="family cgan, not dcgan"):
        DCGAN.from_pretrained(folder)
    state = model.state()
    state.pop("net.dense.0.weight")
    with pytest.raises(CheckpointError, match="do not fit"):
        CGAN.from_state(model.info, state)


def test_cancel_and_resume_give_the_unbroken_runs_weights(tmp_path: Path):
    whole = CGAN.fit(splits(), SMALL, Run(steps=24))
    cancel = Cancel()
    stop = lambda event: cancel.set() if event.kind == "sample" else None  # noqa: E731
    with pytest.raises(Cancelled):
        CGAN.fit(splits(), SMALL, Run(steps=24, folder=tmp_path, cancel=cancel, callbacks=(stop,)))
    resumed = CGAN.fit(splits(), SMALL, Run(steps=24, folder=tmp_path, resume=True))
    for name, array in whole.state().items():
        assert np.array_equal(array, resumed.state()[name]), name


def test_requests(model: CGAN):
    four, eight = (made(model, subject="Dark", count=count, seed=11) for count in (4, 8))
    assert all(np.array_equal(a, b) for a, b in zip(four, eight, strict=False))
    assert len({picture.tobytes() for picture in eight}) == 8
    with pytest.raises(RequestError, match="does not know 'dragon'; it knows dark, light-one"):
        made(model, subject="dragon")
    frames = made(model, "morph_images", start="dark", end="light one", frames=5)
    assert frames[0].mean() < 115 < frames[-1].mean()


def test_a_picture_of_its_own_is_found_again(model: CGAN):
    latent = model.latent(1, np.random.default_rng(4))
    own = model.render_one(latent, model.embedding(1))
    with reading(lambda identifier: Image(own, None)):
        *told, back = made(model, "vary_image", image="00000000dead", count=1, strength=0.0)
        cancel = Cancel()
        cancel.set()
        with pytest.raises(Cancelled):
            list(model.draw(Request("vary_image", {"image": "00000000dead"}), seed=0, cancel=cancel))
    assert "light-one, the likeliest" in told[0].message
    others = [model.render_one(model.latent(1, np.random.default_rng(i)), model.embedding(1)) for i in range(5, 13)]
    far = [np.abs(other.astype(int) - own).mean() for other in others]
    assert np.abs(back.astype(int) - own).mean() < 0.7 * np.median(far)


def test_unlabelled_colour_pictures_of_64_pixels():
    options = {"names": (), "colour": True, "size": 64}
    model = DCGAN.fit(splits(**options), SMALL, Run(steps=2))
    notice, picture = made(model, subject="a cat")
    assert isinstance(notice, Partial) and "without labels" in notice.message
    assert picture.shape == (64, 64, 3)
    again = DCGAN.from_state(model.info, model.state())
    assert again.score(pictures(4, 9, **options)) == model.score(pictures(4, 9, **options))


def test_labels_that_dcgan_does_not_use_are_left_out():
    model = DCGAN.fit(splits(), SMALL, Run(steps=1))
    assert model.info.labels == [] and model.sample(3)["labels"].tolist() == [0, 0, 0]
    assert model.score(pictures(8, 2))["n"] == 8


def test_data_and_options_that_do_not_fit():
    with pytest.raises(ValueError, match=r"the data has none.*or train dcgan"):
        CGAN.fit(splits(names=()), SMALL, Run(steps=1))
    with pytest.raises(ValueError, match="20x20; a cgan takes squares"):
        CGAN.fit(splits(size=20), SMALL, Run(steps=1))
    with pytest.raises(ValueError, match="knows no labels: train dcgan"):
        CGAN.fit(splits(), Config(**{**asdict(SMALL), "recipe": "original"}), Run(steps=1))
    for wrong in ({"latent": 0}, {"size": 30}, {"learning_rate": 0}, {"penalty": -1}, {"guidance": 11}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Config(**{**asdict(SMALL), **wrong})


def test_the_original_recipe_trains_and_is_stored(tmp_path: Path):
    model = DCGAN.fit(splits(), Config(recipe="original", width=4), Run(steps=2))
    assert (model.config.latent, model.config.learning_rate, model.config.width) == (100, 2e-4, 4)
    again = DCGAN.from_pretrained(model.save_pretrained(tmp_path / "original"))
    assert np.array_equal(again.sample(3, seed=1)["images"], model.sample(3, seed=1)["images"])


class Fixed:
    """A model of two labels that makes what it is told to."""

    def __init__(self, images: Images) -> None:
        self.info = ModelInfo("fixed", "cgan", "image", [], labels=list(NAMES))
        self._images = images

    def sample(self, count: int, seed: int = 0) -> dict[str, np.ndarray]:
        return {"images": self._images.pixels[:count], "labels": self._images.labels[:count]}


def test_training_that_has_failed_is_told():
    real = pictures(300, 0)
    assert failure(Fixed(pictures(64, 1)), real, 0) == ""  # type: ignore[arg-type]
    alike = Images(np.repeat(real.pixels[:1], 64, 0), np.arange(64) % 2, NAMES)
    assert "look alike" in failure(Fixed(alike), real, 0)  # type: ignore[arg-type]
    mixed = Images(np.repeat(real.pixels[:32], 2, 0), np.arange(64) % 2, NAMES)  # each picture under both labels
    assert "ignores its labels" in failure(Fixed(mixed), real, 0)  # type: ignore[arg-type]


def test_a_failed_training_stops_with_the_way_out(monkeypatch):
    monkeypatch.setattr("generators.gan.PATIENCE", 5)
    monkeypatch.setattr("generators.gan.failure", lambda *given: "it ignores its labels")
    with pytest.raises(ValueError, match=r"it ignores its labels: start again with a smaller --set learning_rate"):
        CGAN.fit(splits(), SMALL, Run(steps=10))


def test_shifts_move_pictures_and_nothing_else():
    pair = torch.zeros(8, 1, 28, 28)
    pair[:, :, 10:18, 10:18] = 1
    moved = shifted(pair, 3, torch.Generator().manual_seed(0), 4)
    assert moved.shape == pair.shape and torch.equal(moved.sum((1, 2, 3)), pair.sum((1, 2, 3)))
    assert len({tuple(picture.nonzero()[0].tolist()) for picture in moved}) > 3


@pytest.mark.parametrize("size", [28, 64])
def test_a_new_generator_draws_no_checkerboard(size):
    torch.manual_seed(0)
    net = GeneratorNet(Config(size=size, width=8, hidden=32), 0, 3)
    shuffled = []
    for layer in net.up:
        if isinstance(layer, torch.nn.PixelShuffle):
            layer.register_forward_hook(lambda layer, given, made: shuffled.append(made))
    net.paint(torch.randn(2, 64), torch.zeros(2, 0))
    assert len(shuffled) == (3 if size == 64 else 2)
    for made in shuffled:  # a pixel's four quarters are one colour
        assert torch.equal(made[..., ::2, ::2], made[..., 1::2, 1::2])
        assert torch.equal(made[..., ::2, ::2], made[..., ::2, 1::2])
