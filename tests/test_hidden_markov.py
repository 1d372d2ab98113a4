"""Hidden Markov models against the enumeration of all paths, a plain Baum-Welch, and what EM promises."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
import torch

from generators.core import forward_backward
from generators.core.errors import Cancelled
from generators.core.forward_backward import Counts, Workspace, blocks, count
from generators.core.gaussian_hmm import GaussianHMM
from generators.core.generator import Cancel
from generators.core.hidden_markov import CategoricalHMM, FallingLikelihood, check_rise

HOW = pytest.mark.parametrize("how", ["scaling", "log"])
SEQUENCES = [np.array([0, 2, 1, 1, 3]), np.array([3]), np.array([2, 2, 0]), np.array([1, 0, 3, 3, 2, 0])]


def parameters(states: int = 3, symbols: int = 4, seed: int = 0):
    random = np.random.default_rng(seed)
    return (
        random.dirichlet(np.ones(states)),
        random.dirichlet(np.ones(states), states),
        random.dirichlet(np.ones(symbols), states),
    )


def sparse():
    """Zeros everywhere: a state that is never used, a symbol that one state never emits."""
    return (
        np.array([0.5, 0.5, 0.0]),
        np.array([[0.6, 0.4, 0.0], [0.3, 0.7, 0.0], [0.2, 0.3, 0.5]]),
        np.array([[0.5, 0.0, 0.3, 0.2], [0.1, 0.6, 0.0, 0.3], [0.25, 0.25, 0.25, 0.25]]),
    )


def enumerated(start, transitions, densities):
    """All of a sequence's paths: likelihood, posteriors (T, S), moves (S, S), the best path and its probability.

    densities: (T, S) of the observations.
    """
    steps, states = densities.shape
    total, posteriors, moves, best = 0.0, np.zeros((steps, states)), np.zeros((states, states)), (-1.0, ())
    for path in product(range(states), repeat=steps):
        p = start[path[0]] * densities[0, path[0]]
        for t in range(1, steps):
            p *= transitions[path[t - 1], path[t]] * densities[t, path[t]]
        total += p
        posteriors[np.arange(steps), path] += p
        for a, b in pairwise(path):
            moves[a, b] += p
        best = max(best, (p, tuple(-state for state in path)))  # of equally likely paths the first
    return total, posteriors / total, moves / total, (best[0], [-state for state in best[1]])


def expected(model, sequences) -> Counts:
    """The E-step's counts."""
    data, parts = model._parts(sequences, None)
    chain = model._chain(data)
    found = Counts.none(chain)
    for block in parts:
        count(chain, block, found, Workspace(), model.implementation)
    return found


def gaussian(covariance: str, how: str = "scaling", states: int = 3, seed: int = 0) -> GaussianHMM:
    random = np.random.default_rng(seed)
    start, transitions, _ = parameters(states, seed=seed)
    means = random.normal(size=(states, 2))
    roots = random.normal(size=(states, 2, 2)) + 2 * np.eye(2)
    spread = roots @ roots.transpose(0, 2, 1) if covariance == "full" else random.uniform(0.3, 2, (states, 2))
    model = GaussianHMM(states, covariance=covariance, implementation=how)
    return model.set_parameters(start, transitions, means, spread)


def densities(model: GaussianHMM, points):
    """(T, S) by the formula of the multivariate normal distribution."""
    found = []
    for mean, spread in zip(model.means_.numpy(), model.covariances_.numpy(), strict=True):
        spread = spread if model.covariance == "full" else np.diag(spread)
        off = points - mean
        apart = np.einsum("td,de,te->t", off, np.linalg.inv(spread), off)
        found.append(np.exp(-apart / 2) / np.sqrt((2 * np.pi) ** len(mean) * np.linalg.det(spread)))
    return np.stack(found, 1)


