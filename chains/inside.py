"""What goes on within the trained models of text: for the app, and as a command (see `chains.commands`)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import generators

if TYPE_CHECKING:
    from PIL import Image


def text_models() -> list[str]:
    """The names of the trained models that can be looked into, from their config.json alone."""
    return [info.name for info in generators.infos() if info.medium == "text"]


def look_inside(model: str, text: str) -> Image.Image:
    """The page about one line of text, see `generators.core.inside_picture`.

    Raises ValueError for a model that there is not, `RequestError` for a line that it cannot read.
    """
    from generators.core.inside_picture import picture

    return picture(generators.load(model).look_inside(text))


def inspect(model: str, text: str, out: Path | None, as_json: bool) -> None:
    """The command: to `out`, a picture or JSON, or to stdout as JSON or as a table, a line a token."""
    if out is not None and out.suffix.lower() not in (".png", ".json"):
        raise ValueError(f"--out {out} must end in .png, for a picture, or in .json.")
    inside = generators.load(model).look_inside(text)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix.lower() == ".png":
            from generators.core.inside_picture import picture

            picture(inside).save(out)
        else:
            out.write_text(inside.to_json() + "\n", encoding="utf-8")
    if as_json:
        print(inside.to_json())
    elif out is not None:
        print(out)
    else:
        for token, nats, ((guess, p), *_) in zip(inside.tokens, inside.nats, inside.guesses, strict=True):
            name, likeliest = (json.dumps(text, ensure_ascii=False) for text in (token, guess))
            print(f"{nats:6.2f} nats  {name:<14} likeliest {likeliest} {p:.0%}")
        print(f"{inside.nats.sum():6.2f} nats in all")
