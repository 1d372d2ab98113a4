"""The pages: the chat, and Look inside; each with the header and the line that says which LLM answers."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr

from ui import chat, inside

TITLE = "Artwright"
CHAT, INSIDE = ("./", "Chat"), ("./inside", "Look inside")  # where a page is, and what leads there


def blocks(llm: Any = None) -> gr.Blocks:
    """The whole app, to be launched with `ui.theme.look()`."""
    page: gr.Blocks
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_height=True, delete_cache=(3600, 86400)) as page:
        _header(*INSIDE)
        chat.room(page, llm)
        gr.HTML(f"<footer class='aw-status'>{escape(llm_line(llm))}</footer>", elem_id="aw-status")
    with page.route("Look inside", "inside", show_in_navbar=False):
        _header(*CHAT)
        inside.room(page)
    return page


def _header(address: str, name: str) -> None:
    """The app's name, and a link to its other page."""
    gr.HTML(
        f"<header class='aw-header'><h1>{TITLE}</h1><p>Talk to generative models of your own.</p>"
        f"<a href='{address}'>{name}</a></header>",
        elem_id="aw-header",
    )


def llm_line(llm: Any) -> str:
    """Which LLM chooses the tools, in a few words."""
    name = llm
    if not isinstance(llm, str | None):
        name = getattr(llm, "model", None) or getattr(llm, "model_name", None) or type(llm).__name__
    if name in (None, "embedded"):
        return "Embedded language model · all on this computer"
    return f"Language model: {name}"
