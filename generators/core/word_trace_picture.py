"""A page about the chain that wrote words into a text: `WordTrace` as a picture, and the text that it ended with."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw

from generators.core.panels import INK, INNER, PALETTE, SOFT, canvas, font, page, text_width
from generators.core.word_moves import WordTrace

COLOURS = {"replace": PALETTE[0], "insert": PALETTE[2], "delete": PALETTE[4], "move": PALETTE[3]}
HIGH, LEFT = 260, 70  # pixels of the plot, and of its axis
KEYWORD = "#c0392b"
LINE = 96  # characters


def picture(model: str, trace: WordTrace, text: str) -> Image.Image:
    """The whole page, RGB, 1200 pixels wide. model: its name. text: what the chain ended with."""
    return page([_head(model, trace), _plot(trace), _text(trace, text)])


def _head(model: str, trace: WordTrace) -> Image.Image:
    made, draw = canvas(INNER, 62)
    draw.text((0, 0), f"How {model} writes with {', '.join(trace.keywords)}", INK, font(26))
    tried = Counter(trace.kinds)
    told = [f"{kind} {share:.0%} of {tried[kind]}" for kind, share in trace.acceptance.items() if kind in COLOURS]
    moves = f"{len(trace.kinds)} moves of a Markov chain over whole texts"
    draw.text((0, 40), f"{moves}; accepted: {', '.join(told) or 'none'}.", SOFT, font(14))
    return made


def _plot(trace: WordTrace) -> Image.Image:
    """The text's log density before the first move and after each, the accepted ones marked."""
    top = 54
    made, draw = canvas(INNER, top + HIGH + 30)
    draw.text((0, 0), "How likely the text is", INK, font(17))
    draw.text((0, 24), "ln density, in nats, before the first move and after each accepted one", SOFT, font(12))
    x = 520
    for kind, colour in COLOURS.items():
        draw.ellipse((x, 26, x + 10, 36), colour)
        draw.text((x + 16, 31), kind, SOFT, font(12), "lm")
        x += 34 + int(text_width(kind, 12))
    density = np.asarray(trace.log_density)
    low, high = float(density.min()), float(density.max())
    margin = 0.08 * (high - low) or 1.0
    low, high = low - margin, high + margin
    right = INNER - 2
    draw.rectangle((LEFT, top, right, top + HIGH), "#fdfcfb", "#cfc7bd")
    for value in np.linspace(low + margin, high - margin, 4):
        y = top + HIGH - (value - low) / (high - low) * HIGH
        draw.line((LEFT, y, right, y), "#e9e4dd")
        draw.text((LEFT - 8, y), f"{value:.0f}", SOFT, font(11), "rm")
    places = [
        (LEFT + i * (right - LEFT) / max(len(density) - 1, 1), top + HIGH - (value - low) / (high - low) * HIGH)
        for i, value in enumerate(density.tolist())
    ]
    for (x0, y0), (x1, y1) in pairwise(places):
        draw.line((x0, y0, x1, y0), SOFT, 2)
        draw.line((x1, y0, x1, y1), SOFT, 2)
    for (px, py), kind, accepted in zip(places[1:], trace.kinds, trace.accepted, strict=True):
        if accepted:
            draw.ellipse((px - 5, py - 5, px + 5, py + 5), COLOURS.get(kind, SOFT), "white")
    draw.text(((LEFT + right) // 2, top + HIGH + 20), "moves", SOFT, font(12), "mm")
    return made


def _text(trace: WordTrace, text: str) -> Image.Image:
    """The text, the words that had to be in it in another colour."""
    lines = [part for line in text.splitlines() for part in textwrap.wrap(line, LINE) or [""]]
    made, draw = canvas(INNER, 40 + 26 * len(lines))
    draw.text((0, 0), "The text in the end", INK, font(17))
    words = sorted({word for keyword in trace.keywords for word in keyword.split()}, key=len, reverse=True)
    wanted = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, words))})(?!\w)", re.IGNORECASE)
    for i, line in enumerate(lines):
        _marked(draw, 40 + 26 * i, line, wanted)
    return made


def _marked(draw: ImageDraw.ImageDraw, y: int, line: str, wanted: re.Pattern[str]) -> None:
    """One line of text; what matches in another colour."""
    x = 0.0
    for at, part in enumerate(wanted.split(line)):
        draw.text((x, y), part, KEYWORD if at % 2 else INK, font(17))
        x += text_width(part, 17)
