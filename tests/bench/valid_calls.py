"""How many of 1,000 calls obey their schema: of the embedded LLM, of random weights, and of other models' own formats.

    python tests/bench/valid_calls.py [--calls 1000] [--model NAME]...

Half of the calls are of random schemas, half of the app's tools, greedy and sampled. The random schemas use the
supported part of JSON Schema, nested three deep: object (properties, required, additionalProperties), array (items,
minItems, maxItems), string (minLength, maxLength, pattern, format), integer and number (minimum, maximum, exclusive
ones; multipleOf of integers), boolean, null, several types, enum, const, anyOf, `$ref` into `$defs`. What lies beyond
it has to be refused with a ValueError when the tool is bound, and is: REFUSED. Prints `valid 1000/1000` for each
model and `refused 20/20`; exits 1 and shows what is wrong if anything is.
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
from tiny_models import FAMILIES, native_llm

from chains import engine
from chains.chat_model import ChatArtwright
from chains.engine import Call, Engine, Outcome, Sampler
from chains.grammar import compile_tool
from chains.prompting import Turn
from chains.schemas import TASKS, describe
from chains.turn import Request, take

REFUSED: list[dict[str, Any]] = [
    {"not": {"type": "string"}},
    {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
    {"type": "array", "contains": {"const": 1}},
    {"type": "array", "unevaluatedItems": False},
    {"if": {"type": "string"}, "then": {"minLength": 2}},
    {"type": "object", "dependentRequired": {"a": ["b"]}},
    {"type": "object", "dependentSchemas": {"a": {"required": ["b"]}}},
    {"type": "object", "patternProperties": {"^a": {"type": "string"}}},
    {"type": "object", "propertyNames": {"maxLength": 3}},
    {"type": "object", "unevaluatedProperties": False},
    {"type": "object", "minProperties": 2},
    {"type": "object", "required": ["a"]},
    {"allOf": [{"type": "string", "minLength": 2}, {"type": "string", "maxLength": 3}]},
    {"type": "number", "multipleOf": 0.1},
    {"type": "integer", "minimum": 3, "maximum": 2},
    {"type": "string", "pattern": "^(?=a).*$"},
    {"type": "string", "contentEncoding": "base64"},
    {"$ref": "https://example.org/schema.json"},
    {"$dynamicRef": "#node"},
    {"type": "string", "anyOf": [{"minLength": 2}]},
]


def flaw(llm: Engine, described: dict[str, Any], seed: int) -> str | None:
    """What is wrong with one sampled call, or None."""
    tool = compile_tool(described)
    request = Request([Turn("user", f"request {seed}")], "", [tool], "any", 1, 1, [], False)
    call = list(take(llm, request, Sampler((0.0, 0.7, 1.5)[seed % 3], seed), Outcome()))[-1]
    assert isinstance(call, Call)
    try:
        jsonschema.validate(json.loads(call.arguments), tool.description["parameters"])
        call.arguments.encode()
    except (ValueError, jsonschema.ValidationError) as error:
        return f"seed {seed}: {call.arguments}: {error}"
    return None


def accepted(schema: dict[str, Any]) -> str | None:
    """The schema as text, if a tool with such an argument may be bound."""
    parameters = {"type": "object", "properties": {"x": schema}, "required": ["x"]}
    try:
        compile_tool({"name": "tool", "description": "", "parameters": parameters})
    except ValueError:
        return None
    return json.dumps(schema)


def loaded(name: str, folder: Path) -> Engine:
    """The engine of a model by its name here; those made for the purpose are written to `folder`."""
    if name == "embedded":
        return ChatArtwright(model="embedded").engine
    made = tiny_llm(folder) if name == "random weights" else native_llm(folder, name)
    return Engine(made, dtype="float32")


def main() -> None:
    natives = [family for family in FAMILIES if family != "unreadable"]
    names = ["random weights", "embedded", *natives]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000, help="of each model")
    parser.add_argument("--model", action="append", choices=names, help="default: all")
    options = parser.parse_args()
    engine.CALL_TOKENS = 60  # an untrained model would fill every string to its limit
    passed = [text for text in map(accepted, REFUSED) if text]
    wrong = len(passed)
    print(f"refused {len(REFUSED) - len(passed)}/{len(REFUSED)}", *passed, sep="\n")
    tasks = sorted(TASKS)
    for name in options.model or names:
        with tempfile.TemporaryDirectory() as folder:
            llm = loaded(name, Path(folder))
            found = []
            for seed in range(options.calls):
                described = describe(tasks[seed // 2 % len(tasks)]) if seed % 2 else random_tool(random.Random(seed))
                found.append(flaw(llm, described, seed))
                print(f"\r{name}: {seed + 1}/{options.calls} ", end="", file=sys.stderr, flush=True)
        flaws = [text for text in found if text]
        wrong += len(flaws)
        print(file=sys.stderr)
        own = " (its own format)" if name in natives else ""
        print(f"{name}{own}: valid {len(found) - len(flaws)}/{len(found)}", *flaws, sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
