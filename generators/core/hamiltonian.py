"""Hamiltonian Monte Carlo of many chains at once, each step of all of them one batch (Duane 1987; Neal 2011).

All chains take the same number of leapfrog steps, so nothing waits as in a batch of no-U-turn trees. The warm-up learns
from all chains together: the step size (dual averaging: Hoffman & Gelman 2014, sec. 3.2), the mass matrix, in windows
that double (Stan's scheme), and how long a trajectory is. For that it follows some trajectories further than needed
and reads off how much each length would make consecutive draws forget, a leapfrog step. After the warm-up nothing
adapts, so the draws are exact.

States and velocities are NumPy arrays, whose small operations cost a third of torch's; torch is asked for the gradient.
Of a density that is quickly computed it is best asked in one thread (`torch.set_num_threads(1)`): more of them wait for
each other wherever the machine has other work.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.generator import Cancel, rng
from generators.core.kneser_ney import Floats
from generators.core.log_density import Checked, LogDensity, Progress, Watch, check_counts, first_states
from generators.core.markov_chains import Chains

ASTRAY = 1000.0  # nats of energy error that count as a divergence, as in Stan
MOST = 256  # leapfrog steps of a trajectory whose length is learnt
DENSE = 100  # dimensions up to which the mass matrix is dense by default
SHORTEST = 0.3  # share of a trajectory's length that the jitter leaves at least
FIRST_STEPS = 16  # of a trajectory, before anything is learnt
LEAST = 0.01  # acceptance probability that a chain counts with at least where the step size is learnt
SETTLING = 25  # trajectories after which a step size has settled
PATHS = 400  # trajectories from which a length is chosen
GOOD = 0.85  # of the best; the longest such is taken, since what is looked at is not all that moves slowly
OVERHEAD = 1.0  # what a trajectory costs beside its steps, in steps
TINY = 1e-300
Gradient = Callable[[Floats], tuple[Floats, Floats]]


def gradient_of(density: Checked) -> Gradient:
    """From states (C, d) to log-densities (C,) and their gradients (C, d), by torch's autograd in float64.

    NaN and -inf are passed on: a trajectory may leave the density's support. Raises ValueError for a log-density of
    another shape or without a gradient.
    """
    import torch

    def evaluate(states: Floats) -> tuple[Floats, Floats]:
        density.evaluations += len(states)
        x = torch.from_numpy(states).requires_grad_()
        with torch.enable_grad():
            values = density.log_density(x)
        if not isinstance(values, torch.Tensor) or not values.requires_grad:
            raise ValueError("The log-density has no gradient; compute it from the tensor it is given, by torch alone.")
        if values.shape != x.shape[:1]:
            density.checked(values, states)
        (slopes,) = torch.autograd.grad(values.sum(), x)
        return values.detach().cpu().double().numpy(), slopes.numpy()

    return evaluate


@dataclass
class Metric:
    """The inverse of the mass matrix, an estimate of the states' covariance: a matrix (d, d), or its diagonal (d,)."""

    covariance: Floats
    factor: Floats = field(init=False)  # Cholesky's, or standard deviations
    inverse: Floats = field(init=False)  # of the factor

    def __post_init__(self) -> None:
        if self.covariance.ndim == 1:
            self.factor = np.sqrt(self.covariance)
            self.inverse = 1.0 / self.factor
        else:
            self.factor = np.asarray(np.linalg.cholesky(self.covariance), np.float64)
            self.inverse = np.asarray(np.linalg.inv(self.factor), np.float64)

    def times(self, rows: Floats) -> Floats:
        """The covariance times each row."""
        return rows * self.covariance if self.covariance.ndim == 1 else rows @ self.covariance

    def scaled(self, rows: Floats) -> Floats:
        """Rows of unit variance as rows of this covariance."""
        return rows * self.factor if self.covariance.ndim == 1 else rows @ self.factor.T

    def whitened(self, rows: Floats) -> Floats:
        """The reverse."""
        return rows * self.inverse if self.covariance.ndim == 1 else rows @ self.inverse.T


@dataclass
class Points:
    """Where chains are: states (C, d), log-densities (C,), gradients (C, d)."""

    states: Floats
    values: Floats
    slopes: Floats


@dataclass
class Flight:
    """Chains on a trajectory: where they are, their velocities (C, d), and which went astray, (C,).

    A velocity is the momentum times the inverse of the mass matrix.
    """

    points: Points
    velocities: Floats
    astray: NDArray[np.bool_]


