"""A picture of a hidden Markov model's states: the most used ones as boxes of words, arrows where they lead.

The boxes stand on an ellipse, so that no arrow between two runs through a third, and in an order that keeps states
that follow each other close.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from generators.core.panels import INK, SOFT, font, text_width

Floats = NDArray[np.float64]
WIDTH, HEIGHT, BOX, HIGH = 1500, 1180, 168, 66  # pixels
CENTRE = np.asarray([WIDTH / 2, HEIGHT / 2 + 24])
STATES = 16  # that are shown at most
LIKELY, LEADS = 0.12, 3  # an arrow stands for at least so likely a transition, one of so many likeliest
SCALE = 2  # it is drawn so much larger, then made smaller
ARROW = ("#c9d6e8", "#1f4e9c")  # of the least likely and of a sure transition


def state_graph(told: Sequence[Sequence[tuple[str, float]]], usage: Floats, transitions: Floats) -> bytes:
    """The picture as a PNG.

    told: (S) of each state what it emits most. usage: (S,) how often each is met. transitions: (S, S), from a row.
    """
    chosen = np.argsort(-usage, kind="stable")[:STATES]
    moves = transitions[np.ix_(chosen, chosen)]
    order = around(usage[chosen, None] * moves)
    chosen, moves = chosen[order], moves[np.ix_(order, order)]
    angles = 2 * np.pi * np.arange(len(chosen)) / len(chosen) - np.pi / 2
    radius = [WIDTH / 2 - BOX / 2 - 14, HEIGHT / 2 - HIGH / 2 - 50]
    places = CENTRE + np.stack([np.cos(angles), np.sin(angles)], 1) * radius
    made = Image.new("RGB", (WIDTH * SCALE, HEIGHT * SCALE), "white")
    draw = ImageDraw.Draw(made)
    arrows = [
        (float(moves[a, b]), a, int(b))
        for a in range(len(chosen))
        for b in np.argsort(-moves[a], kind="stable")[:LEADS]
        if a != b and moves[a, b] >= LIKELY
    ]
    drawn = [(p, points) for p, a, b in sorted(arrows) if len(points := _curve(places[a], places[b])) > 1]
    for p, points in drawn:
        _arrow(draw, points, p)
    for i, state in enumerate(chosen.tolist()):
        _box(draw, places[i], [text for text, _ in told[state]], usage[state], moves[i, i])
    taken: list[Floats] = []
    for p, points in reversed(drawn):
        _share(draw, points, p, taken)
    shown = f"the {len(chosen)} states used most of {len(usage)}" if len(chosen) < len(usage) else "all states"
    _text(draw, (16, 20), f"Hidden states: {shown}", INK, 20, "lm")
    told_of = (
        f"each with its likeliest words and its share of the text; arrows: its likeliest moves, from {LIKELY:.0%} on"
    )
    _text(draw, (16, 46), told_of, SOFT, 13, "lm")
    buffer = io.BytesIO()
    small = made.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    small.quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def around(flow: Floats) -> NDArray[np.int64]:
    """An order of N things on a circle in which those with much `flow` (N, N) between them are near: by exchanges."""
    n = len(flow)
    between = flow + flow.T
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
    apart = np.minimum(apart, n - apart)
    order = np.arange(n)
    cost, better = float((between[np.ix_(order, order)] * apart).sum()), True
    while better:
        better = False
        for i in range(n):
            for j in range(i + 1, n):
                tried = order.copy()
                tried[[i, j]] = tried[[j, i]]
                price = float((between[np.ix_(tried, tried)] * apart).sum())
                if price < cost - 1e-12:
                    order, cost, better = tried, price, True
    return order


def _curve(begin: Floats, end: Floats) -> Floats:
    """(N, 2) points of an arrow from one box's edge to another's, bent towards the middle and to the right of its way.

    The bend keeps it off the boxes between, and apart from the arrow back.
    """
    across = end - begin
    far = float(np.hypot(*across))
    right = np.asarray([-across[1], across[0]]) / far
    middle = (begin + end) / 2
    bent = middle + (CENTRE - middle) * 0.3 + right * min(0.1 * far, 24)
    t = np.linspace(0, 1, 400)[:, None]
    points = (1 - t) ** 2 * begin + 2 * t * (1 - t) * bent + t**2 * end
    half = np.asarray([BOX / 2 + 3, HIGH / 2 + 3])
    free = (np.abs(points - begin) > half).any(1) & (np.abs(points - end) > half).any(1)
    return np.asarray(points[free])


def _arrow(draw: ImageDraw.ImageDraw, points: Floats, p: float) -> None:
    low, high = (np.asarray(list(bytes.fromhex(colour[1:]))) for colour in ARROW)
    colour = tuple((low + (high - low) * min(1.0, p / 0.6)).astype(int).tolist())
    tip, size = points[-1], 7 + 6 * p
    apart = np.hypot(*(points - tip).T)
    back = int(np.flatnonzero(apart >= size)[-1]) if (apart >= size).any() else 0
    draw.line([tuple(point * SCALE) for point in points[: back + 2]], colour, round((1.2 + 5 * p) * SCALE), "curve")
    way = (tip - points[back]) / max(float(apart[back]), 1e-9)
    side = np.asarray([-way[1], way[0]]) * size * 0.55
    draw.polygon([tuple(at * SCALE) for at in (tip, points[back] + side, points[back] - side)], colour)


def _share(draw: ImageDraw.ImageDraw, points: Floats, p: float, taken: list[Floats]) -> None:
    """How likely the transition is: on the arrow near its beginning, where none of the places `taken` is too near."""
    said = f"{p:.0%}"
    room = np.asarray([text_width(said, 11) + 6, 16])
    apart = np.hypot(*(points - points[0]).T)
    long = float(apart.max())
    tried = [points[int(np.argmin(np.abs(apart - far)))] for far in np.arange(min(0.3 * long, 34), 0.8 * long, 16)]
    free = (at for at in tried if not any((np.abs(at - other) < room).all() for other in taken))
    at = next(free, tried[0] if tried else points[0])
    taken.append(at)
    low, high = at - room / 2 + 1, at + room / 2 - 1
    draw.rounded_rectangle([*(low * SCALE), *(high * SCALE)], 4 * SCALE, "white")
    _text(draw, (at[0], at[1]), said, SOFT, 11, "mm")


def _box(draw: ImageDraw.ImageDraw, at: Floats, words: Sequence[str], share: float, stays: float) -> None:
    """A state: its words on two lines at most, below them its share of the text and how likely it stays."""
    x, y = at
    edges = [(x - BOX / 2) * SCALE, (y - HIGH / 2) * SCALE, (x + BOX / 2) * SCALE, (y + HIGH / 2) * SCALE]
    draw.rounded_rectangle(edges, 9 * SCALE, "#fff7ec", "#e6974a", SCALE)
    half = -(-len(words) // 2)
    lines = [words[:half], words[half:]] if len(words) > 2 else [words]
    for line, part in enumerate(lines):
        said = "  ".join(part)
        while text_width(said, 14) > BOX - 12:
            said = said.removesuffix("\u2026")[:-1] + "\u2026"
        _text(draw, (x, y - 1 - 9 * len(lines) + 18 * line), said, INK, 14, "mm")
    more = f", stays {stays:.0%}" if stays >= LIKELY else ""
    _text(draw, (x, y + 21), f"{share:.1%} of all{more}", SOFT, 11, "mm")


def _text(draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, colour: str, size: int, anchor: str) -> None:
    draw.text((at[0] * SCALE, at[1] * SCALE), text, colour, font(size * SCALE), anchor)
