"""Text as pieces of words: byte-pair encoding over characters (Sennrich et al. 2016), by the library tokenizers.

A text is cut into words, each with the space before it, runs of marks, runs of blanks, and line ends; within each the
commonest pairs become tokens, one after the other. Nothing is normalised, so the tokens of a text put together are the
text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from generators.core.arrays import packed, unpacked
from generators.core.kneser_ney import UNKNOWN, Ints
from generators.core.vocabulary import Vocabulary

LEAST, MOST = 256, 32_000  # tokens
UNKNOWN_TOKEN = "<unk>"  # no token is written so, since words and marks are never joined
PARTS = r" ?\w+| ?[^\w\s]+|\n|[^\S\n]+(?!\S)|[^\S\n]"
LONE = re.compile("[\ud800-\udfff]")
LEARNT = 20_000_000  # characters that merges are learnt from


class BPE(Vocabulary):
    """Characters, and what pairs of tokens were merged to, in the order of the merges.

    A lone surrogate, which no file in UTF-8 can hold, is read as U+FFFD.
    """

    unit = "token"
    notes = (
        " Tokens are those of byte-pair encoding (Sennrich et al. 2016); a text is scored as it is encoded, so "
        "its likelihood is at least what the score says."
    )

    def __init__(self, alphabet: list[str], merges: list[tuple[str, str]]) -> None:
        """alphabet: characters. merges: pairs of tokens, first those merged first. Raises ValueError for others."""
        known = set(alphabet)
        if len(known) != len(alphabet) or any(len(letter) != 1 for letter in alphabet):
            raise ValueError("The alphabet is not one of different characters; train the model again.")
        for first, second in merges:
            if first not in known or second not in known:
                raise ValueError(f"{first!r} and {second!r} are merged before they are tokens; train the model again.")
            known.add(first + second)
        super().__init__(["", *alphabet, *dict.fromkeys(first + second for first, second in merges)])
        self.alphabet, self.merges = alphabet, merges
        symbols = {UNKNOWN_TOKEN: UNKNOWN, **self.symbols}
        self.tokenizer = _tokenizer(models.BPE(symbols, merges, unk_token=UNKNOWN_TOKEN))

    @classmethod
    def of(cls, pieces: Iterable[str], size: int) -> Self:
        """At most `size` symbols: the characters of a text that comes in pieces, and merges of pairs that occur more
        than once in its first `LEARNT` characters.

        Raises ValueError where `size` is too small for the characters alone.
        """
        letters: set[str] = set()
        sample, held = [], 0
        for piece in cls.pieces(map(_valid, pieces)):
            letters.update(piece)
            if held < LEARNT:
                sample.append(piece)
                held += len(piece)
        if size <= len(letters):
            raise ValueError(f"tokens is {size}, but the text has {len(letters):,} different characters; allow more.")
        learner = _tokenizer(models.BPE())
        trainer = trainers.BpeTrainer(
            vocab_size=size,
            min_frequency=2,
            special_tokens=[UNKNOWN_TOKEN],
            initial_alphabet=sorted(letters),
            show_progress=False,
        )
        learner.train_from_iterator(sample, trainer)
        return cls.read(learner)

    @classmethod
    def read(cls, tokenizer: Tokenizer) -> Self:
        """The characters and merges of a tokenizer as it is built here. Raises ValueError for one of another kind."""
        said, own = (json.loads(each.to_str()) for each in (tokenizer, _tokenizer(models.BPE())))
        if said["model"]["type"] != "BPE" or any(said[part] != own[part] for part in ("normalizer", "pre_tokenizer")):
            raise ValueError("The tokenizer is not one of byte pairs that cuts a text as it is done here.")
        known = said["model"]["vocab"]
        alphabet = [token for token in sorted(known, key=known.__getitem__) if len(token) == 1]
        return cls(alphabet, [(first, second) for first, second in said["model"]["merges"]])

    def extended(self, pieces: Iterable[str]) -> Self:
        """These characters and merges, and the characters of a text that comes in pieces."""
        letters = {letter for piece in pieces for letter in set(_valid(piece))}
        return type(self)([*self.alphabet, *sorted(letters - set(self.alphabet))], self.merges)

    def encode(self, text: str) -> Ints:
        """The symbols of a text: (N,)."""
        parts = [self.tokenizer.encode(piece).ids for piece in self.pieces([_valid(text)])]
        return np.concatenate([np.zeros(0, np.int64), *(np.asarray(part, np.int64) for part in parts)])

    def split(self, text: str) -> list[str]:
        """The tokens that make up a text, an unknown character being one of its own."""
        return [text[start:stop] for start, stop in self.tokenizer.encode(_valid(text)).offsets]

    def ending(self, text: str) -> list[int]:
        """The symbols of the last word or run of marks or blanks, or of what follows an unknown character in it."""
        words = self.tokenizer.pre_tokenizer.pre_tokenize_str(_valid(text))
        symbols = self.encode(words[-1][0]) if words else np.zeros(0, np.int64)
        unknown = np.flatnonzero(symbols == UNKNOWN)
        return [int(symbol) for symbol in symbols[unknown[-1] + 1 if len(unknown) else 0 :]]

    def state(self) -> dict[str, NDArray[Any]]:
        """As compact arrays."""
        return {"alphabet": packed(self.alphabet), "merges": packed([*chain.from_iterable(self.merges)])}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """The vocabulary back from `state()`. Raises KeyError or ValueError where the arrays are others."""
        parts = unpacked(state["merges"])
        return cls(unpacked(state["alphabet"]), [*zip(parts[::2], parts[1::2], strict=True)])


def check_size(tokens: int) -> None:
    """Raise ValueError for a number of tokens that is neither 0, for none, nor within bounds."""
    if tokens and not LEAST <= tokens <= MOST:
        raise ValueError(f"tokens is {tokens}; it must be from {LEAST} to {MOST}, or 0 for characters.")


def _tokenizer(rules: models.BPE) -> Tokenizer:
    """What cuts a text into parts, these into tokens by the rules, and puts them together again."""
    whole = Tokenizer(rules)
    whole.pre_tokenizer = pre_tokenizers.Split(Regex(PARTS), "isolated")
    whole.decoder = decoders.Fuse()
    return whole


def _valid(text: str) -> str:
    """The text without lone surrogates, which UTF-8 has no bytes for."""
    return LONE.sub("\ufffd", text)
