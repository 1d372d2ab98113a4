"""Samplers against enumerated and closed-form densities, and what they say of their chains."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from generators import mcmc
from generators.core import diagnostics
from generators.core.errors import Cancelled
from generators.core.generator import Cancel
from generators.core.hamiltonian import Metric, Points, best_length, gradient_of, jittered, leapfrog, windows
from generators.core.log_density import Checked
from generators.core.markov_chains import Chains
from generators.mcmc import gibbs, hmc, metropolis_hastings

# A tiny discrete model: three coordinates of 2, 3 and 4 values, all of 24 states with some probability.

VALUES = [range(2), range(3), range(4)]
TABLE = np.random.default_rng(0).dirichlet(np.full(24, 0.7)).reshape(2, 3, 4) * 0.9 + 0.1 / 24


def table_density(states: np.ndarray) -> np.ndarray:
    return np.log(TABLE[tuple(states.T)]) + 5.0  # unnormalised


def one_anew(states: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, float]:
    """One coordinate of each chain, drawn anew and evenly: a symmetric proposal."""
    proposed, at = states.copy(), random.integers(3, size=len(states))
    proposed[np.arange(len(states)), at] = random.integers(np.asarray([2, 3, 4])[at])
    return proposed, 0.0


SHARES = np.asarray([0.4, 0.3, 0.2, 0.1])


def last_by_shares(states: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Another last coordinate by SHARES, a proposal that is not symmetric, or a symmetric one of the others."""
    proposed, _ = one_anew(states, random)
    last = random.random(len(states)) < 0.5
    drawn = random.choice(4, size=len(states), p=SHARES)
    proposed = np.where(last[:, None], np.column_stack([states[:, :2], drawn]), proposed)
    ratio = np.log(SHARES[states[:, 2]] / SHARES[proposed[:, 2]])
    return proposed, np.where(last, ratio, 0.0)


def conditional(at: int) -> Callable[[np.ndarray, np.random.Generator], np.ndarray]:
    """A coordinate's full conditional, as a person may write it."""

    def draw(states: np.ndarray, random: np.random.Generator) -> np.ndarray:
        rest = [states[:, k] for k in range(3) if k != at]
        p = np.moveaxis(TABLE, at, -1)[tuple(rest)]
        return (random.random((len(p), 1)) > np.cumsum(p / p.sum(1, keepdims=True), 1)).sum(1).clip(max=p.shape[1] - 1)

    return draw


def check_joint(chains: Chains, joint: np.ndarray, sigmas: float = 4.0) -> None:
    """The share of each state is its probability, within standard errors of its indicator."""
    states = np.stack(np.unravel_index(np.arange(joint.size), joint.shape), -1)
    seen = (chains.draws[:, :, None] == states).all(-1).astype(float)  # (C, N, states)
    error = np.nan_to_num(diagnostics.mcse_mean(seen), nan=0.0) + 1e-4
    np.testing.assert_array_less(np.abs(seen.mean((0, 1)) - joint.ravel()), sigmas * error)


START = np.zeros((16, 3), np.int64)


@pytest.mark.parametrize("proposal", [one_anew, last_by_shares])
def test_metropolis_hastings_reaches_the_exact_probabilities(proposal):
    chains = metropolis_hastings(table_density, START, draws=4000, warmup=100, proposal=proposal, seed=1)
    check_joint(chains, TABLE)
    np.testing.assert_allclose(chains.log_densities, table_density(chains.draws.reshape(-1, 3)).reshape(16, -1))
    moved = (chains.draws[:, 1:] != chains.draws[:, :-1]).any(-1).mean()
    assert chains.acceptance.mean() > moved > 0.2  # what is proposed may be the state itself


@pytest.mark.parametrize("scan", ["systematic", "random"])
def test_gibbs_reaches_the_exact_probabilities(scan):
    chains = gibbs(table_density, START, VALUES, draws=3000, warmup=20, scan=scan, seed=1)
    check_joint(chains, TABLE)
    np.testing.assert_allclose(chains.log_densities, table_density(chains.draws.reshape(-1, 3)).reshape(16, -1))


def test_gibbs_by_conditionals_of_ones_own():
    own = [conditional(at) for at in range(3)]
    chains = gibbs(None, START, conditionals=own, draws=3000, warmup=20, seed=1)
    check_joint(chains, TABLE)
    assert np.isnan(chains.log_densities).all() and chains.summary().names == ("x[0]", "x[1]", "x[2]")
    again = gibbs(table_density, START, conditionals=own, draws=50, warmup=20, seed=1)
    np.testing.assert_array_equal(again.draws, chains.draws[:, :50])
    np.testing.assert_allclose(again.log_densities[:, 7], table_density(again.draws[:, 7]))


