"""A page about Markov chains: `Chains` as a picture that a person can read, dark on light.

A row a quantity: the trace of each chain, the density of each chain's draws, and the ranks of each chain's draws among
all (Vehtari et al. 2021, sec. 5), which are spread evenly where the chains agree. At most eight chains are drawn; the
figures above each row are of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from generators.core.kneser_ney import Floats
from generators.core.panels import INK, INNER, PALETTE, SOFT, canvas, font, page

if TYPE_CHECKING:
    from generators.core.markov_chains import Chains

COLOURS = (*PALETTE, "#b8860b", "#17a2a2")
EDGE, LINE = "#cfc7bd", "#e9e4dd"
SHOWN, DRAWN = 5, 8  # quantities and chains, at most
HIGH = 150  # pixels of a plot
LEFT, APART = 62, 34  # of its axis, and between plots
TRACE, DENSITY = 520, 210  # their widths; the ranks have the rest
BINS, POINTS = 20, 200


def picture(chains: Chains, coordinates: Sequence[int | str] | None = None) -> Image.Image:
    """The whole page, RGB, 1200 pixels wide. Raises ValueError for a coordinate that there is not."""
    names, x = chains.quantities()
    summary = chains.summary()
    rows = summary.rows()
    if coordinates is None:
        worst = np.argsort(np.nan_to_num(summary.ess_bulk, nan=0.0), kind="stable")[:SHOWN]
        chosen = sorted(worst.tolist())
    else:
        chosen = [_place(which, names) for which in coordinates]
    panels = [_head(chains, len(chosen), len(names))]
    panels += [_row(names[at], x[:, :, at], rows[at]) for at in chosen]
    return page(panels)


def _place(which: int | str, names: Sequence[str]) -> int:
    """The number of a quantity. Raises ValueError for one that there is not."""
    if isinstance(which, str) and which in names:
        return names.index(which)
    if isinstance(which, int) and 0 <= which < len(names):
        return which
    known = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
    raise ValueError(f"There is no coordinate {which!r}; there are {known}, or their numbers, 0 to {len(names) - 1}.")


def _head(chains: Chains, shown: int, quantities: int) -> Image.Image:
    """What ran, how it went and what speaks against it."""
    warnings = chains.warnings()
    made, draw = canvas(INNER, 66 + 20 * max(len(warnings), 1))
    count, length = chains.draws.shape[:2]
    draw.text((0, 0), f"{chains.method}: {count} chain{'s' * (count > 1)} of {length:,} draws", INK, font(26))
    few = f" The {shown} of {quantities} quantities with the least bulk ESS." if shown < quantities else ""
    drawn = f" {DRAWN} of {count} chains are drawn." if count > DRAWN else ""
    told = f"Acceptance {chains.acceptance.mean():.2f}, seed {chains.seed}, {chains.seconds:.2f} s after the warm-up."
    draw.text((0, 40), f"{told}{few}{drawn}", SOFT, font(14))
    for i, line in enumerate(warnings or ["Nothing speaks against them: R-hat and effective sample sizes are good."]):
        draw.text((0, 64 + 20 * i), line, "#b2182b" if warnings else "#13762f", font(13))
    return made


def _row(name: str, x: Floats, figures: dict[str, Any]) -> Image.Image:
    """The three plots of one quantity, (C, N)."""
    made, draw = canvas(INNER, HIGH + 66)
    sizes = f"bulk ESS {figures['ess_bulk']:,.0f}   tail ESS {figures['ess_tail']:,.0f}"
    draw.text((0, 0), name, INK, font(17))
    told = f"mean {figures['mean']:.4g} \u00b1 {figures['mcse']:.2g}   sd {figures['sd']:.4g}   "
    draw.text((LEFT + 88, 3), f"{told}R-hat {figures['rhat']:.3f}   {sizes}", SOFT, font(13))
    some = x[:DRAWN]
    low, high = (float(end) for end in np.quantile(x, [0.0005, 0.9995]))
    margin = 0.05 * (high - low) or 0.5
    low, high = low - margin, high + margin
    _trace(draw, (LEFT, 30, TRACE, HIGH), some, low, high)
    _density(draw, (LEFT + TRACE + APART, 30, DENSITY, HIGH), some, low, high)
    left = LEFT + TRACE + DENSITY + 2 * APART
    _ranks(draw, (left, 30, INNER - left - 1, HIGH), x)
    return made


Box = tuple[int, int, int, int]  # left, top, width, height


def _frame(draw: ImageDraw.ImageDraw, box: Box, below: str) -> None:
    x, y, width, high = box
    draw.rectangle((x, y, x + width, y + high), "#fdfcfb", EDGE)
    draw.text((x + width // 2, y + high + 24), below, SOFT, font(12), "mm")


def _ticks(low: float, high: float) -> list[float]:
    """About four round numbers between two."""
    step = 10.0 ** np.floor(np.log10((high - low) / 2))
    step *= next(k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= 4.5)
    return [step * k for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _trace(draw: ImageDraw.ImageDraw, box: Box, x: Floats, low: float, high: float) -> None:
    """Each chain's draws in order; where several come to a pixel, from their least to their most."""
    _frame(draw, box, "draw")
    left, top, width, tall = box
    for tick in _ticks(low, high):
        y = _down(np.asarray(tick), box, low, high)
        draw.line((left + 1, int(y), left + width - 1, int(y)), LINE)
        draw.text((left - 6, int(y)), f"{tick:.4g}", SOFT, font(11), "rm")
    count = x.shape[1]
    for end, text in ((0, "1"), (width, f"{count:,}")):
        draw.text((left + end, top + tall + 10), text, SOFT, font(11), "mm")
    at = left + 1 + np.arange(count) * (width - 2) // max(count - 1, 1)
    for chain, colour in zip(x, COLOURS, strict=False):
        y = _down(chain, box, low, high)
        if count <= width:
            draw.line(list(zip(at.tolist(), y.tolist(), strict=True)), colour)
            continue
        columns, first = np.unique(at, return_index=True)
        least, most = np.minimum.reduceat(y, first), np.maximum.reduceat(y, first)
        for column, above, below in zip(columns.tolist(), least.tolist(), most.tolist(), strict=True):
            draw.line((column, above, column, below), colour)


