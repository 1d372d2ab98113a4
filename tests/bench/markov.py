"""Markov models: held-out loss and the seconds of a fit, and both beside markovify's.

    python tests/bench/markov.py [--text tinyshakespeare.txt] [--peers DIR]

The targets are for tinyshakespeare, which does not come with Artwright; without it the King James Bible is measured.
The first 90 % of the text train, the rest is scored. markovify is looked for in DIR too. Both count words by the two
before them, and are fitted and drawn from in turn; of several rounds the median counts. Ends with status 1 where a
target is missed.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

from generators.core.training import Run
from generators.data.splits import Source, Splits, Texts
from generators.data.text import load
from generators.markov import Config, Markov

LOSS, SECONDS = 1.515, 1.0  # nats per character of the default options, and of their fit
FIT, GENERATE = 3.0, 5.0  # times as fast as markovify
ROUNDS, SENTENCES, TEXTS = 7, 1000, 1000
SEED = 0


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that some work takes, and what comes of it."""
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def losses(splits: Splits[Texts], rest: Texts, targets: bool) -> list[str]:
    """Print a table of options; returns what was missed."""
    print("| options | nats_per_char | target | fit, s | at most | parameters |\n|---|---|---|---|---|---|")
    missed = []
    for options in (
        {},
        {"tune": False},
        {"order": 5},
        {"order": 10},
        {"level": "byte"},
        {"level": "word"},
        {"level": "token"},
    ):
        rounds = [timed(lambda: Markov.fit(splits, Config(**options), Run(seed=SEED))) for _ in range(3)]  # noqa: B023
        seconds, model = min(each[0] for each in rounds), rounds[0][1]
        loss = model.score(rest)["nats_per_char"]
        told = ", ".join(f"{key} {value}" for key, value in options.items()) or "as they are"
        target, limit = (str(LOSS), str(SECONDS)) if targets and not options else ("-", "-")
        print(f"| {told} | {loss:.4f} | {target} | {seconds:.2f} | {limit} | {model.info.parameters:,} |", flush=True)
        if targets and not options:
            missed += ["the loss"] * (loss > LOSS) + ["the fit"] * (seconds > SECONDS)
    return missed


def beside_markovify(text: str, splits: Splits[Texts]) -> list[str]:
    """Print the ratios to markovify, of words by the two before them; returns what was missed."""
    try:
        import markovify
    except ImportError:
        print("markovify is not installed; pip install markovify compares with it.")
        return []
    random.seed(SEED)  # the only way to seed it
    config = Config(level="word", order=3)
    fits, draws, nothing = [], [], 0
    for seed in range(ROUNDS):
        ours, model = timed(lambda: Markov.fit(splits, config, Run(seed=SEED)))
        theirs, peer = timed(lambda: markovify.Text(text, state_size=2))
        compiled = timed(lambda: peer.compile(inplace=True))[0]  # noqa: B023
        fits.append((ours, theirs, theirs + compiled))
        ours, texts = timed(lambda: model.sample(TEXTS, seed=seed)["texts"])  # noqa: B023
        theirs, sentences = timed(lambda: [peer.make_sentence() for _ in range(SENTENCES)])  # noqa: B023
        nothing += sum(sentence is None for sentence in sentences)
        written = " ".join(sentence for sentence in sentences if sentence is not None)
        ends = sum(len(re.findall(r"[.!?](?=\s|$)", sample)) for sample in texts)
        words = sum(len(sample.split()) for sample in texts)
        draws.append((words / ours, len(written.split()) / theirs, ends / ours, SENTENCES / theirs))
        assert all(texts) and (texts == model.sample(TEXTS, seed=seed)["texts"]).all()
    fit, fit_ratio = (
        [statistics.median(row) for row in zip(*fits, strict=True)],
        statistics.median(b / a for a, b, _ in fits),
    )
    drawn = [statistics.median(row) for row in zip(*draws, strict=True)]
    word_ratio, sentence_ratio = (statistics.median(row[i] / row[i + 1] for row in draws) for i in (0, 2))
    print(f"\nWords by the two before them, {ROUNDS} rounds, seeds {SEED} to {ROUNDS - 1}:\n")
    print("| | here | markovify | ratio | target |\n|---|---|---|---|---|")
    print(
        f"| fit, s (markovify compiled too: {fit[2]:.2f}) | {fit[0]:.3f} | {fit[1]:.3f} | {fit_ratio:.1f} | {FIT:.0f} |"
    )
    print(f"| words a second | {drawn[0]:,.0f} | {drawn[1]:,.0f} | {word_ratio:.1f} | {GENERATE:.0f} |")
    print(f"| sentences a second | {drawn[2]:,.0f} | {drawn[3]:,.0f} | {sentence_ratio:.1f} | {GENERATE:.0f} |")
    print(f"| nothing in place of a text | 0 | {nothing} of {ROUNDS * SENTENCES:,} | | 0 |")
    slow = ["fitting beside markovify"] * (fit_ratio < FIT)
    return slow + ["drawing beside markovify"] * (min(word_ratio, sentence_ratio) < GENERATE)


def main() -> int:
    """The command; returns 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, metavar="FILE")
    parser.add_argument("--peers", type=Path, metavar="DIR")
    options = parser.parse_args()
    if options.peers:
        sys.path.append(str(options.peers))
    text = options.text.read_text(encoding="utf-8") if options.text else load("kjv").train.text
    print(f"{options.text or 'kjv, its training part; --text tinyshakespeare.txt for the targets'}\n")
    cut = int(len(text) * 0.9)
    # A validation part of one character, so that fitting does not score the rest a second time.
    splits = Splits(Texts((text[:cut],), True), Texts((text[cut : cut + 1],), True), source=Source("text"))
    missed = losses(splits, Texts((text[cut:],), True), bool(options.text)) + beside_markovify(text[:cut], splits)
    print(f"missed: {', '.join(missed)}" if missed else "all targets met")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
