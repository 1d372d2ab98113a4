"""Writing with an n-gram model of running text: onwards from a context, or around a word that has to be in it.

Unusual here: a text can grow backwards too, from what stood before the n-grams of the training text.
"""

from __future__ import annotations

from collections.abc import Generator as Progress
from dataclasses import dataclass

import numpy as np

from generators.core.generator import Cancel, Partial
from generators.core.kneser_ney import UNKNOWN, Floats, KneserNey

ENDS, CLOSERS = ".!?\u2026", "\"'\u201d\u2019)]"
MIN_P = 0.05  # what is drawn has at least this share of the likeliest symbol's probability; not so in raw samples
TRIES = 12  # at a text that has a word in it
REPORT_EVERY = 100  # words


@dataclass
class Writer:
    """One writing: the counts, each symbol's text, whether symbols are words, and what it is drawn with."""

    counts: KneserNey
    tokens: list[str]
    by_word: bool
    temperature: float
    random: np.random.Generator
    cancel: Cancel

    def onwards(self, context: list[int], words: int, *, boundary: bool = False) -> Progress[Partial, None, list[int]]:
        """About `words` words more, to a sentence's end if one is near. `boundary`: the last word is complete."""
        state = self.counts.context(context)
        made: list[int] = []
        limit, count, inside, cut = words + max(4, words // 4), 0, boundary, 0
        ends: list[tuple[int, int]] = []  # words, symbols
        while count <= limit and len(made) < 40 * limit:
            p = self.counts.distribution(state)
            if boundary:
                p[[token[:1].isalnum() for token in self.tokens]] = 0.0
                boundary = False
            symbol = pick(p, self.temperature, self.random)
            token = self.tokens[symbol]
            before = count
            for letter in token:
                count += not inside and not letter.isspace()
                inside = not letter.isspace()
            if count > before:
                self.cancel.check()
                if count > words:
                    cut = cut or len(made)
                    if ends and ends[-1][0] >= words:
                        break
                if words > REPORT_EVERY and count % REPORT_EVERY == 0:
                    yield Partial(f"{min(count, words)} words of {words}", min(count, words), words)
            made.append(symbol)
            state = self.counts.extend(state, symbol)
            last = token.strip()
            if last and (last[-1] in ENDS or (ends and ends[-1][1] == len(made) - 1 and last in CLOSERS)):
                ends = [*ends[: -1 if ends and ends[-1][1] == len(made) - 1 else None], (count, len(made))]
        good = [end for end in ends if end[0] >= 0.6 * words]
        if good:
            return made[: min(good, key=lambda end: abs(end[0] - words))[1]]
        return made[: cut or len(made)]

    def around(
        self, form: list[int], context: list[int], words: int, *, prompted: bool
    ) -> Progress[Partial, None, list[int]]:
        """A text with a sentence grown around the wanted word, backwards to its beginning, then forwards."""
        made: list[int] = []
        if prompted or words >= 40:
            for longer in (1, 2, 4):
                made = yield from self.onwards(context, max(words * longer // 3, 3))
                if self.tokens[made[-1]][-1:] in ENDS + CLOSERS:
                    break
            else:
                made = made if prompted else []
        head = self.backwards(form, max(words // 3, 8))
        if made:
            said = self.tokens[made[-1]]
            if said[-1:] not in ENDS + CLOSERS and "." in self.tokens:
                made = [*made, self.tokens.index(".")]
            if not self.tokens[head[0]][:1].isspace() and " " in self.tokens:
                made = [*made, self.tokens.index(" ")]
        made = [*made, *head]
        left = max(words - len("".join(self.tokens[symbol] for symbol in made).split()), 2)
        rest = yield from self.onwards([*context, *made], left, boundary=True)
        return [*made, *rest]

    def backwards(self, symbols: list[int], words: int) -> list[int]:
        """`symbols` with a sentence's beginning before them, drawn from what stands before the n-grams of the text."""
        best: list[int] = symbols
        for _ in range(TRIES):
            text = list(symbols)
            while len("".join(self.tokens[symbol] for symbol in text).split()) <= words:
                self.cancel.check()
                before = self._before(text)
                if before is None:
                    return text
                spaced = self.by_word or self.tokens[text[0]].isspace()
                if self.tokens[before][-1:] in ENDS and spaced:
                    return text
                text.insert(0, before)
            if best is symbols:  # no beginning in reach: cut after the first space
                at = next((i for i, symbol in enumerate(text) if self.tokens[symbol][:1].isspace()), 0)
                best = text[at:]
        return best

    def _before(self, text: list[int]) -> int | None:
        """A symbol that stands before `text`, by the longest n-gram that has one; None at the start of the text."""
        for n in range(min(self.counts.order - 1, len(text)), 0, -1):
            node = 0
            for level, symbol in zip(self.counts.levels, text[:n], strict=False):
                node = level.child(node, symbol) if node >= 0 else -1
            if node < 0:
                continue
            suffixes, first, counts = self.counts.befores[n]
            start, stop = np.searchsorted(suffixes, [node, node + 1])
            if start < stop:
                weights = np.maximum(counts[start:stop], 1.0)
                symbol = int(first[start + pick(weights, self.temperature, self.random, barred=None)])
                return None if symbol >= len(self.tokens) else symbol
        return None


def pick(p: Floats, temperature: float, random: np.random.Generator, barred: int | None = UNKNOWN) -> int:
    """A place of `p` (weights, any sum) drawn at `temperature`, never `barred`; at 0 the likeliest.

    Below temperature 1 the long tail of smoothed, never seen successions is cut (min-p: Nguyen et al. 2024).
    """
    if barred is not None:
        p[barred] = 0.0
    if temperature == 0:
        return int(np.argmax(p))
    p = p / p.max()
    sums = np.cumsum(np.where(p >= (MIN_P if temperature < 1 else 0.0), p ** (1.0 / temperature), 0.0))
    return int(min(np.searchsorted(sums, random.random() * sums[-1], side="right"), len(p) - 1))
