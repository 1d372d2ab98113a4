"""What a person says to have the last call again, changed, and the call that it means.

* A named change keeps all else, the seed too: "now a coat" after "a bag, seed 3" is a coat with seed 3.
* "again", "another", "more" and "others" drop the seed, or the same thing would come; "another one" is count 1.
* After several things a new subject is said in the plural and keeps their number ("now coats"), or says its own.
* "the same seed" is that of the call, or else the one that the result names.
* "twice as many" and "half as long" reckon with what was asked, or else with the default where the list shows one.
"""

from __future__ import annotations

import re
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
    "change_people": "kind",
    "change_keep": "keep",
    "change_strength": "strength",
    "change_key": "key",
    "change_bars": "bars",
    "change_lines": "lines",
    "change_minutes": "minutes",
    "change_family": "family",
    "change_blank": "text",
    "change_concept": "topic",
    "change_things": "count",
    "all_kept": "count",
    "fix_count": "count",
    "more_one": "count",
    "more_n": "count",
    "change_count": "count",
    "same_seed": "seed",
    "subject_same_seed": "seed",
    "change_redo": "keep",
    "change_image": "image",
    "change_code": "prompt",
    "change_codeline": "prompt",
    "change_melody": "melody",
    "change_sounds": "count",
    "more_same": "count",
    "change_name": "name",
    "change_data": "data",
    "new_model": "name",
}
_SLOT = {"change_must": "must", "change_letters": "letters", "change_prompt": "qprompt", "change_redo": "redo"}
_TIMES = {"double": 2, "triple": 3}
_SIZES = (
    ("shorter", "longer"),
    ("calmer", "wilder"),
    ("too long", "too short"),
    ("less wild", "more wild"),
    ("closer to it", "further off"),
    ("turn it down", "turn it up"),
    ("cut it to", "stretch it to"),
)
_COUNTED = {"again": 2, "more_n": 2, "change_count": 2, "change_seed": 2, "change_model": 1, "same_seed": 1}
_SEEDED = {"again": 2, "change_seed": 2, "same_seed": 1}
FOLLOWS: dict[str, dict[str, int]] = {  # which changes make sense after which tool, and their shares
    "generate_image": {
        **_COUNTED,
        "more_one": 2,
        "change_subject": 5,
        "change_things": 2,
        "all_kept": 1,
        "fix_subject": 1,
        "fix_count": 1,
        "subject_same_seed": 1,
        "double count": 4,
        "half count": 3,
        "triple count": 1,
        "more_same": 2,
    },
    "morph_images": {
        **_SEEDED,
        "change_model": 1,
        "change_end": 2,
        "change_start": 2,
        "change_frames": 2,
        "swap": 3,
        "chain": 3,
        "double frames": 3,
        "half frames": 2,
        "triple frames": 1,
    },
    "write_text": {
        **_SEEDED,
        "change_model": 1,
        "change_words": 3,
        "change_must": 2,
        "change_temperature": 2,
        "change_style": 1,
        "change_prompt": 2,
        "double words": 4,
        "half words": 4,
        "triple words": 1,
    },
    "invent_names": {
        **_COUNTED,
        "change_letters": 3,
        "change_kind": 2,
        "change_people": 3,
        "fix_count": 1,
        "double count": 3,
        "half count": 2,
        "triple count": 1,
    },
    "vary_image": {
        **_COUNTED,
        "change_strength": 3,
        "change_image": 1,
        "double count": 2,
        "half count": 1,
        "triple count": 1,
    },
    "complete_image": {
        **_SEEDED,
        "change_keep": 4,
        "change_redo": 3,
        "change_count": 4,
        "change_image": 1,
        "double count": 1,
        "half count": 1,
    },
    "compose_music": {
        **_SEEDED,
        "change_model": 1,
        "change_temperature": 1,
        "change_key": 3,
        "change_bars": 3,
        "double bars": 2,
        "half bars": 2,
        "triple bars": 1,
    },
    "make_sound": {
        **_COUNTED,
        "more_one": 1,
        "more_same": 3,
        "change_sound": 4,
        "change_sounds": 3,
        "change_model": 2,
        "double count": 2,
        "half count": 1,
        "triple count": 1,
    },
    "make_video": {
        **_SEEDED,
        "change_model": 1,
        "change_video": 3,
        "change_frames": 3,
        "double frames": 2,
        "half frames": 2,
        "triple frames": 1,
    },
    "write_code": {
        **_SEEDED,
        "change_temperature": 1,
        "change_lines": 3,
        "change_code": 4,
        "change_codeline": 1,
        "double lines": 2,
        "half lines": 2,
        "triple lines": 1,
    },
    "fill_blanks": {"change_blank": 1},
    "harmonize_melody": {**_SEEDED, "change_melody": 4},
    "train_model": {
        "change_minutes": 3,
        "change_family": 2,
        "change_name": 2,
        "change_data": 2,
        "new_model": 4,
        "double minutes": 1,
        "half minutes": 1,
    },
    "about": {"change_concept": 1},
}


