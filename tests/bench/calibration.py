"""How much the agent's confidence is worth: held-out requests, before and after calibration.

    python tests/bench/calibration.py [--file tests/bench/heldout.jsonl ...] [--adapter DIR] [--json]

The first decision of every request: expected calibration error over 15 bins of equal mass (Naeini et al. 2015), mean
negative log-probability of the right names, and how often guesses above and below the threshold are right; below it the
agent asks instead. Temperature, handicap and threshold come from dev.jsonl, dev_more.jsonl, dev_unserved.jsonl and the
code of abilities_dev.json (`python -m chains.tuning calibrate`). Exits with 1 where calibration makes the error larger.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from routing import HELDOUT, offered, read_cases

from chains.calibration import BINS, Calibration, Judged, calibration_error, guesses, judge, loss, read
from chains.chat_model import SHIPPED_ADAPTER


def figures(judged: list[Judged], calibration: Calibration, ask_below: float) -> dict[str, Any]:
    """Of one calibration; guesses are compared with the threshold by their own confidence."""
    guessed = guesses(judged, calibration)
    below = [right for confidence, right in guessed if confidence < ask_below]
    above = [right for confidence, right in guessed if confidence >= ask_below]
    return {
        "n": len(guessed),
        "calibration_error": round(calibration_error(guessed), 4),
        "loss_nats": round(loss(judged, calibration), 4),
        "right": round(sum(right for _, right in guessed) / len(guessed), 4),
        "confidence": round(sum(confidence for confidence, _ in guessed) / len(guessed), 4),
        "below_threshold": len(below),
        "right_below": round(sum(below) / len(below), 4) if below else None,
        "right_above": round(sum(above) / len(above), 4) if above else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Calibration of the choice of a tool.")
    parser.add_argument(
        "--file", type=Path, nargs="+", default=HELDOUT, help="JSON lines (default: all held-out files)"
    )
    parser.add_argument("--adapter", type=Path, default=SHIPPED_ADAPTER, help="its folder (default: the shipped one)")
    parser.add_argument("--limit", type=int, help="only the first N requests")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    args = parser.parse_args()
    cases = [case for file in args.file for case in read_cases(file)][: args.limit]
    cases = [{**case, "tools": offered(case)} for case in cases]
    judged: list[Judged] = []
    for one in judge(cases, args.adapter):
        judged.append(one)
        print(f"\r{len(judged)}/{len(cases)} ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    found = read(args.adapter)
    table = {
        "before": figures(judged, Calibration(), found.ask_below),
        "after": figures(judged, found, found.ask_below),
    }
    if args.json:
        print(json.dumps({**asdict(found), **table}))
    else:
        print(
            f"temperature {found.temperature}, handicap {found.handicap}, asks below {found.ask_below}, "
            f"{BINS} bins of equal mass"
        )
        for key in table["before"]:
            before, after = (f"{table[when][key]}" for when in ("before", "after"))
            print(f"{key.replace('_', ' '):<20}{before:>10}{after:>10}")
    raise SystemExit(table["after"]["calibration_error"] > max(table["before"]["calibration_error"], 0.03))


if __name__ == "__main__":
    main()
