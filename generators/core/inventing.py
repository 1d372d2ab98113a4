"""Inventing from what a list taught: items that are like those of the list and not among them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from generators.core.generator import Cancel
from generators.core.kneser_ney import Ints
from generators.core.vocabulary import Vocabulary
from generators.core.writing import Predictor, pick

TEMPERATURE = 0.7
REDRAWS = 100  # of an item that is not new, before the context is cut by one symbol


def fingerprint(item: str) -> int:
    """A 32-bit hash by which an item is told to be in the data, whatever its case."""
    return zlib.crc32(item.casefold().encode("utf-8", "surrogatepass"))


def fingerprints(items: Iterable[str]) -> Ints:
    """The hashes of items, sorted, each once: (N,)."""
    return np.unique(np.asarray([fingerprint(item) for item in items], dtype=np.int64))


@dataclass
class Inventor:
    """What items are drawn from.

    starts: how many kinds of item there are, each with a start symbol after those of the vocabulary. known: the
    `fingerprints` of the items that are not new. longest: the longest item's symbols. share: of an item's likelihood
    under every kind, how much is that of one.
    """

    predictor: Predictor
    vocabulary: Vocabulary
    starts: int
    known: Ints
    longest: int
    share: Callable[[str, int], float]

    def new(
        self, kind: int | None, prefix: str, random: np.random.Generator, taken: set[str], cancel: Cancel
    ) -> tuple[str | None, bool]:
        """An item that is neither taken nor in the data, and True; or else one that is not taken (None), and False.

        One of a certain kind is kept with that kind's share of its likelihood, since kinds share what they say after a
        few letters: `Dindseman`, drawn as a female first name, is likelier a surname. taken: items, casefolded.
        """
        spare = None
        for context in self.predictor.lookbacks:
            cancel.check()
            for _ in range(REDRAWS):
                item = self.draw(kind, prefix, random, context)
                if not item or item.casefold() in taken:
                    continue
                if not self.is_known(item):
                    if kind is None or random.random() < self.share(item, kind):
                        return item, True
                    continue
                spare = spare or item
        return spare, False

    def is_known(self, item: str) -> bool:
        """Whether the data has the item, in whatever capitals."""
        at = np.searchsorted(self.known, fingerprint(item))
        return bool(at < len(self.known) and self.known[at] == fingerprint(item))

    def draw(
        self,
        kind: int | None,
        prefix: str,
        random: np.random.Generator,
        context: int | None = None,
        temperature: float = TEMPERATURE,
    ) -> str | None:
        """One draw of the chain, given that it starts with `prefix` in any case; None if it would not end.

        kind: None draws one, all alike, however many the data has of each. context: look back at most so many symbols.
        """
        predictor, vocabulary = self.predictor, self.vocabulary
        drawn = int(random.integers(self.starts))
        start = len(vocabulary) + (drawn if kind is None else kind)
        state, end, rest, made = predictor.context([start]), vocabulary.symbols["\n"], prefix.casefold(), ""
        first = predictor.followers(start) if temperature < 1 else None
        for _ in range(self.longest + len(prefix)):
            p = predictor.distribution(state, context)
            if rest:
                folded = [token.casefold() for token in vocabulary.tokens]
                p *= [bool(token) and (rest.startswith(token) or token.startswith(rest)) for token in folded]
                if not p.any():
                    return None
            if not made:
                p[end] = 0.0
                if first is not None and (p * first).any():
                    p *= first
            symbol = pick(p, temperature, random)
            if symbol == end:
                return made.strip()
            token = vocabulary.tokens[symbol]
            made += token
            rest = rest[len(token) :]
            state = predictor.extend(state, symbol)
        return None
