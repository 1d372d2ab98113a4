"""A page about one line: `Inside` as a picture that a person can read, dark on light.

On top the line itself, each token on the colour of its surprise; below it what is particular to the family: a map for
each head of attention, the gates and states of the units that change most, or bars of shares. Panels are pictures of
their own, put one below the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from generators.core.inside import Array, Inside

WIDTH, MARGIN, GAP = 1200, 36, 22
INNER = WIDTH - 2 * MARGIN
INK, SOFT, RIGHT = "#2a2622", "#6f665d", "#13762f"
HEAT = ("#ffffff", "#fde3c3", "#f7a35c")  # surprise, light enough for text on it
BLUE = ("#ffffff", "#9cc3e6", "#1f4e9c", "#0b1f4d")  # attention
GATE = ("#ffffff", "#b5d3ec", "#2f6db3")
SIGNED = ("#2166ac", "#f7f7f7", "#b2182b")  # states
ORDERS = ("#d8d3cc", "#d9ecd3", "#7fc6a4", "#2b8cbe", "#2a3f8f", "#2d0b4e")  # short n-grams to long ones
EXPERTS = ("#2b8cbe", "#e6974a", "#4aa564", "#9467bd", "#c44e52", "#8c8c8c")
UNSEEN = (238, 234, 228)  # what comes later, which a causal model cannot see
MOST = {"character": 6.0, "token": 8.0, "word": 10.0}  # nats of the strongest colour
LAYERS, HEADS, UNITS = 6, 8, 12  # that are shown at most
FOLLOWED = 48  # places whose followers are shown at most
STATES = 16  # of a hidden Markov model that are shown at most, beside those on the likeliest path
PATH = "#d9662b"
LEGIBLE = 9  # pixels of a cell that has room for a letter
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
        panels.append(_hidden_states(inside, inside.posteriors, inside.path))
    if inside.weights is not None:
        heading = "Who is listened to: the weight of each expert in each place"
        panels.append(_bars(inside, inside.weights.T, heading, inside.experts, EXPERTS))
    if inside.orders is not None:
        names = ["0 (uniform)", *(f"{n}" for n in range(1, len(inside.orders)))]
        heading = f"Where the probability comes from: n-grams of so many {inside.unit}s"
        colours = _hex(_ramp(np.linspace(0, 1, len(names)), ORDERS))
        panels.append(_bars(inside, inside.orders, heading, names, colours))
    if inside.counts is not None and inside.totals is not None:
        panels += [_counted(inside, inside.counts, inside.totals), _followed(inside)]
    page = Image.new("RGB", (WIDTH, 2 * MARGIN + sum(p.height for p in panels) + GAP * (len(panels) - 1)), "white")
    y = MARGIN
    for panel in panels:
        page.paste(panel, (MARGIN, y))
        y += panel.height + GAP
    return page


@cache
def _font(size: int) -> Any:
    """DejaVu, which knows many scripts, where the system has it; else the one within Pillow."""
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)
    except OSError:
        return ImageFont.load_default(size)


def _shown(token: str) -> str:
    """A token with what is invisible made visible."""
    marks = {" ": "\u00b7", "\n": "\u21b5", "\t": "\u2192", "": "^"}
    if token in marks:
        return marks[token]
    return "".join(letter if letter.isprintable() else "?" for letter in token.strip())


def _ramp(values: NDArray[Any], colours: Sequence[str]) -> NDArray[np.uint8]:
    """(..., 3) the colours of values in [0, 1], between `colours` at equal distances."""
    stops = np.asarray([tuple(bytes.fromhex(colour[1:])) for colour in colours], float)
    at = np.linspace(0, 1, len(stops))
    return np.stack([np.interp(values, at, channel) for channel in stops.T], -1).round().astype(np.uint8)


def _hex(colours: NDArray[np.uint8]) -> list[str]:
    """Colours (N, 3) as `_ramp` and Pillow take them."""
    return ["#" + bytes(colour).hex() for colour in colours.tolist()]


def _canvas(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    made = Image.new("RGB", (width, height), "white")
    return made, ImageDraw.Draw(made)


def _width(text: str, size: int) -> int:
    return int(np.ceil(_font(size).getlength(text)))


def _scale(draw: ImageDraw.ImageDraw, x: int, y: int, colours: Sequence[str], ends: Sequence[str]) -> None:
    """A bar of colours with what its ends mean, from x on."""
    draw.text((x, y), ends[0], SOFT, _font(12), "lm")
    x += _width(ends[0], 12) + 6
    for i, colour in enumerate(_ramp(np.linspace(0, 1, 120), colours).tolist()):
        draw.line((x + i, y - 6, x + i, y + 6), tuple(colour))
    draw.rectangle((x - 1, y - 7, x + 120, y + 7), outline="#cfc7bd")
    draw.text((x + 128, y), ends[1], SOFT, _font(12), "lm")


def _across(made: Image.Image, x: int, y: int, tokens: Sequence[str], cell: int, below: bool) -> None:
    """Names of columns `cell` wide, upright where they are single letters, else along the column; y is the near end."""
    draw = ImageDraw.Draw(made)
    for i, name in _named(tokens, cell):
        middle = x + i * cell + cell // 2
        if len(name) == 1 and cell >= LEGIBLE:
            draw.text((middle, y + 10 if below else y - 10), name, INK, _font(min(13, cell + 1)), "mm")
            continue
        label, pen = _canvas(_width(name, 11) + 2, 15)
        pen.text((1, 7), name, INK, _font(11), "lm")
        label = label.rotate(90, expand=True)
        made.paste(label, (middle - 7, y + 3 if below else y - 2 - label.height))


def _named(tokens: Sequence[str], cell: int) -> list[tuple[int, str]]:
    """Which places of an axis are named and how: every token where there is room, else the beginnings of words."""
    if cell >= LEGIBLE + 4 or (cell >= LEGIBLE and all(len(_shown(token)) == 1 for token in tokens)):
        return [(i, _short(_shown(token))) for i, token in enumerate(tokens)]
    begins = [i for i, token in enumerate(tokens) if not token.isspace() and (i == 0 or tokens[i - 1] in (" ", ""))]
    found: list[tuple[int, str]] = []
    for begin, end in pairwise([*begins, len(tokens)]):
        if not found or (begin - found[-1][0]) * cell >= 12:
            found.append((begin, _short(_shown("".join(tokens[begin:end])))))
    return found


def _short(name: str) -> str:
    return name if len(name) <= 10 else f"{name[:9]}\u2026"


def _room(tokens: Sequence[str], cell: int) -> int:
    """Pixels that the names along an axis take up."""
    names = [name for _, name in _named(tokens, cell)]
    return 18 if all(len(name) == 1 for name in names) else 6 + max(_width(name, 11) for name in names)


def _head(inside: Inside) -> Image.Image:
    made, draw = _canvas(INNER, 62)
    draw.text((0, 0), f"Inside {inside.model}", INK, _font(26))
    total, count = float(inside.nats.sum()), len(inside.tokens)
    kind = f" Read as {inside.kind}." if inside.kind else ""
    told = (
        f"{inside.family}. {count} {inside.unit}s cost {total:.1f} nats, {total / count:.2f} each: as if it chose "
        f"among {np.exp(total / count):.1f} that are equally likely.{kind}"
    )
    draw.text((0, 40), told, SOFT, _font(14))
    return made


def _line(inside: Inside) -> Image.Image:
    """The tokens on the colours of their surprise, below each the likeliest one there and the nats."""
    left, high, most = 74, 84, MOST[inside.unit]
    guesses = [_shown(told[0][0]) for told in inside.guesses]
    widths = [
        max(26, _width(_shown(token), 20) + 10, _width(guess, 13) + 8)
        for token, guess in zip(inside.tokens, guesses, strict=True)
    ]
    rows: list[list[int]] = [[]]
    for i, width in enumerate(widths):
        if sum(widths[j] for j in rows[-1]) + width > INNER - left:
            rows.append([])
        rows[-1].append(i)
    made, draw = _canvas(INNER, 52 + high * len(rows))
    draw.text((0, 0), "Surprise", INK, _font(17))
    when = "when it is hidden" if inside.read == inside.tokens else "before it is seen"
    draw.text((0, 24), f"nats that each {inside.unit} costs, -ln p, {when}", SOFT, _font(12))
    _scale(draw, 400, 32, HEAT, ("0", f"{most:.0f} and more"))
    draw.text((700, 24), "\u00b7 a space   \u21b5 the line's end   ^ before the first", SOFT, _font(12))
    for row, places in enumerate(rows):
        x, y = left, 52 + high * row
        for name, down in (("text", 16), ("likeliest", 44), ("nats", 62)):
            draw.text((0, y + down), name, SOFT, _font(12), "lm")
        for i in places:
            right, middle = inside.guesses[i][0][0] == inside.tokens[i], x + widths[i] // 2
            colour = _ramp(np.asarray(inside.nats[i] / most), HEAT).tolist()
            draw.rectangle((x, y, x + widths[i] - 2, y + 32), tuple(colour), "#e6dfd6")
            draw.text((middle - 1, y + 16), _shown(inside.tokens[i]), INK, _font(20), "mm")
            draw.text((middle - 1, y + 44), guesses[i], RIGHT if right else SOFT, _font(13), "mm")
            draw.text((middle - 1, y + 62), f"{inside.nats[i]:.1f}", SOFT, _font(10), "mm")
            x += widths[i]
    return made


def _hidden_states(inside: Inside, posteriors: Array, path: NDArray[np.int64]) -> Image.Image:
    """A row for each state that matters on the line: how likely it is in each place, and the likeliest path."""
    left, top, high = 250, 54, 26
    peaks = np.maximum(posteriors.max(0), np.isin(np.arange(posteriors.shape[1]), path))
    chosen = np.argsort(-peaks, kind="stable")[: max(STATES, len(set(path.tolist())))]
    chosen = chosen[peaks[chosen] >= 0.1]
    chosen = chosen[np.argsort(posteriors[:, chosen].argmax(0), kind="stable")]  # in the order of the line
    cell = max(6, min(40, (INNER - left - 4) // len(path)))
    made, draw = _canvas(INNER, top + high * len(chosen) + _room(inside.tokens, cell) + 10)
    draw.text((0, 0), "Hidden states", INK, _font(17))
    told = "a row for each state and what it emits most: how likely it is, given the whole line"
    draw.text((0, 24), f"{told}.{_some(len(chosen), posteriors.shape[1], 'states')}", SOFT, _font(12))
    _scale(draw, 840, 32, BLUE, ("0", "1"))
    draw.line((1010, 32, 1034, 32), PATH, 3)
    draw.text((1040, 32), "likeliest path", SOFT, _font(12), "lm")
    colours = _ramp(posteriors[:, chosen].T, BLUE)
    made.paste(Image.fromarray(colours.repeat(high, 0).repeat(cell, 1)), (left, top))
    for row, state in enumerate(chosen.tolist()):
        y = top + row * high
        draw.text((left - 8, y + high // 2), _cut(inside.state_names[state], left - 14, 12), INK, _font(12), "rm")
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
    _across(made, left, top + high * len(chosen), inside.tokens, cell, below=True)
    return made


def _cut(text: str, width: int, size: int) -> str:
    """The beginning of a text, as much as fits."""
    if _width(text, size) <= width:
        return text
    while text and _width(f"{text}\u2026", size) > width:
        text = text[:-1]
    return f"{text}\u2026"


def _counted(inside: Inside, counts: NDArray[np.int64], totals: NDArray[np.int64]) -> Image.Image:
    """A row for n-grams of each length, the longest on top: how often each was counted, on the share of its context."""
    left, top, high = 44, 54, 24
    cell = max(8, min(40, (INNER - left) // len(inside.tokens)))
    size = 11 if cell >= 28 else 8
    made, draw = _canvas(INNER, top + high * len(counts) + _room(inside.tokens, cell) + 10)
    draw.text((0, 0), "What was counted", INK, _font(17))
    told = "how often each n-gram was seen; shorter ones by how many different tokens stood before them"
    draw.text((0, 24), told, SOFT, _font(12))
    _scale(draw, 860, 32, BLUE, ("never after its context", "always"))
    shares = counts / np.maximum(totals, 1)
    for row, n in enumerate(range(len(counts) - 1, -1, -1)):
        y = top + row * high
        draw.text((left - 8, y + high // 2), str(n + 1), SOFT, _font(11), "rm")
        for i in range(len(inside.tokens)):
            x = left + i * cell
            colour = tuple(_ramp(np.asarray(shares[n, i]), BLUE).tolist()) if totals[n, i] else UNSEEN
            draw.rectangle((x, y, x + cell - 2, y + high - 2), colour)
            if counts[n, i] and cell >= 18:
                ink = "white" if shares[n, i] > 0.45 else INK
                draw.text(
                    (x + cell // 2 - 1, y + high // 2 - 1), _count_text(int(counts[n, i])), ink, _font(size), "mm"
                )
    _across(made, left, top + high * len(counts), inside.tokens, cell, below=True)
    return made


def _count_text(count: int) -> str:
    """A count in four characters at most."""
    for unit, name in ((10**6, "M"), (10**3, "k")):
        if count >= unit:
            return f"{count / unit:.1f}{name}" if count < 10 * unit else f"{count // unit}{name}"
    return str(count)


def _followed(inside: Inside) -> Image.Image:
    """What followed the longest context that is known in each place: two columns of lines."""
    places = sorted(np.argsort(-inside.nats, kind="stable")[:FOLLOWED].tolist())
    rows, high = -(-len(places) // 2), 20
    made, draw = _canvas(INNER, 54 + rows * high + 6)
    draw.text((0, 0), "The choice behind each", INK, _font(17))
    which = f"; the {FOLLOWED} most surprising places are shown" if len(places) < len(inside.nats) else ""
    draw.text(
        (0, 24), f"the longest context that is known there, and what followed it how often{which}", SOFT, _font(12)
    )
    for k, i in enumerate(places):
        x, y = k // rows * (INNER // 2), 54 + k % rows * high + high // 2
        context, found = inside.followers[i]
        draw.text((x + 90, y), _fitting(_line_of(context, inside.unit) or "(nothing)", 150, 12), SOFT, _font(12), "rm")
        draw.text((x + 98, y), _shown(inside.tokens[i]), INK, _font(13), "lm")
        told = ",  ".join(f"{_shown(token)} {_count_text(count)}" for token, count in found)
        right = any(token == inside.tokens[i] for token, _ in found)
        draw.text((x + 190, y), _fitting(told, INNER // 2 - 200, 12), RIGHT if right else SOFT, _font(12), "lm")
    return made


def _line_of(text: str, unit: str) -> str:
    """A context on one line, with its blanks told where they are tokens of their own."""
    shown = "".join(_shown(letter) if letter.isspace() else letter for letter in text)
    return shown.replace(_shown(" "), " ").strip() if unit == "word" else shown


def _fitting(text: str, width: int, size: int) -> str:
    """The end of a text, as much as fits."""
    while text and _width(text, size) > width:
        text = text[1:]
    return text


def _spread(count: int, most: int) -> list[int]:
    """At most so many of `count` places, the first and the last among them."""
    return sorted(set(np.linspace(0, count - 1, min(count, most)).round().astype(int).tolist()))


def _some(shown: int, count: int, what: str) -> str:
    return f" {shown} of {count} {what} are shown." if shown < count else ""


def _attention(inside: Inside, attention: Array) -> Image.Image:
    """A map for each head: rows are what is predicted (or, where all is seen, read), columns what is looked at."""
    layers, heads = _spread(len(attention), LAYERS), _spread(attention.shape[1], HEADS)
    t, causal = attention.shape[-1], not np.triu(attention[0, 0], 1).any()
    fitting = (n for n in (4, 3, 2) if (INNER // n - 40) // t > LEGIBLE)  # maps in a row whose axes have room
    columns = next(fitting, 3)
    cell = max(1, min(22, (INNER // columns - 30) // t))
    left, top = _side(inside.tokens, cell), _room(inside.read, cell)
    cell = max(1, min(22, (INNER // columns - GAP - left) // t))
    wide, high = left + cell * t + GAP, 22 + top + cell * t + 12
    maps = [(layer, head) for layer in layers for head in heads]
    made, draw = _canvas(INNER, 48 + high * -(-len(maps) // columns))
    draw.text((0, 0), "Attention", INK, _font(17))
    before = (
        "predict what stands at its left, from the columns read so far" if causal else "read what stands at its left"
    )
    more = _some(len(layers), len(attention), "layers") + _some(len(heads), attention.shape[1], "heads")
    draw.text((0, 24), f"each row: where a head looks to {before}.{more}", SOFT, _font(12))
    _scale(draw, 860, 32, _rooted(BLUE), ("0", "1 (root scale)"))
    for i, (layer, head) in enumerate(maps):
        x, y = i % columns * wide, 48 + i // columns * high
        draw.text((x + left, y + 8), f"layer {layer + 1}, head {head + 1}", SOFT, _font(12), "lm")
        colours = _ramp(np.sqrt(attention[layer, head]), BLUE)
        if causal:
            colours[np.triu_indices(t, 1)] = UNSEEN
        x, y = x + left, y + 22 + top
        made.paste(Image.fromarray(colours.repeat(cell, 0).repeat(cell, 1)), (x, y))
        draw.rectangle((x - 1, y - 1, x + cell * t, y + cell * t), outline="#cfc7bd")
        _across(made, x, y, inside.read, cell, below=False)
        for row, name in _named(inside.tokens, cell):
            size = min(13, cell + 1) if cell >= LEGIBLE else 11
            draw.text((x - 5, y + row * cell + cell // 2), name, INK, _font(min(size, 12)), "rm")
    return made


def _side(tokens: Sequence[str], cell: int) -> int:
    """Pixels left of a map for the names of its rows."""
    return 8 + max(_width(name, 12) for _, name in _named(tokens, cell))


def _rooted(colours: Sequence[str]) -> Sequence[str]:
    """The colours of values, where the map shows their roots."""
    return _hex(_ramp(np.sqrt(np.linspace(0, 1, 60)), colours))


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
            _scale(ImageDraw.Draw(panel), 700, 32, GATE, ("gates: 0", "1"))
        found.append(panel)
    return found


def _heat(inside: Inside, values: Array, title: str, units: NDArray[np.int64], signed: bool = False) -> Image.Image:
    """One map of values (T, units): a row a unit, a column a token that was read."""
    left, top, high = 34, 30, 12
    cell = max(4, min(24, (INNER - left - 4) // len(values)))
    room = _room(inside.read, cell)
    made, draw = _canvas(max(left + cell * len(values) + 4, 440), top + high * len(units) + room + 8)
    most = max(1.0, float(np.abs(values).max())) if signed else 1.0
    draw.text((left, 10), title, INK, _font(13), "lm")
    if signed:
        _scale(draw, left + _width(title, 13) + 16, 10, SIGNED, (f"-{most:.1f}", f"{most:.1f}"))
    colours = _ramp((values.T / most + 1) / 2, SIGNED) if signed else _ramp(values.T, GATE)
    made.paste(Image.fromarray(colours.repeat(high, 0).repeat(cell, 1)), (left, top))
    draw.rectangle((left - 1, top - 1, left + cell * len(values), top + high * len(units)), outline="#cfc7bd")
    for row, unit in enumerate(units.tolist()):
        draw.text((left - 5, top + row * high + high // 2), str(unit), SOFT, _font(10), "rm")
    _across(made, left, top + high * len(units), inside.read, cell, below=True)
    return made


def _flow(heading: str, note: str, maps: Sequence[Image.Image]) -> Image.Image:
    """Pictures of one size below a heading, as many in a row as there is room for."""
    columns = max(1, (INNER + GAP) // (maps[0].width + GAP))
    made, draw = _canvas(INNER, 48 + sum(maps[i].height + 10 for i in range(0, len(maps), columns)))
    draw.text((0, 0), heading, INK, _font(17))
    draw.text((0, 24), note, SOFT, _font(12))
    for i, one in enumerate(maps):
        made.paste(one, (i % columns * (one.width + GAP), 48 + i // columns * (one.height + 10)))
    return made


def _bars(inside: Inside, shares: Array, heading: str, names: Sequence[str], colours: Sequence[str]) -> Image.Image:
    """Shares (parts, T) that sum to 1 as one bar a token, the first part at the bottom."""
    top, high, left = 54, 240, 44
    cell = max(4, min(34, (INNER - left) // len(inside.tokens)))
    made, draw = _canvas(INNER, top + high + _room(inside.tokens, cell) + 10)
    draw.text((0, 0), heading, INK, _font(17))
    x = left
    for i, name in enumerate(names):
        draw.rectangle((x, 30, x + 12, 42), colours[i % len(colours)], "#cfc7bd")
        draw.text((x + 18, 36), name, SOFT, _font(12), "lm")
        x += 34 + _width(name, 12)
    for share in (0, 50, 100):
        draw.text((left - 6, top + high - share * high // 100), f"{share} %", SOFT, _font(11), "rm")
    for i, column in enumerate(shares.T):
        edges = top + high - np.concatenate([[0], np.cumsum(column)]) * high
        for part, (low, up) in enumerate(pairwise(edges.round().astype(int).tolist())):
            if low > up:
                draw.rectangle((left + i * cell, up, left + (i + 1) * cell - 2, low - 1), colours[part % len(colours)])
    _across(made, left, top + high, inside.tokens, cell, below=True)
    return made
