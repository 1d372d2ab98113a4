"""A page about one line: `Inside` as a picture that a person can read, dark on light.

On top the line itself, each token on the colour of its surprise; below it what is particular to the family: a map for
each head of attention, the gates and states of the units that change most, or bars of shares. Panels are pictures of
their own, put one below the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from generators.core.inside import Array, Inside
from generators.core.markov_panels import counted, followed, hidden_states
from generators.core.panels import (
    BLUE,
    GAP,
    INK,
    INNER,
    LEGIBLE,
    PALETTE,
    RIGHT,
    SOFT,
    UNSEEN,
    across,
    canvas,
    font,
    hexes,
    named,
    page,
    ramp,
    room,
    scale,
    shown,
    some,
    text_width,
)

HEAT = ("#ffffff", "#fde3c3", "#f7a35c")  # surprise, light enough for text on it
GATE = ("#ffffff", "#b5d3ec", "#2f6db3")
SIGNED = ("#2166ac", "#f7f7f7", "#b2182b")  # states
ORDERS = ("#d8d3cc", "#d9ecd3", "#7fc6a4", "#2b8cbe", "#2a3f8f", "#2d0b4e")  # short n-grams to long ones
MOST = {"character": 6.0, "byte": 6.0, "token": 8.0, "word": 10.0}  # nats of the strongest colour
LAYERS, HEADS, UNITS = 6, 8, 12  # that are shown at most
MEANINGS = {
    "input": "input gate: how much of what is new goes in",
    "forget": "forget gate: how much of the cell is kept",
    "output": "output gate: how much of the cell is shown",
    "reset": "reset gate: how much of the state the new one is made from",
    "update": "update gate: how much of the state is kept",
    "cell": "cell: what is remembered",
    "hidden": "hidden state: what is passed on",
}


def picture(inside: Inside) -> Image.Image:
    """The whole page, RGB, 1200 pixels wide."""
    panels = [_head(inside), _line(inside)]
    if inside.attention is not None:
        panels.append(_attention(inside, inside.attention))
    if inside.states:
        panels += _memory(inside)
    if inside.posteriors is not None and inside.path is not None:
        panels.append(hidden_states(inside, inside.posteriors, inside.path))
    if inside.weights is not None:
        heading = "Who is listened to: the weight of each expert in each place"
        panels.append(_bars(inside, inside.weights.T, heading, inside.experts, PALETTE))
    if inside.orders is not None:
        names = ["0 (uniform)", *(f"{n}" for n in range(1, len(inside.orders)))]
        heading = f"Where the probability comes from: n-grams of so many {inside.unit}s"
        colours = hexes(ramp(np.linspace(0, 1, len(names)), ORDERS))
        panels.append(_bars(inside, inside.orders, heading, names, colours))
    if inside.counts is not None and inside.totals is not None:
        panels += [counted(inside, inside.counts, inside.totals), followed(inside)]
    return page(panels)


def _head(inside: Inside) -> Image.Image:
    made, draw = canvas(INNER, 62)
    draw.text((0, 0), f"Inside {inside.model}", INK, font(26))
    total, count = float(inside.nats.sum()), len(inside.tokens)
    kind = f" Read as {inside.kind}." if inside.kind else ""
    told = (
        f"{inside.family}. {count} {inside.unit}s cost {total:.1f} nats, {total / count:.2f} each: as if it chose "
        f"among {np.exp(total / count):.1f} that are equally likely.{kind}"
    )
    draw.text((0, 40), told, SOFT, font(14))
    return made


def _line(inside: Inside) -> Image.Image:
    """The tokens on the colours of their surprise, below each the likeliest one there and the nats."""
    left, high, most = 74, 84, MOST[inside.unit]
    guesses = [shown(told[0][0]) for told in inside.guesses]
    widths = [
        max(26, text_width(shown(token), 20) + 10, text_width(guess, 13) + 8)
        for token, guess in zip(inside.tokens, guesses, strict=True)
    ]
    rows: list[list[int]] = [[]]
    for i, width in enumerate(widths):
        if sum(widths[j] for j in rows[-1]) + width > INNER - left:
            rows.append([])
        rows[-1].append(i)
    made, draw = canvas(INNER, 52 + high * len(rows))
    draw.text((0, 0), "Surprise", INK, font(17))
    when = "when it is hidden" if inside.read == inside.tokens else "before it is seen"
    draw.text((0, 24), f"nats that each {inside.unit} costs, -ln p, {when}", SOFT, font(12))
    scale(draw, 400, 32, HEAT, ("0", f"{most:.0f} and more"))
    draw.text((700, 24), "\u00b7 a space   \u21b5 the line's end   ^ before the first", SOFT, font(12))
    for row, places in enumerate(rows):
        x, y = left, 52 + high * row
        for name, down in (("text", 16), ("likeliest", 44), ("nats", 62)):
            draw.text((0, y + down), name, SOFT, font(12), "lm")
        for i in places:
            right, middle = inside.guesses[i][0][0] == inside.tokens[i], x + widths[i] // 2
            colour = ramp(np.asarray(inside.nats[i] / most), HEAT).tolist()
            draw.rectangle((x, y, x + widths[i] - 2, y + 32), tuple(colour), "#e6dfd6")
            draw.text((middle - 1, y + 16), shown(inside.tokens[i]), INK, font(20), "mm")
            draw.text((middle - 1, y + 44), guesses[i], RIGHT if right else SOFT, font(13), "mm")
            draw.text((middle - 1, y + 62), f"{inside.nats[i]:.1f}", SOFT, font(10), "mm")
            x += widths[i]
    return made


def _spread(count: int, most: int) -> list[int]:
    """At most so many of `count` places, the first and the last among them."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))


