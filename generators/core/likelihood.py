"""How likely a text or a list of items is under n-gram counts, down to the spelling of words never seen.

Every item of a list stands between a start symbol, one for each kind of item, and its line's end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from generators.core.arrays import packed, under, unpacked
from generators.core.kneser_ney import UNKNOWN, Floats, Ints, KneserNey
from generators.core.vocabulary import Vocabulary
from generators.data.splits import Texts

SPELLING_ORDER = 4


class Speller:
    """How likely a word is that was never seen: characters of the known words, to the word's end (symbol 1)."""

    def __init__(self, letters: list[str], counts: KneserNey) -> None:
        self.letters, self.counts = letters, counts
        self.symbols = {letter: i for i, letter in enumerate(letters) if i > 1}

    @classmethod
    def fit(cls, tokens: list[str]) -> Self:
        """Learn to spell from a vocabulary, every word once."""
        letters = ["", "end", *sorted(set("".join(tokens)))]
        blank = cls(letters, KneserNey(len(letters), 1, []))
        sequence = blank._sequence([token for token in tokens if token])
        return cls(letters, KneserNey.fit(sequence, size=len(letters), starts=1, order=SPELLING_ORDER))

    def _sequence(self, words: list[str]) -> Ints:
        start = len(self.letters)
        return np.asarray([i for word in words for i in (start, *(self.symbols.get(c, UNKNOWN) for c in word), 1)])

    def nats(self, words: list[str]) -> Floats:
        """(N,) nats of the words' spellings."""
        if not words:
            return np.zeros(0)
        sequence = self._sequence(words)
        return -np.add.reduceat(self.counts.log_probs(sequence), np.flatnonzero(sequence == len(self.letters)))

    def state(self) -> dict[str, NDArray[Any]]:
        """As compact arrays."""
        return {"letters": packed(self.letters)} | {f"speller.{k}": v for k, v in self.counts.state().items()}

    @classmethod
    def from_state(cls, state: dict[str, NDArray[Any]]) -> Self:
        """The speller back from `state()`. Raises `CheckpointError` or ValueError where the arrays do not fit."""
        return cls(unpacked(state["letters"]), KneserNey.from_state(under("speller.", state)))


@dataclass
class Likelihood:
    """What a text's probability takes: its symbols, their counts, and, where symbols are words, how one is spelt."""

    vocabulary: Vocabulary
    counts: KneserNey
    speller: Speller | None
    items: bool  # a list of items, not running text

    def sequence(self, texts: Texts, start: int | None = None) -> Ints:
        """A text's symbols, (N,); of a list with a start symbol before and a line's end after each item.

        The start symbols are those of the items' own kinds, or of kind `start` for all.
        """
        text = texts.text
        if not self.items:
            return self.vocabulary.encode(text)
        symbols = self.vocabulary.encode(text + "\n")
        lines = np.append(0, np.flatnonzero(symbols == self.vocabulary.symbols["\n"])[:-1] + 1)
        if start is not None:
            kinds = np.full(len(lines), start)
        else:
            kinds = np.asarray(texts.labels) if texts.labels else np.zeros(len(lines), dtype=np.int64)
        return np.insert(symbols, lines, len(self.vocabulary) + kinds)

    def nats(self, texts: Texts, start: int | None = None) -> Floats:
        """(N,) nats of every symbol of `sequence(texts, start)`; an unknown word's spelling is part of its own."""
        return self._nats(self.sequence(texts, start), texts.text)

    def item_nats(self, texts: Texts, start: int) -> Floats:
        """(N,) nats of every item, taken for one of kind `start`."""
        sequence = self.sequence(texts, start)
        starts = np.flatnonzero(sequence >= len(self.vocabulary))
        return np.add.reduceat(self._nats(sequence, texts.text), starts)

    def share(self, item: str, kind: int) -> float:
        """How much of an item's likelihood, under every kind, is that of `kind`."""
        nats = np.asarray([self.nats(Texts((item,)), k).sum() for k in range(self.counts.starts)])
        return float(np.exp(-nats[kind] - np.logaddexp.reduce(-nats)))

    def _nats(self, sequence: Ints, text: str) -> Floats:
        nats = -self.counts.log_probs(sequence)
        if self.speller is not None:
            nats[np.flatnonzero(sequence == UNKNOWN)] += self.speller.nats(self.vocabulary.unknown(text))
        return nats
