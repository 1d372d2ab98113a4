"""HTML pages that are whole in one file: pictures as data URIs, no script, nothing fetched, every text escaped.

A picture keeps its provenance, so one that is saved from a page can be made again.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Sequence
from html import escape

from generators.core.artifact import Artifact

# A browser that opens the file may load what stands in it, and nothing else.
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
STYLE = """
:root { color-scheme: light dark; --paper: #faf6ef; --ink: #2b2520; --soft: #7a6c5f; --line: #e2d8ca;
  --accent: #a8461f; --card: #fffdf9; --shade: rgba(60, 40, 20, .16); }
@media (prefers-color-scheme: dark) { :root { --paper: #181513; --ink: #ece4da; --soft: #a3968a; --line: #3a332d;
  --accent: #e08a5a; --card: #221e1b; --shade: rgba(0, 0, 0, .5); } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); overflow-wrap: break-word;
  font: 1.15rem/1.7 Charter, "Iowan Old Style", Georgia, "DejaVu Serif", serif; }
main { max-width: 52rem; margin: 0 auto; padding: clamp(2rem, 6vw, 5rem) clamp(1.2rem, 4vw, 2.5rem) 2rem; }
header { text-align: center; margin-bottom: clamp(2.5rem, 7vw, 4.5rem); }
h1 { font-size: clamp(2.2rem, 7vw, 3.6rem); line-height: 1.15; font-weight: 600; margin: 0; text-wrap: balance; }
header p { color: var(--soft); font-style: italic; margin: .8rem 0 0; }
header::after { content: "\\2766"; display: block; color: var(--accent); font-size: 1.6rem; margin-top: 1.4rem; }
.page { display: flex; gap: clamp(1.5rem, 5vw, 3.5rem); align-items: center; margin: 0 0 clamp(3rem, 8vw, 5rem); }
.page:nth-of-type(even) { flex-direction: row-reverse; }
figure { margin: 0; flex: none; }
img { display: block; width: 15rem; max-width: 100%; height: auto; image-rendering: pixelated; border-radius: .4rem;
  border: .6rem solid var(--card); outline: 1px solid var(--line); box-shadow: 0 .8rem 2rem var(--shade); }
figcaption { color: var(--soft); font-size: .85rem; line-height: 1.4; margin-top: .9rem; text-align: center; }
.verse { white-space: pre-line; margin: 0; min-width: 0; }
.verse::first-letter { float: left; font-size: 3.4em; line-height: .8; padding: .1em .1em 0 0; color: var(--accent); }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(12rem, 1fr)); gap: 2rem 1.5rem; }
.sheet img { width: 100%; }
.sheet .text { white-space: pre-wrap; font-size: .95rem; line-height: 1.5; background: var(--card); padding: 1rem;
  border: 1px solid var(--line); border-radius: .4rem; max-height: 20rem; overflow: auto; }
.wide { overflow-x: auto; margin: 0 0 3rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; line-height: 1.4; }
th, td { text-align: left; padding: .5rem .8rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 500; }
footer { border-top: 1px solid var(--line); color: var(--soft); font-size: .85rem; padding-top: 1.2rem; }
@media (max-width: 40rem) { .page, .page:nth-of-type(even) { flex-direction: column; align-items: stretch; }
  figure { align-self: center; } }
@media print { .page, .sheet figure { break-inside: avoid; } img { box-shadow: none; } }
"""


def page(title: str, subtitle: str, body: str, footer: str) -> str:
    """A whole page; `body` is HTML from the functions below, the rest is plain text."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></header>\n{body}\n"
        f"<footer>{escape(footer)}</footer>\n</main>\n</body>\n</html>\n"
    )


def spread(picture: Artifact, alternative: str, verse: str) -> str:
    """A picture and a text side by side; `alternative` is for who cannot see the picture."""
    return (
        f'<section class="page"><figure>{_image(picture, alternative)}</figure>'
        f'<p class="verse">{escape(verse.strip())}</p></section>'
    )


def sheet(items: Iterable[tuple[Artifact, str]]) -> str:
    """Artifacts with their captions, as many in a row as there is room for."""
    return f'<div class="sheet">{"".join(_figure(artifact, caption) for artifact, caption in items)}</div>'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of plain texts."""
    titles = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>'


def _figure(artifact: Artifact, caption: str) -> str:
    if artifact.media_type.startswith("image/"):
        shown = _image(artifact, caption)
    elif artifact.media_type.startswith(("audio/", "video/")):
        kind = artifact.media_type.split("/")[0]
        shown = f'<{kind} controls src="{_data(artifact)}"></{kind}>'
    else:
        shown = f'<div class="text">{escape(str(artifact.content))}</div>'
    return f"<figure>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def _image(picture: Artifact, alternative: str) -> str:
    return f'<img src="{_data(picture)}" alt="{escape(alternative)}">'


def _data(artifact: Artifact) -> str:
    return f"data:{artifact.media_type};base64,{b64encode(artifact.to_bytes()).decode('ascii')}"
