"""What a sampler hands back: the draws of several Markov chains, and whether they can be trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from generators.core import diagnostics
from generators.core.kneser_ney import Floats, Ints

if TYPE_CHECKING:
    from PIL.Image import Image

RHAT, ESS = 1.01, 400  # at most; at least (Vehtari et al. 2021, sec. 4)
DIGITS = 6  # that tell, in JSON
LOG_DENSITY = "log_density"


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A row a quantity, in `names`: the coordinates of a state, then the log-density. All are (rows,), in the
    quantity's unit but for rhat (none; NaN of one chain) and the effective sample sizes (draws).
    """

    names: tuple[str, ...]
    mean: Floats
    sd: Floats
    q5: Floats
    q95: Floats
    mcse: Floats  # Monte Carlo standard error of the mean
    rhat: Floats
    ess_bulk: Floats
    ess_tail: Floats

    def rows(self) -> list[dict[str, Any]]:
        """A dict a quantity."""
        columns = [field.name for field in fields(self) if field.name != "names"]
        return [
            {"name": name, **{column: float(getattr(self, column)[i]) for column in columns}}
            for i, name in enumerate(self.names)
        ]

    def __str__(self) -> str:
        """An aligned table."""
        rows = self.rows()
        table = [list(rows[0])]
        for row in rows:
            sizes = {name: f"{row[name]:.0f}" for name in ("ess_bulk", "ess_tail")}
            said = {"name": row["name"], **{name: f"{row[name]:.4g}" for name in row if name != "name"}, **sizes}
            table.append([*(said | {"rhat": f"{row['rhat']:.3f}"}).values()])
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = []
        for cells in table:
            numbers = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
            lines.append("  ".join([cells[0].ljust(widths[0]), *numbers]))
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class Chains:
    """C chains of N draws each, without the warm-up.

    draws: (C, N, ...), a state each. log_densities: (C, N) nats, unnormalised as given; NaN where none was given.
    acceptance: (C,) mean acceptance probability. step_sizes: (C,) of the leapfrog or the random walk, NaN of others.
    divergences: (C,) trajectories of HMC whose energy went astray. evaluations: of the log-density (and its gradient),
    in states, all chains and the warm-up together. seconds: of the draws; warmup_seconds: of what came before.
    """

    method: str
    draws: NDArray[Any]
    log_densities: Floats
    acceptance: Floats
    step_sizes: Floats
    divergences: Ints
    evaluations: int
    seconds: float
    warmup_seconds: float
    seed: int
    labels: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the coordinates of a state are called, (d,): as `named`, or `x[0]`, `x[1]`, ..."""
        if self.labels or self.draws.dtype.kind not in "biuf":
            return self.labels
        return tuple(f"x[{', '.join(map(str, at))}]" if at else "x" for at in np.ndindex(self.draws.shape[2:]))

    def named(self, *names: str) -> Chains:
        """The same with names for the coordinates. Raises ValueError for more or fewer of them than there are."""
        count = math.prod(self.draws.shape[2:])
        if len(names) != count:
            raise ValueError(f"There are {len(names)} names for {count} coordinates; give one each.")
        return replace(self, labels=names)

    def quantities(self) -> tuple[tuple[str, ...], Floats]:
        """Names and draws (C, N, rows) of what can be summarised: a state's numbers and the log-density."""
        parts, names = [], self.names
        if names:
            parts.append(self.draws.reshape(*self.draws.shape[:2], -1).astype(np.float64))
        if not np.isnan(self.log_densities).any():
            parts.append(self.log_densities[..., None])
            names = (*names, LOG_DENSITY)
        if not parts:
            raise ValueError("The states are not numbers and there is no log-density, so there is nothing to sum up.")
        return names, np.concatenate(parts, -1)

    def summary(self) -> Summary:
        """Each quantity's moments, quantiles and diagnostics. Raises ValueError for fewer than four draws a chain."""
        names, x = self.quantities()
        q5, q95 = np.quantile(x, diagnostics.TAILS, axis=(0, 1))
        return Summary(
            names=names,
            mean=x.mean((0, 1)),
            sd=x.std((0, 1), ddof=1),
            q5=q5,
            q95=q95,
            mcse=diagnostics.mcse_mean(x),
            rhat=diagnostics.rhat(x) if len(x) > 1 else np.full(len(names), np.nan),
            ess_bulk=diagnostics.ess_bulk(x),
            ess_tail=diagnostics.ess_tail(x),
        )

    def warnings(self) -> list[str]:
        """What speaks against trusting the draws, a sentence each; empty where nothing does."""
        return self._warnings(self.summary())

    def _warnings(self, summary: Summary) -> list[str]:
        found = []
        if len(self.draws) == 1:
            found.append("There is one chain, so R-hat cannot tell whether it has converged; run 2 or more.")
        apart = summary.rhat > RHAT
        if apart.any():
            worst = f"up to {np.nanmax(summary.rhat):.3f} in {_some(summary.names, apart)}"
            found.append(f"R-hat is above {RHAT} ({worst}): the chains do not agree yet; run longer.")
        for name, sizes in (("bulk", summary.ess_bulk), ("tail", summary.ess_tail)):
            few = sizes < ESS
            if few.any():
                least = f"down to {np.nanmin(sizes):.0f} in {_some(summary.names, few)}"
                found.append(f"The {name} effective sample size is below {ESS} ({least}); draw more.")
        if self.divergences.any():
            found.append(
                f"{int(self.divergences.sum())} of {self.log_densities.size} trajectories diverged: parts of the "
                "density may be missed; raise target_acceptance, or write the density in other coordinates."
            )
        still = summary.sd == 0
        if still.any():
            found.append(f"{_some(summary.names, still)} never changed.")
        return found

    def to_json(self) -> str:
        """One JSON object: how the chains ran, `summary`, `warnings`, `draws` and `log_densities`; NaN is null."""
        summary = self.summary()
        told = {
            "method": self.method,
            "seed": self.seed,
            "names": self.names,
            "summary": summary.rows(),
            "warnings": self._warnings(summary),
            **{name: getattr(self, name) for name in ("acceptance", "step_sizes", "divergences", "evaluations")},
            **{name: getattr(self, name) for name in ("seconds", "warmup_seconds", "log_densities", "draws")},
        }
        return json.dumps(_plain(told), ensure_ascii=False)

    def picture(self, coordinates: Sequence[int | str] | None = None) -> Image:
        """Traces, densities and rank histograms of some quantities, by number or name; those of the least ESS if None.

        Raises ValueError for one that there is not.
        """
        from generators.core.trace_picture import picture

        return picture(self, coordinates)


def _some(names: Sequence[str], which: NDArray[np.bool_]) -> str:
    """A few of the names, and how many more there are."""
    chosen = [name for name, flag in zip(names, which.tolist(), strict=True) if flag]
    more = f" and {len(chosen) - 3} more" if len(chosen) > 3 else ""
    return ", ".join(chosen[:3]) + more


def _plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
