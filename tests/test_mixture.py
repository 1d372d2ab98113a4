"""The mixture: its probabilities, what its gate learns from, that it beats its parts, and the text's own cache."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from generators.core.errors import Cancelled, CheckpointError, DataError
from generators.core.generator import Cancel, Request
from generators.core.kneser_ney import UNKNOWN
from generators.core.recency import WINDOW, recent, recents
from generators.core.training import Run
from generators.data.splits import Splits, Texts
from generators.gpt import GPT
from generators.markov import Config as MarkovConfig
from generators.markov import Markov
from generators.mixture import EXPERTS, PARTS, Config, Gate, Mixture, _without, held_stretches

SMALL = Config(layers=2, width=16, heads=2, context=16, batch=8, order=3)
WORDS = ("time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school", "state")


def tale(seed: int, words: int = 6000) -> Texts:
    """Words of which each makes others likely, so that there is something to learn and no end to what is new."""
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


def test_what_it_predicts_sums_to_one_and_is_what_it_scores(model):
    text = tale(3, 30).text[: SMALL.context]
    predictor, nats = model.predictor, []
    symbols = model.vocabulary.encode(text).tolist()
    for i, symbol in enumerate(symbols):
        p = predictor.distribution(predictor.context(symbols[:i]))
        assert p.sum() == pytest.approx(1, abs=1e-6) and p[UNKNOWN] == pytest.approx(model.network.unknown)
        nats.append(-np.log(p[symbol]))
    rest = model.score(Texts((text,), True))["nats_per_char"] * len(text) - sum(nats)
    assert abs(rest) < 0.05 * sum(nats)  # at the very beginning the n-grams see no text before, or an unknown symbol


def test_its_cache_counts_what_it_was_given_alone(model):
    predictor, symbols = model.predictor, model.vocabulary.encode("the cat and the c").tolist()
    context = predictor.context(symbols[:12])
    for symbol in symbols[12:]:
        context = predictor.extend(context, symbol)
    cached = recent(context.history, predictor.size, context.given)
    assert context.given == 12 and np.array_equal(context.history, symbols)
    assert cached.argmax() == model.vocabulary.symbols["a"]  # after " c", which the given text has once
    assert recent(context.history, predictor.size, 0) == pytest.approx(1 / predictor.size)
    later = np.append(context.history, context.history[1:])  # longer than a window the given part falls out of it
    far = np.concatenate([later, np.full(WINDOW, symbols[0], np.uint32)])
    assert recent(far, predictor.size, len(later)) == pytest.approx(1 / predictor.size)


def test_a_context_stays_as_it_is_when_it_is_extended(model):
    predictor = model.predictor
    context = predictor.context(model.vocabulary.encode("time of a wo").tolist())
    before = predictor.distribution(context)
    ends = [predictor.distribution(predictor.extend(context, symbol)) for symbol in (3, 4, 3)]
    assert np.array_equal(before, predictor.distribution(context)) and np.array_equal(ends[0], ends[2])


def test_saved_and_loaded_it_is_the_same(model, tmp_path: Path):
    again = Mixture.from_pretrained(model.save_pretrained(tmp_path / "m"))
    fresh = tale(4, 100)
    assert again.score(fresh) == model.score(fresh)
    request = Request("write_text", {"words": 9})
    said = [list(made.draw(request, seed=1, cancel=Cancel()))[-1] for made in (model, again)]
    assert said[0] == said[1]
    state = model.state()
    state["gate.net.outer.weight"] = state["gate.net.outer.weight"][:2]
    with pytest.raises(CheckpointError, match="do not fit its config"):
        Mixture.from_state(model.info, state)


def test_a_run_goes_on_as_it_was_started(tmp_path: Path):
    cancel, splits = Cancel(), Splits(tale(0, 800), tale(1, 200))
    stop = [lambda event: cancel.set() if event.kind == "step" else None]
    with pytest.raises(Cancelled):
        Mixture.fit(splits, SMALL, Run(steps=9, folder=tmp_path, cancel=cancel, callbacks=tuple(stop)))
    made = Mixture.fit(splits, SMALL, Run(folder=tmp_path, resume=True))
    assert made.trained.steps == 9


def test_looking_inside_tells_the_weights(model):
    inside = model.look_inside("time people way")
    assert inside.experts == EXPERTS and inside.weights.shape == (15, len(EXPERTS))
    assert np.allclose(inside.weights.sum(1), 1, atol=1e-5)


def test_a_gate_that_has_not_learnt_weighs_all_alike():
    parts = torch.randn(5, 7, PARTS).log_softmax(-2)
    experts, weights = Gate().weighed(parts)
    assert torch.allclose(weights.exp(), torch.full((5, 1, len(EXPERTS)), 1 / len(EXPERTS)))
    assert torch.allclose(experts.exp().sum(-2), torch.ones(5, len(EXPERTS)), atol=1e-5)
    assert torch.allclose(Gate()(parts).exp().sum(-1), torch.ones(5), atol=1e-5)


def test_the_gate_learns_whom_to_trust():
    random = np.random.default_rng(0)
    said = torch.from_numpy(random.integers(0, 4, 4000))
    knows = torch.from_numpy(random.integers(0, PARTS, 4000))  # which part is sure, and right; the others are not sure
    right = torch.full((4000, 4), 1e-3).scatter(1, said[:, None], 1 - 3e-3)
    parts = torch.stack([torch.where((knows == k)[:, None], right, 0.25).log() for k in range(PARTS)], -1)
    gate = Gate()
    before = -gate(parts).gather(1, said[:, None]).mean()
    gate.fit(parts, said, seed=0, check=lambda: None)
    assert -gate(parts).gather(1, said[:, None]).mean() < 0.1 < before


@pytest.mark.parametrize("total", [2, 100, 2000, 700_000, 50_000_000])
def test_what_is_held_back_is_little_and_evenly_spread(total):
    stretches = held_stretches(total)
    assert 1 <= sum(stop - start for start, stop in stretches) <= max(0.035 * total, 1)
    assert all(0 <= start < stop <= total for start, stop in stretches)
    assert all(stop <= start for (_, stop), (start, _) in pairwise(stretches))


def test_what_is_held_back_is_learnt_from_no_more_but_its_characters_are_known():
    text = "abcdefghij" * 20
    ((start, stop),) = held_stretches(len(text))
    odd = text[:start] + "\u00e6" * (stop - start) + text[stop:]
    assert _without(odd, [(start, stop)]) == text[:start] + text[stop:] + "\u00e6"


def test_a_list_and_tokens_are_refused():
    with pytest.raises(DataError, match="train lstm on it"):
        Mixture.fit(Splits(Texts(("Anna", "Lena")), Texts(("Nora",))), SMALL, Run(steps=1))
    with pytest.raises(ValueError, match="learns characters"):
        Config(tokens=300)
    with pytest.raises(ValueError, match="cannot go on from a model"):
        Config(lora=4)
    with pytest.raises(ValueError, match="order is 1"):
        Config(order=1)


def test_the_cache_by_hand():
    history = np.asarray([1, 2, 1, 3, 1], np.uint8)
    even = (np.asarray([0, 3, 1, 1]) + 3 / 4) / 8  # from uniform: five symbols, of three kinds
    after = (np.asarray([0, 0, 1, 1]) + 2 * even) / 4  # after 1 came 2 and 3; after 3 1 nothing
    assert np.allclose(recent(history, 4), after) and after.sum() == pytest.approx(1)
    assert np.allclose(recent(history[:0], 4), 0.25)
    assert np.allclose(recents(history, 3, 5, 4), [recent(history[:3], 4), recent(history[:4], 4)])


def test_the_cache_forgets_what_is_too_far_back():
    history = np.concatenate([[3], np.ones(WINDOW, np.int64)]).astype(np.uint8)
    assert np.array_equal(recent(history, 4), recent(history[1:], 4))
