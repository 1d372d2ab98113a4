"""The model card of a tool-calling adapter: what it is, how it was made, what its dev examples measure."""

from __future__ import annotations

from typing import Any


def card(note: dict[str, Any], rank: int, alpha: int) -> str:
    """The card (Markdown with YAML in front) of an adapter with this note, the content of its `artwright.json`."""
    kinds = "\n".join(
        f"| {kind} | {100 * row['exact']:.1f} % | {row['n']} |" for kind, row in note["dev"]["kinds"].items()
    )
    recipe = note["recipe"]
    command = f"python -m chains.tuning train --minutes {recipe['minutes']:g} --seed {recipe['seed']}"
    command += f" --lr {recipe['learning_rate']:g} --pack-tokens {recipe['pack_tokens']} --out DIR"
    command += " --start ADAPTER" if recipe.get("start") else ""
    before = sum(run["examples"] for run in note.get("earlier", ()))
    earlier = (
        f"\nADAPTER is what the same command made before, from {before:,} examples of earlier phrases."
        if before
        else ""
    )
    if "mean_of" in note:
        earlier += f"""
These weights are the mean of {len(note["mean_of"])} adapters, the last of them that run's:
`python -m chains.tuning average ADAPTER ... DIR --out MEAN`. Only the phrases of then give the same weights again;
`tests/bench/EXPERIMENTS.md` tells which the shipped ones saw."""
    return f"""---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
library_name: peft
---
# Tool-calling adapter for SmolLM2-135M-Instruct

LoRA (rank {rank}, alpha {alpha}, all linear layers, bf16) that teaches the model to read a tool list and to answer with
`name {{"arg":value}}` lines or `no tool`, in the format of `chains/prompting.py`. Plain talk is the base model's,
without the adapter. Bound to its base by the sha256 in `artwright.json`.

Trained {note["minutes"]} minutes on {note["examples"]:,} made examples ({note["step"]:,} steps,
{note["tokens"]:,} tokens), none seen twice, all from `chains/tuning/phrases`
(MIT, written for this project) and, as code to copy, lines of Python's standard library (PSF): `{command}`.{earlier}

| dev examples (frames kept out of training) | all target tokens right | n |
|---|---|---|
{kinds}
| all | {100 * note["dev"]["exact"]:.1f} % | {note["dev"]["n"]} |

The dev examples follow the phrases; those of an earlier version cannot be compared.

Requests are in English; arguments are copied in any script. Limits: it is a small model, so long chains of tasks and
far-fetched wordings fail now and then; the confidence that comes with each call says when to doubt it.
"""
