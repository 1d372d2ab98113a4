"""Metropolis-Hastings and Gibbs sampling of many chains at once, over whatever a NumPy array can hold.

Unusual here: all chains adapt together. In the warm-up they share one covariance and one scale of the random walk, so
a hundred chains learn it in a few dozen steps; after the warm-up nothing adapts, so the draws are exact. Every state
depends on the seed and on how many chains there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.generator import Cancel, rng
from generators.core.kneser_ney import Floats, Ints
from generators.core.log_density import Checked, LogDensity, Progress, Watch, check_counts, first_states, told
from generators.core.markov_chains import Chains

Proposal = Callable[[NDArray[Any], np.random.Generator], tuple[NDArray[Any], Any]]
Conditional = Callable[[NDArray[Any], np.random.Generator], NDArray[Any]]
REFRESH = 10  # steps of the warm-up between two looks at the covariance
FORGETTING = 0.6  # the weight of step t in what adapts is t^-0.6


class RandomWalk:
    """A Gaussian proposal whose covariance and scale adapt (Haario et al. 2001; Andrieu & Thoms 2008, algorithm 4).

    The scale is led by Robbins & Monro's rule to an acceptance of 0.44 in one dimension, falling to 0.234 in many
    (Roberts & Rosenthal 2001).
    """

    def __init__(self, states: Floats) -> None:
        self.d = states.shape[1]
        self.log_scale = np.log(2.38 / np.sqrt(self.d))
        self.target = 0.234 + 0.206 / self.d
        self.mean = states.mean(0)
        self.covariance = self.factor = np.eye(self.d)
        self.steps = 0

    @property
    def scale(self) -> float:
        """What the covariance's Cholesky factor is multiplied with."""
        return float(np.exp(self.log_scale))

    def __call__(self, states: Floats, random: np.random.Generator) -> tuple[Floats, float]:
        return states + self.scale * random.standard_normal(states.shape) @ self.factor.T, 0.0

    def adapt(self, states: Floats, acceptance: Floats) -> None:
        """Learn from where all chains are and how likely their last moves were."""
        self.steps += 1
        weight = (self.steps + 1) ** -FORGETTING
        self.log_scale += weight * (acceptance.mean() - self.target)
        apart = states - self.mean
        self.mean = self.mean + weight * apart.mean(0)
        self.covariance = self.covariance + weight * (apart.T @ apart / len(states) - self.covariance)
        if self.steps % REFRESH == 0:
            ridge = 1e-9 * max(np.trace(self.covariance) / self.d, 1e-300)
            self.factor = np.linalg.cholesky(self.covariance + ridge * np.eye(self.d))


