"""How well models invent names: their held-out loss beside Kneser-Ney's, and how many of their names are new.

    python tests/bench/invented_names.py [--count 1000] [--seed 0]

Raw samples, at temperature 1 and with those that the model's tool would draw again, are new where no training item of
`names` is spelt alike, capitals aside. The targets are those of `lstm-names`. Exits with 1 where one is missed; a model
that is not here is left out.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import generators
from generators.data.text import load
from generators.pretrain import kneser_ney_score

MODELS = ("lstm-names", "markov-names")
AIMED = "lstm-names"
NEW = 0.60  # of the raw samples, at least
ORDER = 6


def main() -> int:
    parser = argparse.ArgumentParser(description="How well models invent names.")
    parser.add_argument("--count", type=int, default=1000, help="how many names each model draws")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    here = [name for name in MODELS if name in generators.names()]
    for name in sorted({*MODELS} - {*here}):
        print(f"{name} is not here; python -m generators.pretrain {name} trains it.", file=sys.stderr)
    if not here:
        return 0
    splits = load("names")
    assert splits.test is not None
    peer = kneser_ney_score(splits.train, splits.test, ORDER, "names:test")
    known = {item.casefold() for item in splits.train.items}
    met = True
    print(f"names:test, n = {peer.n:,}; {options.count:,} raw samples each, temperature 1, seed {options.seed}")
    print(f"| model | nats_per_char | Kneser-Ney of order {ORDER} | new names | at least |\n|---|---|---|---|---|")
    for name in here:
        model = generators.load(name)
        loss = model.score(splits.test)["nats_per_char"]
        drawn = model.sample(options.count, seed=options.seed)["texts"]
        new = sum(str(text).casefold() not in known for text in drawn) / len(drawn)
        print(f"| {name} | {loss:.4f} | {peer.value:.4f} | {new:.1%} | {f'{NEW:.0%}' if name == AIMED else '-'} |")
        met = met and (name != AIMED or (loss < peer.value and new >= NEW))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