def test_a_state_may_be_anything_given_a_proposal():
    words = np.asarray(["a", "bb", "ccc"], object)

    def density(states: np.ndarray) -> np.ndarray:
        return np.log([len(word) for word in states])

    def proposal(states: np.ndarray, random: np.random.Generator) -> tuple[np.ndarray, float]:
        return random.choice(words, len(states)), 0.0

    chains = metropolis_hastings(density, words[[0, 0, 1]], draws=4000, warmup=50, proposal=proposal, seed=1)
    shares = [(chains.draws == word).mean() for word in words]
    np.testing.assert_allclose(shares, np.arange(1, 4) / 6, atol=0.02)
    assert chains.summary().names == ("log_density",)


def test_thinning_keeps_every_so_many():
    whole = metropolis_hastings(table_density, START, draws=60, warmup=10, proposal=one_anew, seed=3)
    some = metropolis_hastings(table_density, START, draws=20, warmup=10, proposal=one_anew, seed=3, thin=3)
    np.testing.assert_array_equal(some.draws, whole.draws[:, 2::3])
    np.testing.assert_array_equal(
        gibbs(table_density, START, VALUES, draws=5, warmup=2, thin=4).draws,
        gibbs(table_density, START, VALUES, draws=20, warmup=2).draws[:, 3::4],
    )


# A Gaussian: mean and covariance in closed form.

MEAN = np.asarray([1.0, -2.0, 0.5, 3.0])
ROOT = np.tril(np.random.default_rng(1).normal(size=(4, 4))) + np.diag([1.0, 2.0, 4.0, 0.5])
COVARIANCE = ROOT @ ROOT.T
PRECISION = np.linalg.inv(COVARIANCE)


def gaussian(x: Any) -> Any:
    held = torch.from_numpy(PRECISION) if isinstance(x, torch.Tensor) else PRECISION
    apart = x - (torch.from_numpy(MEAN) if isinstance(x, torch.Tensor) else MEAN)
    return -0.5 * ((apart @ held) * apart).sum(1)


def spread(chains: int, d: int = 4) -> np.ndarray:
    return 5 * np.random.default_rng(9).standard_normal((chains, d))


def check_moments(chains: Chains) -> None:
    """Means and second moments within three standard errors: of 14 figures, 3 in all but one run of 30."""
    apart = chains.draws - MEAN
    products = np.stack([apart[..., i] * apart[..., j] for i in range(4) for j in range(i + 1)], -1)
    exact = np.asarray([COVARIANCE[i, j] for i in range(4) for j in range(i + 1)])
    assert (np.abs(apart.mean((0, 1))) < 3 * diagnostics.mcse_mean(apart)).all()
    assert (np.abs(products.mean((0, 1)) - exact) < 3 * diagnostics.mcse_mean(products)).all()
    assert diagnostics.rhat(chains.draws).max() < 1.01


@pytest.mark.parametrize("mass", ["dense", "diagonal", "unit"])
def test_hmc_of_a_correlated_gaussian(mass):
    chains = hmc(gaussian, spread(16), draws=600, warmup=300, mass=mass, seed=1)
    check_moments(chains)
    assert not chains.divergences.any() and 0.8 < chains.acceptance.mean() < 0.99
    rows = chains.draws.reshape(-1, 4)
    np.testing.assert_allclose(chains.log_densities.ravel(), gaussian(rows), atol=1e-10)


def test_the_random_walk_learns_the_covariance():
    chains = metropolis_hastings(gaussian, spread(16), draws=1500, warmup=1500, thin=10, seed=1)
    check_moments(chains)
    assert 0.2 < chains.acceptance.mean() < 0.4
    assert chains.warnings() == []


def test_hmc_of_a_density_that_no_mass_matrix_straightens():
    """x ~ N(0, 1), y ~ N(x^2, 1/2): the mean of y is 1, its variance 2.5."""

    def banana(x: torch.Tensor) -> torch.Tensor:
        return -0.5 * x[:, 0] ** 2 - (x[:, 1] - x[:, 0] ** 2) ** 2

    chains = hmc(banana, spread(32, 2) / 5, draws=400, warmup=250, seed=1)
    apart = chains.draws - [0.0, 1.0]
    assert (np.abs(apart.mean((0, 1))) < 3.5 * diagnostics.mcse_mean(apart)).all()
    assert diagnostics.rhat(chains.draws).max() < 1.01


def flown(step: float, steps: int, metric: Metric) -> tuple[Points, np.ndarray, Any]:
    gradient = gradient_of(Checked(gaussian))
    x, v = spread(5), metric.scaled(np.random.default_rng(2).standard_normal((5, 4)))
    start = Points(x, *gradient(x))
    end = next(itertools.islice(leapfrog(gradient, start, v, metric, step), steps - 1, None))
    return start, v, end


