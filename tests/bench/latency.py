"""Seconds from a request to its validated call and to the first token of plain talk, warm, beside plain `generate`.

    python tests/bench/latency.py [--llm SPEC] [--requests N]

`generate` gets the same prompt without a cached prefix and writes as many tokens as the call has. Ends with status 1
if a target is missed. Run it on two cores with nothing else on them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from chains import prompting
from chains.catalog import tool_specs
from chains.chat_model import ChatArtwright
from chains.prompting import Turn, tool_prompt
from chains.schemas import TASKS

MEDIAN, P95, FIRST = 0.5, 1.5, 0.5  # seconds: request to validated call (median, p95), first token of plain talk
THINGS = ("sneaker", "coat", "bag", "shirt", "dress", "sandal", "pullover", "boot", "trouser", "lamb")
REQUESTS = [
    text.format(thing)
    for thing in THINGS
    for text in ("Could you please draw two pictures of a {} for my little shop's web page, thank you very much?",
                 "I am looking for five new names for my {}, all of them should begin with the letter K, please.")
]  # fmt: skip
TALK = (
    "Hello there!", "Thank you, that was kind of you.", "Why is the sky blue?", "How was your day?",
    "What is the capital of France?", "I am a bit tired today.", "Do you like music?", "Good night!",
    "What does the word 'serendipity' mean?", "Is it better to read in the morning or in the evening?",
)  # fmt: skip


def p95(seconds: list[float]) -> float:
    """The 95th percentile by the nearest rank."""
    return sorted(seconds)[max(0, -(-95 * len(seconds) // 100) - 1)]


def first_token(bound: Any, request: str) -> float | None:
    """Seconds to the first piece of plain talk; None if the model called a tool instead."""
    start = time.perf_counter()
    for chunk in bound.stream(request):
        if chunk.content:
            return time.perf_counter() - start
        if chunk.tool_call_chunks:
            break
    return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--llm", default="embedded")
    parser.add_argument("--requests", type=int, default=20)
    parser.add_argument("--no-generate", action="store_true", help="leave out the comparison, which takes longest")
    options = parser.parse_args()

    import torch

    llm = ChatArtwright(model=options.llm)
    engine = llm.engine
    tools = tool_specs()
    bound = llm.bind_tools(tools)
    bound.invoke("draw a hat")  # warm: weights, grammar, the constant prefix
    first_token(bound, "hello")
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
        if options.no_generate:
            continue
        ids = torch.tensor([prompting.encode(engine.tokenizer, tool_prompt(tools, [Turn("user", request)]))])
        start = time.perf_counter()
        with torch.inference_mode():
            engine._tuned.generate(
                ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=count, max_new_tokens=count
            )
        theirs.append(time.perf_counter() - start)
    first = [seconds for request in TALK if (seconds := first_token(bound, request)) is not None]
    if not first:
        raise SystemExit("every talk was answered with a call, so there is no first token to time")

    measured = [
        ("request to call, median", statistics.median(ours), MEDIAN, len(ours)),
        ("request to call, p95", p95(ours), P95, len(ours)),
        ("first token of plain talk, median", statistics.median(first), FIRST, len(first)),
    ]
    for what, seconds, target, n in measured:
        verdict = "met" if seconds <= target else "MISSED"
        print(f"{what}: {seconds:.2f} s (target {target} s: {verdict}), n = {n}")
    print(f"tokens in a call: {statistics.median(written):.0f} median; weights in {engine.dtype}")
    if theirs:
        ratio = statistics.median(theirs) / statistics.median(ours)
        print(f"plain generate of as many tokens: {statistics.median(theirs):.2f} s median, {ratio:.1f} times as long")
    raise SystemExit(any(seconds > target for _, seconds, target, _ in measured))


if __name__ == "__main__":
    main()
