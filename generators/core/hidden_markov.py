"""Hidden Markov models trained by Baum-Welch, in the shape of scikit-learn's estimators, and those of symbols.

    model = CategoricalHMM(8, restarts=3, seed=1).fit(sequences)
    model.score(sequences), model.viterbi(sequences), model.posteriors(sequences), model.sample(100, seed=2)

What is unusual: a likelihood that falls is a failure (`FallingLikelihood`), never convergence. What must not fall is
the likelihood times the prior of the parameters, which the M-step maximises: pseudo-counts (Dirichlet) for whatever is
categorical, and for the covariances of `generators.core.gaussian_hmm` one pseudo-observation of a small variance.

Sequences are a list of arrays, or one array and `lengths`. The recursions are in `generators.core.forward_backward`.
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generators.core.forward_backward import (
    Block,
    Chain,
    Counts,
    Implementation,
    Workspace,
    blocks,
    count,
    log_likelihoods,
    viterbi,
)

SLACK, SLACK_SINGLE = 1e-9, 1e-4  # share of a log-likelihood that rounding may take from it, in float64 and else

Sequences = Sequence[Any] | NDArray[Any] | Tensor


class FallingLikelihood(ValueError):
    """EM made the data less likely, which it never does: the M-step is wrong, or numbers ran out of range."""

    def __init__(self, step: int, before: float, after: float) -> None:
        super().__init__(
            f"The log-likelihood fell from {before:.10g} to {after:.10g} at step {step} of EM, where it can only rise: "
            f"look for broken values in the data, or compute in float64."
        )
        self.step, self.before, self.after = step, before, after


def check_rise(step: int, before: float, after: float, slack: float = SLACK) -> None:
    """Raise `FallingLikelihood` for a fall by more than rounding, or a likelihood that is no number."""
    if not after >= before - slack * max(abs(before), 1.0):
        raise FallingLikelihood(step, before, after)


@dataclass(frozen=True)
class Progress:
    """What a monitor is told after each E-step: which restart and step, and the nats of data (and of the prior)."""

    restart: int
    step: int
    log_likelihood: float
    objective: float


class HiddenMarkov(ABC):
    """What both kinds share.

    n_states: S. steps: EM steps at most. tolerance: EM stops once a step gains fewer nats an observation. restarts:
    random starts, of which the likeliest is kept; seed: theirs. transition_prior: pseudo-count of every transition and
    every first state. implementation: `scaling`, or `log`, which is slower and underflows nowhere (`scaling` goes over
    to it where it must). monitor: called after each E-step; what it raises ends the fit.

    Fitted: `start_` (S,), `transitions_` (S, S; row: from), `log_likelihood_` in nats, `history_` one a step,
    `converged_`.
    """

    names: ClassVar[tuple[str, ...]]  # of the fitted parameters

    start_: Tensor
    transitions_: Tensor

    def __init__(
        self,
        n_states: int,
        *,
        steps: int = 100,
        tolerance: float = 1e-6,
        restarts: int = 1,
        seed: int = 0,
        transition_prior: float = 0.0,
        implementation: Implementation = "scaling",
        monitor: Callable[[Progress], None] | None = None,
        dtype: torch.dtype = torch.float64,
        device: str | torch.device = "cpu",
    ) -> None:
        if not all(isinstance(count, int) and count >= 1 for count in (n_states, steps, restarts)):
            raise ValueError(
                f"n_states {n_states}, steps {steps} and restarts {restarts} must each be 1 or more, whole."
            )
        if implementation not in ("scaling", "log"):
            raise ValueError(f"The implementation {implementation!r} is unknown; it is scaling or log.")
        if not (tolerance >= 0 and transition_prior >= 0):
            raise ValueError(f"tolerance {tolerance} and transition_prior {transition_prior} must be 0 or more.")
        self.n_states, self.steps, self.tolerance, self.restarts, self.seed = n_states, steps, tolerance, restarts, seed
        self.transition_prior, self.implementation, self.monitor = transition_prior, implementation, monitor
        self.dtype, self.device = dtype, device
        self.history_: list[float] = []
        self.converged_ = False
        self.log_likelihood_ = -math.inf

    # What a kind of emissions brings

    @abstractmethod
    def _observed(self, values: NDArray[Any]) -> Tensor:
        """Observations, one after the other, as a tensor; raises ValueError for what cannot be any."""

    @abstractmethod
    def _rows(self, data: Tensor) -> tuple[Tensor, int]:
        """(total,) the row of the emissions of each observation, and how many rows there are."""

    @abstractmethod
    def _log_emissions(self, data: Tensor) -> Tensor:
        """(R, S) log probability or density of each row in each state."""

    @abstractmethod
    def _begin(self, data: Tensor, random: torch.Generator) -> None:
        """Emissions to start EM from."""

    @abstractmethod
    def _maximise(self, emitted: Tensor, data: Tensor) -> None:
        """The emissions that are likeliest given the rows' expected counts (R, S)."""

    @abstractmethod
    def _emission_prior(self) -> float:
        """Log density of the emissions under their prior, up to a constant."""

    @abstractmethod
    def _given(self, emissions: Sequence[Any]) -> None:
        """Take emissions given from outside. Raises ValueError for wrong ones."""

    @abstractmethod
    def _drawn(self, states: NDArray[np.int64], random: np.random.Generator) -> NDArray[Any]:
        """An observation of each state (N,)."""

    @property
    @abstractmethod
    def n_parameters(self) -> int:
        """Free parameters: probabilities that sum to 1 count one less."""

    # scikit-learn's shape

    @classmethod
    def _options(cls) -> list[str]:
        found: list[str] = []
        for kind in cls.__mro__:
            if "__init__" in kind.__dict__ and kind is not object:
                found += inspect.signature(kind.__dict__["__init__"]).parameters
        return [name for name in dict.fromkeys(found) if name not in ("self", "options")]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The options it was made with, by name."""
        return {name: getattr(self, name) for name in self._options()}

    def set_params(self, **options: Any) -> Self:
        """Change options by name. Raises ValueError for one that there is not."""
        made = type(self)(**{**self.get_params(), **options}) if options.keys() <= set(self._options()) else None
        if made is None:
            raise ValueError(f"The options are {', '.join(self._options())}; {', '.join(options)} are not all of them.")
        for name in options:
            setattr(self, name, getattr(made, name))
        return self

    def set_parameters(self, start: Any, transitions: Any, *emissions: Any) -> Self:
        """Take the parameters from outside, as `fit` would set them: start (S,), transitions (S, S), emissions.

        Raises ValueError for wrong shapes and for rows that are no probabilities.
        """
        self.start_ = self._probabilities("start", start, (self.n_states,))
        self.transitions_ = self._probabilities("transitions", transitions, (self.n_states, self.n_states))
        self._given(emissions)
        return self

    def _probabilities(self, name: str, values: Any, shape: tuple[int, ...]) -> Tensor:
        found = torch.as_tensor(values).to(self.device, self.dtype).clone()
        if tuple(found.shape) != shape:
            raise ValueError(f"{name} has the shape {tuple(found.shape)}; it must be {shape}.")
        if not bool((found >= 0).all()) or not bool(((found.sum(-1) - 1).abs() < 1e-4).all()):
            raise ValueError(f"{name} must be probabilities, 0 or more, that sum to 1 in each row.")
        return found / found.sum(-1, keepdim=True)

    def fit(
        self,
        sequences: Sequences,
        lengths: Sequence[int] | None = None,
        *,
        init: Sequence[Any] | None = None,
        check: Callable[[], None] | None = None,
    ) -> Self:
        """Baum-Welch (Rabiner 1989) from random starts, or from `init`: start, transitions, emissions.

        check: called at each step; what it raises (`Cancel.check`) ends the fit. Raises ValueError for data that cannot
        be any, for a sequence that is impossible under `init`, and `FallingLikelihood`.
        """
        data, parts = self._parts(sequences, lengths)
        best: tuple[float, dict[str, Any]] | None = None
        for restart in range(1 if init is not None else self.restarts):
            if init is not None:
                self.set_parameters(*init)
            else:
                random = torch.Generator().manual_seed(_mixed(self.seed, restart))
                self.start_ = self._random(random, self.n_states)
                self.transitions_ = self._random(random, self.n_states, self.n_states)
                self._begin(data, random)
            objective = self._climb(data, parts, restart, check or (lambda: None))
            if best is None or objective > best[0]:
                fitted = (*self.names, "history_", "converged_", "log_likelihood_")
                best = objective, {name: getattr(self, name) for name in fitted}
        assert best is not None
        for name, value in best[1].items():
            setattr(self, name, value)
        return self

    def _climb(self, data: Tensor, parts: list[Block], restart: int, check: Callable[[], None]) -> float:
        """EM from the parameters at hand until it gains little, or the steps are taken; returns the last objective."""
        work, total = Workspace(), len(data)
        before, self.history_, self.converged_ = -math.inf, [], False
        for step in range(self.steps + 1):
            check()
            chain = self._chain(data)
            if step == self.steps:  # the last parameters' likelihood needs no counts
                likelihood = float(torch.cat([log_likelihoods(chain, b, self.implementation) for b in parts]).sum())
            else:
                counts = Counts.none(chain)
                for block in parts:
                    count(chain, block, counts, work, self.implementation)
                likelihood = float(counts.log_likelihood)
            objective = likelihood + self._transition_log_prior() + self._emission_prior()
            check_rise(step, before, objective, SLACK if self.dtype == torch.float64 else SLACK_SINGLE)
            self.history_.append(likelihood)
            self.log_likelihood_ = likelihood
            if self.monitor is not None:
                self.monitor(Progress(restart, step, likelihood, objective))
            self.converged_ = objective - before < self.tolerance * total
            before = objective
            if self.converged_ or step == self.steps:
                break
            self.start_ = normalised(counts.first + self.transition_prior, self.start_)
            self.transitions_ = normalised(counts.moves + self.transition_prior, self.transitions_)
            self._maximise(counts.emitted[:-1], data)
        return before

    def log_likelihood(self, sequences: Sequences, lengths: Sequence[int] | None = None) -> NDArray[np.float64]:
        """(N,) nats of each sequence, -inf for an impossible one."""
        data, parts = self._parts(sequences, lengths)
        chain, found = self._chain(data), np.empty(sum(len(block.rows) for block in parts))
        for block in parts:
            found[block.rows.cpu().numpy()] = log_likelihoods(chain, block, self.implementation).cpu().numpy()
        return found

    def score(self, sequences: Sequences, lengths: Sequence[int] | None = None) -> float:
        """The log-likelihood of all sequences in nats."""
        return float(self.log_likelihood(sequences, lengths).sum())

    def posteriors(self, sequences: Sequences, lengths: Sequence[int] | None = None) -> list[NDArray[np.float64]]:
        """p(state | whole sequence), (T, S) for each sequence. Raises ValueError for an impossible one."""
        data, parts = self._parts(sequences, lengths)
        chain, found, work = self._chain(data), {}, Workspace()
        for block in parts:
            places = torch.arange(block.symbols.numel(), device=data.device).view_as(block.symbols)
            each = chain.log_table[block.symbols].flatten(0, 1)  # a row for every place
            own = replace(block, symbols=places.masked_fill(block.symbols == block.pad, len(each)), pad=len(each))
            apart = replace(chain, log_table=torch.cat([each, torch.zeros_like(each[:1])]))
            counts = Counts.none(apart)
            count(apart, own, counts, work, self.implementation)
            shares = counts.emitted[:-1].view(*block.symbols.shape, -1)
            for i, (row, length) in enumerate(zip(block.rows.tolist(), block.lengths.tolist(), strict=True)):
                found[row] = shares[:length, i].double().cpu().numpy()
        return [found[row] for row in range(len(found))]

    def viterbi(
        self, sequences: Sequences, lengths: Sequence[int] | None = None
    ) -> tuple[list[NDArray[np.int64]], NDArray[np.float64]]:
        """The likeliest states (T,) of each sequence, and (N,) the nats of states and observations together.

        Raises ValueError for an impossible sequence.
        """
        data, parts = self._parts(sequences, lengths)
        chain, found, nats = self._chain(data), {}, {}
        for block in parts:
            path, best = viterbi(chain, block)
            for i, (row, length) in enumerate(zip(block.rows.tolist(), block.lengths.tolist(), strict=True)):
                found[row], nats[row] = path[:length, i].cpu().numpy(), float(best[i])
        return [found[row] for row in range(len(found))], np.asarray([nats[row] for row in range(len(found))])

    def sample(self, n: int, seed: int = 0) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """A sequence of `n` observations, (n,) or (n, D), and the states (n,) that it went through."""
        if n < 1:
            raise ValueError(f"{n} observations were asked for; ask for 1 or more.")
        self._check_fitted()
        random = np.random.default_rng(seed)
        rows = np.cumsum(self.transitions_.double().cpu().numpy(), 1)
        sums, draws = np.cumsum(self.start_.double().cpu().numpy()), random.random(n)
        states = np.empty(n, dtype=np.int64)
        for i, draw in enumerate(draws):
            states[i] = min(np.searchsorted(sums, draw * sums[-1], side="right"), self.n_states - 1)
            sums = rows[states[i]]
        return self._drawn(states, random), states

    def aic(self, sequences: Sequences, lengths: Sequence[int] | None = None) -> float:
        """Akaike's information criterion, 2 k - 2 ln L (Akaike 1974): lower is better."""
        return 2 * self.n_parameters - 2 * self.score(sequences, lengths)

    def bic(self, sequences: Sequences, lengths: Sequence[int] | None = None) -> float:
        """The Bayesian information criterion, k ln n - 2 ln L, of n observations (Schwarz 1978): lower is better."""
        total = len(self._parts(sequences, lengths)[0])
        return self.n_parameters * math.log(total) - 2 * self.score(sequences, lengths)

    def _parts(self, sequences: Sequences, lengths: Sequence[int] | None) -> tuple[Tensor, list[Block]]:
        """All observations, one sequence after the other, and the sequences as blocks."""
        if lengths is None:
            if not isinstance(sequences, list | tuple):
                raise ValueError("One array holds several sequences: give their lengths too, or a list of arrays.")
            parts = [np.asarray(sequence.cpu() if isinstance(sequence, Tensor) else sequence) for sequence in sequences]
            if not parts or any(part.ndim == 0 or not len(part) for part in parts):
                raise ValueError(
                    "Give sequences as a list of arrays, none of them empty: there are no sequences, or one is."
                )
            if len({part.shape[1:] for part in parts}) > 1:
                raise ValueError("The sequences' observations have different shapes; they must all be alike.")
            values, sizes = np.concatenate(parts), [len(part) for part in parts]
        else:
            values = np.asarray(sequences.cpu() if isinstance(sequences, Tensor) else sequences)
            sizes = [int(length) for length in lengths]
            if not sizes or min(sizes) < 1 or sum(sizes) != len(values):
                raise ValueError(f"lengths must each be 1 or more and sum to {len(values)}, the observations given.")
        data = self._observed(values).to(self.device)
        rows, count_of_rows = self._rows(data)
        return data, list(blocks(rows, torch.tensor(sizes, device=rows.device), self.n_states, count_of_rows))

    def _check_fitted(self) -> None:
        if not hasattr(self, "start_") or not hasattr(self, self.names[-1]):
            raise ValueError("The model has no parameters yet: fit it, or give them by set_parameters.")

    def _chain(self, data: Tensor) -> Chain:
        self._check_fitted()
        log_emissions = self._log_emissions(data)
        return Chain(self.start_, self.transitions_, torch.cat([log_emissions, torch.zeros_like(log_emissions[:1])]))

    def _random(self, random: torch.Generator, *shape: int) -> Tensor:
        """Probabilities (..., K) drawn from the uniform Dirichlet distribution."""
        drawn = -torch.log1p(-torch.rand(shape, generator=random, dtype=torch.float64)) + 1e-12
        return (drawn / drawn.sum(-1, keepdim=True)).to(self.device, self.dtype)

    def _transition_log_prior(self) -> float:
        return log_dirichlet(self.transition_prior, self.start_, self.transitions_)