def metropolis_hastings(
    log_density: LogDensity,
    initial: Any,
    *,
    draws: int = 1000,
    warmup: int = 1000,
    thin: int = 1,
    proposal: Proposal | None = None,
    seed: int = 0,
    cancel: Cancel | None = None,
    progress: Progress | None = None,
) -> Chains:
    """Draw from a log-density by proposing a state and accepting it or staying (Metropolis 1953; Hastings 1970).

    log_density: states (C, ...), a NumPy array, to (C,) nats, -inf where impossible; it need not be normalised.
    initial: (C, ...) the chains' first states, better spread wider than the density. draws: kept of every chain, each
    `thin` steps after the last, after `warmup` steps. proposal: from states and a random generator to the proposed
    states, of the same shape, and log q(x | x') - log q(x' | x), (C,) or 0 where it is symmetric; None: a Gaussian
    random walk over (C, d) real numbers, which adapts in the warm-up. progress: is told steps done and in all.

    Raises ValueError for a start that is impossible or of another shape, a log-density of another shape, NaN or
    +inf, a proposal of another shape, counts out of bounds; `Cancelled`.
    """
    check_counts(draws=draws, warmup=warmup, thin=thin)
    states, density = first_states(initial, real=proposal is None), Checked(log_density)
    values, random, walk = density.at_start(states), rng(seed), None
    if proposal is None:
        proposal = walk = RandomWalk(states)
    watch = Watch(warmup + draws * thin, cancel, progress)
    kept = np.empty((len(states), draws, *states.shape[1:]), states.dtype)
    logs, accepted = np.empty((len(states), draws)), np.zeros(len(states))
    began = begun = time.perf_counter()
    for step in range(1, watch.total + 1):
        proposed, ratio = _proposed(proposal, states, random)
        new = density(proposed)
        gain = new - values + ratio
        probability = np.exp(np.minimum(gain, 0.0))
        moves = -random.standard_exponential(len(states)) < gain
        states[moves], values[moves] = proposed[moves], new[moves]
        if step <= warmup:
            if walk is not None:
                walk.adapt(states, probability)
            if step == warmup:
                begun = time.perf_counter()
        else:
            accepted += probability
            if (step - warmup) % thin == 0:
                at = (step - warmup) // thin - 1
                kept[:, at], logs[:, at] = states, values
        watch.step(step)
    return Chains(
        method="Metropolis-Hastings",
        draws=kept,
        log_densities=logs,
        acceptance=accepted / (draws * thin),
        step_sizes=np.full(len(states), np.nan if walk is None else walk.scale),
        divergences=np.zeros(len(states), np.int64),
        evaluations=density.evaluations,
        seconds=time.perf_counter() - begun,
        warmup_seconds=begun - began,
        seed=seed,
    )


def _proposed(proposal: Proposal, states: NDArray[Any], random: np.random.Generator) -> tuple[NDArray[Any], Floats]:
    """Proposed states and log ratios, (C,). Raises ValueError for a proposal of another shape."""
    made = proposal(states, random)
    if not (isinstance(made, tuple) and len(made) == 2):
        raise ValueError(f"The proposal gave {type(made).__name__}; it must give the states and their log ratios.")
    proposed, ratio = np.asarray(made[0]), np.asarray(made[1], np.float64)
    if proposed is states or proposed.shape != states.shape:
        what = "the states it was given" if proposed is states else f"states of shape {proposed.shape}"
        raise ValueError(f"The proposal gave {what}; it must give new ones, of shape {states.shape}.")
    if ratio.shape not in ((), (len(states),)) or np.isnan(ratio).any():
        raise ValueError(f"The proposal's log ratios are {told(ratio)}; they must be ({len(states)},) numbers, or 0.")
    return proposed, ratio