def agrees(model, sequences, each) -> None:
    """Likelihood, posteriors, Viterbi and expected counts are those of enumeration; each: (T, S) densities."""
    start, transitions = model.start_.numpy(), model.transitions_.numpy()
    truths = [enumerated(start, transitions, part) for part in each]
    np.testing.assert_allclose(model.log_likelihood(sequences), [np.log(truth[0]) for truth in truths], rtol=1e-11)
    for found, truth in zip(model.posteriors(sequences), truths, strict=True):
        np.testing.assert_allclose(found, truth[1], atol=1e-12)
    paths, nats = model.viterbi(sequences)
    for path, best, (_, _, _, truth) in zip(paths, nats, truths, strict=True):
        assert path.tolist() == truth[1] and best == pytest.approx(np.log(truth[0]), rel=1e-11)
    counts = expected(model, sequences)
    np.testing.assert_allclose(counts.moves, sum(truth[2] for truth in truths), atol=1e-12)
    np.testing.assert_allclose(counts.first, sum(truth[1][0] for truth in truths), atol=1e-12)
    assert float(counts.log_likelihood) == pytest.approx(sum(np.log(truth[0]) for truth in truths), rel=1e-11)


@HOW
@pytest.mark.parametrize("given", [parameters(), sparse(), parameters(1, 4), parameters(4, 4, 3)])
def test_categorical_equals_the_enumeration_of_all_paths(how, given):
    model = CategoricalHMM(len(given[0]), implementation=how).set_parameters(*given)
    each = [given[2].T[sequence] for sequence in SEQUENCES]
    agrees(model, SEQUENCES, each)
    emitted = np.zeros((4, len(given[0])))
    for sequence, posterior in zip(SEQUENCES, model.posteriors(SEQUENCES), strict=True):
        np.add.at(emitted, sequence, posterior)
    np.testing.assert_allclose(expected(model, SEQUENCES).emitted[:-1], emitted, atol=1e-12)


@HOW
@pytest.mark.parametrize("covariance", ["full", "diagonal"])
def test_gaussian_equals_the_enumeration_of_all_paths(how, covariance):
    model, random = gaussian(covariance, how), np.random.default_rng(1)
    sequences = [random.normal(size=(n, 2)) * 2 for n in (5, 1, 4)]
    agrees(model, sequences, [densities(model, sequence) for sequence in sequences])


@HOW
def test_together_equals_one_by_one(how):
    random = np.random.default_rng(0)
    sequences = [random.integers(0, 4, n) for n in (1, 40, 7, 33, 2, 64, 39, 5)]
    model = CategoricalHMM(3, implementation=how).set_parameters(*parameters())
    np.testing.assert_allclose(
        model.log_likelihood(sequences), [model.log_likelihood([s])[0] for s in sequences], rtol=1e-12
    )
    for i, sequence in enumerate(sequences):
        np.testing.assert_allclose(model.posteriors(sequences)[i], model.posteriors([sequence])[0], atol=1e-12)
        np.testing.assert_array_equal(model.viterbi(sequences)[0][i], model.viterbi([sequence])[0][0])
    joined = model.log_likelihood(np.concatenate(sequences), [len(s) for s in sequences])
    np.testing.assert_array_equal(joined, model.log_likelihood(sequences))
    apart = [expected(model, [sequence]) for sequence in sequences]
    together = expected(model, sequences)
    for name in ("first", "moves", "emitted"):
        total = sum(getattr(part, name) for part in apart)
        torch.testing.assert_close(getattr(together, name)[:4], total[:4], atol=1e-11, rtol=0)


def test_blocks_hold_every_sequence_once(monkeypatch):
    lengths = torch.tensor([1, 9, 4, 9, 30, 5, 5, 2])
    monkeypatch.setattr(forward_backward, "CELLS", 40)
    found = list(blocks(torch.arange(int(lengths.sum())), lengths, 2, 99))
    assert sorted(row for block in found for row in block.rows.tolist()) == list(range(8))
    starts = lengths.cumsum(0) - lengths
    for block in found:
        assert block.symbols.numel() * 2 <= 40 or len(block.rows) == 1
        for i, row in enumerate(block.rows.tolist()):
            inside = block.symbols[: lengths[row], i]
            assert inside.tolist() == list(range(int(starts[row]), int(starts[row] + lengths[row])))
            assert (block.symbols[lengths[row] :, i] == 99).all()