def leapfrog(gradient: Gradient, start: Points, velocities: Floats, metric: Metric, step: float) -> Iterator[Flight]:
    """Leapfrog steps of size `step`, one after the other without end (Neal 2011, eq. 5.18 to 5.20).

    A chain goes astray where the log-density or its gradient is not finite; it stays at its start from then on.
    """
    x, v, values, slopes = start.states, velocities, start.values, start.slopes
    astray = np.zeros(len(x), bool)
    kick = 0.5 * step * metric.times(slopes)
    while True:
        v = v + kick
        x = x + step * v
        values, slopes = gradient(x)
        if not math.isfinite(values.sum() + slopes.sum()):
            astray = astray | ~(np.isfinite(values) & np.isfinite(slopes).all(1))
            x = np.where(astray[:, None], start.states, x)
            values, slopes = np.where(astray, start.values, values), np.where(astray[:, None], 0.0, slopes)
            v = np.where(astray[:, None], 0.0, v)
        kick = 0.5 * step * metric.times(slopes)
        v = v + kick
        yield Flight(Points(x, values, slopes), v, astray)


class StepSize:
    """The step size that leads to an acceptance of `target`, by dual averaging (Hoffman & Gelman 2014, eq. 6)."""

    def __init__(self, step: float, target: float) -> None:
        self.target = target
        self.restart(step)

    def restart(self, step: float) -> None:
        """Begin anew from a step size."""
        self.step = self.mean = step
        self._centre, self._error, self._count = math.log(10 * step), 0.0, 0

    def adapt(self, acceptance: float) -> None:
        """Learn from the acceptance probability of a trajectory."""
        self._count += 1
        t = self._count
        self._error += (self.target - acceptance - self._error) / (t + 10)
        log = min(self._centre - math.sqrt(t) / 0.05 * self._error, 100.0)  # where all is accepted, however far
        weight = t**-0.75
        self.step = math.exp(log)
        self.mean = math.exp(weight * log + (1 - weight) * math.log(self.mean)) if t > 1 else self.step


def best_length(correlations: Floats) -> tuple[int, float]:
    """How many leapfrog steps the longest trajectory should have, and the effective draws a step that it gives.

    correlations: (K, quantities) between the state before and the one after 1 to K steps. Chosen is what makes the
    worst quantity's effective draws, (1 - r) / (1 + r) each, the most a step; lengths are jittered as `jittered` does.
    """
    gains = []
    sums = np.concatenate([np.zeros((1, correlations.shape[1])), np.cumsum(correlations, 0)])
    for longest in range(1, len(correlations) + 1):
        least = max(math.ceil(SHORTEST * longest), 1)
        r = max(float((sums[longest] - sums[least - 1]).max()) / (longest - least + 1), 0.0)
        gains.append(max((1 - r) / (1 + r), 1e-6) / ((least + longest) / 2 + OVERHEAD))
    good = np.flatnonzero(np.asarray(gains) >= GOOD * max(gains))
    return int(good[-1]) + 1, max(gains)


def jittered(i: int, longest: int) -> int:
    """The number of steps of the i-th trajectory: evenly spread from a share SHORTEST of the longest up to it."""
    least = max(math.ceil(SHORTEST * longest), 1)
    return least + int(radical_inverse(i + 1) * (longest - least + 1))


@dataclass(frozen=True)
class Options:
    """How `hmc` samples; see there."""

    mass: str
    step_size: float | None
    leapfrog_steps: int | None
    target_acceptance: float

    def __post_init__(self) -> None:
        if self.step_size is not None and not 0 < self.step_size < math.inf:
            raise ValueError(f"step_size is {self.step_size}; it must be above 0, or None to be learnt.")
        if self.leapfrog_steps is not None:
            check_counts(leapfrog_steps=self.leapfrog_steps)
        if self.mass not in ("auto", "dense", "diagonal", "unit"):
            raise ValueError(f"mass is {self.mass!r}; it must be auto, dense, diagonal or unit.")
        if not 0 < self.target_acceptance < 1:
            raise ValueError(f"target_acceptance is {self.target_acceptance}; it must be above 0, below 1.")


