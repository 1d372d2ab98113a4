"""A text as symbols of a level, in one reading where that can be: what an n-gram model counts.

Unusual here: words are found for all places of a text at once, by what stands before and after each character, and told
apart by a hash, so that no expression is matched and each different word is only looked at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from generators.core.hashing import stretch_sums, text_hash
from generators.core.kneser_ney import UNKNOWN, Ints
from generators.core.symbols import blocks, stored
from generators.core.vocabulary import Bytes, Characters, Vocabulary, Words
from generators.data.splits import Texts

LEVELS = ("character", "word", "byte", "token")
MOST_WORDS = 200_000  # that are known; the rest of a huge text are spelt
PIECE = 1_000_000  # characters whose words are found at once
SLOT_BITS = 20
LONG = 256  # characters of a word whose sum is not relied on
JOINERS = "'\u2019-"  # between letters they belong to the word
_WORDLIKE = re.compile(r"\w")


def vocabulary_of(level: str) -> Any:
    """The class of a level's symbols."""
    if level == "token":
        from generators.core.bpe import BPE

        return BPE
    return {"word": Words, "byte": Bytes}.get(level, Characters)


def places(mine: Vocabulary, wider: Vocabulary) -> Ints:
    """Which symbol of a wider vocabulary each of a vocabulary is, (size,); the unknown one stays the first."""
    return np.asarray([UNKNOWN, *(wider.symbols[token] for token in mine.tokens[1:])], np.int64)


def read(
    texts: Texts, level: str, tokens: int, known: Vocabulary | None, check: Callable[[], None]
) -> tuple[Vocabulary, NDArray[Any], Ints]:
    """The vocabulary of a text, its symbols, (N,), each sequence of which begins with a start symbol, and how often
    each symbol is, (size + starts,).

    known: a vocabulary that is widened where characters are symbols, and kept otherwise; a new one where it is None.
    A running text's symbols are mapped from a file, see `stored`. `check` may raise.
    """
    if texts.running and level == "word" and known is None:
        words, symbols, _ = read_words(texts.pieces(), MOST_WORDS, check)
        return words, *stored(chain([np.asarray([len(words)])], blocks(symbols)), len(words) + 1, check)
    pieces = texts.pieces if texts.running else lambda: iter([texts.text + "\n"])
    vocabulary: Vocabulary
    if known is not None:
        vocabulary = known.extended(pieces()) if level == "character" else known
    else:
        kind = vocabulary_of(level)
        vocabulary = kind.of(pieces(), tokens) if level == "token" else kind.of(pieces())
    size = len(vocabulary)
    if texts.running:
        encoded = vocabulary.encode_all(pieces())
        return vocabulary, *stored(chain([np.asarray([size])], encoded), size + 1, check)
    sequence = items_sequence(vocabulary, texts)
    return vocabulary, sequence, np.bincount(sequence)


def items_sequence(vocabulary: Vocabulary, texts: Texts, start: int | None = None) -> Ints:
    """The symbols of a list's items, (N,), each after the start symbol of its kind, or of kind `start` for all, and
    with its line's end.
    """
    symbols = vocabulary.encode(texts.text + "\n")
    lines = np.append(0, np.flatnonzero(symbols == vocabulary.symbols["\n"])[:-1] + 1)
    if start is not None:
        kinds = np.full(len(lines), start)
    else:
        kinds = np.asarray(texts.labels) if texts.labels else np.zeros(len(lines), dtype=np.int64)
    return np.insert(symbols, lines, len(vocabulary) + kinds)


def read_words(
    pieces: Iterable[str], most: int = 0, check: Callable[[], None] | None = None
) -> tuple[Words, NDArray[Any], Ints]:
    """The words of a text that comes in pieces, or the `most` usual ones, and its symbols as in `stored`, in one
    reading.
    """
    numbers: dict[int, int] = {}  # of words, by their hashes
    words: list[str] = []

    def numbered(text: str) -> Ints:
        starts, hashes = word_hashes(text)
        first, local = grouped(hashes)
        found = []
        ends = np.append(starts[1:], len(text))[first].tolist()
        for start, end, word in zip(starts[first].tolist(), ends, hashes[first].tolist(), strict=True):
            number = numbers.get(word)
            if number is None:
                number = numbers[word] = len(words)
                words.append(text[start:end])
            found.append(number)
        return np.asarray(found, np.int64)[local]

    read, counts = stored(map(numbered, Words.pieces(pieces, PIECE)), None, check)
    known = np.argsort(-counts, kind="stable")[: most or None].tolist() if most < len(words) else range(len(words))
    order = sorted(known, key=words.__getitem__)
    symbol_of = np.full(len(words), UNKNOWN)
    symbol_of[order] = np.arange(1, len(order) + 1)
    vocabulary = Words(["", *(words[i] for i in order)])
    return vocabulary, *stored((symbol_of[part] for part in blocks(read)), len(vocabulary), check)


def grouped(hashes: NDArray[np.uint64]) -> tuple[Ints, Ints]:
    """Which are alike: the place of one of each group, (G,), and the group of each, (N,).

    By a table with more slots than groups are likely; what shares its slot with another group is sorted.
    """
    slots = (hashes >> np.uint64(64 - SLOT_BITS)).astype(np.int64)
    table = np.zeros(1 << SLOT_BITS, np.int32)
    table[slots] = np.arange(len(hashes), dtype=np.int32)
    told = table[slots]  # somebody with the same slot
    other = np.flatnonzero(hashes[told] != hashes)
    one = told == np.arange(len(hashes))
    groups = (np.cumsum(one) - 1)[told]
    rest, back = np.unique(hashes[other], return_inverse=True)
    groups[other] = np.count_nonzero(one) + back
    place = np.zeros(len(rest), np.int64)
    place[back] = other
    return np.concatenate([np.flatnonzero(one), place]), groups


def word_hashes(text: str) -> tuple[Ints, NDArray[np.uint64]]:
    """Where each of the parts begins that `WORD` cuts a text into, (N,), and a hash of its characters.

    The parts are found for all places at once, by what stands before and after each.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
    classes = np.zeros(int(codes.max(initial=0)) + 1, np.uint8)
    for code in np.flatnonzero(np.bincount(codes)).tolist():
        letter = chr(code)
        classes[code] = 1 if _WORDLIKE.match(letter) else 2 if letter.isspace() else 3 if letter in JOINERS else 0
    kind = np.concatenate([[2], classes[codes], [2]]).astype(np.uint8)
    letter, blank = kind == 1, kind == 2
    joiner = np.zeros_like(letter)
    joiner[1:-1] = (kind[1:-1] == 3) & letter[:-2] & letter[2:]
    inside = letter | joiner
    spaced = np.zeros_like(letter)  # a space that belongs to what follows it
    spaced[1:-1] = (codes == ord(" ")) & ~blank[2:]
    goes_on = (inside[1:-1] & inside[:-2]) | (spaced[:-2] & ~blank[1:-1])
    starts = np.flatnonzero(~goes_on)
    ends = np.append(starts[1:], len(codes))
    hashes = stretch_sums(codes.astype(np.uint64) + np.uint64(1), starts, ends)
    for i in np.flatnonzero(ends - starts > LONG).tolist():
        hashes[i] = text_hash(text[starts[i] : ends[i]])
    return starts, hashes