def plain_baum_welch(sequences, start, transitions, emissions, steps):
    """Rabiner's (1989) equations with scaling, sequence by sequence, in NumPy; the likelihood after the last step."""
    for step in range(steps + 1):
        first, moves, emitted, nats = np.zeros_like(start), np.zeros_like(transitions), np.zeros_like(emissions), 0.0
        for seen in sequences:
            b = emissions[:, seen].T
            alpha, scale = np.empty_like(b), np.empty(len(seen))
            for t in range(len(seen)):
                alpha[t] = (start if t == 0 else alpha[t - 1] @ transitions) * b[t]
                scale[t] = alpha[t].sum()
                alpha[t] /= scale[t]
            beta = np.ones_like(b)
            for t in range(len(seen) - 2, -1, -1):
                beta[t] = transitions @ (b[t + 1] * beta[t + 1]) / scale[t + 1]
            gamma = alpha * beta
            first += gamma[0]
            for t in range(1, len(seen)):
                moves += np.outer(alpha[t - 1], b[t] * beta[t] / scale[t]) * transitions
            for t, symbol in enumerate(seen):
                emitted[:, symbol] += gamma[t]
            nats += np.log(scale).sum()
        if step == steps:
            return nats, start, transitions, emissions
        start, transitions = first / first.sum(), moves / moves.sum(1, keepdims=True)
        emissions = emitted / emitted.sum(1, keepdims=True)
    return None


@HOW
def test_baum_welch_equals_a_plain_one(how):
    random = np.random.default_rng(2)
    sequences = [random.integers(0, 5, n) for n in (60, 45, 80)]
    given = parameters(4, 5, 1)
    nats, *truth = plain_baum_welch(sequences, *given, 12)
    model = CategoricalHMM(4, steps=12, tolerance=0, implementation=how).fit(sequences, init=given)
    assert model.log_likelihood_ == pytest.approx(nats, rel=1e-10) and len(model.history_) == 13
    for found, part in zip((model.start_, model.transitions_, model.emissions_), truth, strict=True):
        np.testing.assert_allclose(found, part, atol=1e-8)


@pytest.mark.parametrize("prior", [0.0, 0.3])
def test_the_likelihood_never_falls(prior):
    random, told = np.random.default_rng(0), []
    sequences = [random.integers(0, 6, n) for n in (80, 50, 120)]
    options = {"steps": 30, "tolerance": 0.0, "restarts": 3, "transition_prior": prior}
    model = CategoricalHMM(4, emission_prior=prior, monitor=told.append, **options).fit(sequences)
    points = [random.normal(size=(n, 2)) + random.integers(0, 3, n)[:, None] * 3 for n in (60, 90)]
    for covariance in ("full", "diagonal"):
        GaussianHMM(4, covariance=covariance, monitor=told.append, **options).fit(points)
    for before, after in pairwise(told):
        assert after.step == 0 or after.objective >= before.objective - 1e-9
    kept = [run.objective for run in told[: 3 * 31] if run.step == 30]
    if not prior:
        assert model.log_likelihood_ == pytest.approx(max(kept))  # the likeliest restart


def test_a_likelihood_that_falls_is_a_failure(monkeypatch):
    def wrong(self, emitted, data):
        self.emissions_ = (1 / (emitted.T + 1e-3)) / (1 / (emitted.T + 1e-3)).sum(1, keepdim=True)

    monkeypatch.setattr(CategoricalHMM, "_maximise", wrong)
    with pytest.raises(FallingLikelihood, match=r"fell from .* to .* at step \d") as caught:
        CategoricalHMM(2, steps=20).fit(SEQUENCES)
    assert caught.value.after < caught.value.before and isinstance(caught.value, ValueError)
    check_rise(3, -1e6, -1e6 - 1e-5)
    for after in (-1e6 - 1, float("nan")):
        with pytest.raises(FallingLikelihood, match="step 3"):
            check_rise(3, -1e6, after)


def test_long_sequences_and_steep_emissions_do_not_underflow():
    random = np.random.default_rng(0)
    start, transitions, emissions = parameters(3, 50)
    emissions[:, 0] = 1e-300, 1e-280, 1e-290
    emissions /= emissions.sum(1, keepdims=True)
    sequence = random.integers(0, 50, 3000)
    sequence[1000:1100] = 0  # a hundred times what hardly ever comes
    scaled, logs = (
        CategoricalHMM(3, implementation=how).set_parameters(start, transitions, emissions)
        for how in ("scaling", "log")
    )
    assert scaled.score([sequence]) == pytest.approx(logs.score([sequence]), rel=1e-12)
    assert np.isfinite(scaled.score([sequence]))
    np.testing.assert_allclose(scaled.posteriors([sequence])[0], logs.posteriors([sequence])[0], atol=1e-8)


