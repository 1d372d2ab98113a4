"""What goes on within the trained models of text: for the app, and as a command (see `chains.commands`)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import generators

if TYPE_CHECKING:
    from PIL import Image

    from generators.core.inside import Inside


def text_models() -> list[str]:
    """The names of the trained models that can be looked into, from their config.json alone."""
    return [info.name for info in generators.infos() if info.medium == "text"]


def look_inside(model: str, text: str) -> Image.Image:
    """The page about one line of text, see `generators.core.inside_picture`.

    Raises ValueError for a model that there is not, `RequestError` for a line that it cannot read.
    """
    from generators.core.inside_picture import picture

    return picture(generators.load(model).look_inside(text))


def chain_inside(model: str, prompt: str, words: str) -> tuple[Image.Image, dict[str, Any]]:
    """How a model writes a text with `words` in it after a prompt: a page about the chain, and its trace and text.

    Raises ValueError for a model that there is not, `RequestError` for words that it cannot write.
    """
    from generators.core.errors import RequestError
    from generators.core.keywords import asked_for
    from generators.core.text_model import TextModel
    from generators.core.word_moves import sample_with
    from generators.core.word_trace_picture import picture

    loaded = generators.load(model)
    if not isinstance(loaded, TextModel):
        raise RequestError(f"{loaded.info.name} writes no running text; choose a model that serves write_text.")
    text, trace = sample_with(loaded, asked_for(words, lambda _: False), prompt=prompt.strip())
    return picture(loaded.info.name, trace, text), {"text": text, **asdict(trace)}


def inspect(model: str, text: str, words: str | None, out: Path | None, as_json: bool) -> None:
    """The command: to `out`, a picture or JSON, or to stdout as JSON or as a table, a line a token; of a chain, where
    there are `words`, a line a move.
    """
    if out is not None and out.suffix.lower() not in (".png", ".json"):
        raise ValueError(f"--out {out} must end in .png, for a picture, or in .json.")
    if words is not None:
        page, trace = chain_inside(model, text, words)
        told, table = json.dumps(trace, ensure_ascii=False), _moves(trace)
    else:
        inside = generators.load(model).look_inside(text)
        told, table = inside.to_json(), _tokens(inside)
        if out is not None and out.suffix.lower() == ".png":
            from generators.core.inside_picture import picture

            page = picture(inside)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.suffix.lower() == ".png":
            page.save(out)
        else:
            out.write_text(told + "\n", encoding="utf-8")
    print(told if as_json else out if out is not None else "\n".join(table))


def _tokens(inside: Inside) -> list[str]:
    lines = []
    for token, nats, ((guess, p), *_) in zip(inside.tokens, inside.nats, inside.guesses, strict=True):
        name, likeliest = (json.dumps(text, ensure_ascii=False) for text in (token, guess))
        lines.append(f"{nats:6.2f} nats  {name:<14} likeliest {likeliest} {p:.0%}")
    return [*lines, f"{inside.nats.sum():6.2f} nats in all"]


def _moves(trace: dict[str, Any]) -> list[str]:
    steps = zip(trace["log_density"][1:], trace["kinds"], trace["accepted"], strict=True)
    lines = [f"{density:9.2f}  {kind}{'' if accepted else ', not accepted'}" for density, kind, accepted in steps]
    return [f"{trace['log_density'][0]:9.2f}  at first", *lines, "", trace["text"]]
