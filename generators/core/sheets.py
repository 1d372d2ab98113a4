"""Pictures about pictures: contact sheets, curves of a training, a map of latents; for model cards and for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706")


def contact_sheet(pixels: NDArray[np.uint8], columns: int = 0, scale: int = 0, gap: int = 2) -> Image.Image:
    """Pictures (N, H, W[, 3]) uint8 in rows, each pixel `scale` wide (0: about 80 for a picture).

    columns 0: about as many as rows. Raises ValueError for no pictures.
    """
    from PIL import Image

    if not len(pixels):
        raise ValueError("There are no pictures for a sheet; give 1 or more.")
    columns = columns or int(np.ceil(np.sqrt(len(pixels))))
    height, width = pixels.shape[1:3]
    scale = scale or max(1, 80 // height)
    rows = -(-len(pixels) // columns)
    step = (height * scale + gap, width * scale + gap)
    sheet = Image.new("RGB" if pixels.ndim == 4 else "L", (columns * step[1] - gap, rows * step[0] - gap), "white")
    for i, picture in enumerate(pixels):
        enlarged = Image.fromarray(picture).resize((width * scale, height * scale), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (i % columns * step[1], i // columns * step[0]))
    return sheet


def curves(history: Sequence[Mapping[str, float]], width: int = 640, height: int = 150) -> str:
    """An SVG of a training's figures over its steps: losses in one panel, gradient norms (as log10) in another.

    `history` is `Trained.history`. Returns "" where there is nothing to draw.
    """
    names = [name for name in history[0] if name != "step"] if history else []
    norms = [name for name in names if "gradient" in name]
    panels = [panel for panel in ([name for name in names if name not in norms], norms) if panel]
    if len(history) < 2 or not panels:
        return ""
    drawn = []
    for i, panel in enumerate(panels):
        drawn += _panel(history, panel, i * (height + 50), width, height, logs=panel is norms)
    size = f'width="{width}" height="{len(panels) * (height + 50)}"'
    font = 'font-family="sans-serif" font-size="11"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {font}>\n' + "\n".join(drawn) + "\n</svg>\n"


def _panel(
    history: Sequence[Mapping[str, float]], names: list[str], top: int, width: int, height: int, logs: bool
) -> list[str]:
    steps = np.asarray([point["step"] for point in history], float)
    values = np.asarray([[point.get(name, np.nan) for point in history] for name in names], float)
    values = np.log10(values.clip(1e-12)) if logs else values
    low, high = np.nanquantile(values, 0.01), np.nanquantile(values, 0.99)
    high = high if high > low else low + 1
    x = 50 + (width - 60) * (steps - steps[0]) / max(1.0, steps[-1] - steps[0])
    out = [f'<rect x="50" y="{top + 20}" width="{width - 60}" height="{height}" fill="none" stroke="#999"/>']
    for i, (name, row) in enumerate(zip(names, values, strict=True)):
        y = top + 20 + height * (1 - (row.clip(low, high) - low) / (high - low))
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True) if np.isfinite(b))
        colour = COLOURS[i % len(COLOURS)]
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.2"/>')
        label = ("log10 " if logs else "") + name.replace("_", " ")
        out.append(f'<text x="{50 + 150 * i}" y="{top + 14}" fill="{colour}">{escape(label)}</text>')
    for value, y in ((high, top + 28), (low, top + 18 + height)):
        out.append(f'<text x="46" y="{y}" text-anchor="end" fill="#555">{value:.3g}</text>')
    for value, place, anchor in ((steps[0], 50, "start"), (steps[-1], width - 10, "end")):
        out.append(
            f'<text x="{place}" y="{top + 34 + height}" text-anchor="{anchor}" fill="#555">step {value:,.0f}</text>'
        )
    return out


def latent_map(pixels: NDArray[np.uint8], places: NDArray[np.floating[Any]], cells: int = 24) -> Image.Image:
    """Pictures (N, H, W[, 3]) at their places (N, 2) of a map, one to each of `cells` x `cells` cells at most.

    The cell nearest to a picture's place shows it, the first come; the axes are stretched to ranks, so that a crowded
    middle has room. Raises ValueError where the two do not match.
    """
    if len(pixels) != len(places) or places.ndim != 2 or places.shape[1] != 2:
        raise ValueError(f"There are {len(pixels)} pictures and places of the shape {places.shape}; give (N, 2).")
    ranks = places.argsort(0).argsort(0) / max(1, len(places) - 1)
    table = np.minimum((ranks * cells).astype(int), cells - 1)
    blank = np.full((cells * cells, *pixels.shape[1:]), 255, np.uint8)
    for (column, row), picture in reversed(list(zip(table.tolist(), pixels, strict=True))):
        blank[row * cells + column] = picture
    return contact_sheet(blank, cells, scale=1, gap=0)
