"""Texts that must hold given words: how often they do, and how likely they are beside the model's free texts.

    python tests/bench/must_include.py [NAME...] [--requests N]

Request i asks for one, two or three words in turn, drawn from those of the held-out text that the training text has
too, each as likely as the other, and for `WORDS` words at the tool's own temperature; beside it stands a free text
of the same seed. Nats are those of `score`, over all texts of a kind together. Ends with status 1 if a target is
missed. Use two cores.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

import generators
from chains.schemas import WriteText
from generators.core.errors import RequestError
from generators.core.generator import Cancel, Partial, Request, rng
from generators.core.text_model import TextModel
from generators.data.splits import Texts
from generators.data.text import load

NAMES = ("markov-scripture", "gpt-scripture", "mixture-scripture")
REQUESTS, WORDS, MOST = 200, 60, 3
SHARE, RATIO, SECONDS = 0.99, 1.15, 3.0  # at least, at most, at most (median)
LETTERS, HELD_OUT, TAUGHT = 4, 5, 20  # of a word that is asked for: its letters and its counts in both texts, at least


@dataclass
class Tally:
    """Of some texts: nats by the model, its symbols, characters, and the seconds that each took."""

    nats: float = 0.0
    symbols: int = 0
    characters: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, model: TextModel, text: str, seconds: float) -> None:
        self.nats += model.score(Texts((text,), True))["nats_per_char"] * len(text)
        self.symbols += len(model.vocabulary.encode(text))
        self.characters += len(text)
        self.seconds.append(seconds)


def words_to_ask_for() -> list[str]:
    """Words of the King James Bible's held-out part that its training part has as well."""
    splits = load("kjv")
    held_out, taught = (Counter(re.findall(r"\w+", part.text.casefold())) for part in (splits.val, splits.train))
    known = [word for word, n in held_out.items() if n >= HELD_OUT and taught[word] >= TAUGHT and len(word) >= LETTERS]
    return sorted(word for word in known if word.isalpha())


def written(model: TextModel, seed: int, words: list[str]) -> tuple[str, float]:
    """A text, and the seconds that it took; "" where the request failed."""
    args = {"words": WORDS, "temperature": WriteText().temperature}
    if words:
        args["must_include"] = ", ".join(words)
    began = time.perf_counter()
    try:
        *_, text = model.draw(Request("write_text", args), seed=seed, cancel=Cancel())
    except RequestError as error:
        print(f"  {words}: {error}")
        text = ""
    assert not isinstance(text, Partial)
    return text, time.perf_counter() - began


def measured(name: str, requests: int, known: list[str]) -> bool:
    """Measure one model and print its row; whether it met the targets."""
    model = generators.load(name)
    assert isinstance(model, TextModel)
    bound, free, whole = Tally(), Tally(), 0
    for i in range(requests):
        words = [str(word) for word in rng(i).choice(known, 1 + i % MOST, replace=False)]
        text, seconds = written(model, i, words)
        has = [re.search(rf"(?<!\w){word}(?!\w)", text, re.IGNORECASE) for word in words]
        whole += all(has)
        if text:
            bound.add(model, text, seconds)
        free.add(model, *written(model, i, []))
    share, per_symbol = whole / requests, [tally.nats / tally.symbols for tally in (bound, free)]
    per_character = [tally.nats / tally.characters for tally in (bound, free)]
    ratio = per_symbol[0] / per_symbol[1]
    median, late = np.quantile(bound.seconds, [0.5, 0.95])
    met = share >= SHARE and ratio <= RATIO and median <= SECONDS
    print(
        f"| {name} | {requests} | {share:.1%} | {per_symbol[0]:.3f} | {per_symbol[1]:.3f} | {per_character[0]:.3f} | "
        f"{per_character[1]:.3f} | {ratio:.3f} | {median:.2f} | {late:.2f} | {np.median(free.seconds):.2f} | "
        f"{'met' if met else 'MISSED'} |"
    )
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    options = parser.parse_args()
    known = words_to_ask_for()
    print(f"{len(known):,} words to ask for; {WORDS} words a text")
    print(
        f"| model | requests | all words there (>= {SHARE:.0%}) | nats a symbol | of free texts | nats a character | "
        f"of free texts | ratio (<= {RATIO}) | median s (<= {SECONDS:g}) | 95 % s | free, s | |\n" + "|---" * 12 + "|"
    )
    raise SystemExit(not all([measured(name, options.requests, known) for name in options.names]))


if __name__ == "__main__":
    main()