def kinds_of_change(tool: ShownTool, args: dict[str, Any], result: int | None = None) -> dict[str, int]:
    """The changes that make sense after a call of `tool` with `args`, and their shares; `result` is the seed that its
    result named."""
    fields = tool.schema["parameters"]["properties"]
    kinds = {k: n for k, n in FOLLOWS[tool.task].items() if _ARGUMENT.get(k, "") in ("", *fields)}
    return {kind: n for kind, n in kinds.items() if _fits(kind, tool, args, result)}


def _fits(kind: str, tool: ShownTool, args: dict[str, Any], result: int | None) -> bool:
    few = bool(args.get("count", 1) == 1)
    match kind.split():
        case ["double" | "triple" | "half" as way, name]:
            value, field = _reckoned(tool, name, args), tool.schema["parameters"]["properties"].get(name, {})
            if value is None or value < 2:
                return False
            if way == "half":
                return value % 2 == 0 and value >= 4
            return _TIMES[way] * value <= int(field.get("maximum", 0))
        case ["fix_count"] | ["all_kept"]:
            return not few
        case ["fix_subject"] | ["subject_same_seed"]:
            return few and (kind == "fix_subject" or result is not None or "seed" in args)
        case ["same_seed"]:
            return result is not None or "seed" in args
        case ["change_things"] | ["change_sounds"]:
            return "seed" not in args and "model" not in args
        case ["change_kind"] | ["change_letters"]:  # "now boy names" after a single name leaves the number open
            return bool(args.get("count") != 1)
        case ["change_sound"]:
            return few
        case ["swap"] | ["chain"]:
            return args.get("start") != args.get("end")
    return True


def _reckoned(tool: ShownTool, name: str, args: dict[str, Any]) -> int | None:
    """The number that "twice as long" starts from: what was asked, or the default that the list shows."""
    shown = tool.shown["parameters"].get("properties", {}).get(tool.renamed.get(name, name), {})
    value = args.get(name, shown.get("default"))
    return int(value) if isinstance(value, int | float) and value == int(value) else None


