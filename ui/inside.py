"""Look inside: a line of text, a model, and a picture of what the model does on it."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from chains.inside import chain_inside, look_inside, text_models
from generators.core.inside import LONGEST

if TYPE_CHECKING:
    from PIL import Image


def look(model: str | None, text: str, words: str = "") -> tuple[Image.Image | None, str]:
    """The picture and "", or None and, as HTML, the sentence that says why there is none.

    Where there are `words`, it is of the chain that writes a text with them.
    """
    if not model:
        return None, _said("There is no model of text yet; train one with artwright train.")
    try:
        return (chain_inside(model, text, words)[0] if words.strip() else look_inside(model, text)), ""
    except (ValueError, OSError) as error:
        return None, _said(str(error))


def _said(sentence: str) -> str:
    return f'<p class="aw-failed" role="alert">{escape(sentence)}</p>'


def choices() -> gr.Dropdown:
    """The models as they are when the page is opened."""
    names = text_models()
    return gr.Dropdown(choices=names, value=names[0] if names else None)


def room(page: gr.Blocks) -> None:
    """Lay out the page and connect it."""
    with gr.Column(elem_id="aw-inside"):
        gr.HTML(
            "<p>How surprised is a model by each letter or word, what did it expect there, and where did it look? "
            "Type a line that it knows, then one with a slip in it, and compare.</p>"
        )
        with gr.Row():
            model = gr.Dropdown(label="Model", choices=[], scale=1)
            text = gr.Textbox(label="Line", max_length=LONGEST, scale=3, submit_btn="Look inside", autofocus=True)
        words = gr.Textbox(
            label="Words to write in",
            max_length=60,
            placeholder="Optional: sword, river. Shows the chain that writes a text with them after the line.",
            submit_btn=False,
        )
        problem = gr.HTML("")
        shown = gr.Image(
            label="Inside", show_label=False, format="png", interactive=False, container=False, buttons=["download"]
        )
    quietly: dict[str, Any] = {"api_visibility": "private"}
    for box in (text, words):
        box.submit(look, [model, text, words], [shown, problem], show_progress="minimal", **quietly)
    page.load(choices, None, [model], queue=False, show_progress="hidden", **quietly)
