"""The VAE: its ELBO against numerical integrals, determinism, conditioning, requests."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from generators.core.artifact import Image, Provenance
from generators.core.errors import Cancelled, CheckpointError, RequestError
from generators.core.generator import Cancel, Partial, Request
from generators.core.inputs import reading
from generators.core.mixture import draw_mixture, fit_mixture
from generators.core.pictures import lerp, slerp
from generators.core.training import Run
from generators.data.splits import Images, Splits
from generators.vae import VAE, Config, importance_weighted_nll, neg_elbo

NAMES = ("dark", "light-one")
SMALL = Config(latent=3, width=4, hidden=16, label_width=4, batch=16, learning_rate=6e-3, components=2)


def pictures(count: int, seed: int, names=NAMES, colour: bool = False, size: int = 28) -> Images:
    """Dark pictures with a bright square, and light ones with a dark square."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    pixels = np.where(labels[:, None, None] == 1, 200, 30) * np.ones((1, size, size))
    for picture, label, (y, x) in zip(pixels, labels, random.integers(2, size - 10, (count, 2)), strict=True):
        picture[y : y + 8, x : x + 8] = 30 if label else 200
    pixels = np.repeat(pixels[..., None], 3, axis=3) if colour else pixels
    return Images(pixels.astype(np.uint8), labels if names else np.zeros(count, np.int64), names)


def splits(**options) -> Splits[Images]:
    return Splits(pictures(160, 0, **options), pictures(40, 1, **options))


@pytest.fixture(scope="module")
def model() -> VAE:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("generators.vae.SCARCE", 0)  # unmoved pictures are learned in a few steps
        made = VAE.fit(splits(), SMALL, Run(steps=150))
    made.info.name = "vae-test"
    return made


def test_few_pictures_are_moved_in_training(monkeypatch):
    one = VAE.fit(splits(), SMALL, Run(steps=3)).state()
    monkeypatch.setattr("generators.vae.SCARCE", 0)
    other = VAE.fit(splits(), SMALL, Run(steps=3)).state()
    assert not np.array_equal(one["net.down.0.weight"], other["net.down.0.weight"])


def test_elbo_equals_a_numerical_integral_in_one_dimension():
    # q = N(m, s^2) in one dimension; p(x | z) Bernoulli with logits a*z + b for two pixels.
    m, s, a, b = 0.7, 0.6, torch.tensor([1.5, -2.0]), torch.tensor([0.3, 0.1])
    x = torch.tensor([0.8, 0.25])
    grid = torch.linspace(-12, 12, 200_001, dtype=torch.float64)[:, None]
    q = torch.exp(-0.5 * ((grid - m) / s) ** 2) / (s * math.sqrt(2 * math.pi))
    prior = -0.5 * grid**2 - 0.5 * math.log(2 * math.pi)
    p = torch.sigmoid(a * grid + b)
    log_likelihood = (x * p.log() + (1 - x) * (1 - p).log()).sum(1, keepdim=True)
    integral = -(q * (log_likelihood + prior - q.log())).nan_to_num(0).sum() * (24 / 200_000)

    noise = torch.randn(400_000, 1, generator=torch.Generator().manual_seed(0))
    z = m + s * noise
    mean, log_variance = torch.full((1, 1), m), torch.full((1, 1), 2 * math.log(s))
    terms = neg_elbo(x.expand(len(z), 2), a * z + b, mean, log_variance)
    assert float(terms[0].mean() + terms[1].mean()) == pytest.approx(float(integral), abs=0.01)

    divergence = -(q * (prior - q.log())).nan_to_num(0).sum() * (24 / 200_000)
    assert float(terms[1][0]) == pytest.approx(float(divergence), abs=1e-4)  # the KL term alone, in closed form


def test_the_importance_weighted_estimate_agrees_with_the_closed_form():
    """x = a z + s e with z and e normal: log p(x) = log N(x; 0, a^2 + s^2); q is not the exact posterior."""
    a, s, x = 1.3, 0.7, torch.tensor([[0.4], [-2.0]])
    exact = 0.5 * (x[:, 0] ** 2 / (a**2 + s**2) + math.log(2 * math.pi * (a**2 + s**2)))

    def log_likelihood(z: torch.Tensor) -> torch.Tensor:
        return (-0.5 * ((x - a * z) / s) ** 2 - math.log(s) - 0.5 * math.log(2 * math.pi))[..., 0]

    mean, log_variance = 0.5 * x, torch.full((2, 1), -0.5)
    found = {
        k: importance_weighted_nll(log_likelihood, mean, log_variance, k, torch.Generator().manual_seed(0))
        for k in (1, 200_000)
    }
    assert torch.allclose(found[200_000].float(), exact, atol=0.01)
    assert (found[1].float() - exact).abs().max() > 0.05  # the number of samples counts


