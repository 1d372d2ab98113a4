"""How soon a warm model's `write_text` shows its first character, and how many characters a second it writes.

    python tests/bench/generation.py [NAME...] [--family FAMILY...] [--repeats N]

The first is timed from the tool's call to what a listener hears, in milliseconds. NAME is a trained model; `--family`
stands for one of its default size that learned for a single step, which writes nonsense as fast. Of several texts the
best counts, since other work on the machine only slows them. Ends with status 1 if a target is missed. Use two cores.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import generators
from chains.tools import check, perform
from chains.watch import watching
from generators.core.generator import Partial
from generators.core.training import Run
from generators.data.splits import Source, Splits, Texts

FIRST_MS = 50.0
RATES = {"gpt": 400, "lstm": 1500}  # characters a second
LEAST = 500  # characters of a text that a rate is taken of
WORDS, ODD_WORDS = 250, 25  # asked for; of a model that has learned nothing yet they are long
README = Path(__file__).parents[2] / "README.md"


def untrained(family: str) -> str:
    """The name of a new model of default size, under ARTWRIGHT_HOME."""
    from generators.core.paths import home

    cls = generators.family(family)
    texts = Texts((README.read_text(encoding="utf-8"),), True)
    model = cls.fit(Splits(texts, texts, source=Source("README.md")), cls.Config(), Run(steps=1))
    return model.save_pretrained(home() / "models" / f"{family}-untrained").name


def timed(name: str, words: int, seed: int) -> tuple[float, float]:
    """Milliseconds to the first character, and characters a second of the whole call, cut to a sentence's end."""
    heard: list[float] = []

    def hear(part: Partial) -> None:
        if part.text:
            heard.append(time.perf_counter())

    begin = time.perf_counter()
    with watching(report=hear):
        outcome = perform(
            "write_text", check("write_text", {"model": name, "prompt": "The", "words": words, "seed": seed})
        )
    seconds, characters = time.perf_counter() - begin, len(str(outcome.artifacts[0].content))
    if characters < LEAST:
        raise SystemExit(f"{name} wrote {characters} characters, and a rate takes {LEAST}; raise WORDS.")
    return 1000 * (heard[0] - begin), characters / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--family", nargs="*", default=[])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()

    import torch

    missed = False
    with tempfile.TemporaryDirectory() as home:
        if options.family:
            os.environ["ARTWRIGHT_HOME"] = home
        wanted = dict.fromkeys(options.names, WORDS) | dict.fromkeys(map(untrained, options.family), ODD_WORDS)
        for name, words in wanted.items():
            timed(name, words, 0)  # warm
            found = [timed(name, words, seed) for seed in range(1, options.repeats + 1)]
            first, rate = min(first for first, _ in found), max(rate for _, rate in found)
            least = RATES.get(generators.load(name).info.family, 0)
            verdict = "met" if first <= FIRST_MS else "MISSED"
            print(f"{name}, first character: {first:.1f} ms (target {FIRST_MS:.0f} ms: {verdict})")
            target = f" (target {least:,}: {'met' if rate >= least else 'MISSED'})" if least else ""
            print(f"{name}, characters a second: {rate:,.0f}{target}, {torch.get_num_threads()} threads")
            missed |= first > FIRST_MS or rate < least
    raise SystemExit(missed)


if __name__ == "__main__":
    main()
