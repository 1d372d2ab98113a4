"""R-hat, effective sample sizes and standard errors: against arviz, closed forms and plain sums."""

from __future__ import annotations

import numpy as np
import pytest

from generators.core import diagnostics

CASES = {  # phi, chains, draws, seed, shift
    (0.9, 4, 500, 1, 0.0): (
        1.0507012439589698,
        70.72082593533949,
        223.2868036961774,
        71.03583234395387,
        0.12015529808627486,
    ),
    (0.0, 2, 101, 2, 0.0): (
        0.9944071946213223,
        274.6831254328719,
        190.6566465957152,
        269.5280653315899,
        0.05857171295750255,
    ),
    (-0.5, 3, 64, 3, 0.2): (
        1.015548549631151,
        245.14836391831153,
        217.10461693114092,
        255.14384066905967,
        0.07007606288327867,
    ),
    (0.99, 4, 1000, 4, 0.0): (
        1.1115967353362048,
        29.076996458628603,
        56.46325343105514,
        27.96483747047777,
        0.18013540840108627,
    ),
    (0.3, 5, 9, 5, 0.0): (
        1.0327399297349598,
        64.08239965311849,
        64.08239965311849,
        64.08239965311849,
        0.10492107559770927,
    ),
}
TIED = (1.0028729034015547, 603.6899286207743, 503.4962914547636)


def autoregressive(phi: float, chains: int, n: int, seed: int, shift: float = 0.0) -> np.ndarray:
    """Chains (C, N) of x_t = phi x_{t-1} + noise, standard normal each, the c-th raised by c times `shift`."""
    noise = np.random.default_rng(seed).standard_normal((chains, n))
    x = noise.copy()
    for t in range(1, n):
        x[:, t] = phi * x[:, t - 1] + np.sqrt(1 - phi**2) * noise[:, t]
    return x + shift * np.arange(chains)[:, None]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_figures_are_those_of_arviz(case):
    """Measured with arviz_stats 0.8.0: rhat, ess bulk, tail (0.05, 0.95) and mean, mcse of the mean."""
    found = autoregressive(*case)
    told = [getattr(diagnostics, name)(found) for name in ("rhat", "ess_bulk", "ess_tail", "ess_mean", "mcse_mean")]
    np.testing.assert_allclose(told, CASES[case], rtol=1e-9)


def test_equal_draws_share_their_ranks():
    """Counts of few different values; measured with arviz_stats 0.8.0, from the same numbers as floats."""
    x = np.random.default_rng(5).poisson(1.5, (3, 200))
    np.testing.assert_allclose([diagnostics.rhat(x), diagnostics.ess_bulk(x), diagnostics.ess_tail(x)], TIED, rtol=1e-9)


def test_each_quantity_is_as_if_alone():
    x = np.stack([autoregressive(phi, 3, 101, 2) for phi in (0.9, 0.0, -0.6)], -1)
    for name in ("rhat", "ess_bulk", "ess_tail", "ess_mean", "mcse_mean"):
        figure = getattr(diagnostics, name)
        np.testing.assert_allclose(figure(x), [figure(x[..., k]) for k in range(3)], rtol=1e-12)
    covariance = diagnostics.autocovariance
    np.testing.assert_allclose(covariance(x)[..., 1], covariance(x[..., 1]), atol=1e-14)


def test_the_autocovariance_is_the_plain_sum():
    x = np.random.default_rng(0).standard_normal((2, 37))
    apart = x - x.mean(1, keepdims=True)
    plain = [[(c[: 37 - lag] * c[lag:]).sum() / 37 for lag in range(37)] for c in apart]
    np.testing.assert_allclose(diagnostics.autocovariance(x), plain, atol=1e-14)


@pytest.mark.parametrize("phi", [0.9, 0.5, 0.0, -0.5])
def test_the_effective_size_of_an_autoregression(phi):
    """tau = (1 + phi) / (1 - phi) in closed form, and the standard error of the mean with it."""
    chains, n = 8, 20_000
    x = autoregressive(phi, chains, n, 1)
    exact = chains * n * (1 - phi) / (1 + phi)
    assert diagnostics.ess_mean(x) == pytest.approx(exact, rel=0.08)
    assert diagnostics.ess_bulk(x) == pytest.approx(exact, rel=0.08)
    assert diagnostics.mcse_mean(x) == pytest.approx(exact**-0.5, rel=0.05)


def test_chains_apart_are_seen_in_place_and_in_scale():
    x = np.random.default_rng(0).standard_normal((4, 500))
    wider, moved = x.copy(), x.copy()
    wider[0] *= 3
    moved[0] += 2
    assert diagnostics.rhat(x) < 1.01 < 1.05 < min(diagnostics.rhat(wider), diagnostics.rhat(moved))
    assert diagnostics.ess_bulk(moved) < 50
    drift = x + np.linspace(0, 2, 500)
    assert diagnostics.rhat(drift) > 1.05  # halves of chains differ
    assert diagnostics.rhat(np.tan(x)) == pytest.approx(1, abs=0.02)  # heavy tails do not matter to ranks


def test_what_never_changes_has_no_figures():
    x = np.stack([np.ones((2, 10)), np.random.default_rng(0).standard_normal((2, 10))], -1)
    for name in ("rhat", "ess_bulk", "ess_tail", "ess_mean", "mcse_mean"):
        assert np.isnan(getattr(diagnostics, name)(x)).tolist() == [True, False]


@pytest.mark.parametrize(
    ("draws", "why"),
    [
        (np.zeros((2, 3)), "3 draws a chain"),
        (np.zeros(10), "shape"),
        (np.zeros((2, 5, 2, 2)), "shape"),
        (np.zeros((0, 5)), "shape"),
        (np.full((2, 5), np.nan), "not finite"),
        (np.full((2, 5), "a"), "diagnostics are of numbers"),
    ],
)
def test_draws_that_are_none(draws, why):
    for name in ("rhat", "ess_bulk", "ess_tail", "ess_mean", "mcse_mean", "autocovariance"):
        with pytest.raises(ValueError, match=why):
            getattr(diagnostics, name)(draws)


def test_one_chain_has_no_rhat():
    x = np.random.default_rng(0).standard_normal((1, 100))
    with pytest.raises(ValueError, match="run 2 or more"):
        diagnostics.rhat(x)
    assert diagnostics.ess_bulk(x) > 30
