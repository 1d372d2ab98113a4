"""A hidden Markov model of text: its EM, its storage, what it writes, and what it tells of its states."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from generators.core import baum_welch
from generators.core.baum_welch import BaumWelch, Parameters, Sequences
from generators.core.errors import Cancelled, CheckpointError
from generators.core.forward_backward import Counts, Workspace, count
from generators.core.generator import Cancel, Partial, Request, card
from generators.core.inside_picture import picture
from generators.core.run_state import RunState
from generators.core.state_graph import around, state_graph
from generators.core.training import Run
from generators.core.vocabulary import Words
from generators.core.writing import InTurn, Parallel, Predictor
from generators.data.splits import DataError, Source, Splits, Texts
from generators.hmm import HMM, CategoricalHMM, Config, FallingLikelihood

NOUNS, VERBS = ("cat", "dog", "rat", "hen", "owl"), ("sat", "ran", "hid", "sang")


def tale(sentences: int, seed: int = 0) -> str:
    """Sentences such as `the cat sat.`, each word drawn from its kind."""
    random = np.random.default_rng(seed)
    return "".join(f"the {random.choice(NOUNS)} {random.choice(VERBS)}.\n" for _ in range(sentences))


NAMES = ("Anna", "Hanna", "Nina", "Tina", "Lena", "Nora", "Dora", "Tora", "Hana", "Lina") * 4
KINDS = tuple(int(name in ("Nora", "Dora", "Tora")) for name in NAMES)


def fitted(texts: Texts | None = None, run: Run | None = None, **options) -> HMM:
    texts = texts or Texts((tale(200),), True)
    held_out = texts.head(400)
    config = Config(**{"states": 6, "prior": 1.0, "length": 40, **options})
    model = HMM.fit(Splits(texts, held_out, source=Source("tale")), config, run or Run(steps=30))
    model.info.name = "hmm-test"
    return model


@pytest.fixture(scope="module")
def model():
    return fitted()


@pytest.fixture(scope="module")
def inventor():
    return fitted(Texts(NAMES, False, KINDS, ("na", "ora")), states=8)


def stepper(texts: Texts, states: int = 4, batch: int = 0, prior: float = 1.0) -> BaumWelch:
    vocabulary = Words.of([texts.text])
    sequences = Sequences.of(texts, vocabulary, 30, lambda: None)
    shares = np.maximum(sequences.counts(len(vocabulary)), 0.5)
    shares = shares / shares.sum()
    net = Parameters.random(states, shares, np.zeros(0, np.int64), seed=1)
    return BaumWelch(net, sequences, batch=batch, prior=prior, shares=shares)


ALONE = SimpleNamespace(num_processes=1, unwrap_model=lambda net: net)


def test_kinds_of_words_are_found(model):
    told = [{text for text, p in state if p > 0.05} for state in model.telling(12)]
    assert set(NOUNS) in told and set(VERBS) in told and {"the"} in told
    assert model.usage().sum() == pytest.approx(1)
    entropy = (np.log(len(NOUNS)) + np.log(len(VERBS))) / len(f"the cat {VERBS[0]}.\n")  # nothing else is by chance
    assert model.score(Texts((tale(200, seed=9),), True))["nats_per_char"] < 1.1 * entropy


def test_a_step_is_one_of_baum_welch(monkeypatch):
    monkeypatch.setattr(baum_welch, "MOVES", 0.0)
    ours = stepper(Texts((tale(20),), True), prior=0.0)
    net = ours.modules["net"]
    assert isinstance(net, Parameters)
    begin = [net.start.clone(), net.transitions.clone(), net.emissions.clone()]
    rows = [ours.sequences.take(np.asarray([row]))[0] for row in range(len(ours.sequences))]
    theirs = CategoricalHMM(4, steps=5, tolerance=0).fit(rows, init=begin)
    batches = ours.batches(0)
    nats = [ours.step(batches(i), i, ALONE)["nats_per_symbol"] for i in range(5)]
    np.testing.assert_allclose(-np.asarray(nats) * sum(map(len, rows)), theirs.history_[:5], rtol=1e-12)
    torch.testing.assert_close(net.transitions, theirs.transitions_)
    torch.testing.assert_close(net.emissions, theirs.emissions_)


def test_the_objective_never_falls_and_a_fall_is_a_failure(monkeypatch):
    ours = stepper(Texts((tale(40),), True), prior=5.0)
    objectives = []
    for i in range(30):
        ours.step(ours.batches(0)(i), i, ALONE)
        objectives.append(ours.objective)
    assert (np.diff(objectives) >= -1e-9).all()

    def wrong(self, net, counts):
        net.transitions.copy_((1 / (counts.moves + 0.1)) / (1 / (counts.moves + 0.1)).sum(1, keepdim=True))

    monkeypatch.setattr(BaumWelch, "maximise", wrong)
    with pytest.raises(FallingLikelihood, match="at step"):
        fitted()


def test_two_processes_sum_their_counts(monkeypatch):
    texts = Texts((tale(41),), True)
    alone, one, other = stepper(texts), stepper(texts), stepper(texts)
    monkeypatch.setenv("WORLD_SIZE", "2")
    parts = []
    for rank, side in enumerate((one, other)):
        monkeypatch.setenv("RANK", str(rank))
        parts.append(side.batches(0)(0))
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("RANK", "0")
    chain = other.modules["net"].chain()
    theirs = Counts.none(chain)
    for block in parts[1]:
        count(chain, block, theirs, Workspace())
    observed = torch.tensor(float(sum(block.lengths.sum() for block in parts[1])))
    answers = iter([theirs.first, theirs.moves, theirs.emitted, theirs.log_likelihood, observed])
    two = SimpleNamespace(
        num_processes=2, unwrap_model=lambda net: net, reduce=lambda own, reduction: own + next(answers)
    )
    figures, truth = one.step(parts[0], 0, two), alone.step(alone.batches(0)(0), 0, ALONE)
    assert figures["nats_per_symbol"] == pytest.approx(truth["nats_per_symbol"], rel=1e-6)
    torch.testing.assert_close(one.modules["net"].emissions, alone.modules["net"].emissions)
    torch.testing.assert_close(one.modules["net"].transitions, alone.modules["net"].transitions)


@pytest.mark.parametrize("batch", [0, 8])
def test_resumed_is_unbroken(tmp_path, batch):
    whole = fitted(run=Run(steps=12), batch=batch)
    cancel = Cancel()
    stop = Run(
        steps=12, folder=tmp_path, cancel=cancel, callbacks=(lambda told: cancel.set() if told.step == 5 else None,)
    )
    with pytest.raises(Cancelled):
        fitted(run=stop, batch=batch)
    resumed = fitted(run=Run(steps=12, folder=tmp_path, resume=True), batch=batch)
    for name, array in whole.state().items():
        np.testing.assert_array_equal(array, resumed.state()[name], err_msg=name)


def test_nothing_is_averaged(monkeypatch):
    seen = []
    monkeypatch.setattr(RunState, "average", lambda self, decay: seen.append(decay))
    fitted(run=Run(steps=3))
    assert seen == [0.0] * 3


def test_stepwise_em_learns_too():
    held_out = Texts((tale(100, seed=4),), True)
    first, last = (fitted(run=Run(steps=steps), batch=8).score(held_out)["nats_per_char"] for steps in (1, 80))
    assert last < 0.7 * first


def test_what_is_saved_is_what_it_is(model, inventor, tmp_path):
    for made in (model, inventor):
        folder = made.save_pretrained(tmp_path / made.info.tasks[0])
        again = HMM.from_pretrained(folder)
        assert torch.equal(again.net.emissions, made.net.emissions)
        assert torch.equal(again.net.transitions, made.net.transitions)
        assert (folder / "states.png").stat().st_size > 1000
        copy = again.save_pretrained(tmp_path / "copy")
        assert (copy / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    state = dict(model.state())
    for name, wrong in (
        ("sizes", state["sizes"] + 1),
        ("shares", state["shares"][1:]),
        ("places", state["places"] + 99),
    ):
        with pytest.raises(CheckpointError):
            HMM.from_state(model.info, {**state, name: wrong})


def test_the_predictor_is_the_forward_recursion(model):
    predictor = model.predictor
    line: list[int] = model.vocabulary.encode("the cat sat.\nthe zebra ran.").tolist()
    context, nats = predictor.context([]), 0.0
    for symbol in line:
        p = predictor.distribution(context)
        assert p.shape == (len(model.vocabulary),) and p.sum() == pytest.approx(1) and (p > 0).all()
        nats -= np.log(p[symbol])
        context = predictor.extend(context, symbol)
    hidden = CategoricalHMM(6).set_parameters(model.net.start, model.net.transitions, model.net.emissions)
    assert nats == pytest.approx(-hidden.score([np.asarray(line)]))
    spelling = model.speller.nats([" zebra"]).sum()
    figures = model.score(Texts(("the cat sat.\nthe zebra ran.",), True))
    assert figures["nats_per_char"] * figures["n"] == pytest.approx(nats + spelling)
    np.testing.assert_allclose(predictor.context(line), context)


def test_it_goes_on_in_many_ways_at_once(model):
    predictor: Predictor = model.predictor
    assert isinstance(predictor, Parallel)
    one, context = InTurn(predictor), predictor.context(model.vocabulary.encode("the cat").tolist())
    rows = [model.vocabulary.encode(text).tolist() for text in (" sat.", " ran the dog", "")]
    for ours, truth in zip(predictor.foreseen(context, rows), one.foreseen(context, rows), strict=True):
        np.testing.assert_allclose(ours, truth)
    np.testing.assert_allclose(predictor.advanced(context, rows[1]), one.advanced(context, rows[1]))
    picked, symbols = np.asarray([0, 2]), np.asarray([rows[0][0], rows[1][1]])
    ours = predictor.stepped(predictor.forked(context, 3), picked, symbols)
    truth = one.stepped(one.forked(context, 3), picked, symbols)
    np.testing.assert_allclose(ours, np.stack(truth))
    np.testing.assert_allclose(predictor.each_distribution(ours), one.each_distribution(truth))


def test_it_writes_sentences(model):
    made = [a for a in model.generate(Request("write_text", {"words": 12}), seed=3) if not isinstance(a, Partial)]
    assert re.fullmatch(r"(the \w{3,4} \w{3,4}\.\n?)+", made[0].content + "\n")
    assert len(model.sample(2, seed=1)["texts"]) == 2


def test_items_begin_in_the_state_of_their_kind(inventor):
    states = inventor.info.config["states"]
    assert inventor.tasks == {"invent_names"} and inventor.net.emissions.shape[0] == states + 2
    assert (inventor.net.transitions[:, states:] == 0).all() and (inventor.net.start[:states] == 0).all()
    assert inventor.share("Dora", 1) > inventor.share("Anna", 1)
    figures = inventor.score(Texts(("Dora",), False, (1,), ("na", "ora")))
    inside = inventor.look_inside("Dora")
    assert inside.posteriors.shape == (5, states + 2) and inside.path.max() < states
    known = inventor._item_nats(Texts(("Dora",)), 1)[0]
    assert figures["nats_per_char"] * figures["n"] == pytest.approx(known) and figures["n"] == 5
    made = [a for a in inventor.generate(Request("invent_names", {"count": 3}), seed=1) if not isinstance(a, Partial)]
    assert made[0].content


def test_inside_tells_of_the_states(model):
    inside = model.look_inside("the cat sat.")
    assert inside.posteriors.shape == (4, 6) and np.allclose(inside.posteriors.sum(1), 1, atol=1e-6)
    assert inside.path.shape == (4,) and len(inside.state_names) == 6
    for kind, state in ((NOUNS, inside.path[1]), (VERBS, inside.path[2])):
        assert {text for text, _ in model.telling(3)[state]} <= set(kind)
        assert inside.state_names[state] == " ".join(text for text, _ in model.telling(3, 0.01)[state])
    figures = model.score(Texts(("the cat sat.",), True))
    assert inside.nats.sum() == pytest.approx(figures["nats_per_char"] * figures["n"])
    told = json.loads(inside.to_json())
    assert told["path"] == inside.path.tolist() and told["state_names"] == inside.state_names
    page = picture(inside)
    without = picture(replace(inside, posteriors=None))
    assert page.height > without.height + 100


def test_the_card_tells_of_the_states(model):
    text = card(model, {"states.png": b""})
    assert "![the states used most, and where they lead](states.png)" in text
    assert len(re.findall(r"^\| \d+ \| [\d.]+% \|", text, re.MULTILINE)) == 6
    assert "(line's end)" in text


@pytest.mark.parametrize("states", [1, 2, 5, 30])
def test_the_graph_of_states(states):
    random = np.random.default_rng(0)
    transitions, usage = random.dirichlet(np.ones(states) * 0.2, states), random.dirichlet(np.ones(states))
    told = [[("a" * 40, 0.5), ("\u00e9", 0.2), ("|", 0.1)] for _ in range(states)]
    with Image.open(io.BytesIO(state_graph(told, usage, transitions))) as drawn:
        assert drawn.size == (1500, 1180)
    flow = np.zeros((6, 6))
    flow[[0, 3, 5, 1, 4, 2], [3, 5, 1, 4, 2, 0]] = 1.0
    order = around(flow).tolist()
    for a, b in zip((0, 3, 5, 1, 4, 2), (3, 5, 1, 4, 2, 0), strict=True):
        assert (order.index(a) - order.index(b)) % 6 in (1, 5)


def test_a_character_never_seen_has_its_share():
    made = fitted(Texts((tale(100),), True), level="character", states=8, run=Run(steps=10))
    assert made.vocabulary.unit == "character" and made.info.config["level"] == "character"
    p = made.predictor.distribution(made.predictor.context([]))
    assert p[0] == pytest.approx(made.shares[0], rel=0.05)
    assert np.isfinite(made.score(Texts(("the z\u00e9bra",), True))["nats_per_char"])


def test_what_cannot_be():
    for options in ({"states": 1}, {"words": 5}, {"level": "verse"}, {"prior": 0}, {"batch": -1}, {"length": 2}):
        with pytest.raises(ValueError, match=next(iter(options))):
            Config(**options)
    with pytest.raises(DataError, match="no text"):
        fitted(Texts((" \n",), True))
    with pytest.raises(ValueError, match="learnt by its characters"):
        fitted(Texts(NAMES), level="word")
    made = fitted(run=Run(steps=1))
    with pytest.raises(DataError):
        made.score(Texts(("",), True))
    cancel = Cancel()
    cancel.set()
    with pytest.raises(Cancelled):
        fitted(run=Run(steps=3, cancel=cancel))
