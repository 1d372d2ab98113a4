"""The mixture of n-grams and a network: weights, what its gate learns from, and that it beats its parts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from generators.core.kneser_ney import KneserNey
from generators.core.training import Run
from generators.data.splits import Splits, Texts
from generators.gpt import GPT
from generators.markov import Config as MarkovConfig
from generators.markov import Markov
from generators.mixture import Config, Gate, Mixture, Net, held_pieces

SMALL = Config(layers=2, width=16, heads=2, context=16, batch=8, order=3)
WORDS = "time year people way day man thing woman life child world school state family student".split()  # noqa: SIM905


def tale(seed: int, words: int = 6000) -> Texts:
    """Words of which each makes two others likely, so that there is something to learn and no end to what is new."""
    random, at, said = np.random.default_rng(seed), 0, []
    for _ in range(words):
        said.append(WORDS[at])
        at = (3 * at + int(random.choice([1, 2, 5], p=[0.6, 0.3, 0.1]))) % len(WORDS)
    return Texts((" ".join(said),), True)


@pytest.fixture(scope="module")
def model() -> Mixture:
    made = Mixture.fit(Splits(tale(0), tale(1)), SMALL, Run(steps=120, precision="fp32"))
    made.info.name = "mixture-test"
    return made


def test_it_is_better_than_its_parts(model):
    fresh, splits = tale(2, 1000), Splits(tale(0), tale(1))
    counts = Markov.fit(splits, MarkovConfig(order=3), Run())
    network = GPT.fit(splits, SMALL.of_network(), Run(steps=120, precision="fp32"))
    alone = min(part.score(fresh)["nats_per_char"] for part in (counts, network))
    assert model.score(fresh)["nats_per_char"] < alone


def test_probabilities_and_weights_sum_to_one(model):
    read = torch.from_numpy(model.vocabulary.encode(tale(3, 50).text))[None, :16]
    with torch.inference_mode():
        logits, _ = model.net(read)
        experts, weights = model.net.gate(*model.net.parts(read)[0])
    assert torch.allclose(logits.exp().sum(-1), torch.ones(1, 16), atol=1e-5)
    assert logits[..., 0].isneginf().all() and logits[..., len(model.vocabulary) :].isneginf().all()
    assert torch.allclose(experts.exp().sum(-2), torch.ones(1, 16, 3), atol=1e-4)
    assert torch.allclose(weights.exp().sum(-1), torch.ones(1, 16, 1), atol=1e-5)


def test_the_network_reads_the_n_grams_past_a_window_and_from_row_to_row(model):
    read = torch.from_numpy(model.vocabulary.encode(tale(3, 50).text))[:20]
    whole = model.net.expected(read[None], 20)[0]
    assert torch.allclose(model.net.expected(read[None], 5)[0], whole[-5:])
    two = model.net.expected(torch.stack([read[:10], read[10:]]), 10)
    assert torch.allclose(two[0], whole[:10])
    assert torch.allclose(two[1], model.net.expected(read[None, 10:], 10)[0])
    for at in (3, 9):  # a position on its own takes the other way
        assert torch.allclose(model.net.expected(read[None, : at + 1], 1)[0, 0], whole[at], atol=1e-6)


def test_a_gate_that_has_not_learnt_weighs_all_alike():
    counts = KneserNey.fit(np.asarray([5, 1, 2, 3, 1, 2, 4]), size=5, starts=1, order=3)
    net = Net(Config(layers=1, width=8, heads=1, context=8, order=3), counts)
    _, weights = net.gate(*net.parts(torch.tensor([[1, 2, 3]]))[0])
    assert torch.allclose(weights.exp(), torch.full((1, 3, 1, 3), 1 / 3))


def test_the_gate_learns_whom_to_trust():
    random = np.random.default_rng(0)
    said = torch.from_numpy(random.integers(0, 4, 4000))
    knows = torch.from_numpy(random.random(4000) < 0.5)  # as sure as can be, and right; else as unsure as can be
    right = torch.full((4000, 4), 1e-3).scatter(1, said[:, None], 1 - 3e-3)
    first = torch.where(knows[:, None], right, 0.25).log()
    second = torch.where(knows[:, None], 0.25, right).log()
    gate = Gate()
    gate.fit((first, second), said, seed=0, check=lambda: None)
    with torch.inference_mode():
        experts, weights = gate(first, second)
    mixture = -torch.logsumexp(experts + weights, -1).gather(1, said[:, None]).mean()
    assert mixture < 0.1  # a fixed half and half: 0.24 + 0.24


@pytest.mark.parametrize("total", [100, 2000, 70_000, 5_000_000])
def test_what_is_held_back_is_little_and_evenly_spread(total):
    pieces = held_pieces(total)
    assert 1 <= sum(stop - start for start, stop in pieces) <= max(0.055 * total, 1)
    assert all(0 <= start < stop <= total for start, stop in pieces)
    assert all(stop <= start for (_, stop), (start, _) in pairwise(pieces))


def test_neither_the_network_nor_the_fewer_n_grams_learn_what_is_held_back():
    text = "".join(chr(0x4E00 + i) for i in range(300))  # no character twice
    splits = Splits(Texts((text,), True), Texts((text[:50],), True))
    made = Mixture.fit(splits, Config(layers=1, width=8, heads=1, context=8, batch=2, order=2), Run(steps=1))
    assert made.net.counts.nodes > 300
    fresh = Mixture(made.info, made.vocabulary, made.unknown, made.known, made.lengths)
    symbols = made.vocabulary.encode(text)
    _, kept, _ = fresh.prepare(splits.train, symbols, Run(steps=1))
    ((start, stop),) = held_pieces(len(text))
    assert set(symbols) - set(kept) == set(symbols[start:stop])
    windows, wanted = fresh._held
    assert set(windows[:, 1:][wanted].tolist()) == set(symbols[start:stop].tolist())
    unseen = fresh._fewer.distributions(symbols)[start:stop][np.arange(stop - start), symbols[start:stop]]
    assert (unseen < fresh.net.counts.distributions(symbols)[start + 1, symbols[start + 1]]).all()


def test_tokens_are_refused():
    with pytest.raises(ValueError, match="learns characters"):
        Config(tokens=300)
