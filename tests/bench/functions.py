"""How often a model of code writes Python that parses, on the heads of held-out functions.

    python tests/bench/functions.py [gpt-code] [--heads 200] [--seed 0]

A head is a function of the test split of `python-stdlib` down to the colon before its body. Drafts are made as
`write_code` makes them, of at most 20 lines at temperature 0.8, and never run; those that were cut there and end with
their last whole statement are also counted apart. Exits with 1 where the target is missed; does nothing where the model
is not here.
"""

from __future__ import annotations

import argparse
import ast
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import generators
from generators.codegpt import TRIES
from generators.core.progress import progress_bar
from generators.core.training import Event
from generators.data.code import load_all

TARGET = 0.80  # parse within TRIES drafts
LINES, TEMPERATURE = 20, 0.8


def head(function: str) -> str:
    """A function's decorators and `def` line or lines, down to the colon; "" where its body is on the same line."""
    (node,) = ast.parse(function).body
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    if node.body[0].lineno == node.lineno:
        return ""
    lines = function.split("\n")[: node.body[0].lineno - 1]
    while lines and (not lines[-1].strip() or lines[-1].lstrip().startswith("#")):
        lines.pop()
    return "\n".join(lines)


def heads(count: int) -> Iterator[str]:
    """The heads of the first held-out functions, which are in the order of their hashes."""
    found = (begun for function in load_all("python-stdlib:test").items if (begun := head(function)).endswith(":"))
    for _, begun in zip(range(count), found, strict=False):
        yield begun


def main() -> int:
    parser = argparse.ArgumentParser(description="How often a model of code writes Python that parses.")
    parser.add_argument("model", nargs="?", default="gpt-code")
    parser.add_argument("--heads", type=int, default=200, help="how many heads of held-out functions")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.model not in generators.names():
        print(f"{options.model} is not here; python -m generators.pretrain gpt-code trains it.", file=sys.stderr)
        return 0
    model: Any = generators.load(options.model)
    begun = list(heads(options.heads))
    first = within = cut = drafts = 0
    began = time.monotonic()
    with progress_bar("writing") as bar:
        for i, text in enumerate(begun):
            for n, draft in enumerate(model.drafts(text, LINES, TEMPERATURE, seed=options.seed + i)):
                drafts += 1
                if draft.parses:
                    first += n == 0
                    within += 1
                    cut += draft.cut
                    break
            bar(Event("step", i + 1, len(begun)))
    seconds = (time.monotonic() - began) / max(drafts, 1)
    many = len(begun)
    print(f"{options.model}, {many} heads of python-stdlib:test, seed {options.seed}, temperature {TEMPERATURE}")
    print("| what | share | target |\n|---|---|---|")
    print(f"| parses at the first draft | {first / many:.1%} | - |")
    print(f"| parses within {TRIES} drafts | {within / many:.1%} | {TARGET:.0%} |")
    print(f"| of these cut at {LINES} lines, after a whole statement | {cut / many:.1%} | - |")
    print(f"\n{drafts / many:.1f} drafts a head, {seconds:.2f} s each")
    return 0 if within / many >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
