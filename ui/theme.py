"""How the app looks: a theme without web fonts (nothing is asked of another host), one style sheet, one script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

ASSETS = Path(__file__).parent / "assets"
SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Ubuntu", "Cantarell", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace")


def theme() -> gr.themes.Base:
    """Warm greys and one terracotta accent; system fonts only."""
    return gr.themes.Base(
        primary_hue=gr.themes.colors.orange,
        neutral_hue=gr.themes.colors.stone,
        radius_size=gr.themes.sizes.radius_lg,
        font=SANS,
        font_mono=MONO,
    ).set(
        body_background_fill="#faf8f5",
        body_background_fill_dark="#161412",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        input_background_fill="#ffffff",
        input_background_fill_dark="#221f1c",
        button_primary_background_fill="#a8461f",
        button_primary_background_fill_hover="#8f3a18",
        button_primary_background_fill_dark="#c4622f",
        button_primary_background_fill_hover_dark="#d4743f",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
    )


def look() -> dict[str, Any]:
    """The keywords for `gr.Blocks.launch` that give the app its look and its picture viewer."""
    script = (ASSETS / "chat.js").read_text(encoding="utf-8")
    return {
        "theme": theme(),
        "css": (ASSETS / "chat.css").read_text(encoding="utf-8"),
        "head": f'<meta name="color-scheme" content="light dark"><script>{script}</script>',
        "favicon_path": str(ASSETS / "favicon.png"),
        "footer_links": [],
    }
