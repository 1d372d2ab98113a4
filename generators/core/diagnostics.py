"""Whether Markov chains can be trusted: R-hat, effective sample sizes and standard errors, in NumPy alone.

All of Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021 ("Rank-normalization, folding, and localization"). Draws are
(C, N) or (C, N, d): C chains of N draws each, of one quantity or of d; a figure is then a number or (d,). Every figure
is computed for all d at once. A quantity that never changes has no figures: they are NaN.

All raise ValueError for draws of another shape, fewer than four a chain, or numbers that are not finite.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.kneser_ney import Floats

TAILS = (0.05, 0.95)  # the quantiles that the tail's effective sample size is of
LEAST = 4  # draws a chain


def rhat(draws: NDArray[Any]) -> Floats:
    """Rank-normalised split R-hat, the larger of the bulk's and the folded draws' (sec. 4.1); 1 at convergence.

    Raises ValueError for a single chain, which there is nothing to compare with.
    """
    x = _checked(draws)
    if len(x) < 2:
        raise ValueError("R-hat compares chains, and there is 1; run 2 or more, from different starts.")
    halves = _split(x)
    folded = np.abs(halves - np.median(halves, axis=(0, 1)))
    return _like(draws, np.maximum(_plain_rhat(_normalised(halves)), _plain_rhat(_normalised(folded))))


def ess_bulk(draws: NDArray[Any]) -> Floats:
    """Effective sample size of the bulk: of the rank-normalised draws of split chains (sec. 4.2)."""
    return _like(draws, _ess(_normalised(_split(_checked(draws)))))


def ess_tail(draws: NDArray[Any]) -> Floats:
    """Effective sample size of the tails: the lesser of those of the 5 % and the 95 % quantile (sec. 4.3).

    Of discrete draws that have no less or no more than such a quantile, the other one counts alone.
    """
    x = _checked(draws)
    sizes = [_ess(_split((x <= np.quantile(x, tail, axis=(0, 1))).astype(float))) for tail in TAILS]
    return _like(draws, np.fmin(*sizes))


def ess_mean(draws: NDArray[Any]) -> Floats:
    """Effective sample size for the mean: of the draws of split chains as they are."""
    return _like(draws, _ess(_split(_checked(draws))))


def mcse_mean(draws: NDArray[Any]) -> Floats:
    """Monte Carlo standard error of the mean, in the draws' unit: their standard deviation / sqrt(`ess_mean`)."""
    x = _checked(draws)
    return _like(draws, x.std(axis=(0, 1), ddof=1) / np.sqrt(_ess(_split(x))))


def autocovariance(draws: NDArray[Any]) -> Floats:
    """The autocovariance of each chain at lags 0 to N - 1, of the draws' shape (C, N) or (C, N, d).

    Biased, divided by N at every lag (Geyer 1992, sec. 3.1), by the fast Fourier transform.
    """
    found = _autocovariance(_checked(draws))
    return found if np.ndim(draws) == 3 else found[..., 0]


def _checked(draws: NDArray[Any]) -> Floats:
    """Draws as (C, N, d) floats."""
    x = np.asarray(draws)
    if x.dtype.kind not in "biuf":
        raise ValueError(f"The draws are of type {x.dtype}; diagnostics are of numbers.")
    if x.ndim not in (2, 3) or not x.size:
        raise ValueError(f"The draws have shape {x.shape}; they are (chains, draws) or (chains, draws, d).")
    if x.shape[1] < LEAST:
        raise ValueError(f"There are {x.shape[1]} draws a chain; diagnostics take {LEAST} or more.")
    x = x.astype(np.float64).reshape(*x.shape[:2], -1)
    if not np.isfinite(x).all():
        raise ValueError("Some draws are not finite numbers; diagnostics are of finite ones.")
    return x


def _like(draws: NDArray[Any], figures: Floats) -> Floats:
    """Figures (d,) as they are, or, of draws (C, N), as one number."""
    return figures if np.ndim(draws) == 3 else figures[0]


