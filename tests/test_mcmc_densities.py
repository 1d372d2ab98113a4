"""The densities of our own models: against their scores, and sampled."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch

from generators import gpt, mixture, rnn, vae
from generators.core import diagnostics
from generators.core.training import Run
from generators.data.splits import Images, Source, Splits, Texts
from generators.markov import Config, Markov
from generators.mcmc import gibbs, hmc, latent_density, metropolis_hastings, text_density

VERSE = "an ant can eat a tan cat. a cat can not eat an ant, can it? it can not. " * 4
TOWNS = ("Hamburg", "Marburg", "Bamberg", "Harburg", "Bad Ems", "Emden")


def running(text: str = VERSE) -> Splits[Texts]:
    return Splits(Texts((text,), True), Texts((text[:80],), True), source=Source("verse"))


def listed() -> Splits[Texts]:
    kinds = Texts(TOWNS, labels=(0, 0, 0, 0, 1, 1), names=("castle", "other"))
    return Splits(kinds, kinds, source=Source("towns"))


@pytest.fixture(scope="module")
def verse() -> Markov:
    return Markov.fit(running(), Config(order=3), Run())


def test_texts_of_a_markov_model_are_sampled_as_they_are_enumerated(verse):
    """Three characters after a given one: all texts of the seven likeliest letters, by Gibbs and by Metropolis."""
    lead = verse.vocabulary.encode("t a").tolist()
    letters = verse.vocabulary.encode(" acent")
    density = text_density(verse, temperature=1.5, lead=lead)
    every = np.asarray(list(itertools.product(letters.tolist(), repeat=3)))
    joint = np.exp(density(every))
    joint = (joint / joint.sum()).reshape([len(letters)] * 3)
    start = np.tile(letters[:1], (32, 3))

    def one_letter(states: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, float]:
        proposed = states.copy()
        proposed[np.arange(len(states)), random.integers(3, size=len(states))] = random.choice(letters, len(states))
        return proposed, 0.0

    for chains in (
        gibbs(density, start, letters, draws=600, warmup=30, seed=1),
        metropolis_hastings(density, start, draws=1000, warmup=200, thin=5, proposal=one_letter, seed=1),
    ):
        places = np.searchsorted(np.sort(letters), chains.draws)
        order = np.argsort(letters)
        shares = [(places == k).mean((0, 1)) for k in range(len(letters))]  # (letters, 3) marginals
        exact = np.stack([joint.sum((1, 2)), joint.sum((0, 2)), joint.sum((0, 1))], 1)[order]
        seen = np.stack([places == k for k in range(len(letters))], -1).astype(float)
        error = diagnostics.mcse_mean(seen.reshape(*places.shape[:2], -1)).reshape(3, -1).T
        assert (np.abs(np.asarray(shares) - exact) < 4 * np.nan_to_num(error) + 1e-3).all()
        pairs = (chains.draws[..., 1:] == verse.vocabulary.encode("at")).all(-1).astype(float)
        at, t = (np.flatnonzero(letters == s)[0] for s in verse.vocabulary.encode("at"))
        assert abs(pairs.mean() - joint[:, at, t].sum()) < 4 * diagnostics.mcse_mean(pairs)


def fitted(family: str) -> Any:
    run, small = Run(steps=30, precision="fp32"), {"layers": 1, "width": 16, "context": 32, "batch": 4}
    if family == "markov":
        return Markov.fit(running(), Config(order=4), run)
    if family == "words":
        return Markov.fit(running(), Config(level="word", order=3), run)
    if family == "towns":
        return Markov.fit(listed(), Config(order=3), run)
    if family == "gpt":
        return gpt.GPT.fit(running(), gpt.Config(heads=2, **small), run)
    if family == "gpt of towns":
        return gpt.GPT.fit(listed(), gpt.Config(heads=2, **small), run)
    if family == "lstm":
        return rnn.LSTM.fit(running(), rnn.Config(**small), run)
    if family == "mixture":
        return mixture.Mixture.fit(running(VERSE * 8), mixture.Config(heads=2, order=3, **small), run)
    hmm = pytest.importorskip("generators.hmm")
    return hmm.HMM.fit(running(), hmm.Config(states=3, level="character", length=30), run)


def foretold(model: Any, lead: list[int], row: np.ndarray) -> float:
    """log p of symbols, one after the other, as the model predicts each from those before."""
    predictor, context, total = model.predictor, model.predictor.context(lead), 0.0
    for symbol in row.tolist():
        total += float(np.log(predictor.distribution(context)[symbol]))
        context = predictor.extend(context, symbol)
    return total


@pytest.mark.parametrize("family", ["markov", "words", "gpt", "lstm", "hmm", "mixture", "towns", "gpt of towns"])
def test_a_text_has_the_density_that_it_is_scored_with(family):
    model = fitted(family)
    if model.items:
        lines, end = ["Emden", "Bad Ems", "Homburg"], model.vocabulary.encode("\n").tolist()
        for kind in (0, 1):
            density = text_density(model, lead=[len(model.vocabulary) + kind])
            for line in lines:
                symbols = np.asarray([model.vocabulary.encode(line).tolist() + end])
                told = model.score(Texts((line,), labels=(kind,), names=("castle", "other")))
                assert density(symbols)[0] == pytest.approx(-told["nats_per_char"] * told["n"], rel=1e-5)
        assert text_density(model)(symbols) == text_density(model, lead=[len(model.vocabulary)])(symbols)
        return
    texts = ["a cat can eat", "it can not eat", "an ant can not"]
    symbols = [model.vocabulary.encode(text) for text in texts]
    density, halved = text_density(model), text_density(model, temperature=2.0)
    for text, row in zip(texts, symbols, strict=True):
        exact = model.spelling(text).sum() - model.score(Texts((text,), True))["nats_per_char"] * len(text)
        if family == "mixture":  # which reads its own text into the cache where it scores, not where it writes
            exact = foretold(model, [], row)
        assert density(row[None])[0] == pytest.approx(exact, rel=1e-5)
        assert halved(row[None])[0] == pytest.approx(exact / 2, rel=1e-5)
    # A lead is what stands before, and a row does not mind the others.
    batch, lead = np.stack([row[-3:] for row in symbols]), symbols[0][:-3].tolist()
    after = text_density(model, lead=lead)(batch)
    np.testing.assert_allclose(after, [foretold(model, lead, row) for row in batch], rtol=1e-5)


def test_what_is_no_text_of_a_model(verse):
    density, size = text_density(verse), len(verse.vocabulary)
    for states in (np.full((2, 3), size), np.full((2, 3), -1), np.zeros(3, int), np.zeros((2, 3))):
        with pytest.raises(ValueError, match="must be symbols"):
            density(states)
    for wrong in ({"temperature": 0}, {"temperature": np.nan}, {"lead": [size + 1]}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            text_density(verse, **wrong)
    with pytest.raises(ValueError, match="no model of text"):
        text_density(object())


# Latents of a VAE.


@pytest.fixture(scope="module")
def pictures() -> vae.VAE:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 120)
    pixels = (random.integers(0, 60, (120, 28, 28)) + 120 * labels[:, None, None]).astype(np.uint8)
    images = Images(pixels, labels, ("dark", "light"))
    options = {"latent": 3, "width": 4, "hidden": 16, "label_width": 4, "batch": 16, "components": 0}
    return vae.VAE.fit(Splits(images, images), vae.Config(**options), Run(steps=30, precision="fp32"))


def test_the_latent_density(pictures):
    picture = np.random.default_rng(3).integers(0, 255, (28, 28)).astype(np.uint8)
    density, z = latent_density(pictures, picture, "light"), np.random.default_rng(4).standard_normal((5, 3))
    means = 1 / (
        1
        + np.exp(
            -pictures.net.decode(torch.from_numpy(z).float(), pictures.net.embed(torch.tensor([1] * 5)))
            .numpy()[:, 0]
            .astype(float)
        )
    )
    x = picture / 255
    exact = (x * np.log(means) + (1 - x) * np.log(1 - means)).sum((1, 2))
    exact += -0.5 * (z**2).sum(1) - 1.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(density(z), exact, rtol=1e-5)
    held = torch.from_numpy(z).requires_grad_()
    (slopes,) = torch.autograd.grad(density(held).sum(), held)
    for at in range(3):
        step = np.zeros(3)
        step[at] = 0.02
        plain = (density(z + step) - density(z - step)) / 0.04
        np.testing.assert_allclose(slopes[:, at], plain, rtol=0.03, atol=0.1)


def test_hmc_and_the_random_walk_agree_on_the_latents(pictures):
    density = latent_density(pictures, np.full((28, 28), 90, np.uint8), 0)
    start = np.random.default_rng(1).standard_normal((8, 3))
    one = hmc(density, start, draws=100, warmup=80, seed=1)
    other = metropolis_hastings(density, start, draws=200, warmup=500, thin=5, seed=1)
    apart = one.draws.mean((0, 1)) - other.draws.mean((0, 1))
    error = np.hypot(diagnostics.mcse_mean(one.draws), diagnostics.mcse_mean(other.draws))
    assert (np.abs(apart) < 4 * error).all()


def test_pictures_and_labels_that_do_not_fit(pictures):
    picture = np.zeros((28, 28), np.uint8)
    for wrong, label, why in (
        (picture / 255, 0, "uint8"),
        (picture[0], 0, "shape"),
        (picture, None, "knows dark, light"),
        (picture, "blue", "knows dark, light"),
        (picture, 2, "knows dark, light"),
    ):
        with pytest.raises(ValueError, match=why):
            latent_density(pictures, wrong, label)
    with pytest.raises(ValueError, match=r"must be \(chains, 3\)"):
        latent_density(pictures, picture, 0)(np.zeros((2, 4)))