def test_the_likelihood_is_above_the_elbo(model: VAE):
    split = pictures(8, 5)
    elbo = np.mean([model.score(split)["neg_elbo_nats"]])
    one, many, again = (model.nll(split, samples, seed=3) for samples in (1, 300, 300))
    assert many == again and many["n"] == 8
    assert many["nll_nats"] < one["nll_nats"] and many["nll_nats"] < elbo + 0.05
    with pytest.raises(ValueError, match="0 samples"):
        model.nll(split, 0)


def test_beta_and_free_bits_trade_the_kl_term():
    held_out, kl = pictures(60, 7), {}
    for name, more in (("plain", {}), ("beta", {"beta": 8.0}), ("free", {"free_bits": 3.0})):
        config = Config(**{**asdict(SMALL), **more})
        kl[name] = VAE.fit(splits(), config, Run(steps=150)).score(held_out)["kl_nats"]
    assert kl["beta"] < kl["plain"] < kl["free"]


def test_denoising_brings_pictures_nearer(model: VAE):
    split = pictures(12, 6)
    noise = np.random.default_rng(0).normal(0, 60, split.pixels.shape)
    noisy = Images((split.pixels + noise).clip(0, 255).astype(np.uint8), split.labels, split.names)
    clean = model.denoise(noisy)

    def far(pixels: np.ndarray) -> float:
        return float(np.abs(pixels.astype(int) - split.pixels).mean())

    assert far(clean) < far(model.reconstruct(noisy)) < far(noisy.pixels)


def test_the_latent_map_is_the_plane_of_most_variance(model: VAE):
    split = pictures(40, 8)
    places, means = model.latent_map(split), model.encode(split)
    assert places.shape == (40, 2) and np.allclose(places.mean(0), 0, atol=1e-3)
    assert places[:, 0].var() >= places[:, 1].var()
    assert places.var(0).sum() <= means.var(0).sum() + 1e-3  # a projection; of three numbers, two hold most
    assert places.var(0).sum() > 0.6 * means.var(0).sum()


def test_training_helps_and_the_score_is_exact(model: VAE):
    held_out = pictures(60, 7)
    untrained = VAE.fit(splits(), SMALL, Run(steps=1))
    first, second = model.score(held_out), model.score(held_out)
    assert first == second and first["n"] == 60
    assert first["neg_elbo_nats"] == pytest.approx(first["reconstruction_nats"] + first["kl_nats"])
    assert first["neg_elbo_nats"] < untrained.score(held_out)["neg_elbo_nats"] - 10


def test_saved_and_loaded_it_is_the_same_model(model: VAE, tmp_path: Path):
    folder = model.save_pretrained(tmp_path / "vae-test")
    again = VAE.from_pretrained(folder)
    held_out = pictures(20, 7)
    assert again.score(held_out) == model.score(held_out)
    assert np.array_equal(again.sample(6, seed=3)["images"], model.sample(6, seed=3)["images"])
    assert "aggregate posterior" in (folder / "README.md").read_text()
    (folder / "model.safetensors").write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(CheckpointError):
        VAE.from_pretrained(folder)


def test_weights_that_do_not_fit_are_a_clear_error(model: VAE):
    state = model.state()
    state.pop("net.up.0.weight")
    with pytest.raises(CheckpointError, match="do not fit"):
        VAE.from_state(model.info, state)


def test_cancel_and_resume_give_the_unbroken_runs_weights(tmp_path: Path):
    whole = VAE.fit(splits(), SMALL, Run(steps=24))
    cancel = Cancel()
    stop = lambda event: cancel.set() if event.kind == "val" else None  # noqa: E731
    with pytest.raises(Cancelled):
        VAE.fit(splits(), SMALL, Run(steps=24, folder=tmp_path, cancel=cancel, callbacks=(stop,)))
    resumed = VAE.fit(splits(), SMALL, Run(steps=24, folder=tmp_path, resume=True))
    for name, array in whole.state().items():
        assert np.array_equal(array, resumed.state()[name]), name


def made(model: VAE, task: str = "generate_image", seed: int = 0, **args) -> list:
    return list(model.draw(Request(task, args), seed=seed, cancel=Cancel()))


def test_a_batch_of_eight_contains_the_batch_of_four(model: VAE):
    four, eight = (made(model, subject="dark", count=count, seed=11) for count in (4, 8))
    assert all(np.array_equal(a, b) for a, b in zip(four, eight, strict=False))
    assert len({picture.tobytes() for picture in eight}) == 8
    assert all(picture.shape == (28, 28) and picture.dtype == np.uint8 for picture in eight)
    assert not np.array_equal(four[0], made(model, subject="dark", seed=12)[0])