def _split(x: Floats) -> Floats:
    """Each chain as two, its halves; of an odd number of draws the middle one is left out: (2C, N // 2, d)."""
    half = x.shape[1] // 2
    return np.concatenate([x[:, :half], x[:, -half:]])


def _normalised(x: Floats) -> Floats:
    """Normal scores of the ranks among all chains' draws, equal ones sharing their mean rank (eq. 14)."""
    flat = x.reshape(-1, x.shape[2])  # (S, d)
    count, order = len(flat), np.argsort(flat, axis=0, kind="stable")
    ordered = np.take_along_axis(flat, order, 0)
    place = np.arange(count)[:, None]
    new = np.concatenate([np.ones((1, flat.shape[1]), bool), ordered[1:] != ordered[:-1]])
    first = np.maximum.accumulate(np.where(new, place, 0), axis=0)
    ends = np.concatenate([new[1:], np.ones((1, flat.shape[1]), bool)])
    last = np.minimum.accumulate(np.where(ends, place, count)[::-1], axis=0)[::-1]
    twice = first + last  # twice the mean rank, counted from 0
    kinds, at = np.unique(twice, return_inverse=True)
    normal = NormalDist()
    scores = np.asarray([normal.inv_cdf((rank / 2 + 0.625) / (count + 0.25)) for rank in kinds.tolist()])
    found = np.empty_like(flat)
    np.put_along_axis(found, order, scores[at.reshape(twice.shape)], 0)
    return found.reshape(x.shape)


def _plain_rhat(x: Floats) -> Floats:
    """sqrt of the variance over all chains to that within them (eq. 1 to 4), (d,)."""
    n = x.shape[1]
    within = x.var(axis=1, ddof=1).mean(0)
    between = n * x.mean(1).var(axis=0, ddof=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.sqrt((between / within + n - 1) / n))


def _autocovariance(x: Floats) -> Floats:
    n = x.shape[1]
    size = 1 << (2 * n - 1).bit_length()  # room for all lags, so that the ends do not meet
    spectrum = np.fft.rfft(x - x.mean(1, keepdims=True), n=size, axis=1)
    return np.asarray(np.fft.irfft(np.abs(spectrum) ** 2, n=size, axis=1)[:, :n] / n)


def _ess(x: Floats) -> Floats:
    """Effective sample size of draws (C, N, d), (d,): autocorrelations summed by Geyer's initial monotone sequence.

    Eq. 10 to 13; Geyer 1992, sec. 3.3. Antithetic chains may count for more than their draws, at most log10 times.
    """
    chains, n = x.shape[:2]
    covariance = _autocovariance(x).mean(0)  # (N, d)
    within = covariance[0] * n / (n - 1)
    total = covariance[0] + (x.mean(1).var(axis=0, ddof=1) if chains > 1 else 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        rho = 1.0 - (within - covariance) / total
    rho[0] = 1.0
    most = max(n - 3, 0) // 2  # the last lags are sums of too few products to be a pair
    pairs = rho[: 2 * most + 2].reshape(most + 1, 2, -1)
    sums = pairs.sum(1)  # (P, d)
    positive = np.logical_and.accumulate(sums > 0, axis=0)
    stop = np.minimum(positive.sum(0), most)  # (d,) the first pair whose sum is not positive
    counted = np.where(np.arange(most + 1)[:, None] < stop, np.minimum.accumulate(sums, axis=0), 0.0)
    even = np.take_along_axis(pairs[:, 0], stop[None], 0)[0]
    even = np.where(positive[-1], even, np.maximum(even, 0.0))
    tau = -1.0 + 2.0 * counted.sum(0) + even
    tau = np.maximum(tau, 1.0 / np.log10(chains * n))
    moved = np.ptp(x, axis=(0, 1)) > 0
    return np.where(moved, chains * n / np.where(moved, tau, 1.0), np.nan)
