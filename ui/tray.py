"""The tray above the input box: pictures that the person adds, until the next request takes them along."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from chains.store import Store, Stored
from generators.core.artifact import Image, open_artifact
from ui import render

MOST = 4  # pictures that one request takes along


class Tray:
    """What the page's events call. `pending` is the page's one list of what was added, changed in place."""

    def __init__(self, serve: render.Serve) -> None:
        self._serve = serve

    def add(self, files: Sequence[str] | None, pending: list[Any]) -> str:
        """Keep the pictures in `files` in the store, and show the tray; what cannot be read is said in a notice."""
        for file in files or ():
            if len(pending) >= MOST:
                gr.Warning(f"A request takes up to {MOST} pictures along; the others were left out.")
                break
            try:
                picture = open_artifact(file)
                if not isinstance(picture, Image):
                    raise ValueError("That is not a picture.")
                pending.append(Store().put(picture))
            except (ValueError, OSError) as error:
                gr.Warning(escape(str(error).replace(str(file), "The file")))
        return self.show(pending)

    def show(self, pending: Sequence[Stored]) -> str:
        """The tray as HTML, "" where it is empty."""
        if not pending:
            return ""
        return f'<div class="aw-tray">{render.thumbnails(pending, self._serve)} go with your next request</div>'

    def empty(self, pending: list[Any]) -> str:
        """Take everything out."""
        pending.clear()
        return ""


def taken(pending: list[Any]) -> list[Stored]:
    """What the tray holds, which is then empty."""
    return [pending.pop(0) for _ in range(len(pending))]  # one that is being added meanwhile waits for the next