def change(
    tool: ShownTool, kind: str, before: dict[str, Any], rng: Random, split: str, result: int | None = None
) -> tuple[str, dict[str, Any]]:
    """A sentence that asks for a change of `kind` (a section of follow.txt), and the new arguments."""
    args = dict(before)
    request = Request(tool.task, tool.schema, tool.known, rng, split)
    many = before.get("count", 1) > 1
    lines = [
        frame
        for frame in sections("follow.txt")[kind]
        if not (many and kind == "change_subject" and ("picture" in frame or "same for" in frame))
    ]
    line = rng.choice([frame for frame in lines if grammar.reserved(frame) == (split == "dev")] or lines)
    if kind in ("again", "more_one", "more_n", "more_same"):
        args.pop("seed", None)
    if kind == "more_one":
        args["count"] = 1
    if kind.endswith("same_seed"):
        args["seed"] = before.get("seed", result)
    if kind.startswith(("double ", "triple ", "half ")):
        way, name = kind.split()
        value = _reckoned(tool, name, before) or 0
        args[name] = value // 2 if way == "half" else value * _TIMES[way]
    if kind == "swap":
        args.update(start=before["end"], end=before["start"])
    if kind == "chain":
        args["start"] = before["end"]
    if kind == "change_subject" and before.get("count") == 1:
        args.pop("count")  # one is the default; "now a coat" asks for no number

    def new_subject() -> grammar.Noun:
        avoid = str(before.get("end" if kind == "change_start" else "start" if kind == "change_end" else "subject", ""))
        while True:
            item = request.subject(avoid=str(before["end"]) if kind == "chain" else avoid)
            if item.arg not in (before.get("start"), before.get("end"), before.get("subject")):
                break
        name = {"change_end": "end", "chain": "end", "change_start": "start"}.get(kind, "subject")
        args[name] = item.arg
        return item

    def fill(slot: str) -> str:
        if slot == "n":
            top = tool.schema["parameters"]["properties"]["count"].get("maximum", 30)
            few = (2, 3, 4, 5, 6, 7, 8, 10, 12)
            large = (9, 11, 14, 15, 16, 18, 20, 24, 25, 30, 35, 40, 50, 60, 64, 70, 80, 90, 100)
            numbers = [v for v in (large if rng.random() < 0.3 else few) if v != before.get("count") and v <= top]
            value = rng.choice(numbers or [2])
            args["count"] = value
            return number(value, rng, loose=False)
        if slot == "names":
            said = request.names(plain_kind=True)
        elif slot == "kinds":
            said = request.kind()
        elif slot == "same":
            return grammar.noun(str(before["subject" if tool.task == "generate_image" else "kind"])).many
        elif slot == "people":
            said, label = _people(tool, rng)
            args["kind"] = label
            return said
        elif slot in ("old", "oldone", "oldend"):
            if slot == "old":
                return number(before["count"], rng, loose=False)
            item = grammar.noun(str(before["end" if slot == "oldend" else "subject"]))
            return f"the {item.one}" if slot == "oldend" and rng.random() < 0.6 else item.singular(rng)
        elif slot in ("one", "plural"):
            item = new_subject()
            if slot == "plural" or (many and kind == "change_subject"):
                return item.many
            return request.one(item) if rng.random() < 0.7 else item.singular(rng)
        elif slot == "concept":
            said = str(request.fill(slot))
            args["topic"] = grammar.plain(said)
            return said
        elif slot == "v":
            name = _ARGUMENT[kind]
            said = request.fill(_SLOT.get(kind, name))
        else:
            said = request.fill(slot)
        args.update(request.args)
        return said

    name = _ARGUMENT.get(kind, "")
    text = _true_to_size(expand(line, rng, fill), before.get(name), args.get(name))
    return text.removesuffix("?") if text.endswith("?") and rng.random() < 0.3 else text, args


def _true_to_size(text: str, old: Any, new: Any) -> str:
    """`text` with "longer" for "shorter", and the like, where the numbers say so."""
    if not (isinstance(old, int | float) and isinstance(new, int | float)) or old == new:
        return text
    for less, more in _SIZES:
        text = re.sub(rf"\b{less if new > old else more}\b", more if new > old else less, text)
    return text


def _people(tool: ShownTool, rng: Random) -> tuple[str, str]:
    """Whom the names are for, and the kind that the list has for them, or else their own word."""
    said, _, labels = rng.choice(sections("follow.txt")["people"]).partition("=")
    options = [label.strip() for label in labels.split(",")]
    listed = [label for label in options if label in tool.known.get("kind", [])]
    own = options[-1] if len(options) == 3 else options[0]
    return said, (listed or [own])[0]