@pytest.mark.parametrize(("said", "bright"), [("Dark", False), ("light ones", True), ("Light-One", True)])
def test_the_subject_decides_what_is_drawn(model: VAE, said: str, bright: bool):
    means = [picture.mean() for picture in made(model, subject=said, count=4)]
    assert all((mean > 115) == bright for mean in means)


def test_morph_goes_from_one_subject_to_the_other(model: VAE):
    frames = made(model, "morph_images", start="dark", end="light one", frames=5)
    assert len(frames) == 5
    assert frames[0].mean() < 115 < frames[-1].mean()
    assert np.array_equal(frames[0], made(model, subject="dark")[0])  # the ends are pictures of their own


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"subject": "dragon"}, "does not know 'dragon'; it knows dark, light-one"),
        ({"subject": "dark", "count": 0}, "count is 0"),
        ({"subject": "dark", "count": -1}, "count is -1"),
        ({"subject": "dark", "count": 10**9}, "from 1 to 64"),
        ({"subject": "dark", "count": 1.5}, "whole number"),
    ],
)
def test_wrong_requests_say_what_is_right(model: VAE, args, words):
    with pytest.raises(RequestError, match=words):
        made(model, **args)


def test_wrong_morphs(model: VAE):
    with pytest.raises(RequestError, match="frames is 1"):
        made(model, "morph_images", start="dark", end="dark", frames=1)


DARK, LIGHT, COLOUR = "00000000dead", "00000000beef", "00000000c010"


@pytest.fixture
def shelf():
    """Ids that open a dark picture, a light one, and one in colour."""
    split = pictures(20, 3)
    dark, light = (split.pixels[split.labels == label][0] for label in (0, 1))
    found = {DARK: dark, LIGHT: light, COLOUR: np.repeat(light[..., None], 3, axis=2)}
    with reading(lambda identifier: Image(found[identifier], None)):
        yield found


def test_a_morph_between_pictures(model: VAE, shelf):
    *told, first, middle, last = made(model, "morph_images", start=DARK, end=LIGHT, frames=3)
    assert [notice.message for notice in told] == [
        f"The picture {DARK} was taken for dark, the likeliest.",
        f"The picture {LIGHT} was taken for light-one, the likeliest.",
    ]
    split = Images(np.stack([shelf[DARK], shelf[LIGHT]]), np.asarray([0, 1]), NAMES)
    for frame, expected in zip((first, last), model.reconstruct(split), strict=True):
        assert np.array_equal(frame, expected)
    assert not np.array_equal(middle, first)


def test_a_picture_is_taken_for_what_the_other_end_is(model: VAE, shelf):
    told, *frames = made(model, "morph_images", start="light one", end=LIGHT, frames=2)
    assert told.message == f"The picture {LIGHT} was taken for light-one, the other end."
    assert np.array_equal(frames[0], made(model, subject="light one")[0])
    assert np.abs(frames[1].astype(int) - shelf[LIGHT]).mean() < 40


def test_any_picture_is_brought_to_the_models_form(model: VAE, shelf):
    light, colour = (made(model, "morph_images", start=end, end="dark", frames=2)[-2] for end in (LIGHT, COLOUR))
    assert np.array_equal(light, colour)


def test_variations_range_from_the_picture_to_any_of_its_class(model: VAE, shelf):
    near, mid, far = (
        made(model, "vary_image", image=DARK, count=6, strength=strength)[1:] for strength in (0.0, 0.3, 1.0)
    )
    split = Images(shelf[DARK][None], np.asarray([0]), NAMES)
    assert all(np.array_equal(picture, model.reconstruct(split)[0]) for picture in near)
    fresh = made(model, subject="dark", count=6)
    assert all(np.array_equal(a, b) for a, b in zip(far, fresh, strict=True))

    def spread(pictures: list[np.ndarray]) -> float:
        return float(np.stack(pictures).astype(float).std(0).mean())

    assert 0 < spread(mid) < spread(far)


def test_a_variation_keeps_what_a_picture_was_drawn_for(model: VAE):
    picture = made(model, subject="light one")[0]
    how = Provenance("vae-test", "", "generate_image", {"subject": "light-one"}, 0, 0)
    with reading(lambda identifier: Image(picture, how)):
        varied = made(model, "vary_image", image=LIGHT, count=2)
    assert len(varied) == 2  # nothing was to be guessed, so nothing is told


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"image": "last"}, "'last' is not a picture's id"),
        ({"image": DARK, "strength": 1.5}, "strength is 1.5"),
        ({"image": DARK, "count": 0}, "count is 0"),
    ],
)
def test_wrong_variations(model: VAE, shelf, args, words):
    with pytest.raises(RequestError, match=words):
        made(model, "vary_image", **args)