def test_what_underflows_when_scaled_is_computed_in_log_space():
    """Forwards all weight is on one state, but only the other leads to the end."""
    given = ([0.5, 0.5], [[1.0, 0.0], [0.0, 1.0]], [[1 - 1e-12, 1e-12 - 1e-30, 1e-30], [1e-12, 0.5, 0.5 - 1e-12]])
    sequence = np.array([0] * 40 + [2] * 40)
    scaled, logs = (CategoricalHMM(2, implementation=how).set_parameters(*given) for how in ("scaling", "log"))
    assert scaled.score([sequence]) == pytest.approx(logs.score([sequence]), rel=1e-12)
    np.testing.assert_allclose(scaled.posteriors([sequence])[0], logs.posteriors([sequence])[0], atol=1e-12)


def test_zeros_stay_zeros_and_an_unused_state_keeps_its_rows():
    given = sparse()
    model = CategoricalHMM(3, steps=25, tolerance=0).fit(SEQUENCES, init=given)
    assert torch.isfinite(model.emissions_).all() and torch.isfinite(model.transitions_).all()
    np.testing.assert_allclose(model.emissions_[2], given[2][2])
    np.testing.assert_allclose(model.transitions_[2], given[1][2])
    assert model.emissions_[0, 1] == 0 and model.start_[2] == 0


@HOW
def test_an_impossible_sequence(how):
    model = CategoricalHMM(2, implementation=how).set_parameters(
        [1, 0], [[1, 0], [0.5, 0.5]], [[1, 0, 0], [0, 0.5, 0.5]]
    )
    assert model.log_likelihood([[0, 0], [0, 1]]).tolist() == [0.0, -np.inf]
    for use in (model.posteriors, model.viterbi):
        with pytest.raises(ValueError, match="Sequence 1 has probability 0"):
            use([[0, 0], [0, 1]])
    with pytest.raises(ValueError, match="probability 0"):
        model.fit([[0, 1]], init=([1, 0], [[1, 0], [0.5, 0.5]], [[1, 0, 0], [0, 0.5, 0.5]]))


def test_samples_come_as_often_as_they_are_likely():
    start, transitions, emissions = parameters(3, 4)
    model = CategoricalHMM(3).set_parameters(start, transitions, emissions)
    symbols, states = model.sample(40_000, seed=5)
    moves = np.zeros((3, 3))
    np.add.at(moves, (states[:-1], states[1:]), 1)
    np.testing.assert_allclose(moves / moves.sum(1, keepdims=True), transitions, atol=0.02)
    for state in range(3):
        shares = np.bincount(symbols[states == state], minlength=4) / np.sum(states == state)
        np.testing.assert_allclose(shares, emissions[state], atol=0.02)
    np.testing.assert_array_equal(model.sample(40_000, seed=5)[0], symbols)
    firsts = np.bincount([model.sample(1, seed=i)[1][0] for i in range(4000)], minlength=3) / 4000
    np.testing.assert_allclose(firsts, start, atol=0.03)
    mixed = gaussian("full", states=2)
    points, states = mixed.sample(20_000, seed=1)
    for state in range(2):
        own = points[states == state]
        np.testing.assert_allclose(own.mean(0), mixed.means_[state], atol=0.15)
        np.testing.assert_allclose(np.cov(own.T), mixed.covariances_[state], rtol=0.1, atol=0.1)


def test_criteria_in_closed_form():
    model = CategoricalHMM(3).set_parameters(*parameters())
    nats, k = model.score(SEQUENCES), 2 + 6 + 9
    assert model.n_parameters == k
    assert model.aic(SEQUENCES) == pytest.approx(2 * k - 2 * nats)
    assert model.bic(SEQUENCES) == pytest.approx(k * np.log(15) - 2 * nats)
    assert gaussian("full").n_parameters == 2 + 6 + 6 + 9
    assert gaussian("diagonal").n_parameters == 2 + 6 + 6 + 6


