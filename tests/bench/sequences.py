"""The neural text families against nanoGPT's recipe and Kneser-Ney at an equal wall-clock budget, on the same cores.

    python tests/bench/sequences.py [--text tinyshakespeare.txt] [--minutes 2.4] [--long 10] [--only gpt mixture ...]

The first 90 % of the text train, the rest is scored, every character of it. The text's path may also stand in
$ARTWRIGHT_BENCH_TEXT; it does not come with Artwright, so without one the King James Bible is measured, for which there
are no targets. One after the other: about 20 minutes. Exits with 1 where a target is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

import text_peers
import torch

import generators
from generators.core.progress import progress_bar
from generators.core.training import Run
from generators.core.vocabulary import Characters
from generators.data.splits import Source, Splits, Texts
from generators.data.text import load

TARGETS = {"gpt": 1.52, "lstm": 1.65, "mixture": 1.43, "long": 1.39}
PARTS = ("peer", "markov", *TARGETS)


def fitted(family: str, splits: Splits[Texts], minutes: float, seed: int) -> tuple[Any, float]:
    """A model after `minutes` of training, all of `fit` counted, and the seconds that it took."""
    cls, began = generators.family(family), time.monotonic()
    with progress_bar(family) as bar:
        model = cls.fit(splits, cls.Config(), Run(seed=seed, minutes=minutes, callbacks=(bar,)))
    return model, time.monotonic() - began


def main() -> int:
    parser = argparse.ArgumentParser(description="Our neural text families against their peers.")
    parser.add_argument("--text", default=os.environ.get("ARTWRIGHT_BENCH_TEXT"), help="the text; default: kjv")
    parser.add_argument("--minutes", type=float, default=2.4, help="wall-clock budget of gpt, lstm and mixture")
    parser.add_argument("--long", type=float, default=10.0, help="wall-clock budget of the second mixture, minutes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some of the rows")
    options = parser.parse_args()
    text = Path(options.text).read_text(encoding="utf-8") if options.text else load("kjv").train.text
    cut = int(len(text) * 0.9)
    # What chooses between a run's checkpoints is the end of the training part, which trains too: nothing of the rest.
    tuning = Texts((text[cut - 10_000 : cut],), True)
    splits = Splits(Texts((text[:cut],), True), tuning, source=Source("bench"))
    rest, rows = Texts((text[cut:],), True), []
    if "peer" in options.only:
        symbols = Characters.of([text])
        parts = symbols.encode(text[:cut]), symbols.encode(text[cut:])
        figures = text_peers.nanogpt(*parts, len(symbols), options.seed)
        rows.append(("nanoGPT's recipe, 2,000 steps", figures["nats_per_char"], None, figures["seconds"], "-"))
    for row in options.only:
        if row == "peer":
            continue
        family, minutes = ("mixture", options.long) if row == "long" else (row, options.minutes)
        model, spent = fitted(family, splits, minutes, options.seed)
        target = TARGETS.get(row) if options.text else None
        steps = f"{model.trained.steps:,}" if model.trained else "-"
        rows.append((f"{family}, {minutes:g} minutes", model.score(rest)["nats_per_char"], target, spent, steps))
        print(rows[-1], file=sys.stderr)
    what = f"{options.text or 'kjv'}, its last {len(text) - cut:,} characters"
    print(f"\n{what}; {torch.get_num_threads()} threads, seed {options.seed}\n")
    print("| model | nats_per_char | target | fit, s | steps | |\n|---|---|---|---|---|---|")
    missed = False
    for what, nats, target, spent, steps in rows:
        missed |= (over := target is not None and nats > target)
        print(f"| {what} | {nats:.4f} | {target or '-'} | {spent:.0f} | {steps} | {'missed' if over else ''} |")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
