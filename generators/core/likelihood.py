"""How likely a text or a list of items is under n-gram counts, down to the spelling of words never seen.

Every item of a list stands between a start symbol, one for each kind of item, and its line's end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np

from generators.core.interpolation import Counts
from generators.core.kneser_ney import UNKNOWN, Floats, Ints, KneserNey
from generators.core.reading import items_sequence
from generators.core.vocabulary import Characters, Vocabulary
from generators.data.splits import Texts

SPELLING_ORDER = 4


class Speller:
    """How likely a word is that was never seen: characters of the known words, to the word's end (symbol 1)."""

    def __init__(self, letters: list[str], counts: KneserNey) -> None:
        """letters: "", "end", then the characters, each its symbol."""
        self.letters, self.counts = letters, counts
        self._characters = Characters(["", *letters[2:]])

    @classmethod
    def fit(cls, tokens: list[str]) -> Self:
        """Learn to spell from a vocabulary, every word once."""
        letters = ["", "end", *sorted(set("".join(tokens)))]
        blank = cls(letters, KneserNey(len(letters), 1, []))
        sequence = blank._sequence([token for token in tokens if token])
        return cls(letters, KneserNey.fit(sequence, size=len(letters), starts=1, order=SPELLING_ORDER))

    def _sequence(self, words: list[str]) -> Ints:
        """Every word between a start symbol and the end, all in one: (N,)."""
        start, ends = len(self.letters), np.cumsum([len(word) for word in words])
        letters = self._characters.encode("".join(words))
        found = np.insert(letters + (letters != UNKNOWN), ends, 1)
        return np.insert(found, np.append(0, ends[:-1] + np.arange(1, len(words))), start)

    def nats(self, words: list[str]) -> Floats:
        """(N,) nats of the words' spellings."""
        if not words:
            return np.zeros(0)
        sequence = self._sequence(words)
        return -np.add.reduceat(self.counts.log_probs(sequence), np.flatnonzero(sequence == len(self.letters)))


@dataclass
class Likelihood:
    """What a text's probability takes: its symbols, their counts, and, where symbols are words, how one is spelt."""

    vocabulary: Vocabulary
    counts: Counts
    items: bool  # a list of items, not running text

    @cached_property
    def speller(self) -> Speller | None:
        """How words that are unknown are spelt, from those that are known; None where symbols are no words."""
        return Speller.fit(self.vocabulary.tokens) if self.vocabulary.by_word else None

    def sequence(self, texts: Texts, start: int | None = None) -> Ints:
        """A text's symbols, (N,); of a list with a start symbol before and a line's end after each item.

        The start symbols are those of the items' own kinds, or of kind `start` for all.
        """
        if not self.items:
            return self.vocabulary.encode(texts.text)
        return items_sequence(self.vocabulary, texts, start)

    def nats(self, texts: Texts, start: int | None = None) -> Floats:
        """(N,) nats of every symbol of `sequence(texts, start)`; an unknown word's spelling is part of its own."""
        return self._nats(self.sequence(texts, start), texts.text)

    def item_nats(self, texts: Texts, start: int | None) -> Floats:
        """(N,) nats of every item, given its kind, or taken for one of kind `start`."""
        sequence = self.sequence(texts, start)
        starts = np.flatnonzero(sequence >= len(self.vocabulary))
        return np.add.reduceat(self._nats(sequence, texts.text), starts)

    def share(self, item: str, kind: int) -> float:
        """How much of an item's likelihood, under every kind, is that of `kind`."""
        nats = np.asarray([self.nats(Texts((item,)), k).sum() for k in range(self.counts.starts)])
        return float(np.exp(-nats[kind] - np.logaddexp.reduce(-nats)))

    def text_nats(self, texts: Texts) -> Iterator[Floats]:
        """The nats of every symbol of a running text, in order, some at a time."""
        reach = self.counts.order - 1
        before = np.zeros(0, np.int64)
        for piece in self.vocabulary.pieces(texts.pieces()):
            symbols = np.concatenate([before, self.vocabulary.encode(piece)])
            nats = -self.counts.log_probs(symbols)[len(before) :]
            if self.speller is not None:
                nats[np.flatnonzero(symbols[len(before) :] == UNKNOWN)] += self.speller.nats(
                    self.vocabulary.unknown(piece)
                )
            yield nats
            before = symbols[len(symbols) - min(len(symbols), reach) :]

    def _nats(self, sequence: Ints, text: str) -> Floats:
        nats = -self.counts.log_probs(sequence)
        if self.speller is not None:
            nats[np.flatnonzero(sequence == UNKNOWN)] += self.speller.nats(self.vocabulary.unknown(text))
        return nats
