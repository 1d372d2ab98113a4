"""Text as symbols (whole numbers): its characters, or its words, each with the space before it.

Tokens put together are the text again, whichever they are, so that a likelihood of tokens is one of characters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
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
    def of(cls, text: str, by_word: bool, most: int = 0) -> Self:
        """Every token of `text`, or the `most` usual ones."""
        parts = _parts(text, by_word)
        chosen = [token for token, _ in Counter(parts).most_common(most)] if most else set(parts)
        return cls(["", *sorted(chosen)], by_word)

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
        alphabet = np.asarray([ord(token) for token in self.tokens[1:]], dtype=np.uint32)
        at = np.minimum(np.searchsorted(alphabet, codes), len(alphabet) - 1)
        return np.where(alphabet[at] == codes, at + 1, UNKNOWN).astype(np.int64)

    def decode(self, symbols: Iterable[int]) -> str:
        """The text of symbols."""
        return "".join(self.tokens[symbol] for symbol in symbols)

    def split(self, text: str) -> list[str]:
        """The tokens that make up a text, whether they have a symbol or not."""
        return list(_parts(text, self.by_word))

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