@pytest.mark.parametrize("metric", [Metric(COVARIANCE * 1.1), Metric(np.asarray([1.0, 2.0, 0.5, 1.0]))], ids=str)
def test_the_leapfrog_is_reversible(metric):
    start, v, end = flown(0.3, 7, metric)
    back = next(
        itertools.islice(leapfrog(gradient_of(Checked(gaussian)), end.points, -end.velocities, metric, 0.3), 6, None)
    )
    np.testing.assert_allclose(back.points.states, start.states, atol=1e-10)
    np.testing.assert_allclose(-back.velocities, v, atol=1e-10)


def test_the_leapfrog_conserves_the_energy_to_second_order():
    metric, errors = Metric(COVARIANCE * 1.1), []
    for step in (0.2, 0.1, 0.05):
        start, v, end = flown(step, round(1.2 / step), metric)
        energies = [
            p.values - 0.5 * (metric.whitened(w) ** 2).sum(1) for p, w in ((start, v), (end.points, end.velocities))
        ]
        errors.append(np.abs(energies[1] - energies[0]).max())
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15) and errors[1] / errors[2] == pytest.approx(4, rel=0.05)


def test_a_gaussian_is_forgotten_after_a_quarter_turn():
    """Of unit variance, x turns to x cos t + v sin t: r is cos t, and cos^2 t of its square."""
    t = 0.25 * np.arange(1, 41)
    longest, gain = best_length(np.stack([np.cos(t), np.cos(t) ** 2], 1))
    assert 1.2 < longest * 0.25 < 2.8 and 0.05 < gain < 0.3
    steps = [jittered(i, 10) for i in range(64)]
    assert (min(steps), max(steps)) == (3, 10) and max(np.bincount(steps)) - min(np.bincount(steps)[3:]) <= 2


def test_windows_fill_the_warm_up():
    assert windows(1000) == (75, [100, 150, 250, 450, 950]) and windows(10) == (0, [])
    for warmup in range(20, 400, 7):
        first, ends = windows(warmup)
        assert 0 < first < ends[0] and ends == sorted(set(ends)) and ends[-1] < warmup


