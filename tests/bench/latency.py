"""Seconds from a request to its validated call, warm, and how many times as long plain `model.generate` takes.

    python tests/bench/latency.py [--llm SPEC]

`generate` gets the same prompt without a cached prefix and writes as many tokens as the call has.
"""

from __future__ import annotations

import argparse
import statistics
import time

from chains import prompting
from chains.catalog import tool_specs
from chains.chat_model import ChatArtwright
from chains.prompting import Turn, tool_prompt
from chains.schemas import TASKS

TARGET = 1.2  # seconds from a request to its validated call, median, warm
THINGS = ("sneaker", "coat", "bag", "shirt", "dress", "sandal", "pullover", "boot", "trouser", "lamb")
REQUESTS = [
    text.format(thing)
    for thing in THINGS
    for text in ("Could you please draw two pictures of a {} for my little shop's web page, thank you very much?",
                 "I am looking for five new names for my {}, all of them should begin with the letter K, please.")
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--llm", default="embedded")
    parser.add_argument("--requests", type=int, default=20)
    options = parser.parse_args()

    import torch

    llm = ChatArtwright(model=options.llm)
    engine = llm.engine
    tools = tool_specs()
    bound = llm.bind_tools(tools)
    bound.invoke("draw a hat")  # warm: weights, grammar, the constant prefix
    ours, theirs, written = [], [], []
    for request in REQUESTS[: options.requests]:
        start = time.perf_counter()
        reply = bound.invoke(request)
        ours.append(time.perf_counter() - start)
        if not reply.tool_calls:
            raise SystemExit(f"no call for {request!r}: the LLM is not the tuned one, so there is nothing to time")
        for call in reply.tool_calls:
            TASKS[call["name"]].model_validate(call["args"])
        count = reply.usage_metadata["output_tokens"]
        written.append(count)
        ids = torch.tensor([prompting.encode(engine.tokenizer, tool_prompt(tools, [Turn("user", request)]))])
        start = time.perf_counter()
        with torch.inference_mode():
            engine._tuned.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=count, max_new_tokens=count
            )
        theirs.append(time.perf_counter() - start)
    took = statistics.median(ours)
    print(f"request to call: {took:.2f} s median (target {TARGET} s), {max(ours):.2f} s longest, n = {len(ours)}")
    print(f"tokens in a call: {statistics.median(written):.0f} median; weights in {engine.dtype}")
    ratio = statistics.median(theirs) / took
    print(f"plain generate of as many tokens: {statistics.median(theirs):.2f} s median, {ratio:.1f} times as long")
    raise SystemExit(took > TARGET)


if __name__ == "__main__":
    main()