def _attention(inside: Inside, attention: Array) -> Image.Image:
    """A map for each head: rows are what is predicted (or, where all is seen, read), columns what is looked at."""
    layers, heads = _spread(len(attention), LAYERS), _spread(attention.shape[1], HEADS)
    t, causal = attention.shape[-1], not np.triu(attention[0, 0], 1).any()
    fitting = (n for n in (4, 3, 2) if (INNER // n - 40) // t > LEGIBLE)  # maps in a row whose axes have room
    columns = next(fitting, 3)
    cell = max(1, min(22, (INNER // columns - 30) // t))
    left, top = _side(inside.tokens, cell), room(inside.read, cell)
    cell = max(1, min(22, (INNER // columns - GAP - left) // t))
    wide, high = left + cell * t + GAP, 22 + top + cell * t + 12
    maps = [(layer, head) for layer in layers for head in heads]
    made, draw = canvas(INNER, 48 + high * -(-len(maps) // columns))
    draw.text((0, 0), "Attention", INK, font(17))
    before = (
        "predict what stands at its left, from the columns read so far" if causal else "read what stands at its left"
    )
    more = some(len(layers), len(attention), "layers") + some(len(heads), attention.shape[1], "heads")
    draw.text((0, 24), f"each row: where a head looks to {before}.{more}", SOFT, font(12))
    scale(draw, 860, 32, _rooted(BLUE), ("0", "1 (root scale)"))
    for i, (layer, head) in enumerate(maps):
        x, y = i % columns * wide, 48 + i // columns * high
        draw.text((x + left, y + 8), f"layer {layer + 1}, head {head + 1}", SOFT, font(12), "lm")
        colours = ramp(np.sqrt(attention[layer, head]), BLUE)
        if causal:
            colours[np.triu_indices(t, 1)] = UNSEEN
        x, y = x + left, y + 22 + top
        made.paste(Image.fromarray(colours.repeat(cell, 0).repeat(cell, 1)), (x, y))
        draw.rectangle((x - 1, y - 1, x + cell * t, y + cell * t), outline="#cfc7bd")
        across(made, x, y, inside.read, cell, below=False)
        for row, name in named(inside.tokens, cell):
            size = min(13, cell + 1) if cell >= LEGIBLE else 11
            draw.text((x - 5, y + row * cell + cell // 2), name, INK, font(min(size, 12)), "rm")
    return made


def _side(tokens: Sequence[str], cell: int) -> int:
    """Pixels left of a map for the names of its rows."""
    return 8 + max(text_width(name, 12) for _, name in named(tokens, cell))


def _rooted(colours: Sequence[str]) -> Sequence[str]:
    """The colours of values, where the map shows their roots."""
    return hexes(ramp(np.sqrt(np.linspace(0, 1, 60)), colours))


def _memory(inside: Inside) -> list[Image.Image]:
    """For each layer the gates and states of the units whose state changes most, a row each."""
    found = []
    telling = inside.states.get("cell", inside.states["hidden"])
    for layer in _spread(len(telling), LAYERS):
        units = np.argsort(-telling[layer].var(0), kind="stable")[:UNITS]
        maps = [
            *(_heat(inside, part[layer][:, units], MEANINGS[name], units) for name, part in inside.gates.items()),
            *(
                _heat(inside, part[layer][:, units], MEANINGS[name], units, True)
                for name, part in inside.states.items()
            ),
        ]
        what = f"Layer {layer + 1} of {len(telling)}"
        note = f"the {len(units)} of {telling.shape[2]} units that change most, after reading each {inside.unit} below"
        panel = _flow(what, note, maps)
        if inside.gates:
            scale(ImageDraw.Draw(panel), 700, 32, GATE, ("gates: 0", "1"))
        found.append(panel)
    return found


def _heat(inside: Inside, values: Array, title: str, units: NDArray[np.int64], signed: bool = False) -> Image.Image:
    """One map of values (T, units): a row a unit, a column a token that was read."""
    left, top, high = 34, 30, 12
    cell = max(4, min(24, (INNER - left - 4) // len(values)))
    below = room(inside.read, cell)
    made, draw = canvas(max(left + cell * len(values) + 4, 440), top + high * len(units) + below + 8)
    most = max(1.0, float(np.abs(values).max())) if signed else 1.0
    draw.text((left, 10), title, INK, font(13), "lm")
    if signed:
        scale(draw, left + text_width(title, 13) + 16, 10, SIGNED, (f"-{most:.1f}", f"{most:.1f}"))
    colours = ramp((values.T / most + 1) / 2, SIGNED) if signed else ramp(values.T, GATE)
    made.paste(Image.fromarray(colours.repeat(high, 0).repeat(cell, 1)), (left, top))
    draw.rectangle((left - 1, top - 1, left + cell * len(values), top + high * len(units)), outline="#cfc7bd")
    for row, unit in enumerate(units.tolist()):
        draw.text((left - 5, top + row * high + high // 2), str(unit), SOFT, font(10), "rm")
    across(made, left, top + high * len(units), inside.read, cell, below=True)
    return made


def _flow(heading: str, note: str, maps: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size below a heading, as many in a row as there is room for."""
    columns = max(1, (INNER + GAP) // (maps[0].width + GAP))
    made, draw = canvas(INNER, 48 + sum(maps[i].height + 10 for i in range(0, len(maps), columns)))
    draw.text((0, 0), heading, INK, font(17))
    draw.text((0, 24), note, SOFT, font(12))
    for i, one in enumerate(maps):
        made.paste(one, (i % columns * (one.width + GAP), 48 + i // columns * (one.height + 10)))
    return made


def _bars(inside: Inside, shares: Array, heading: str, names: Sequence[str], colours: Sequence[str]) -> Image.Image:
    """Shares (parts, T) that sum to 1 as one bar a token, the first part at the bottom."""
    top, high, left = 54, 240, 44
    cell = max(4, min(34, (INNER - left) // len(inside.tokens)))
    made, draw = canvas(INNER, top + high + room(inside.tokens, cell) + 10)
    draw.text((0, 0), heading, INK, font(17))
    x = left
    for i, name in enumerate(names):
        draw.rectangle((x, 30, x + 12, 42), colours[i % len(colours)], "#cfc7bd")
        draw.text((x + 18, 36), name, SOFT, font(12), "lm")
        x += 34 + text_width(name, 12)
    for share in (0, 50, 100):
        draw.text((left - 6, top + high - share * high // 100), f"{share} %", SOFT, font(11), "rm")
    for i, column in enumerate(shares.T):
        edges = top + high - np.concatenate([[0], np.cumsum(column)]) * high
        for part, (low, up) in enumerate(pairwise(edges.round().astype(int).tolist())):
            if low > up:
                draw.rectangle((left + i * cell, up, left + (i + 1) * cell - 2, low - 1), colours[part % len(colours)])
    across(made, left, top + high, inside.tokens, cell, below=True)
    return made
