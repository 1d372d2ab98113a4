"""What the pictures of models and chains are put together of: colours, fonts, scales, and tokens along a side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

WIDTH, MARGIN, GAP = 1200, 36, 22
INNER = WIDTH - 2 * MARGIN
INK, SOFT, RIGHT = "#2a2622", "#6f665d", "#13762f"
BLUE = ("#ffffff", "#9cc3e6", "#1f4e9c", "#0b1f4d")  # shares and attention
PALETTE = ("#2b8cbe", "#e6974a", "#4aa564", "#9467bd", "#c44e52", "#8c8c8c")
UNSEEN = (238, 234, 228)  # what cannot be there
LEGIBLE = 9  # pixels of a cell that has room for a letter


@cache
def font(size: int) -> Any:
    """DejaVu, which knows many scripts, where the system has it; else the one within Pillow."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def shown(token: str) -> str:
    """A token with what is invisible made visible."""
    marks = {" ": "\u00b7", "\n": "\u21b5", "\t": "\u2192", "": "^"}
    if token in marks:
        return marks[token]
    return "".join(letter if letter.isprintable() else "?" for letter in token.strip())


def ramp(values: NDArray[Any], colours: Sequence[str]) -> NDArray[np.uint8]:
    """(..., 3) the colours of values in [0, 1], between `colours` at equal distances."""
    stops = np.asarray([tuple(bytes.fromhex(colour[1:])) for colour in colours], float)
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(values, at, channel) for channel in stops.T], -1).round().astype(np.uint8)


def hexes(colours: NDArray[np.uint8]) -> list[str]:
    """Colours (N, 3) as `_ramp` and Pillow take them."""
    return ["#" + bytes(colour).hex() for colour in colours.tolist()]


def canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    made = Image.new("RGB", (width, height), "white")
    return made, ImageDraw.Draw(made)


def page(panels: Sequence[Image.Image]) -> Image.Image:
    """Panels below each other."""
    made = Image.new("RGB", (WIDTH, 2 * MARGIN + sum(p.height for p in panels) + GAP * (len(panels) - 1)), "white")
    y = MARGIN
    for panel in panels:
        made.paste(panel, (MARGIN, y))
        y += panel.height + GAP
    return made


def text_width(text: str, size: int) -> int:
    return int(np.ceil(font(size).getlength(text)))


def scale(draw: ImageDraw.ImageDraw, x: int, y: int, colours: Sequence[str], ends: Sequence[str]) -> None:
    """A bar of colours with what its ends mean, from x on."""
    draw.text((x, y), ends[0], SOFT, font(12), "lm")
    x += text_width(ends[0], 12) + 6
    for i, colour in enumerate(ramp(np.linspace(0, 1, 120), colours).tolist()):
        draw.line((x + i, y - 6, x + i, y + 6), tuple(colour))
    draw.rectangle((x - 1, y - 7, x + 120, y + 7), outline="#cfc7bd")
    draw.text((x + 128, y), ends[1], SOFT, font(12), "lm")


def across(made: Image.Image, x: int, y: int, tokens: Sequence[str], cell: int, below: bool) -> None:
    """Names of columns `cell` wide, upright where they are single letters, else along the column; y is the near end."""
    draw = ImageDraw.Draw(made)
    for i, name in named(tokens, cell):
        middle = x + i * cell + cell // 2
        if len(name) == 1 and cell >= LEGIBLE:
            draw.text((middle, y + 10 if below else y - 10), name, INK, font(min(13, cell + 1)), "mm")
            continue
        label, pen = canvas(text_width(name, 11) + 2, 15)
        pen.text((1, 7), name, INK, font(11), "lm")
        label = label.rotate(90, expand=True)
        made.paste(label, (middle - 7, y + 3 if below else y - 2 - label.height))


def named(tokens: Sequence[str], cell: int) -> list[tuple[int, str]]:
    """Which places of an axis are named and how: every token where there is room, else the beginnings of words."""
    if cell >= LEGIBLE + 4 or (cell >= LEGIBLE and all(len(shown(token)) == 1 for token in tokens)):
        return [(i, _short(shown(token))) for i, token in enumerate(tokens)]
    begins = [i for i, token in enumerate(tokens) if not token.isspace() and (i == 0 or tokens[i - 1] in (" ", ""))]
    found: list[tuple[int, str]] = []
    for begin, end in pairwise([*begins, len(tokens)]):
        if not found or (begin - found[-1][0]) * cell >= 12:
            found.append((begin, _short(shown("".join(tokens[begin:end])))))
    return found


def _short(name: str) -> str:
    return name if len(name) <= 10 else f"{name[:9]}\u2026"


def room(tokens: Sequence[str], cell: int) -> int:
    """Pixels that the names along an axis take up."""
    names = [name for _, name in named(tokens, cell)]
    return 18 if all(len(name) == 1 for name in names) else 6 + max(text_width(name, 11) for name in names)


def cut(text: str, width: int, size: int) -> str:
    """The beginning of a text, as much as fits."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(f"{text}\u2026", size) > width:
        text = text[:-1]
    return f"{text}\u2026"


def fitting(text: str, width: int, size: int) -> str:
    """The end of a text, as much as fits."""
    while text and text_width(text, size) > width:
        text = text[1:]
    return text


def some(shown: int, count: int, what: str) -> str:
    return f" {shown} of {count} {what} are shown." if shown < count else ""
