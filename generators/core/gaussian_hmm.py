"""Hidden Markov models of points: each state has a normal distribution, with a full or a diagonal covariance.

The covariances' prior is one pseudo-observation of a small variance in each state, at its mean, so that no state
shrinks onto a point; see `generators.core.hidden_markov` for all else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from generators.core.hidden_markov import HiddenMarkov, Sequences


class GaussianHMM(HiddenMarkov):
    """Observations are points of D dimensions, (T, D) a sequence.

    covariance: `full` or `diagonal`. floor: the variance of the one pseudo-observation of each state, as a share of the
    data's own in each dimension. Fitted: `means_` (S, D), `covariances_` (S, D, D) or (S, D).
    """

    names = ("start_", "transitions_", "means_", "covariances_")

    means_: Tensor
    covariances_: Tensor

    def __init__(
        self, n_states: int, *, covariance: Literal["full", "diagonal"] = "full", floor: float = 1e-3, **options: Any
    ) -> None:
        super().__init__(n_states, **options)
        if covariance not in ("full", "diagonal"):
            raise ValueError(f"The covariance {covariance!r} is unknown; it is full or diagonal.")
        if not floor > 0:
            raise ValueError(f"floor is {floor}; it must be above 0.")
        self.covariance, self.floor = covariance, floor
        self._least = torch.zeros(0)  # (D,) variances of the pseudo-observation

    def fit(self, sequences: Sequences, lengths: Sequence[int] | None = None, **options: Any) -> Self:
        """See `HiddenMarkov.fit`."""
        self.__dict__.pop("means_", None)
        data, _ = self._parts(sequences, lengths)
        spread = data.var(0, correction=0)
        self._least = self.floor * torch.where(spread > 0, spread, 1.0)
        return super().fit(sequences, lengths, **options)

    def _observed(self, values: NDArray[Any]) -> Tensor:
        if values.ndim != 2 or values.dtype.kind not in "iuf":
            raise ValueError(
                f"Observations are numbers, (T, D) a sequence; these are {values.dtype} {values.shape[1:]}."
            )
        if hasattr(self, "means_") and values.shape[1] != self.means_.shape[1]:
            raise ValueError(f"Observations have {values.shape[1]} dimensions; the model has {self.means_.shape[1]}.")
        if not np.isfinite(values).all():
            raise ValueError("An observation is not a finite number; leave out or fill in what is missing.")
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.dtype)

    def _rows(self, data: Tensor) -> tuple[Tensor, int]:
        return torch.arange(len(data), device=data.device), len(data)

    def _log_emissions(self, data: Tensor) -> Tensor:
        if self.covariance == "diagonal":
            spread = self.covariances_
            apart = ((data[:, None] - self.means_) ** 2 / spread).sum(-1)
            volume = spread.log().sum(-1)
        else:
            root = torch.linalg.cholesky(self.covariances_)  # (S, D, D)
            off = (data[None] - self.means_[:, None]).mT  # (S, D, total)
            apart = (torch.linalg.solve_triangular(root, off, upper=False) ** 2).sum(1).T
            volume = 2 * torch.diagonal(root, dim1=1, dim2=2).log().sum(-1)
        return -0.5 * (apart + volume + data.shape[1] * math.log(2 * math.pi))

    def _begin(self, data: Tensor, random: torch.Generator) -> None:
        """Means at random observations, each far from those before it (Arthur & Vassilvitskii 2007)."""
        spread = torch.where(data.var(0, correction=0) > 0, data.var(0, correction=0), 1.0)
        chosen = [data[int(torch.randint(len(data), (1,), generator=random))]]
        for _ in range(1, self.n_states):
            far = torch.stack([((data - mean) ** 2 / spread).sum(1) for mean in chosen]).amin(0).double().cpu()
            weights = far if float(far.sum()) > 0 else torch.ones_like(far)
            drawn = float(torch.rand((), generator=random)) * float(weights.sum())
            chosen.append(data[int(torch.searchsorted(weights.cumsum(0), drawn))])
        self.means_ = torch.stack(chosen)
        each = spread if self.covariance == "diagonal" else torch.diag(spread)
        self.covariances_ = each.expand(self.n_states, *each.shape).clone()

    def _maximise(self, emitted: Tensor, data: Tensor) -> None:
        """The pseudo-observation lies at the mean, whose own maximum it leaves where it is."""
        total = emitted.sum(0)[:, None]  # (S, 1)
        used = total > 0
        self.means_ = torch.where(used, emitted.T @ data / torch.where(used, total, 1.0), self.means_)
        if self.covariance == "diagonal":
            off = data[:, None] - self.means_
            self.covariances_ = (torch.einsum("ns,nsd->sd", emitted, off**2) + self._least) / (total + 1)
            return
        found = []
        for state in range(self.n_states):
            off = data - self.means_[state]
            found.append((off.T @ (emitted[:, state, None] * off) + torch.diag(self._least)) / (total[state] + 1))
        self.covariances_ = torch.stack(found)

    def _emission_prior(self) -> float:
        if self.covariance == "diagonal":
            return -0.5 * float((self.covariances_.log() + self._least / self.covariances_).sum())
        inverse = torch.diagonal(torch.linalg.inv(self.covariances_), dim1=1, dim2=2)
        return -0.5 * float(torch.logdet(self.covariances_).sum() + (inverse * self._least).sum())

    def _given(self, emissions: Sequence[Any]) -> None:
        if len(emissions) != 2:
            raise ValueError(f"{len(emissions)} arrays of emissions were given; give means and covariances.")
        means, covariances = (torch.as_tensor(part).to(self.device, self.dtype).clone() for part in emissions)
        if means.ndim != 2 or len(means) != self.n_states:
            raise ValueError(f"means has the shape {tuple(means.shape)}; it must be ({self.n_states}, D).")
        if not (bool(torch.isfinite(means).all()) and bool(torch.isfinite(covariances).all())):
            raise ValueError("A mean or covariance is not a finite number; give finite ones.")
        d = means.shape[1]
        shape = (self.n_states, d) if self.covariance == "diagonal" else (self.n_states, d, d)
        if tuple(covariances.shape) != shape:
            raise ValueError(f"covariances has the shape {tuple(covariances.shape)}; it must be {shape}.")
        definite = covariances > 0 if self.covariance == "diagonal" else torch.linalg.eigvalsh(covariances) > 0
        if not bool(definite.all()):
            raise ValueError("covariances must be positive definite.")
        self.means_, self.covariances_ = means, covariances

    def _drawn(self, states: NDArray[np.int64], random: np.random.Generator) -> NDArray[Any]:
        means, spread = self.means_.double().cpu().numpy(), self.covariances_.double().cpu().numpy()
        noise = random.standard_normal((len(states), means.shape[1]))
        if self.covariance == "diagonal":
            return np.asarray(means[states] + noise * np.sqrt(spread)[states])
        return np.asarray(means[states] + np.einsum("nij,nj->ni", np.linalg.cholesky(spread)[states], noise))

    @property
    def n_parameters(self) -> int:
        """S - 1 first states, S (S - 1) transitions, S D means, and the covariances."""
        self._check_fitted()
        s, d = self.means_.shape
        return s - 1 + s * (s - 1) + s * d + s * (d if self.covariance == "diagonal" else d * (d + 1) // 2)
