"""Text as symbols (whole numbers): its characters, its bytes, or its words, each with the space before it.

Tokens put together are the text again, whichever they are, so that a likelihood of tokens is one of characters. Pieces
of words are in `generators.core.bpe`.
"""

from __future__ import annotations

import codecs
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from itertools import repeat
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from generators.core.arrays import packed, unpacked
from generators.core.kneser_ney import UNKNOWN, Ints

PIECE = 100_000  # characters that are read at once
LONGEST = 4_000_000  # characters without a place to cut them
WORD = re.compile(r" ?\w+(?:['\u2019-]\w+)*| ?[^\w\s]|\s")


class Vocabulary(ABC):
    """Tokens and the symbols that stand for them; symbol 0 is everything that is not among them.

    unit: what a token is. by_word: whether what is known or unknown of a text is a word, else a character. seam: where
    a text can be cut so that its parts have the symbols of the whole. notes: for a model card.
    """

    unit: ClassVar[str]
    by_word: ClassVar[bool] = False
    seam: ClassVar[re.Pattern[str]] = re.compile(r"(?<=\n)|(?<=\w)(?= )")
    notes: ClassVar[str] = ""

    def __init__(self, tokens: list[str]) -> None:
        """tokens: symbol -> text, "" first."""
        self.tokens = tokens
        self.symbols = {token: i for i, token in enumerate(tokens) if i}

    def __len__(self) -> int:
        """How many symbols there are, the unknown one included."""
        return len(self.tokens)

    @abstractmethod
    def extended(self, pieces: Iterable[str]) -> Self:
        """These symbols, and what a text that comes in pieces needs beyond them."""

    @abstractmethod
    def encode(self, text: str) -> Ints:
        """The symbols of a text: (N,)."""

    def decode(self, symbols: Iterable[int]) -> str:
        """The text of symbols."""
        return "".join(self.tokens[symbol] for symbol in symbols)

    def shown(self, text: str) -> str:
        """What tokens put together read as: themselves, but for bytes."""
        return text

    def encode_all(self, pieces: Iterable[str]) -> Iterator[Ints]:
        """The symbols of a text that comes in pieces, cut anywhere: in order, some at a time."""
        return map(self.encode, self.pieces(pieces))

    @classmethod
    def pieces(cls, text: Iterable[str], size: int = PIECE) -> Iterator[str]:
        """A text cut anew into pieces of `size` characters or a little more, which have the symbols of the whole.

        Where there is no seam for `LONGEST` characters, it is cut anywhere.
        """
        rest, searched = "", 0
        for piece in text:
            rest += piece
            start = 0
            while len(rest) - start > size:
                seam = cls.seam.search(rest, max(start + size, searched))
                if seam is None and len(rest) - start <= size + LONGEST:
                    break
                stop = start + size + LONGEST if seam is None else seam.start()
                yield rest[start:stop]
                start = stop
            searched = max(len(rest) - 1 - start, 0) if len(rest) - start > size else 0
            rest = rest[start:]
        if rest:
            yield rest

    def split(self, text: str) -> list[str]:
        """The tokens that make up a text, whether they have a symbol or not."""
        return list(text)

    def unknown(self, text: str) -> list[str]:
        """The characters or words of a text that have no symbol, in order."""
        return [letter for letter in text if letter not in self.symbols]

    def understand(self, text: str) -> tuple[list[int], list[str]]:
        """What a person typed: its symbols, and what is not known of it, each once."""
        return self.encode(text).tolist(), list(dict.fromkeys(self.unknown(text)))

    def ending(self, text: str) -> list[int]:
        """The last symbols of a text that may be others when it goes on; none where a token never grows."""
        return []

    def state(self) -> dict[str, NDArray[Any]]:
        """As compact arrays."""
        return {"tokens": packed(self.tokens)}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """The vocabulary back from `state()`. Raises KeyError or ValueError where the arrays are others."""
        return cls(unpacked(state["tokens"]))


class Characters(Vocabulary):
    """The characters of a text, in the order of their codes."""

    unit = "character"
    seam = re.compile("")

    @classmethod
    def of(cls, pieces: Iterable[str]) -> Self:
        """Every character of a text that comes in pieces."""
        return cls(["", *sorted(_letters(pieces))])

    def extended(self, pieces: Iterable[str]) -> Self:
        """These characters, and those of a text that comes in pieces."""
        return type(self)(["", *sorted({*self.tokens[1:], *_letters(pieces)})])

    def encode(self, text: str) -> Ints:
        """The symbols of a text: (N,)."""
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        return self._by_code.take(codes, mode="clip")

    @cached_property
    def _by_code(self) -> Ints:
        """A character's symbol by its code; the last, which stands for all codes above, is the unknown one."""
        codes = [ord(token) for token in self.tokens[1:]]
        table = np.full(max(codes, default=0) + 2, UNKNOWN, dtype=np.int64)
        table[codes] = np.arange(1, len(self.tokens))
        return table