def gibbs(
    log_density: LogDensity | None,
    initial: Any,
    values: int | Sequence[Any] | None = None,
    *,
    conditionals: Sequence[Conditional] | None = None,
    draws: int = 1000,
    warmup: int = 100,
    thin: int = 1,
    scan: str = "systematic",
    seed: int = 0,
    cancel: Cancel | None = None,
    progress: Progress | None = None,
) -> Chains:
    """Draw from a log-density of discrete states, one coordinate after the other given the rest (Geman & Geman 1984).

    log_density and initial: as of `metropolis_hastings`; states are (C, d). values: what every coordinate may be: a
    number V for 0 to V - 1, a sequence of values, or a sequence of d such sequences. The full conditional is found by
    evaluating the log-density at all of them, for all chains at once. conditionals: d functions in their place, each
    from the states and a random generator to draws (C,) of its coordinate given the others; log_density may be None
    then. scan: `systematic`, the coordinates in order, or `random`, d at random. A draw is kept after every `thin`
    such sweeps, from sweep `warmup` on. Nothing is ever rejected, so the acceptance is 1.

    Raises ValueError as `metropolis_hastings` does, and for coordinates that start outside their values; `Cancelled`.
    """
    check_counts(draws=draws, warmup=warmup, thin=thin)
    states = first_states(initial)
    if states.ndim != 2:
        raise ValueError(f"initial has shape {states.shape}; Gibbs sampling takes (chains, d).")
    if scan not in ("systematic", "random"):
        raise ValueError(f"scan is {scan!r}; it must be systematic or random.")
    if (values is None) == (conditionals is None):
        raise ValueError("Give either values, which the coordinates may take, or conditionals, which draw them.")
    density = None if log_density is None else Checked(log_density)
    d, random = states.shape[1], rng(seed)
    if conditionals is not None:
        if len(conditionals) != d:
            raise ValueError(f"There are {len(conditionals)} conditionals for {d} coordinates; give one each.")
        choices: list[NDArray[Any]] = []
    elif density is None:
        raise ValueError("log_density is None; without it give conditionals.")
    else:
        choices = _choices(range(int(values)) if isinstance(values, int | np.integer) else values, states)
    logs = density.at_start(states) if density is not None else np.full(len(states), np.nan)
    watch = Watch(warmup + draws * thin, cancel, progress)
    kept, kept_logs = np.empty((len(states), draws, d), states.dtype), np.empty((len(states), draws))
    began = begun = time.perf_counter()
    for step in range(1, watch.total + 1):
        for at in random.integers(d, size=(d,)).tolist() if scan == "random" else range(d):
            watch.cancel.check()
            if conditionals is not None:
                states[:, at] = _drawn(conditionals[at], at, states, random)
            elif density is not None:
                logs = _update(density, states, at, choices[at], random)
        if step == warmup:
            begun = time.perf_counter()
        elif step > warmup and (step - warmup) % thin == 0:
            if conditionals is not None and density is not None:
                logs = density(states)
            kept[:, (step - warmup) // thin - 1], kept_logs[:, (step - warmup) // thin - 1] = states, logs
        watch.step(step)
    return Chains(
        method="Gibbs",
        draws=kept,
        log_densities=kept_logs,
        acceptance=np.ones(len(states)),
        step_sizes=np.full(len(states), np.nan),
        divergences=np.zeros(len(states), np.int64),
        evaluations=density.evaluations if density is not None else 0,
        seconds=time.perf_counter() - begun,
        warmup_seconds=begun - began,
        seed=seed,
    )


def _choices(values: Any, states: NDArray[Any]) -> list[NDArray[Any]]:
    """For each coordinate what it may be, (V,). Raises ValueError for a start outside of it."""
    d = states.shape[1]
    each = list(values)
    if not each or not all(np.ndim(part) == 1 for part in each):
        each = [each] * d
    if len(each) != d:
        raise ValueError(f"values has {len(each)} sequences for {d} coordinates; give one for each, or one for all.")
    choices = [np.asarray(part, states.dtype) for part in each]
    for at, part in enumerate(choices):
        if part.ndim != 1 or not len(part) or len(np.unique(part)) < len(part):
            raise ValueError(f"The values of coordinate {at} are {told(part)}; they must be different, 1 or more.")
        outside = ~np.isin(states[:, at], part)
        if outside.any():
            chain = int(outside.argmax())
            raise ValueError(
                f"Chain {chain} starts with coordinate {at} at {states[chain, at]}, not one of its values."
            )
    return choices


def _update(density: Checked, states: Any, at: int, choices: Any, random: np.random.Generator) -> Floats:
    """Draw coordinate `at` of every chain from its full conditional, in place; the new log-densities (C,)."""
    rows = np.repeat(states, len(choices), axis=0)
    rows[:, at] = np.tile(choices, len(states))
    logs = density(rows).reshape(len(states), -1)  # (C, V)
    chosen: Ints = (logs + random.gumbel(size=logs.shape)).argmax(1)  # a draw by softmax (Gumbel 1954)
    states[:, at] = choices[chosen]
    return np.asarray(logs[np.arange(len(states)), chosen])


def _drawn(conditional: Conditional, at: int, states: NDArray[Any], random: np.random.Generator) -> NDArray[Any]:
    """Draws (C,) of coordinate `at`. Raises ValueError for others."""
    drawn = np.asarray(conditional(states.copy(), random))
    if drawn.shape != states.shape[:1]:
        raise ValueError(f"Conditional {at} gave shape {drawn.shape}; it must give ({len(states)},), a value a chain.")
    return drawn
