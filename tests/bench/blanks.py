"""A masked language model of words against n-gram models that see both sides of a blank, on held-out scripture.

    python tests/bench/blanks.py [bert-scripture] [--words 2000] [--seed 0]
    python tests/bench/blanks.py --family bert --minutes 5        trains one on kjv first

All guess the same words: the first ones of kjv:val behind those that chose between the BERT's checkpoints, as many as
asked for, rounded up to whole pieces of its context. The n-grams (modified Kneser-Ney of orders 2 to 5, discounts
tuned) are of the BERT's training text and vocabulary. The BERT hides every seventh word at once, so the 6 words on
either side of a blank are shown; the n-grams see the next 1 to 4 of these, also beyond the edges of the BERT's pieces,
where it sees nothing. An unknown word is never guessed by either: it counts as missed and costs the logarithm of the
vocabulary's size. Beside a blank an unknown word looks like a blank to the BERT; the n-grams see what it is.

Exits with 1 unless the BERT is better than every n-gram model in nats and among the first five guesses; does nothing
where the model is not here.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import blank_peers

import generators
from generators.bert import VALIDATION, Config
from generators.core.kneser_ney import UNKNOWN
from generators.core.progress import progress_bar
from generators.core.training import Run
from generators.data.splits import Splits, Texts
from generators.data.text import load

ORDERS = (2, 3, 4, 5)  # longer n-grams guess no better
Rows = dict[str, dict[str, float]]  # who guesses -> BERT.score's figures


def compared(model: Any, splits: Splits[Texts], words: int) -> tuple[Rows, str]:
    """The figures of the BERT, first, and of the n-gram models on the same words; and what words these are.

    Raises ValueError where so many held-out words are not there.
    """
    vocabulary, context = model.vocabulary, model.config.context
    held_out, count = vocabulary.encode(splits.val.text), -(-words // context) * context
    places = range(VALIDATION, VALIDATION + count)
    if places.stop > len(held_out):
        left = max(0, (len(held_out) - VALIDATION) // context * context)
        raise ValueError(f"{words} words were asked for; at most {left} are held out, so ask for no more.")
    hidden = held_out[places.start : places.stop]
    rows = {"BERT, both sides": model.masked(hidden)}
    train = vocabulary.encode(splits.train.text)
    for order in ORDERS:
        peer = blank_peers.fitted(train, len(vocabulary), order)
        rows[f"n-grams, order {order}, both sides"] = blank_peers.score(peer, held_out, places, order - 1)
        rows[f"n-grams, order {order}, left side"] = blank_peers.score(peer, held_out, places, 0)
    unknown = int((hidden == UNKNOWN).sum())
    return rows, f"words {places.start} to {places.stop - 1} of the held-out text, {unknown} of them unknown"


def better(rows: Rows) -> bool:
    """Whether the first row is better than every other in nats and among the first five guesses."""
    first, *others = rows.values()
    nats = min(row["masked_nats_per_word"] for row in others)
    return first["masked_nats_per_word"] < nats and first["top_5"] > max(row["top_5"] for row in others)


def trained(splits: Splits[Texts], family: str, minutes: float, seed: int) -> Any:
    """A new model with the family's own options."""
    with progress_bar(family) as bar:
        return generators.family(family).fit(splits, Config(), Run(seed=seed, minutes=minutes, callbacks=(bar,)))


def main() -> int:
    parser = argparse.ArgumentParser(description="A masked language model of words against n-grams, on kjv.")
    parser.add_argument("model", nargs="?", default="bert-scripture")
    parser.add_argument("--words", type=int, default=2000, help="how many held-out words are hidden")
    parser.add_argument("--family", choices=("bert",), help="train a new model of this family, for trying")
    parser.add_argument("--minutes", type=float, default=5.0, help="how long a new model trains")
    parser.add_argument("--seed", type=int, default=0, help="of a new model's training; nothing else is drawn")
    options = parser.parse_args()
    if options.words < 1:
        parser.error(f"--words is {options.words}; it must be 1 or more.")
    if not options.family and options.model not in generators.names():
        print(f"{options.model} is not here; --family bert trains a model to compare.", file=sys.stderr)
        return 0
    splits = load("kjv")
    if options.family:
        name = f"{options.family}, {options.minutes:g} minutes of training"
        model = trained(splits, options.family, options.minutes, options.seed)
    else:
        name, model = options.model, generators.load(options.model)
        if model.info.data_sha256 != splits.source.sha256:
            parser.error(f"{name} was trained on {model.info.data}, not on kjv; give a model of kjv.")
    began = time.monotonic()
    try:
        rows, words = compared(model, splits, options.words)
    except ValueError as error:
        parser.error(str(error))
    print(f"{name}; {words}, seed {options.seed}, {time.monotonic() - began:.0f} s\n")
    print("| guessed by | masked_nats_per_word | top_1 | top_5 | n |\n|---|---|---|---|---|")
    for who, row in rows.items():
        nats, shares = f"{row['masked_nats_per_word']:.3f}", f"{row['top_1']:.1%} | {row['top_5']:.1%}"
        print(f"| {who} | {nats} | {shares} | {row['n']:.0f} |")
    met = better(rows)
    print(f"\nThe BERT is {'' if met else 'not '}better than every n-gram model in nats and among five guesses.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
