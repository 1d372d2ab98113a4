"""Markov chain Monte Carlo: over a density of your own, over texts of our models, over the latents of a VAE.

    import numpy as np
    from generators.mcmc import hmc

    def log_density(x):  # (C, 2) -> (C,): a banana, up to a constant
        return -0.5 * (x[:, 0] ** 2 + (x[:, 1] - 0.5 * x[:, 0] ** 2) ** 2)

    start = np.random.default_rng(1).normal(size=(16, 2))
    chains = hmc(log_density, start, draws=500, seed=1)
    print(chains.summary())  # mean, quantiles, R-hat, effective sample sizes
    print(chains.warnings())  # what speaks against trusting them
    chains.picture().save("chains.png")

Unusual here: a log-density is always asked for many states at once, (C, ...) -> (C,), one a chain, and a sampler runs
all its chains as one batch. `metropolis_hastings` takes whatever a NumPy array holds, given a proposal, or real numbers
without one; `gibbs` discrete states, coordinate by coordinate; `hmc` a log-density that torch can differentiate. The
samplers are in `generators.core.metropolis` and `hamiltonian`, their diagnostics in `diagnostics`; here are the
densities of our own models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from generators.core.hamiltonian import hmc
from generators.core.kneser_ney import Floats, Ints, KneserNey
from generators.core.labels import match_label
from generators.core.log_density import LogDensity
from generators.core.markov_chains import Chains, Summary
from generators.core.metropolis import gibbs, metropolis_hastings
from generators.core.text_model import TextModel
from generators.core.writing import InTurn, Parallel
from generators.data.splits import Images

if TYPE_CHECKING:
    from torch import Tensor

    from generators.vae import VAE

__all__ = [
    "Chains",
    "LogDensity",
    "Summary",
    "gibbs",
    "hmc",
    "latent_density",
    "metropolis_hastings",
    "text_density",
]

CELLS = 10_000_000  # probabilities that are looked at together


def text_density(model: TextModel, temperature: float = 1.0, lead: Sequence[int] | None = None) -> LogDensity:
    """log p(text | lead) / temperature of symbols (C, T) under a model of text, for `metropolis_hastings` and `gibbs`.

    Symbols are numbers in the model's vocabulary, [0, size): `model.vocabulary.encode(text)`; 0 is whatever is unknown.
    lead: the symbols before the text, which may begin with a start symbol. None: nothing, as `score` begins a running
    text; for a list's item the start symbol of its first kind. An item ends with its end symbol, a line's end. The
    whole text's density is tempered, not each symbol's in turn as in writing.

    Raises ValueError for a model of another kind, a temperature that is not above 0, a lead out of bounds; what it
    returns does for states that are not such symbols.
    """
    if not isinstance(model, TextModel):
        raise ValueError(f"{type(model).__name__} is no model of text that predicts symbol by symbol.")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature is {temperature}; it must be above 0.")
    size, starts = len(model.vocabulary), len(model.lengths) - 1
    before = ([size] if model.items else []) if lead is None else [int(symbol) for symbol in lead]
    if any(not 0 <= symbol < size + starts for symbol in before):
        raise ValueError(f"lead is {before}; its symbols must be from 0 to {size + starts - 1}.")
    predictor = model.predictor
    parallel = predictor if isinstance(predictor, Parallel) else InTurn(predictor)
    start = predictor.context(before)

    def log_density(states: NDArray[Any]) -> Floats:
        states = np.asarray(states)
        if states.ndim != 2 or states.dtype.kind not in "iu" or not ((states >= 0) & (states < size)).all():
            raise ValueError(
                f"The states have shape {states.shape} and type {states.dtype}; they must be symbols (chains, T), "
                f"whole numbers from 0 to {size - 1}."
            )
        if isinstance(predictor, KneserNey):
            return _counted(predictor, start, states.astype(np.int64)) / temperature
        found, many = np.zeros(len(states)), max(CELLS // (states.shape[1] * size), 1)
        for at in range(0, len(states), many):
            rows = states[at : at + many].tolist()
            for i, (p, row) in enumerate(zip(parallel.foreseen(start, [r[:-1] for r in rows]), rows, strict=True)):
                found[at + i] = np.log(p[np.arange(len(row)), row]).sum()
        return found / temperature

    return log_density


def _counted(counts: KneserNey, start: list[int], rows: Ints) -> Floats:
    """(C,) log probabilities of rows of symbols (C, T) after a context, all rows at once.

    What `KneserNey.distribution` says of one symbol after another, without those that are not asked for.
    """
    base, found = counts.size + counts.starts, np.zeros(len(rows))
    nodes = [np.full(len(rows), node) for node in start]
    for symbols in rows.T:
        p, after = counts.floor[symbols], [np.zeros(len(rows), np.int64)]
        for node, level in zip(nodes, counts.levels, strict=False):
            known = node >= 0
            child = np.where(known, level.find(np.maximum(node, 0) * base + symbols), -1)
            weights = np.where(child >= 0, level.weights[child], 0.0)
            p = np.where(known, level.backoff[node] * p + weights, p)
            after.append(child)
        found += np.log(p)
        nodes = after[: counts.order]
    return found


def latent_density(model: VAE, picture: NDArray[np.uint8], label: str | int | None = None) -> LogDensity:
    """log p(x, z | y) = log p(x | z, y) + log N(z; 0, I) in nats of latents z (C, d) of one picture, for any sampler.

    Up to a constant that is the latents' posterior density given the picture. The likelihood is Bernoulli on
    intensities in [0, 1], as the model's `score` has it. picture: (H, W) or (H, W, 3) uint8, scaled to the model's
    size. label: the picture's, by name or number; None only where the model knows no labels. Latents come as a tensor,
    and it can be differentiated, or as a NumPy array, as the log-densities are then.

    Raises ValueError for a picture of another shape, or a label that the model does not know.
    """
    import torch
    from torch.nn import functional

    labels = model.info.labels
    if isinstance(label, str):
        label = match_label(label, labels)
    number = labels.index(label) if isinstance(label, str) else 0 if label is None and not labels else label
    if number is None or not 0 <= number < max(len(labels), 1):
        raise ValueError(f"The label is unknown; {model.info.name or 'the model'} knows {', '.join(labels) or 'none'}.")
    pixels = np.asarray(picture)
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,)):
        raise ValueError(
            f"The picture has shape {pixels.shape} and type {pixels.dtype}; give one of (H, W) or (H, W, 3) uint8."
        )
    shown = model.fitting(Images(pixels[None], np.asarray([number]), tuple(labels))).pixels
    shown = shown[:, None] if shown.ndim == 3 else shown.transpose(0, 3, 1, 2)
    device = next(model.net.parameters()).device
    x = torch.from_numpy(np.ascontiguousarray(shown)).to(device).float() / 255
    with torch.no_grad():
        embedding = model.net.embed(torch.tensor([number], device=device))  # (1, e)
    d = model.net.latent

    def log_joint(z: Tensor) -> Tensor:
        if z.ndim != 2 or z.shape[1] != d:
            raise ValueError(f"The latents have shape {tuple(z.shape)}; they must be (chains, {d}).")
        logits = model.net.decode(z.to(device).float(), embedding.expand(len(z), -1))  # (C, channels, S, S)
        losses = functional.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none")
        prior = -0.5 * (z.square().sum(1) + d * math.log(2 * math.pi))
        return prior - losses.double().flatten(1).sum(1).to(z.device)

    def log_density(latents: Any) -> Any:
        if isinstance(latents, torch.Tensor):
            return log_joint(latents)
        with torch.no_grad():
            return log_joint(torch.from_numpy(np.asarray(latents, np.float64))).numpy()

    return log_density
