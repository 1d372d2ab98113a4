"""Text as symbols (whole numbers): its characters, or its words, each with the space before it.

Tokens put together are the text again, whichever they are, so that a likelihood of tokens is one of characters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Self

import numpy as np

from generators.core.kneser_ney import UNKNOWN, Ints

WORD = re.compile(r" ?\w+(?:['\u2019-]\w+)*| ?[^\w\s]|\s")


class Vocabulary:
    """Tokens and the symbols that stand for them; symbol 0 is everything that is not among them."""

    def __init__(self, tokens: list[str], by_word: bool) -> None:
        """tokens: symbol -> text, "" first, then characters or words in order; by_word: which of the two."""
        self.tokens, self.by_word = tokens, by_word
        self.symbols = {token: i for i, token in enumerate(tokens) if i}

    @classmethod
    def of(cls, pieces: Iterable[str], by_word: bool, most: int = 0) -> Self:
        """Every token of a text that comes in pieces, or the `most` usual ones."""
        if not most:
            return cls(["", *sorted({token for piece in pieces for token in set(_parts(piece, by_word))})], by_word)
        counts: Counter[str] = Counter()
        for piece in pieces:
            counts.update(_parts(piece, by_word))
        return cls(["", *sorted(token for token, _ in counts.most_common(most))], by_word)

    def __len__(self) -> int:
        """How many symbols there are, the unknown one included."""
        return len(self.tokens)

    @property
    def unit(self) -> str:
        """What a token is: `word` or `character`."""
        return "word" if self.by_word else "character"

    def encode(self, text: str) -> Ints:
        """The symbols of a text: (N,)."""
        if self.by_word:
            return np.asarray([self.symbols.get(token, UNKNOWN) for token in WORD.findall(text)], dtype=np.int64)
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        return self._by_code.take(codes, mode="clip")

    @cached_property
    def _by_code(self) -> Ints:
        """A character's symbol by its code; the last, which stands for all codes above, is the unknown one."""
        codes = [ord(token) for token in self.tokens[1:]]
        table = np.full(max(codes, default=0) + 2, UNKNOWN, dtype=np.int64)
        table[codes] = np.arange(1, len(self.tokens))
        return table

    def decode(self, symbols: Iterable[int]) -> str:
        """The text of symbols."""
        return "".join(self.tokens[symbol] for symbol in symbols)

    def unknown(self, text: str) -> list[str]:
        """The tokens of a text that have no symbol, in order."""
        return [token for token in _parts(text, self.by_word) if token not in self.symbols]

    def understand(self, text: str) -> tuple[list[int], list[str]]:
        """What a person typed: its symbols, words also under other capitals, and what is not known, each once."""
        symbols: list[int] = []
        unknown: dict[str, None] = {}
        for token in _parts(text, self.by_word):
            forms = capitalisations(token) if self.by_word else [token]
            symbols.append(next((self.symbols[form] for form in forms if form in self.symbols), UNKNOWN))
            if symbols[-1] == UNKNOWN:
                unknown[token.strip() if self.by_word else token] = None
        return symbols, list(unknown)


def _parts(text: str, by_word: bool) -> Sequence[str]:
    """The tokens that make up a text."""
    return WORD.findall(text) if by_word else text


def capitalisations(token: str) -> list[str]:
    """A word as it is, then with other capitals; a space before it stays."""
    space, word = (" ", token[1:]) if token.startswith(" ") else ("", token)
    return list(dict.fromkeys(space + form for form in (word, word.lower(), word.capitalize(), word.upper())))
