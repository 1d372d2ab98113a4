"""Where a text begins that must hold keywords: a free text, each of them put where it fits best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from generators.core.generator import Cancel
from generators.core.keywords import Keyword
from generators.core.kneser_ney import UNKNOWN, Floats
from generators.core.text_law import TextLaw, Unit, flat
from generators.core.vocabulary import capitalisations
from generators.core.writing import ENDS

PLACES = 40  # that are looked at for a keyword
BEST = 8  # of them that are looked at again, with what follows
REPLACED = 2  # words that it stands for at most
BESIDE = 3  # words on either side that tell whether it fits
NEARBY = 8  # symbols of what stands before the text that tell it too
MARKS = '.,;:!?\u2026)]"\u201d'  # that stay when the word before them is replaced


@dataclass(frozen=True)
class Place:
    """That the words of a text from `at` to before `stop` go, and `words` come for them."""

    at: int
    stop: int
    words: list[Unit]


@dataclass(frozen=True)
class Placing:
    """Puts keywords into a text by what `law` says of it."""

    law: TextLaw
    random: np.random.Generator
    cancel: Cancel

    def placed(self, symbols: Sequence[int], keywords: Sequence[Keyword], words: int) -> list[int]:
        """A free text of about `words` words with every keyword in it, and with an end if it had none."""
        units = self.law.split(symbols)
        if units and not self.law.ends(units[-1]):
            units = self._ended(units, words)
        for i in self.random.permutation(len(keywords)):
            seen = self.law.vocabulary, self.law.last
            if not keywords[i].spots(units, *seen):
                taken = {k for one in keywords for a, b in one.spots(units, *seen) for k in range(a, b)}
                place = self._best(units, keywords[i], taken)
                units = [*units[: place.at], *place.words, *units[place.stop :]]
        return flat(units)

    def _ended(self, units: list[Unit], words: int) -> list[Unit]:
        """The text cut where, of its later part, the model would most readily end a sentence, with the mark."""
        marks = [symbol for symbol, token in enumerate(self.law.vocabulary.tokens) if token and token in ENDS]
        if not marks:
            return units
        (p,) = self.law.parallel.foreseen(self.law.start, [flat(units)])
        bare = [self._unmarked(unit) for unit in units]
        starts = np.cumsum([0, *map(len, units)])[:-1]
        chances = p[starts + [len(unit) for unit in bare]][:, marks]
        chances[: min(int(0.6 * words), len(units) - 1)] = 0.0
        at, mark = divmod(int(chances.argmax()), len(marks))
        return [*units[:at], (*bare[at], marks[mark])]

    def _unmarked(self, unit: Unit) -> Unit:
        """A word without the marks after it."""
        length = len(unit)
        while length > 1 and not self.law.vocabulary.tokens[unit[length - 1]][-1:].isalnum():
            length -= 1
        return unit[:length]

    def _best(self, units: list[Unit], keyword: Keyword, taken: set[int]) -> Place:
        """The place where a keyword costs least, beside words or instead of some that are not `taken`."""
        if not units:
            return Place(0, 0, self.law.split(keyword.symbols))
        spots = list(range(len(units)))
        if len(spots) > PLACES:
            spots = self.random.choice(spots, PLACES, replace=False).tolist()
        likely = [logs.sum() for logs in self._logs([(self._before(units, at), list(keyword.symbols)) for at in spots])]
        self.cancel.check()
        tried: list[Place] = []
        for i in np.argsort(likely)[::-1][:BEST].tolist():
            for stop in range(spots[i], min(spots[i] + REPLACED, len(units)) + 1):
                if not taken & set(range(spots[i], stop)):
                    tried += self._ways(units, spots[i], stop, keyword)
        if not tried:  # at the end, before its marks
            last = self._unmarked(units[-1])
            words = self.law.split([*last, *keyword.symbols, *units[-1][len(last) :]])
            return Place(len(units) - 1, len(units), words)
        return tried[int(np.argmax(self._gains(units, tried)))]

    def _gains(self, units: list[Unit], tried: list[Place]) -> list[float]:
        """How ln f of the words in each place and of the next few changes."""
        spots = sorted({place.at for place in tried})
        rows = [(self._before(units, at), flat(units[at : at + REPLACED + BESIDE])) for at in spots]
        for place in tried:
            words = [*place.words, *units[place.stop : place.stop + BESIDE]]
            rows.append((self._before(units, place.at), flat(words)))
        logs = self._logs(rows)
        self.cancel.check()
        now, gains = dict(zip(spots, logs, strict=False)), []
        for place, new in zip(tried, logs[len(spots) :], strict=True):
            length = len(flat(units[place.at : place.stop + BESIDE]))
            gains.append(float(new.sum() - now[place.at][:length].sum()))
        return gains

    def _ways(self, units: list[Unit], at: int, stop: int, keyword: Keyword) -> list[Place]:
        """The keyword there, with the white space and marks of the words that it stands for."""
        if at == stop:
            bare = at == 0 and not self.law.white[units[0][0]]
            return [] if bare else [Place(at, stop, self.law.split(keyword.symbols))]
        vocabulary = self.law.vocabulary
        word = vocabulary.decode(keyword.symbols).strip()
        first, last = vocabulary.decode(units[at]), vocabulary.decode(units[stop - 1])
        opening, closing = first[: len(first) - len(first.lstrip())], last[len(last.rstrip(MARKS)) :]
        found = []
        for form in [word] if opening == " " else capitalisations(word):
            symbols = vocabulary.encode(opening + form + closing)
            if UNKNOWN not in symbols:
                found.append(Place(at, stop, self.law.split(symbols.tolist())))
        return found

    def _before(self, units: list[Unit], at: int) -> list[int]:
        """The symbols of the few words before a place."""
        return [*(self.law.before[-NEARBY:] if at < BESIDE else []), *flat(units[max(at - BESIDE, 0) : at])]

    def _logs(self, rows: list[tuple[list[int], list[int]]]) -> list[Floats]:
        """ln f of symbols, the second of each pair, after others."""
        found = self.law.read(self.law.predictor.context([]), [[*before, *symbols] for before, symbols in rows])
        return [logs[0, len(before) :] for logs, (before, _) in zip(found, rows, strict=True)]