def hmc(
    log_density: LogDensity,
    initial: Any,
    *,
    draws: int = 1000,
    warmup: int = 500,
    step_size: float | None = None,
    leapfrog_steps: int | None = None,
    mass: str = "auto",
    target_acceptance: float = 0.75,
    seed: int = 0,
    cancel: Cancel | None = None,
    progress: Progress | None = None,
) -> Chains:
    """Draw from a differentiable log-density by Hamiltonian Monte Carlo; see the module's docstring.

    log_density: a float64 tensor of states (C, d) to (C,) nats, each from its own row alone, by operations of torch.
    initial: (C, d) the chains' first states, better spread wider than the density. draws, warmup: trajectories of every
    chain that are kept, and before. step_size, leapfrog_steps: of the leapfrog, in units of the mass matrix, and of the
    longest trajectory; learnt where None. mass: the inverse of the states' covariance (`dense`) or variances
    (`diagonal`), `unit`, or `auto`: dense up to 100 dimensions. target_acceptance: what the step size leads the chains'
    harmonic mean to, so that none is stuck, above 0, below 1. A warm-up below about 100 is too short to learn all that.

    Raises ValueError for a start that is impossible or of another shape, a log-density of another shape, without a
    gradient, or NaN at the start, options out of bounds; `Cancelled`. Elsewhere NaN and -inf are divergences.
    """
    check_counts(draws=draws, warmup=warmup)
    options = Options(mass, step_size, leapfrog_steps, target_acceptance)
    states, density = first_states(initial, real=True), Checked(log_density)
    if mass == "auto":
        options = replace(options, mass="dense" if states.shape[1] <= DENSE else "diagonal")
    watch, chains = Watch(warmup + draws, cancel, progress), len(states)
    kept, logs = np.empty((chains, draws, states.shape[1])), np.empty((chains, draws))
    accepted, divergences = np.zeros(chains), np.zeros(chains, np.int64)
    with np.errstate(all="ignore"):  # where a trajectory goes astray
        sampler = _Sampler(density, states, options, seed)
        began = time.perf_counter()
        sampler.warm_up(warmup, watch)
        begun, step = time.perf_counter(), sampler.step.mean
        for i in range(draws):
            probability, astray = sampler.move(step, jittered(i, sampler.longest))
            accepted += probability
            divergences += astray
            kept[:, i], logs[:, i] = sampler.points.states, sampler.points.values
            watch.step(warmup + i + 1)
    return Chains(
        method="Hamiltonian Monte Carlo",
        draws=kept,
        log_densities=logs,
        acceptance=accepted / draws,
        step_sizes=np.full(chains, step),
        divergences=divergences,
        evaluations=density.evaluations,
        seconds=time.perf_counter() - begun,
        warmup_seconds=begun - began,
        seed=seed,
    )


