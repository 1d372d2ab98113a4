"""Kneser-Ney's held-out loss and seconds, and markovify's seconds where it is installed.

    python tests/bench/markov.py [path/to/tinyshakespeare.txt]

The target is for tinyshakespeare, which does not come with Artwright; without a path the King James Bible is measured.
The first 90 % of the text train, the rest is scored.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from generators.core.training import Run
from generators.data.splits import Source, Splits, Texts
from generators.data.text import load
from generators.markov import Config, Markov

TARGET = 1.5165  # nats per character: plain modified Kneser-Ney of order 7
SECONDS = 5.0


def main(path: str | None = None) -> None:
    text = Path(path).read_text(encoding="utf-8") if path else "\n".join(load("kjv").train.items)
    print(f"{path or 'kjv, its training part; give the path of tinyshakespeare.txt for the target'}")
    cut = int(len(text) * 0.9)
    # A validation part of one character, so that fitting does not score the rest a second time.
    splits = Splits(Texts((text[:cut],), True), Texts((text[cut : cut + 1],), True), source=Source("tinyshakespeare"))
    rest = Texts((text[cut:],), True)
    target, limit = (str(TARGET), str(SECONDS)) if path else ("-", "-")
    print("| options | nats_per_char | target | fit + score, s | at most | parameters |\n|---|---|---|---|---|---|")
    first = 0.0
    for config in (Config(), Config(tune=False), Config(order=5), Config(order=10), Config(level="word")):
        start = time.perf_counter()
        model = Markov.fit(splits, config, Run())
        loss = model.score(rest)["nats_per_char"]
        seconds = time.perf_counter() - start
        first = first or seconds
        said = ", ".join(f"{key} {value}" for key, value in model.info.config.items() if key != "max_mib")
        print(f"| {said} | {loss:.4f} | {target} | {seconds:.2f} | {limit} | {model.info.parameters:,} |")
    try:
        import markovify
    except ImportError:
        print("markovify is not installed; pip install markovify compares the time of a fit.")
        return
    start = time.perf_counter()
    markovify.Text(text[:cut], state_size=2)
    other = time.perf_counter() - start
    print(f"markovify, words, order 2: {other:.2f} s, without a likelihood; {first / other:.2f} of its time here.")


if __name__ == "__main__":
    main(*sys.argv[1:2])