def _down(values: NDArray[Any], box: Box, low: float, high: float) -> NDArray[np.int64]:
    """Pixel rows of values."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(box[1] + 1 + (1 - share) * (box[3] - 2)).round().astype(np.int64)


def _density(draw: ImageDraw.ImageDraw, box: Box, x: Floats, low: float, high: float) -> None:
    """Each chain's density, by a Gaussian kernel (Scott 1992); of up to 20 whole numbers the shares, in steps."""
    _frame(draw, box, "density")
    left, top, width, tall = box
    kinds = np.unique(x)
    grid = np.linspace(low, high, POINTS)
    if len(kinds) <= BINS and (kinds == kinds.round()).all():
        nearest = np.abs(grid[:, None] - kinds).argmin(1)
        curves = [(chain[:, None] == kinds).mean(0)[nearest] for chain in x]
    else:
        curves = [_smoothed(chain, grid) for chain in x]
    most = max(float(curve.max()) for curve in curves) or 1.0
    for tick in _ticks(low, high):
        at = left + round((tick - low) / (high - low) * width)
        draw.line((at, top + tall, at, top + tall + 3), EDGE)
        draw.text((at, top + tall + 10), f"{tick:.4g}", SOFT, font(11), "mm")
    across = np.linspace(left + 1, left + width - 1, POINTS).round().astype(int).tolist()
    for curve, colour in zip(curves, COLOURS, strict=False):
        up = (top + tall - 1 - curve / most * (tall - 10)).round().astype(int).tolist()
        draw.line(list(zip(across, up, strict=True)), colour, 2)


def _smoothed(draws: Floats, grid: Floats) -> Floats:
    """The density (POINTS,) of draws on a grid, from a histogram that a Gaussian kernel smooths."""
    step = grid[1] - grid[0]
    edges = np.append(grid - step / 2, grid[-1] + step / 2)
    shares = np.histogram(draws, edges)[0] / (len(draws) * step)
    width = max(float(draws.std()) * len(draws) ** -0.2, step)
    reach = np.arange(1 - POINTS, POINTS) * step
    kernel = np.exp(-0.5 * (reach / width) ** 2)
    return np.convolve(shares, kernel / kernel.sum(), "valid")


def _ranks(draw: ImageDraw.ImageDraw, box: Box, x: Floats) -> None:
    """How many of each chain's draws are among the least twentieth of all draws, the next, and so on."""
    _frame(draw, box, "ranks of each chain among all draws")
    left, top, width, tall = box
    flat = x.ravel()
    order = np.lexsort((np.random.default_rng(0).random(len(flat)), flat))  # equal draws in any order
    ranks = np.empty(len(flat))
    ranks[order] = np.arange(len(flat)) / len(flat)
    even = x.shape[1] / BINS
    counts = [np.histogram(chain, BINS, (0, 1))[0] for chain in ranks.reshape(x.shape)[:DRAWN]]
    most = max(2 * even, *(float(count.max()) for count in counts))
    level = top + tall - round(even / most * (tall - 8))
    draw.line((left + 1, level, left + width - 1, level), "#8c8c8c")
    draw.text((left - 4, level), "even", SOFT, font(11), "rm")
    edges = np.linspace(left + 1, left + width - 1, BINS + 1).round().astype(int)
    for end, text in ((0, "least"), (width, "most")):
        draw.text((left + end, top + tall + 10), text, SOFT, font(11), "lm" if end == 0 else "rm")
    for count, colour in zip(counts, COLOURS, strict=False):
        up = (top + tall - count / most * (tall - 8)).round().astype(int)
        points = [(int(edge), int(y)) for k, y in enumerate(up) for edge in edges[k : k + 2]]
        draw.line(points, colour, 2)