class CategoricalHMM(HiddenMarkov):
    """Observations are symbols, whole numbers from 0 to `n_symbols` - 1 (0: as many as the data of `fit` has).

    emission_prior: pseudo-count of every symbol in every state. Fitted: `emissions_` (S, V).
    """

    names = ("start_", "transitions_", "emissions_")

    emissions_: Tensor

    def __init__(self, n_states: int, *, n_symbols: int = 0, emission_prior: float = 0.0, **options: Any) -> None:
        super().__init__(n_states, **options)
        if n_symbols < 0 or not emission_prior >= 0:
            raise ValueError(f"n_symbols {n_symbols} and emission_prior {emission_prior} must be 0 or more.")
        self.n_symbols, self.emission_prior = n_symbols, emission_prior

    def fit(self, sequences: Sequences, lengths: Sequence[int] | None = None, **options: Any) -> Self:
        """See `HiddenMarkov.fit`."""
        if init := options.get("init"):
            self.set_parameters(*init)
        else:
            self.__dict__.pop("emissions_", None)
        return super().fit(sequences, lengths, **options)

    def _observed(self, values: NDArray[Any]) -> Tensor:
        if values.ndim == 2 and values.shape[1] == 1:
            values = values[:, 0]
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise ValueError(
                f"Symbols are whole numbers, (T,) a sequence; these are {values.dtype} {values.shape[1:]}."
            )
        known = self.emissions_.shape[1] if hasattr(self, "emissions_") else self.n_symbols
        if values.min() < 0 or (known and values.max() >= known):
            odd = values[(values < 0) | (values >= known if known else values < 0)][0]
            raise ValueError(f"The symbol {odd} is unknown; symbols are 0 to {known - 1 if known else 'V - 1'}.")
        return torch.from_numpy(values.astype(np.int64))

    def _rows(self, data: Tensor) -> tuple[Tensor, int]:
        known = self.emissions_.shape[1] if hasattr(self, "emissions_") else self.n_symbols or int(data.max()) + 1
        return data, known

    def _log_emissions(self, data: Tensor) -> Tensor:
        return self.emissions_.T.log()

    def _begin(self, data: Tensor, random: torch.Generator) -> None:
        """The symbols' shares in the data, with a random factor in each state."""
        symbols = self.n_symbols or int(data.max()) + 1
        shares = torch.bincount(data, minlength=symbols).to(self.dtype) + 0.5
        drawn = self._random(random, self.n_states, symbols) * shares
        self.emissions_ = drawn / drawn.sum(1, keepdim=True)

    def _maximise(self, emitted: Tensor, data: Tensor) -> None:
        self.emissions_ = normalised(emitted.T + self.emission_prior, self.emissions_)

    def _emission_prior(self) -> float:
        return log_dirichlet(self.emission_prior, self.emissions_)

    def _given(self, emissions: Sequence[Any]) -> None:
        if len(emissions) != 1:
            raise ValueError(f"{len(emissions)} arrays of emissions were given; give one, (states, symbols).")
        values = emissions[0]
        symbols = self.n_symbols or np.shape(values)[-1]
        self.emissions_ = self._probabilities("emissions", values, (self.n_states, symbols))

    def _drawn(self, states: NDArray[np.int64], random: np.random.Generator) -> NDArray[Any]:
        sums = np.cumsum(self.emissions_.double().cpu().numpy(), 1)
        draws = random.random(len(states)) * sums[states, -1]
        found = [np.searchsorted(sums[state], draw, side="right") for state, draw in zip(states, draws, strict=True)]
        return np.asarray(np.minimum(found, sums.shape[1] - 1), dtype=np.int64)

    @property
    def n_parameters(self) -> int:
        """S - 1 first states, S (S - 1) transitions, S (V - 1) emissions."""
        self._check_fitted()
        s = self.n_states
        return s - 1 + s * (s - 1) + s * (self.emissions_.shape[1] - 1)


def log_dirichlet(pseudo: float, *parameters: Tensor) -> float:
    """Log density of rows of probabilities under the Dirichlet prior of a pseudo-count, up to a constant."""
    return pseudo * sum(float(part.log().sum()) for part in parameters) if pseudo else 0.0


def normalised(counts: Tensor, before: Tensor) -> Tensor:
    """Rows as shares of their sums; where nothing was counted, as `before`."""
    total = counts.sum(-1, keepdim=True)
    return torch.where(total > 0, counts / torch.where(total > 0, total, 1.0), before)


def _mixed(seed: int, index: int) -> int:
    return int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]) & (2**63 - 1)