def test_seeds_and_cancel_and_progress():
    one, again, other = (hmc(gaussian, spread(4), draws=20, warmup=40, seed=seed).draws for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.array_equal(one, other)
    told: list[tuple[int, int]] = []
    cancel = Cancel()
    samplers: list[Callable[..., Chains]] = [
        lambda **how: hmc(gaussian, spread(4), draws=250, warmup=50, **how),
        lambda **how: metropolis_hastings(gaussian, spread(4), draws=250, warmup=50, **how),
        lambda **how: gibbs(table_density, START, VALUES, draws=250, warmup=50, **how),
    ]
    for sampler in samplers:
        told.clear()
        sampler(progress=lambda done, total: told.append((done, total)))
        assert told[-1] == (300, 300) and 90 <= len(told) <= 110
    cancel.set()
    for sampler in samplers:
        with pytest.raises(Cancelled):
            sampler(cancel=cancel)


def test_without_a_warm_up_nothing_adapts():
    chains = hmc(gaussian, spread(4), draws=30, warmup=0, step_size=0.2, leapfrog_steps=5, mass="unit")
    assert chains.step_sizes.tolist() == [0.2] * 4 and chains.evaluations == 4 * (
        1 + sum(jittered(i, 5) for i in range(30))
    )


def test_what_goes_astray_is_told():
    def walled(x: torch.Tensor) -> torch.Tensor:
        return torch.where(x[:, 0] > 0, -x.sum(1), -torch.inf) - 0.5 * x[:, 1] ** 2

    chains = hmc(walled, np.abs(spread(4, 2)), draws=100, warmup=30, leapfrog_steps=8, seed=1)
    assert chains.divergences.sum() > 0 and (chains.draws[..., 0] > 0).all()
    assert any("diverged" in warning for warning in chains.warnings())
    alone = metropolis_hastings(gaussian, spread(1), draws=50, warmup=0)
    assert "run 2 or more" in alone.warnings()[0] and np.isnan(alone.summary().rhat).all()
    stuck = gibbs(lambda s: np.zeros(len(s)), START[:2], [[0], [0, 1], [0, 1]], draws=100)
    assert any("x[0]" in warning and "never changed" in warning for warning in stuck.warnings())


def test_chains_as_text_data_and_picture():
    chains = hmc(gaussian, spread(4), draws=200, warmup=100, seed=1).named("a", "b", "c", "d")
    summary, told = chains.summary(), json.loads(chains.to_json())
    assert str(summary).splitlines()[0].split()[:3] == ["name", "mean", "sd"] and len(str(summary).splitlines()) == 6
    assert np.shape(told["draws"]) == (4, 200, 4) and told["summary"][1]["name"] == "b"
    assert told["summary"][0]["mean"] == pytest.approx(summary.mean[0], rel=1e-5)
    pages = [chains.picture(which) for which in (None, ["b", 4], ["log_density"])]
    assert [page.width for page in pages] == [1200] * 3 and pages[0].height > pages[1].height > pages[2].height
    for coordinate in ("e", 5, -1):
        with pytest.raises(ValueError, match="no coordinate"):
            chains.picture([coordinate])
    with pytest.raises(ValueError, match="2 names for 4"):
        chains.named("a", "b")
    alone = gibbs(table_density, START[:1], VALUES, draws=3000).picture()
    assert alone.width == 1200


def moved(states: np.ndarray, random: np.random.Generator) -> Any:
    return states[:1], 0.0


MISTAKES: dict[str, Callable[[], Any]] = {
    r"gave shape \(\) for": lambda: metropolis_hastings(lambda x: x.sum(), spread(3)),
    r"gave shape \(3, 1\)": lambda: hmc(lambda x: x.sum(1, keepdim=True), spread(3)),
    "is nan at": lambda: metropolis_hastings(lambda x: x[:, 0] * np.nan, spread(3)),
    "is inf at": lambda: gibbs(lambda s: np.full(len(s), np.inf), START, 4),
    "-inf at the start of chain 1": lambda: metropolis_hastings(lambda x: np.where([0, 1, 0], -np.inf, 0.0), spread(3)),
    "-inf at the start of chain 0": lambda: hmc(lambda x: x.sum(1) - torch.inf, spread(3)),
    "gradient is not finite": lambda: hmc(lambda x: x.abs().sqrt().sum(1), np.zeros((2, 2))),
    "has no gradient": lambda: hmc(lambda x: torch.zeros(3), spread(3)),
    "give a function": lambda: hmc(None, spread(3)),
    r"it must be numbers \(chains, d\)": lambda: metropolis_hastings(gaussian, np.zeros(4)),
    "not finite; start every": lambda: hmc(gaussian, np.full((2, 4), np.nan)),
    "its first axis is the chains": lambda: metropolis_hastings(gaussian, 1.0),
    "draws is 0": lambda: hmc(gaussian, spread(2), draws=0),
    "warmup is -1": lambda: gibbs(table_density, START, VALUES, warmup=-1),
    "thin is 1.5": lambda: metropolis_hastings(gaussian, spread(2), thin=1.5),
    "step_size is -1": lambda: hmc(gaussian, spread(2), step_size=-1),
    "leapfrog_steps is 0": lambda: hmc(gaussian, spread(2), leapfrog_steps=0),
    "mass is 'heavy'": lambda: hmc(gaussian, spread(2), mass="heavy"),
    "target_acceptance is 1": lambda: hmc(gaussian, spread(2), target_acceptance=1),
    "scan is 'both'": lambda: gibbs(table_density, START, VALUES, scan="both"),
    "either values": lambda: gibbs(table_density, START),
    "without it give conditionals": lambda: gibbs(None, START, VALUES),
    "1 conditionals for 3": lambda: gibbs(None, START, conditionals=[conditional(0)]),
    "Conditional 1 gave": lambda: gibbs(None, START, conditionals=[conditional(0)] + 2 * [lambda s, r: s]),
    "2 sequences for 3": lambda: gibbs(table_density, START, [[0, 1], [0, 1]]),
    "must be different": lambda: gibbs(table_density, START, [0, 0, 1]),
    "not one of its values": lambda: gibbs(table_density, START, [1, 2]),
    r"takes \(chains, d\)": lambda: gibbs(table_density, START[0], 2),
    "must give new ones": lambda: metropolis_hastings(table_density, START, proposal=lambda s, r: (s, 0.0)),
    r"states of shape \(1, 3\)": lambda: metropolis_hastings(table_density, START, proposal=moved),
    "The proposal gave ndarray": lambda: metropolis_hastings(table_density, START, proposal=lambda s, r: s.copy()),
    "log ratios are": lambda: metropolis_hastings(table_density, START, proposal=lambda s, r: (s.copy(), np.nan)),
    "3 draws a chain": lambda: hmc(gaussian, spread(2), draws=3, warmup=0).summary(),
}


@pytest.mark.parametrize("why", MISTAKES)
def test_mistakes_are_told(why):
    with pytest.raises(ValueError, match=why):
        MISTAKES[why]()


# Texts of our models.


def test_the_example_of_the_docstring_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = mcmc.__doc__.split("\n\n    ", 1)[1].split("\n\nUnusual")[0]
    exec("\n".join(line.removeprefix("    ") for line in ("    " + lines).splitlines()), {})
    assert (tmp_path / "chains.png").stat().st_size > 10_000


def test_importing_needs_no_torch():
    code = "import generators.mcmc, sys; assert 'torch' not in sys.modules and 'PIL' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
