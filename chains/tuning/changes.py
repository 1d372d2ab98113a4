"""What a person says to have the last call again, changed, and the call that it means."""

from __future__ import annotations

from random import Random
from typing import Any

from chains.tuning import grammar
from chains.tuning.grammar import expand, number, sections
from chains.tuning.requests import Request
from chains.tuning.toollists import ShownTool

_ARGUMENT = {
    "change_seed": "seed",
    "change_model": "model",
    "change_frames": "frames",
    "change_words": "words",
    "change_must": "must_include",
    "change_temperature": "temperature",
    "change_style": "style",
    "change_prompt": "prompt",
    "change_letters": "starts_with",
    "change_kind": "kind",
    "more_one": "count",
    "more_n": "count",
    "change_count": "count",
}
_SLOT = {"change_must": "must", "change_letters": "letters", "change_prompt": "qprompt"}
FOLLOWS = {  # which changes make sense after which tool
    "generate_image": [
        "again",
        "more_one",
        "more_one",
        "more_n",
        "more_n",
        "change_count",
        "change_seed",
        "change_model",
        "change_subject",
        "change_subject",
        "change_subject",
    ],
    "morph_images": ["again", "change_seed", "change_model", "change_end", "change_frames"],
    "write_text": [
        "again",
        "again",
        "change_seed",
        "change_model",
        "change_words",
        "change_words",
        "change_must",
        "change_temperature",
        "change_style",
        "change_prompt",
    ],
    "invent_names": [
        "again",
        "more_n",
        "more_n",
        "change_count",
        "change_seed",
        "change_model",
        "change_letters",
        "change_letters",
        "change_kind",
    ],
}


def kinds_of_change(tool: ShownTool) -> list[str]:
    """The changes that make sense after a call of `tool`, as it is shown."""
    fields = tool.schema["parameters"]["properties"]
    return [kind for kind in FOLLOWS[tool.task] if _ARGUMENT.get(kind, "") in ("", *fields)]


def change(tool: ShownTool, kind: str, before: dict[str, Any], rng: Random, split: str) -> tuple[str, dict[str, Any]]:
    """A sentence that asks for a change of `kind` (a section of follow.txt), and the new arguments.

    "again", "another" and "more" drop the seed, or the same thing would come; a named change keeps all else.
    """
    args = dict(before)
    request = Request(tool.task, tool.schema, tool.known, rng, split)
    line = rng.choice(
        [frame for frame in sections("follow.txt")[kind] if grammar.reserved(frame) == (split == "dev")]
        or sections("follow.txt")[kind]
    )
    if kind in ("again", "more_one", "more_n"):
        args.pop("seed", None)
    if kind == "more_one":
        args["count"] = 1

    def fill(slot: str) -> str:
        if slot == "n":
            value = rng.choice([v for v in (2, 3, 4, 5, 6, 7, 8, 10, 12) if v != args.get("count")])
            args["count"] = value
            return number(value, rng, loose=False)
        if slot == "names":
            said = request.names(plain_kind=True)
            args.update(request.args)
            return said
        if slot == "one":
            item = request.subject(avoid=str(before.get("subject", "")))
            args["end" if kind == "change_end" else "subject"] = item.arg
            return request.one(item) if rng.random() < 0.7 else item.one
        name = _ARGUMENT[kind]
        said = request.fill(_SLOT.get(kind, name))
        args.update(request.args)
        return said

    text = expand(line, rng, fill)
    return text.removesuffix("?") if text.endswith("?") and rng.random() < 0.3 else text, args
