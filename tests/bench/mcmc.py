"""Minimum bulk effective samples a second of our samplers and of emcee and blackjax, on the same targets.

    python tests/bench/mcmc.py [--peers DIRECTORY] [--seeds 3]

Targets, with moments known exactly: a Gaussian in 20 dimensions, variances 1 to 100 along random axes; and bananas in
10, x[2i] ~ N(0, 1), x[2i + 1] ~ N(x[2i]^2, 1/2). All start from the same points, N(0, 2^2) each. One implementation
(ours) computes every effective sample size; a figure is the median over the seeds. The compilation of blackjax is left
out: what is timed is the second run. It computes in float32, its default; ours and emcee in float64. The walkers of
emcee are taken for its chains, though they learn from each other. All run on two cores at most; torch gets one thread,
since its operations are small here, and two threads wait for each other wherever the machine has other work.

Exit status 1 where ours has an R-hat above 1.01 or a mean that is off: by more than three standard errors of a single
coordinate, which for the worst of d is a little more (Bonferroni).
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from generators.core import diagnostics
from generators.core.markov_chains import RHAT
from generators.mcmc import hmc, metropolis_hastings

WARMUP, DRAWS = 500, 1000  # of HMC and NUTS
FACTOR, EMCEE_FACTOR = 100, 40  # as many steps of a random walk, and of emcee, one of so many kept
THREE_SIGMA = NormalDist().cdf(-3)


@dataclass(frozen=True)
class Target:
    """A log-density as NumPy, torch and JAX compute it, and its exact mean."""

    name: str
    mean: np.ndarray
    numpy: Callable[[Any], Any]
    torch: Callable[[Any], Any]
    jax: Callable[[Any], Any]  # of one state


@dataclass(frozen=True)
class Result:
    """Draws (C, N, d), the seconds of them and of the warm-up, and the mean acceptance."""

    draws: np.ndarray
    seconds: float
    warmup_seconds: float
    acceptance: float


def targets() -> list[Target]:
    import torch

    random, d = np.random.default_rng(0), 20
    axes, _ = np.linalg.qr(random.standard_normal((d, d)))
    precision = axes @ np.diag(1 / np.geomspace(1, 100, d)) @ axes.T
    held = torch.from_numpy(precision)

    def bananas(x: Any) -> Any:
        straight, bent = x[..., ::2], x[..., 1::2]
        return -0.5 * (straight**2).sum(-1) - ((bent - straight**2) ** 2).sum(-1)

    return [
        Target(
            "Gaussian, d = 20",
            np.zeros(d),
            lambda x: -0.5 * ((x @ precision) * x).sum(1),
            lambda x: -0.5 * ((x @ held) * x).sum(1),
            lambda x: -0.5 * (x @ precision.astype(np.float32)) @ x,
        ),
        Target("bananas, d = 10", np.tile([0.0, 1.0], 5), bananas, bananas, bananas),
    ]


def ours_hmc(target: Target, start: np.ndarray, seed: int) -> Result:
    made = hmc(target.torch, start, draws=DRAWS, warmup=WARMUP, seed=seed)
    return Result(made.draws, made.seconds, made.warmup_seconds, float(made.acceptance.mean()))


def ours_mh(target: Target, start: np.ndarray, seed: int) -> Result:
    steps = WARMUP * FACTOR
    made = metropolis_hastings(target.numpy, start, draws=DRAWS, warmup=steps, thin=FACTOR, seed=seed)
    return Result(made.draws, made.seconds, made.warmup_seconds, float(made.acceptance.mean()))


def emcee_ensemble(target: Target, start: np.ndarray, seed: int) -> Result:
    import emcee

    np.random.seed(seed)  # it takes its randomness from the global generator
    sampler = emcee.EnsembleSampler(*start.shape, target.numpy, vectorize=True)
    began = time.perf_counter()
    state = sampler.run_mcmc(start, WARMUP * EMCEE_FACTOR, store=False)
    begun = time.perf_counter()
    sampler.reset()
    sampler.run_mcmc(state, DRAWS, thin_by=EMCEE_FACTOR)
    done = time.perf_counter()
    draws = sampler.get_chain().swapaxes(0, 1)
    return Result(draws, done - begun, begun - began, float(sampler.acceptance_fraction.mean()))


def blackjax_nuts(target: Target, start: np.ndarray, seed: int) -> Result:
    import blackjax
    import jax

    keys = jax.random.split(jax.random.key(seed), (2, len(start)))
    adaptation = blackjax.window_adaptation(blackjax.nuts, target.jax, is_mass_matrix_diagonal=False)

    def warm(key: Any, x: Any) -> Any:
        (state, parameters), _ = adaptation.run(key, x, WARMUP)
        return state, parameters

    def draw(key: Any, state: Any, parameters: Any) -> Any:
        kernel = blackjax.nuts(target.jax, **parameters).step

        def step(at: Any, key: Any) -> Any:
            at, told = kernel(key, at)
            return at, (at.position, told.acceptance_rate)

        return jax.lax.scan(step, state, jax.random.split(key, DRAWS))[1]

    warm, draw = jax.jit(jax.vmap(warm)), jax.jit(jax.vmap(draw))
    x = start.astype(np.float32)
    jax.block_until_ready(draw(keys[1], *warm(keys[0], x)))
    began = time.perf_counter()
    warmed = jax.block_until_ready(warm(keys[0], x))
    begun = time.perf_counter()
    draws, acceptance = jax.block_until_ready(draw(keys[1], *warmed))
    done = time.perf_counter()
    return Result(np.asarray(draws), done - begun, begun - began, float(acceptance.mean()))


def worst_z(draws: np.ndarray, mean: np.ndarray) -> float:
    """The largest distance of a coordinate's mean from the exact one, in its standard errors."""
    return float((np.abs(draws.mean((0, 1)) - mean) / diagnostics.mcse_mean(draws)).max())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", help="a folder with emcee and blackjax, as pip install --target makes one")
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    if args.peers:
        sys.path.append(args.peers)
    import torch

    torch.set_num_threads(1)
    samplers: list[tuple[str, int, Callable[[Target, np.ndarray, int], Result]]] = [
        ("HMC, ours", 4, ours_hmc),
        ("HMC, ours", 128, ours_hmc),
        ("Metropolis-Hastings, ours", 128, ours_mh),
    ]
    for module, name, counts, peer in (
        ("blackjax", "NUTS, blackjax", (4, 128), blackjax_nuts),
        ("emcee", "stretch moves, emcee", (128,), emcee_ensemble),
    ):
        try:
            version = __import__(module).__version__
        except ImportError:
            print(f"{module} is not installed; pip install --target DIRECTORY {module}, then --peers DIRECTORY.")
            continue
        samplers += [(f"{name} {version}", chains, peer) for chains in counts]
    print(
        f"Seeds 1 to {args.seeds}, two cores; {WARMUP} trajectories of warm-up, {DRAWS} draws a chain; the random walk "
        f"{FACTOR} times and emcee {EMCEE_FACTOR} times as many steps, one draw kept of so many.\n"
    )
    print("| target | sampler | chains | min bulk ESS/s | warm-up included | min tail ESS/s | max R-hat | acceptance |")
    print("|---|---|---|---|---|---|---|---|")
    failed = []
    for target in targets():
        d = len(target.mean)
        limit = -NormalDist().inv_cdf(THREE_SIGMA / d)
        for name, chains, sampler in samplers:
            rows = []
            for seed in range(1, args.seeds + 1):
                start = 2 * np.random.default_rng([seed, chains]).standard_normal((chains, d))
                made = sampler(target, start, seed)
                bulk, tail = (float(size(made.draws).min()) for size in (diagnostics.ess_bulk, diagnostics.ess_tail))
                rhat, z = float(diagnostics.rhat(made.draws).max()), worst_z(made.draws, target.mean)
                whole = made.seconds + made.warmup_seconds
                rows.append((bulk / made.seconds, bulk / whole, tail / made.seconds, rhat, made.acceptance))
                if "ours" in name and (rhat > RHAT or z > limit):
                    failed.append(
                        f"{name} of {target.name}, {chains} chains, seed {seed}: R-hat {rhat:.4f}, {z:.1f} SE"
                    )
            bulk, whole, tail, _, acceptance = np.median(rows, axis=0)
            rhat = max(row[3] for row in rows)
            print(
                f"| {target.name} | {name} | {chains} | {bulk:,.0f} | {whole:,.0f} | {tail:,.0f} | {rhat:.4f} "
                f"| {acceptance:.2f} |",
                flush=True,
            )
    print(*failed, sep="\n")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
