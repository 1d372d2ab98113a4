"""Whether drafts change a call (they must not) and what they save: requests of dev.jsonl with and without, in float32.

    python tests/bench/drafting.py [--requests N] [--dtype float32 | bfloat16]

In bfloat16 a near-tie may fall the other way; in float32 every call must be the same, or the status is 1.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any
from unittest import mock

from chains.catalog import tool_specs
from chains.chat_model import ChatArtwright
from chains.drafting import Drafter
from chains.engine import Engine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=60)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    options = parser.parse_args()

    rows = [json.loads(line) for line in (Path(__file__).parent / "dev.jsonl").read_text().splitlines()]
    prompts = [row["prompt"] for row in rows if isinstance(row.get("prompt"), str) and row.get("calls")]
    prompts = prompts[:: max(1, len(prompts) // options.requests)][: options.requests]
    bound: Any = ChatArtwright(dtype=options.dtype, max_tokens=2).bind_tools(tool_specs())
    bound.invoke("draw a hat")  # warm
    passes, forward = [0], Engine.forward

    def counted(*args: Any, **more: Any) -> Any:
        passes[0] += 1
        return forward(*args, **more)

    def calls(prompt: str, drafting: bool) -> tuple[list[Any], int]:
        """Calls and forward passes."""
        passes[0] = 0
        with mock.patch.object(Engine, "forward", counted):
            if drafting:
                reply = bound.invoke(prompt)
            else:
                with mock.patch.object(Drafter, "draft", lambda *_: []):
                    reply = bound.invoke(prompt)
        return [(call["name"], call["args"]) for call in reply.tool_calls], passes[0]

    taken: dict[bool, list[int]] = {False: [], True: []}
    different = 0
    for prompt in prompts:
        found = {drafting: calls(prompt, drafting) for drafting in (False, True)}
        if found[False][0] != found[True][0]:
            different += 1
            print(f"different for {prompt!r}: {found[False][0]} without, {found[True][0]} with drafts")
        for drafting, (made, count) in found.items():
            if len(made) == 1:
                taken[drafting].append(count)
    for drafting, runs in taken.items():
        if runs:
            print(f"{'with' if drafting else 'without'} drafts: {statistics.median(runs):g} passes a call, median")
    print(f"{different} of {len(prompts)} requests with other calls ({options.dtype})")
    raise SystemExit(options.dtype == "float32" and different > 0)


if __name__ == "__main__":
    main()