class Bytes(Vocabulary):
    """The 256 bytes of UTF-8; no text has anything unknown. One that is no character is written as a letter: U+0100 and
    its number.
    """

    unit = "byte"
    seam = re.compile("")
    notes = " Its symbols are the bytes of UTF-8."

    def __init__(self, tokens: list[str] | None = None) -> None:
        """tokens: as they are always. Raises ValueError for others."""
        super().__init__(["", *map(chr, range(128)), *(chr(256 + byte) for byte in range(128, 256))])
        if tokens is not None and tokens != self.tokens:
            raise ValueError("The tokens are not the 256 bytes; train the model again.")

    @classmethod
    def of(cls, pieces: Iterable[str]) -> Self:
        """All bytes, whatever the text."""
        return cls()

    def extended(self, pieces: Iterable[str]) -> Self:
        """All bytes, as before."""
        return self

    def encode(self, text: str) -> Ints:
        """The symbols of a text: (N,)."""
        return np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8).astype(np.int64) + 1

    def decode(self, symbols: Iterable[int]) -> str:
        """The text of symbols; bytes that are none of UTF-8 are U+FFFD."""
        return self.shown("".join(self.tokens[symbol] for symbol in symbols))

    def shown(self, text: str) -> str:
        """The text of bytes that are written as tokens; a character that is not whole yet is left out."""
        data = bytes(ord(token) & 0xFF for token in text)
        return codecs.getincrementaldecoder("utf-8")("replace").decode(data)

    def split(self, text: str) -> list[str]:
        """The bytes of a text."""
        return [self.tokens[symbol] for symbol in self.encode(text)]

    def unknown(self, text: str) -> list[str]:
        """Nothing is."""
        return []


class Words(Vocabulary):
    """The words of a text, each with the space before it, and its marks."""

    unit = "word"
    by_word = True

    @classmethod
    def of(cls, pieces: Iterable[str], most: int = 0) -> Self:
        """Every word of a text that comes in pieces, or the `most` usual ones."""
        counts: Counter[str] = Counter()
        for piece in cls.pieces(pieces):
            counts.update(WORD.findall(piece))
        return cls(["", *sorted(word for word, _ in counts.most_common(most or None))])

    def extended(self, pieces: Iterable[str]) -> Self:
        """These words, and those of a text that comes in pieces."""
        return type(self)(["", *sorted({*self.tokens[1:], *self.of(pieces).tokens[1:]})])

    def encode(self, text: str) -> Ints:
        """The symbols of a text: (N,)."""
        return np.fromiter(map(self.symbols.get, WORD.findall(text), repeat(UNKNOWN)), np.int64)

    def split(self, text: str) -> list[str]:
        """The words that make up a text, whether they have a symbol or not."""
        return WORD.findall(text)

    def unknown(self, text: str) -> list[str]:
        """The words of a text that have no symbol, in order."""
        return [word for word in WORD.findall(text) if word not in self.symbols]

    def understand(self, text: str) -> tuple[list[int], list[str]]:
        """What a person typed: its symbols, and what is not known of it, each once.

        A word may be known under other capitals, or only with the space before it or only without.
        """
        symbols: list[int] = []
        unknown: dict[str, None] = {}
        for word in WORD.findall(text):
            forms = capitalisations(word) + capitalisations(word[1:] if word.startswith(" ") else f" {word}")
            symbols.append(next((self.symbols[form] for form in forms if form in self.symbols), UNKNOWN))
            if symbols[-1] == UNKNOWN:
                unknown[word.strip()] = None
        return symbols, list(unknown)


def _letters(pieces: Iterable[str]) -> set[str]:
    """The different characters of a text that comes in pieces."""
    found: set[str] = set()
    for piece in pieces:
        found.update(piece)
    return found


def capitalisations(token: str) -> list[str]:
    """A word as it is, then with other capitals; a space before it stays."""
    space, word = (" ", token[1:]) if token.startswith(" ") else ("", token)
    return list(dict.fromkeys(space + form for form in (word, word.lower(), word.capitalize(), word.upper())))