def test_gaussian_clusters_are_found():
    truth = gaussian("full", states=2)
    truth.set_parameters(
        [0.5, 0.5], [[0.9, 0.1], [0.2, 0.8]], [[0, 0], [6, 3]], [[[1, 0.5], [0.5, 1]], [[0.5, 0], [0, 2]]]
    )
    points, states = truth.sample(3000, seed=3)
    model = GaussianHMM(2, restarts=2, seed=1, steps=50).fit([points[:1000], points[1000:]])
    order = np.argsort(model.means_[:, 0].numpy())
    np.testing.assert_allclose(model.means_.numpy()[order], truth.means_, atol=0.15)
    np.testing.assert_allclose(model.covariances_.numpy()[order], truth.covariances_, atol=0.2)
    np.testing.assert_allclose(model.transitions_.numpy()[order][:, order], truth.transitions_, atol=0.05)
    path = np.concatenate(model.viterbi([points])[0])
    assert np.mean(order.argsort()[path] == states) > 0.97 and model.converged_
    constant = GaussianHMM(2, steps=5).fit([np.zeros((9, 1))])  # no spread at all
    assert torch.isfinite(constant.means_).all()


def test_options_as_scikit_learn_has_them():
    model = CategoricalHMM(3, steps=7, emission_prior=0.5)
    copy = CategoricalHMM(**model.get_params())
    assert copy.get_params() == model.get_params() and model.set_params(steps=9).steps == 9
    assert GaussianHMM(**GaussianHMM(2, covariance="diagonal").get_params()).covariance == "diagonal"
    with pytest.raises(ValueError, match="options are"):
        model.set_params(colour=1)


def test_the_seed_decides():
    one, same, other = (CategoricalHMM(3, seed=seed, steps=5).fit(SEQUENCES) for seed in (1, 1, 2))
    assert torch.equal(one.emissions_, same.emissions_) and not torch.equal(one.emissions_, other.emissions_)


def test_single_precision_is_near():
    single, double = (
        CategoricalHMM(3, dtype=dtype, steps=20, tolerance=0).fit(SEQUENCES, init=parameters())
        for dtype in (torch.float32, torch.float64)
    )
    assert single.emissions_.dtype == torch.float32
    assert single.log_likelihood_ == pytest.approx(double.log_likelihood_, rel=1e-4)


def test_a_fit_can_be_stopped():
    cancel = Cancel()
    model = CategoricalHMM(2, monitor=lambda told: cancel.set() if told.step == 2 else None, tolerance=0)
    with pytest.raises(Cancelled):
        model.fit(SEQUENCES, check=cancel.check)
    assert len(model.history_) == 3


@pytest.mark.parametrize(
    ("data", "lengths", "said"),
    [
        ([], None, "no sequences"),
        ([np.array([0]), np.array([], int)], None, "empty"),
        (np.array([0, 1]), None, "lengths"),
        (np.array([0, 1]), [1], "sum to 2"),
        ([np.array([0.5])], None, "whole numbers"),
        ([np.zeros((2, 2), int)], None, "whole numbers"),
        ([np.array([0, 4])], None, "symbol 4 is unknown"),
        ([np.array([-1])], None, "symbol -1"),
    ],
)
def test_data_that_cannot_be(data, lengths, said):
    model = CategoricalHMM(3).set_parameters(*parameters())
    with pytest.raises(ValueError, match=said):
        model.score(data, lengths)


def test_other_mistakes():
    for use in (lambda: CategoricalHMM(2).score(SEQUENCES), lambda: GaussianHMM(2).sample(3)):
        with pytest.raises(ValueError, match="no parameters yet"):
            use()
    points = gaussian("full")
    for data, said in (([np.zeros(3)], "numbers"), ([np.zeros((3, 5))], "5 dimensions"), ([[[np.nan, 0]]], "finite")):
        with pytest.raises(ValueError, match=said):
            points.score(data)
    model = CategoricalHMM(2)
    start, transitions, emissions = parameters(2, 4)
    for wrong, said in (
        ((start[:1], transitions, emissions), "start has the shape"),
        ((start, transitions[:1], emissions), "transitions has the shape"),
        ((start, transitions, emissions[:1]), "emissions has the shape"),
        ((start, transitions * 2, emissions), "sum to 1"),
    ):
        with pytest.raises(ValueError, match=said):
            model.set_parameters(*wrong)
    with pytest.raises(ValueError, match="positive definite"):
        points.set_parameters(*parameters()[:2], np.zeros((3, 2)), np.zeros((3, 2, 2)))
    for options in ({"n_states": 0}, {"n_states": 2, "restarts": 0}, {"n_states": 2, "implementation": "x"}):
        with pytest.raises(ValueError):
            CategoricalHMM(**options)
    for options in ({"covariance": "round"}, {"floor": 0}, {"tolerance": -1}):
        with pytest.raises(ValueError):
            GaussianHMM(2, **options)
