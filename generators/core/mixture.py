"""Mixtures of Gaussians fitted by EM, one a class: where a latent-variable model draws its latents from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray


class Mixture(TypedDict):
    """One mixture a class. C classes, K components, d dimensions.

    weights: (C, K), each row sums to 1; means: (C, K, d); factors: (C, K, d, d), lower Cholesky factors.
    """

    weights: NDArray[np.float32]
    means: NDArray[np.float32]
    factors: NDArray[np.float32]


def fit_mixture(
    mean: NDArray[np.float32],
    variance: NDArray[np.float32],
    groups: Sequence[NDArray[np.bool_]],
    components: int,
    seed: int,
    rounds: int = 30,
) -> Mixture:
    """Fit a mixture to each group's aggregate posterior, the average of N(mean_i, diag variance_i): (N, d) each.

    EM on the posteriors' means; each component's covariance then gains its members' average variance, so that it has
    the aggregate's exact second moments (Ghosh et al. 2020 fit the means alone). A group smaller than ten points a
    component gets fewer components; an empty group gets N(0, I).
    """
    d = mean.shape[1]
    weights = np.zeros((len(groups), components), np.float32)
    means = np.zeros((len(groups), components, d), np.float32)
    factors = np.tile(np.eye(d, dtype=np.float32), (len(groups), components, 1, 1))
    weights[:, 0] = 1
    for c, group in enumerate(groups):
        points, spread = mean[group].astype(np.float64), variance[group].astype(np.float64)
        if not len(points):
            continue
        k = max(1, min(components, len(points) // (10 * d)))
        share, weights[c] = _em(points, spread, k, np.random.default_rng([seed, c]), rounds), 0
        totals = share.sum(0)
        weights[c, :k] = totals / totals.sum()
        for j in range(k):
            means[c, j], covariance = _moments(points, spread, share[:, j])
            factors[c, j] = np.linalg.cholesky(covariance)
    return Mixture(weights=weights, means=means, factors=factors)


def draw_mixture(mixture: Mixture, group: int, random: np.random.Generator) -> NDArray[np.float32]:
    """One draw (d,) from the mixture of `group`."""
    shares = mixture["weights"][group].cumsum()
    j = min(int(np.searchsorted(shares, random.random() * shares[-1], side="right")), len(shares) - 1)
    noise = random.standard_normal(mixture["means"].shape[-1], np.float32)
    return np.asarray(mixture["means"][group, j] + mixture["factors"][group, j] @ noise, np.float32)


def _moments(
    points: NDArray[np.float64], spread: NDArray[np.float64], share: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and covariance of one component, `share` of each point; the ridge keeps a flat direction positive."""
    share = share / max(share.sum(), 1e-12)
    centre = share @ points
    apart = points - centre
    covariance = (apart * share[:, None]).T @ apart + np.diag(share @ spread) + 1e-6 * np.eye(points.shape[1])
    return centre, covariance


def _em(
    points: NDArray[np.float64], spread: NDArray[np.float64], k: int, random: np.random.Generator, rounds: int
) -> NDArray[np.float64]:
    """Responsibilities (N, k) after `rounds` of EM, begun at the nearest of k random points."""
    seeds = points[random.choice(len(points), k, replace=False)]
    nearest = ((points[:, None] - seeds) ** 2).sum(2).argmin(1) if k > 1 else np.zeros(len(points), np.int64)
    share = np.eye(k)[nearest]
    for _ in range(rounds if k > 1 else 0):
        logs = np.empty_like(share)
        for j in range(k):
            centre, covariance = _moments(points, spread, share[:, j])
            factor = np.linalg.cholesky(covariance)
            apart = np.linalg.solve(factor, (points - centre).T)
            weight = np.log(max(share[:, j].mean(), 1e-12))
            logs[:, j] = weight - 0.5 * (apart**2).sum(0) - np.log(np.diag(factor)).sum()
        share = np.exp(logs - logs.max(1, keepdims=True))
        share /= share.sum(1, keepdims=True)
    return np.asarray(share, np.float64)
