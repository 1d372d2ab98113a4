"""Panels of a page about one line, see `inside_picture`: what n-grams were counted, which hidden states were met."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from generators.core.inside import Array, Inside
from generators.core.panels import (
    BLUE,
    INK,
    INNER,
    RIGHT,
    SOFT,
    UNSEEN,
    across,
    canvas,
    cut,
    fitting,
    font,
    ramp,
    room,
    scale,
    shown,
    some,
)

FOLLOWED = 48  # places whose followers are shown at most
STATES = 16  # of a hidden Markov model that are shown at most, beside those on the likeliest path
PATH = "#d9662b"


def hidden_states(inside: Inside, posteriors: Array, path: NDArray[np.int64]) -> Image.Image:
    """A row for each state that matters on the line: how likely it is in each place, and the likeliest path."""
    left, top, high = 250, 54, 26
    peaks = np.maximum(posteriors.max(0), np.isin(np.arange(posteriors.shape[1]), path))
    chosen = np.argsort(-peaks, kind="stable")[: max(STATES, len(set(path.tolist())))]
    chosen = chosen[peaks[chosen] >= 0.1]
    chosen = chosen[np.argsort(posteriors[:, chosen].argmax(0), kind="stable")]  # in the order of the line
    cell = max(6, min(40, (INNER - left - 4) // len(path)))
    made, draw = canvas(INNER, top + high * len(chosen) + room(inside.tokens, cell) + 10)
    draw.text((0, 0), "Hidden states", INK, font(17))
    told = "a row for each state and what it emits most: how likely it is, given the whole line"
    draw.text((0, 24), f"{told}.{some(len(chosen), posteriors.shape[1], 'states')}", SOFT, font(12))
    scale(draw, 840, 32, BLUE, ("0", "1"))
    draw.line((1010, 32, 1034, 32), PATH, 3)
    draw.text((1040, 32), "likeliest path", SOFT, font(12), "lm")
    colours = ramp(posteriors[:, chosen].T, BLUE)
    made.paste(Image.fromarray(colours.repeat(high, 0).repeat(cell, 1)), (left, top))
    for row, state in enumerate(chosen.tolist()):
        y = top + row * high
        draw.text((left - 8, y + high // 2), cut(inside.state_names[state], left - 14, 12), INK, font(12), "rm")
        draw.line((left, y, left + cell * len(path), y), "#e6dfd6")
    for i in range(len(path)):
        draw.line((left + i * cell, top, left + i * cell, top + high * len(chosen)), "#e6dfd6")
    draw.rectangle((left - 1, top - 1, left + cell * len(path), top + high * len(chosen)), outline="#cfc7bd")
    rows = {state: row for row, state in enumerate(chosen.tolist())}
    points = [
        (left + i * cell + cell // 2, top + rows[state] * high + high // 2) for i, state in enumerate(path.tolist())
    ]
    draw.line(points, PATH, 2)
    for x, y in points:
        draw.ellipse((x - 3, y - 3, x + 3, y + 3), PATH, "white")
    across(made, left, top + high * len(chosen), inside.tokens, cell, below=True)
    return made


def counted(inside: Inside, counts: NDArray[np.int64], totals: NDArray[np.int64]) -> Image.Image:
    """A row for n-grams of each length, the longest on top: how often each was counted, on the share of its context."""
    left, top, high = 44, 54, 24
    cell = max(8, min(40, (INNER - left) // len(inside.tokens)))
    size = 11 if cell >= 28 else 8
    made, draw = canvas(INNER, top + high * len(counts) + room(inside.tokens, cell) + 10)
    draw.text((0, 0), "What was counted", INK, font(17))
    told = "how often each n-gram was seen; shorter ones by how many different tokens stood before them"
    draw.text((0, 24), told, SOFT, font(12))
    scale(draw, 860, 32, BLUE, ("never after its context", "always"))
    shares = counts / np.maximum(totals, 1)
    for row, n in enumerate(range(len(counts) - 1, -1, -1)):
        y = top + row * high
        draw.text((left - 8, y + high // 2), str(n + 1), SOFT, font(11), "rm")
        for i in range(len(inside.tokens)):
            x = left + i * cell
            colour = tuple(ramp(np.asarray(shares[n, i]), BLUE).tolist()) if totals[n, i] else UNSEEN
            draw.rectangle((x, y, x + cell - 2, y + high - 2), colour)
            if counts[n, i] and cell >= 18:
                ink = "white" if shares[n, i] > 0.45 else INK
                draw.text((x + cell // 2 - 1, y + high // 2 - 1), _count_text(int(counts[n, i])), ink, font(size), "mm")
    across(made, left, top + high * len(counts), inside.tokens, cell, below=True)
    return made


def _count_text(count: int) -> str:
    """A count in four characters at most."""
    for unit, name in ((10**6, "M"), (10**3, "k")):
        if count >= unit:
            return f"{count / unit:.1f}{name}" if count < 10 * unit else f"{count // unit}{name}"
    return str(count)


def followed(inside: Inside) -> Image.Image:
    """What followed the longest context that is known in each place: two columns of lines."""
    places = sorted(np.argsort(-inside.nats, kind="stable")[:FOLLOWED].tolist())
    rows, high = -(-len(places) // 2), 20
    made, draw = canvas(INNER, 54 + rows * high + 6)
    draw.text((0, 0), "The choice behind each", INK, font(17))
    which = f"; the {FOLLOWED} most surprising places are shown" if len(places) < len(inside.nats) else ""
    draw.text(
        (0, 24), f"the longest context that is known there, and what followed it how often{which}", SOFT, font(12)
    )
    for k, i in enumerate(places):
        x, y = k // rows * (INNER // 2), 54 + k % rows * high + high // 2
        context, found = inside.followers[i]
        draw.text((x + 90, y), fitting(_line_of(context, inside.unit) or "(nothing)", 150, 12), SOFT, font(12), "rm")
        draw.text((x + 98, y), shown(inside.tokens[i]), INK, font(13), "lm")
        told = ",  ".join(f"{shown(token)} {_count_text(count)}" for token, count in found)
        right = any(token == inside.tokens[i] for token, _ in found)
        draw.text((x + 190, y), fitting(told, INNER // 2 - 200, 12), RIGHT if right else SOFT, font(12), "lm")
    return made


def _line_of(text: str, unit: str) -> str:
    """A context on one line, with its blanks told where they are tokens of their own."""
    line = "".join(shown(letter) if letter.isspace() else letter for letter in text)
    return line.replace(shown(" "), " ").strip() if unit == "word" else line