def test_a_picture_without_a_store_is_a_clear_error(model: VAE):
    with pytest.raises(RequestError, match=f"{DARK} is a picture's id"):
        made(model, "morph_images", start=DARK, end="dark")


def test_a_reconstruction_numbers_the_labels_as_the_model_does(model: VAE):
    split = pictures(6, 4)
    turned = Images(split.pixels, 1 - split.labels, NAMES[::-1])
    assert np.array_equal(model.reconstruct(turned), model.reconstruct(split))


def test_unlabelled_colour_pictures_of_64_pixels():
    options = {"names": (), "colour": True, "size": 64}
    model = VAE.fit(splits(**options), SMALL, Run(steps=3))
    notice, picture = made(model, subject="a cat")
    assert isinstance(notice, Partial) and "without labels" in notice.message
    assert picture.shape == (64, 64, 3)
    assert model.sample(3)["labels"].tolist() == [0, 0, 0]
    assert model.reconstruct(pictures(2, 0, **options)).shape == (2, 64, 64, 3)
    again = VAE.from_state(model.info, model.state())
    assert again.score(pictures(4, 9, **options)) == model.score(pictures(4, 9, **options))


class Light:
    """A classifier that takes what is light on the whole for 1."""

    @classmethod
    def fit(cls, images: Images, seed: int, epochs: int) -> Light:
        return cls()

    def confidence(self, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return ((pixels.mean((1, 2)) > 115) == labels).astype(np.float32)


def test_latents_are_drawn_where_the_label_shows(monkeypatch):
    monkeypatch.setattr("generators.vae.Classifier", Light)
    noisy = pictures(400, 0)
    noisy.labels[::4] = 1 - noisy.labels[::4]
    wrong = []
    for least in (0, 0.7):
        config = Config(**{**asdict(SMALL), "min_confidence": least})
        made = VAE.fit(Splits(noisy, pictures(40, 1)), config, Run(steps=150)).sample(100, seed=1)
        wrong.append(1 - float(Light().confidence(made["images"], made["labels"]).mean()))
    assert wrong[0] > 0.1 and wrong[1] < 0.03


def test_a_class_that_never_shows_is_drawn_like_all_of_it(monkeypatch):
    monkeypatch.setattr("generators.vae.Classifier", Light)
    turned = pictures(400, 0)
    turned.labels[:] = 1 - turned.labels
    made = VAE.fit(Splits(turned, turned), SMALL, Run(steps=100)).sample(40, seed=1)
    assert Light().confidence(made["images"], 1 - made["labels"]).mean() > 0.8


def test_data_that_does_not_fit(model: VAE):
    with pytest.raises(ValueError, match="20x20; a vae takes squares of 28, 32 or 64"):
        VAE.fit(splits(size=20), SMALL, Run(steps=1))
    assert model.score(pictures(3, 0, size=32))["n"] == 3  # scaled to the model's size
    with pytest.raises(ValueError, match="classes are cat; vae-test knows dark, light-one"):
        model.score(Images(pictures(3, 0).pixels, np.zeros(3, np.int64), ("cat",)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"latent": 0},
        {"size": 30},
        {"learning_rate": 0},
        {"batch": 0},
        {"beta": 0},
        {"free_bits": 11},
        {"min_confidence": 1},
    ],
)
def test_options_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Config(**{**asdict(SMALL), **wrong})


def test_slerp_keeps_to_the_arc():
    a, b = np.asarray([2.0, 0.0], np.float32), np.asarray([0.0, 4.0], np.float32)
    for path in (slerp, lerp):
        assert np.array_equal(path(a, b, 0.0), a) and np.array_equal(path(a, b, 1.0), b)
    assert np.allclose(slerp(a, b, 0.5), 3 / math.sqrt(2), atol=1e-5)
    assert np.allclose(slerp(a, -a, 0.25), a / 2)
    assert np.allclose(lerp(a, b, 0.25), [1.5, 1.0])


def test_the_mixture_finds_two_clusters_and_keeps_their_moments():
    random = np.random.default_rng(0)
    side = random.integers(0, 2, 4000)[:, None]
    mean = (np.where(side == 1, 3.0, -3.0) + 0.1 * random.standard_normal((4000, 2))).astype(np.float32)
    variance = np.full((4000, 2), 0.25, np.float32)
    mixture = fit_mixture(mean, variance, [np.ones(4000, bool), np.zeros(4000, bool)], components=2, seed=0)
    assert np.allclose(np.sort(mixture["means"][0, :, 0]), [-3, 3], atol=0.05)
    drawn = np.stack([draw_mixture(mixture, 0, random) for _ in range(4000)])
    assert np.allclose(drawn.var(0), 9 + 0.01 + 0.25, rtol=0.05)
    assert np.allclose(mixture["factors"][1], np.eye(2))  # a class without pictures: the prior
