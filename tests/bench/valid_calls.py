"""How many of 1,000 calls obey their schema: random and embedded weights, random and the app's tools.

    python tests/bench/valid_calls.py [--calls 1000] [--embedded 100]

Prints `valid 1000/1000`; exits 1 and shows the calls if any is not.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import jsonschema

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from random_tools import random_tool, tiny_llm

from chains import engine
from chains.engine import Call, Engine, Outcome, Sampler
from chains.grammar import compile_tool
from chains.prompting import Turn, tool_prompt
from chains.schemas import TASKS, describe
from chains.weights import embedded_base


def flaw(llm: Engine, described: dict[str, Any], seed: int) -> str | None:
    """What is wrong with one sampled call, or None."""
    tool = compile_tool(described)
    outcome = Outcome()
    session = llm.session(tool_prompt([tool.description], [Turn("user", f"request {seed}")]), True, outcome)
    sampler = Sampler((0.0, 0.7, 1.5)[seed % 3], seed)
    call = list(llm.calls(session, [tool], sampler, outcome, must_call=True, max_calls=1))[-1]
    assert isinstance(call, Call)
    try:
        jsonschema.validate(json.loads(call.arguments), tool.description["parameters"])
        call.arguments.encode()
    except (ValueError, jsonschema.ValidationError) as error:
        return f"seed {seed}: {call.arguments}: {error}"
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--embedded", type=int, default=100, help="how many of them with the embedded weights")
    options = parser.parse_args()
    engine.CALL_TOKENS = 60  # an untrained model would fill every string to its limit
    flaws = []
    with tempfile.TemporaryDirectory() as folder:
        random_weights = Engine(tiny_llm(Path(folder)), dtype="float32")
        trained = Engine(embedded_base())
        tasks = sorted(TASKS)
        for seed in range(options.calls):
            llm = trained if seed < options.embedded else random_weights
            described = describe(tasks[seed // 2 % len(tasks)]) if seed % 2 else random_tool(random.Random(seed))
            flaws.append(flaw(llm, described, seed))
    wrong = [text for text in flaws if text]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"valid {len(flaws) - len(wrong)}/{len(flaws)}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
