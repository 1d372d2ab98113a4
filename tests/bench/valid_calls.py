"""How many of 1,000 calls obey their schema, of the embedded LLM and of random weights; random tools and the app's.

    python tests/bench/valid_calls.py [--calls 1000]

Prints `valid 1000/1000` for each of the two; exits 1 and shows the calls if any is not.
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
from chains.chat_model import ChatArtwright
from chains.engine import Call, Engine, Outcome, Sampler
from chains.grammar import compile_tool
from chains.prompting import Turn, tool_prompt
from chains.schemas import TASKS, describe


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
    parser.add_argument("--calls", type=int, default=1000, help="of each of the two models")
    options = parser.parse_args()
    engine.CALL_TOKENS = 60  # an untrained model would fill every string to its limit
    wrong = 0
    tasks = sorted(TASKS)
    with tempfile.TemporaryDirectory() as folder:
        models = {
            "random weights": Engine(tiny_llm(Path(folder)), dtype="float32"),
            "embedded": ChatArtwright().engine,
        }
        for name, llm in models.items():
            found = []
            for seed in range(options.calls):
                described = describe(tasks[seed // 2 % len(tasks)]) if seed % 2 else random_tool(random.Random(seed))
                found.append(flaw(llm, described, seed))
                print(f"\r{name}: {seed + 1}/{options.calls} ", end="", file=sys.stderr, flush=True)
            flaws = [text for text in found if text]
            wrong += len(flaws)
            print(file=sys.stderr)
            print(f"{name}: valid {len(found) - len(flaws)}/{len(found)}", *flaws, sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
