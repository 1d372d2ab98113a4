"""`python -m chains.tuning`: make examples, train, average and calibrate adapters."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from chains.tuning.recipe import Recipe, Trainer


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m chains.tuning", description="Teach the embedded LLM to call tools."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="print made examples")
    make.add_argument("--count", type=int, default=20, help="how many (default 20)")
    make.add_argument("--seed", type=int, default=0)
    make.add_argument("--split", choices=("train", "dev"), default="train")
    make.add_argument("--json", action="store_true", help="one JSON line an example")
    calibrate = commands.add_parser("calibrate", help="fit how sure an adapter's choices are to requests with answers")
    dev = [Path(f"tests/bench/{name}.jsonl") for name in ("dev", "dev_more", "dev_unserved")]
    calibrate.add_argument("--requests", type=Path, nargs="+", default=dev, help="JSON lines")
    calibrate.add_argument("--handicap", type=float, metavar="NATS", help="of no tool; default: fitted")
    calibrate.add_argument("--adapter", type=Path, default=Path("chains/tuning/adapter"), help="its folder")
    train = commands.add_parser("train", help="train the adapter")
    train.add_argument("--out", type=Path, required=True, help="folder of the adapter and its checkpoint")
    train.add_argument("--minutes", type=float, default=Recipe.minutes, help="wall-clock budget (default 45)")
    train.add_argument("--steps", type=int, default=0, help="step budget in its place")
    train.add_argument("--seed", type=int, default=0)
    train.add_argument("--lr", type=float, default=Recipe.learning_rate, help="peak learning rate")
    train.add_argument("--pack-tokens", type=int, default=Recipe.pack_tokens, help="longest training sequence")
    train.add_argument("--base", type=Path, help="folder of another base model")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    train.add_argument("--start", type=Path, help="folder of an adapter to take the first weights from")
    means = commands.add_parser("average", help="write the mean of adapters that were trained from one another")
    means.add_argument("adapters", type=Path, nargs="+", metavar="ADAPTER", help="folders, the newest last")
    means.add_argument("--out", type=Path, required=True, help="folder of the mean")
    means.add_argument("--base", type=Path, help="folder of another base model")
    args = parser.parse_args(arguments)
    if args.command == "make":
        _print_examples(args.count, args.seed, args.split, args.json)
        return
    try:
        if args.command == "calibrate":
            from chains import calibration

            calibration.command(args.requests, args.adapter, args.handicap)
            return
        from chains.weights import embedded_base

        if args.command == "average":
            from chains.tuning.average import average

            print(json.dumps(average(args.adapters, args.out, args.base or embedded_base())))
            return
        if args.minutes <= 0 or args.steps < 0:
            raise ValueError("--minutes must be above 0 and --steps not below it")
        recipe = Recipe(
            seed=args.seed,
            minutes=args.minutes,
            steps=args.steps,
            learning_rate=args.lr,
            pack_tokens=args.pack_tokens,
            start=args.start.name if args.start else "",
        )
        trainer = Trainer(args.base or embedded_base(), args.out, recipe)
        if args.start and not args.resume:
            trainer.load_weights(args.start)
        if args.resume:
            trainer.load_checkpoint()
        print(json.dumps(trainer.train()))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        how = "; --resume goes on from the last checkpoint" if args.command == "train" else ""
        print(f"\nstopped{how}", file=sys.stderr)
        raise SystemExit(130) from None


def _print_examples(count: int, seed: int, split: str, as_json: bool) -> None:
    from chains.prompting import call_line
    from chains.tuning.maker import Maker
    from chains.tuning.packing import answer_text

    shown = 0
    for group in Maker(seed, split).groups(examples=8):
        for example in group.examples:
            if shown == count:
                return
            shown += 1
            if as_json:
                turns = [asdict(turn) for turn in example.turns]
                print(
                    json.dumps(
                        {"turns": turns, "calls": example.calls, "kind": example.kind, "tools": group.tools},
                        ensure_ascii=False,
                    )
                )
                continue
            print(f"--- {example.kind}; tools: {', '.join(tool['name'] for tool in group.tools)}")
            for turn in example.turns:
                said = turn.text or "; ".join(call_line(name, args) for name, args in turn.calls)
                print(f"{turn.role:>10}: {said}")
            print(f"        -> {answer_text(group.tools, example).strip()}")


if __name__ == "__main__":
    main()