class _Sampler:
    """The chains' points, and all that adapts."""

    def __init__(self, density: Checked, states: Floats, options: Options, seed: int) -> None:
        self.density, self.gradient, self.random, self.options = density, gradient_of(density), rng(seed), options
        values, slopes = self.gradient(states)
        density.check_start(values, states)
        lost = ~np.isfinite(slopes).all(1)
        if lost.any():
            raise ValueError(f"The gradient is not finite at the start of chain {int(lost.argmax())}; start elsewhere.")
        self.points = Points(states, values, slopes)
        d = states.shape[1]
        self.metric = Metric(np.eye(d) if options.mass == "dense" else np.ones(d))
        self.step = StepSize(options.step_size or 1.0, options.target_acceptance)
        self.longest = options.leapfrog_steps or FIRST_STEPS

    def move(self, step: float, steps: int) -> tuple[Floats, NDArray[np.bool_]]:
        """One trajectory of every chain, accepted or not: the acceptance probabilities (C,), who went astray (C,)."""
        energy, flights = self.launch(step)
        end = next(islice(flights, steps - 1, None))
        gain, astray = self.gain(end, energy)
        self._accept(end.points, gain)
        return np.exp(np.minimum(gain, 0.0)), astray

    def launch(self, step: float) -> tuple[Floats, Iterator[Flight]]:
        """A trajectory with new velocities: minus the energy (C,) at its start, and where it comes step by step."""
        noise = self.random.standard_normal(self.points.states.shape)
        flights = leapfrog(self.gradient, self.points, self.metric.scaled(noise), self.metric, step)
        return self.points.values - 0.5 * np.einsum("cd,cd->c", noise, noise), flights

    def gain(self, flight: Flight, energy: Floats) -> tuple[Floats, NDArray[np.bool_]]:
        """Minus the energy's error, (C,), and who went astray."""
        noise = self.metric.whitened(flight.velocities)
        gain = flight.points.values - 0.5 * np.einsum("cd,cd->c", noise, noise) - energy
        astray = flight.astray | ~(gain > -ASTRAY)
        gain[astray] = -np.inf
        return gain, astray

    def _accept(self, end: Points, gain: Floats) -> None:
        moves = -self.random.standard_exponential(len(gain)) < gain
        if moves.all():
            self.points = end
            return
        start, rows = self.points, moves[:, None]
        self.points = Points(
            np.where(rows, end.states, start.states),
            np.where(moves, end.values, start.values),
            np.where(rows, end.slopes, start.slopes),
        )

    def warm_up(self, warmup: int, watch: Watch) -> None:
        """Learn the step size throughout, the mass matrix at the end of each window, then the trajectory's length."""
        learns_step, learns_length = self.options.step_size is None, self.options.leapfrog_steps is None
        if learns_step:
            self.step.restart(self.reasonable_step())
        first, ends = windows(warmup)
        settled = [end + min(SETTLING, (after - end) // 2) for end, after in pairwise([*ends, warmup])]
        seen: list[Floats] = []
        for i in range(warmup):
            probability, _ = self.move(self.step.step, jittered(i, self.longest))
            if learns_step:
                self.step.adapt(float(1 / (1 / np.maximum(probability, LEAST)).mean()))
            if i >= first:
                seen.append(self.points.states)
            if i + 1 in ends and self.options.mass != "unit":
                self.metric = self._weighed(np.concatenate(seen))
                seen = []
                if learns_step:
                    self.step.restart(self.reasonable_step())
            if learns_length and i + 1 in (settled[:1] + settled[-1:]):
                self.longest = self.best_length(np.concatenate(seen) if seen else self.points.states, watch)
            watch.step(i + 1)

    def _weighed(self, states: Floats) -> Metric:
        """The mass matrix by the states (n, d) of a window, shrunk as Stan does."""
        n, d = states.shape
        keep = n / (n + 5)
        if self.options.mass == "dense" and n > d:
            return Metric(keep * np.cov(states.T).reshape(d, d) + 1e-3 * (1 - keep) * np.eye(d))
        return Metric(keep * states.var(0, ddof=1) + 1e-3 * (1 - keep))

    def best_length(self, states: Floats, watch: Watch) -> int:
        """The longest trajectory's steps, by what happens along some; `states` (n, d) tell the mean.

        They grow until no longer one could be better. The chains move on, each time by a jittered length.
        """
        steps, mean, count = self.longest, states.mean(0), min(max(math.ceil(PATHS / len(self.points.states)), 4), 32)
        while True:
            jumps = np.zeros((steps, 2 * states.shape[1]))
            power = np.zeros(2 * states.shape[1])
            for i in range(count):
                watch.cancel.check()
                before, stop = self._features(self.points.states, mean), jittered(i, min(self.longest, steps))
                power += (before * before).mean(0)
                energy, flights = self.launch(self.step.mean)
                for at, flight in enumerate(islice(flights, steps)):
                    gain, _ = self.gain(flight, energy)
                    weight = np.exp(np.minimum(gain, 0.0))[:, None]
                    after = self._features(flight.points.states, mean)
                    jumps[at] += (weight * (after - before) ** 2).mean(0)
                    if at + 1 == stop:
                        chosen = flight.points, gain
                self._accept(*chosen)
            best, gain_a_step = best_length(1 - jumps / (2 * np.maximum(power, TINY)))
            if steps >= min(1 / gain_a_step, 2 * best, MOST):
                return best
            steps *= 2

    def _features(self, states: Floats, mean: Floats) -> Floats:
        """What is to be forgotten: the coordinates of unit variance, and how far their squares are from 1."""
        y = self.metric.whitened(states - mean)
        return np.concatenate([y, y * y - 1], 1)

    def reasonable_step(self) -> float:
        """A step whose acceptance crosses one half (Hoffman & Gelman 2014, algorithm 4)."""
        step, direction = self.step.step, 0.0
        for _ in range(60):
            energy, flights = self.launch(step)
            gain, _ = self.gain(next(flights), energy)
            above = np.exp(np.minimum(gain, 0.0)).mean() > 0.5
            if direction and above != (direction > 1):
                break
            direction = 2.0 if above else 0.5
            step *= direction
        return step


def windows(warmup: int) -> tuple[int, list[int]]:
    """Where in the warm-up the first window for the mass matrix begins, and where each ends (Stan's scheme)."""
    if warmup < 20:
        return 0, []
    first, last, size = (75, 50, 25) if warmup >= 150 else (int(0.15 * warmup), int(0.1 * warmup), warmup)
    ends, at, stop = [], first, warmup - last
    while at < stop:
        at = at + size if at + 3 * size <= stop else stop
        ends.append(at)
        size *= 2
    return first, ends


def radical_inverse(i: int) -> float:
    """The i-th number of van der Corput's sequence in base 2, in (0, 1): evenly spread however many are taken."""
    return int(f"{i:b}"[::-1], 2) / (1 << i.bit_length())
