"""Events and artifacts as the chat shows them: HTML for a message of Gradio's chatbot.

Whatever a person, a model or a file says is escaped, and plain talk goes through a Markdown renderer that knows neither
HTML nor pictures, so nothing that is said can make the page ask another host. A new medium is one function and its
line in `VIEWS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from chains.events import Asked, Choice, Event, Failed, Made, Progress, Question, Reply, Word
from chains.prompting import NO_TOOL
from chains.store import Stored
from generators.core.artifact import Artifact, Code, Image, Text
from generators.core.errors import RequestError

Serve = Callable[[Path], str]  # puts a file of the store where the web server may give it out, and says where

WELCOME = (
    '<div class="aw-welcome"><p class="aw-big">What shall we make?</p>'
    "<p>Say it in plain words. A language model picks the right generator and its settings; "
    "the result appears here, with everything needed to make it again.</p></div>"
)
STOPPED = "Stopped."
UNFINISHED = "This was never finished."
CHOOSING = "Choosing what to do …"
LOADING = "Loading the language model; the very first time takes half a minute …"
PATIENCE = 3  # seconds before a waiting person is shown the clock
UNLIKELY = 0.005  # a runner-up below this is not worth a word


@dataclass(frozen=True)
class Waiting:
    """`ahead` other requests have the LLM first; 0 when it is our turn, though it may be `loading` still."""

    ahead: int
    loading: bool = False


@dataclass
class Step:
    """One tool call: what was chosen, how far it is, what came of it."""

    choice: Choice
    began: float = field(default_factory=time.monotonic)
    seconds: float | None = None
    progress: Progress | None = None
    made: Made | None = None
    failed: str = ""
    stopped: bool = False

    @property
    def over(self) -> bool:
        """Whether it succeeded, failed or was stopped."""
        return self.made is not None or bool(self.failed) or self.stopped

    def end(self) -> None:
        """Note how long it took."""
        self.seconds = time.monotonic() - self.began


class Answer:
    """One turn as it grows: feed it with `add`, then `finish`; look at it with `html`, `text` and `artifacts`."""

    def __init__(self, serve: Serve, request: str = "") -> None:
        self._serve, self._request = serve, request
        self._question: Question | None = None
        self._cut_short = False
        self._steps: list[Step] = []
        self._talk = ""
        self._failures: list[str] = []
        self._began = time.monotonic()
        self._status = CHOOSING
        self._views: dict[int, str] = {}  # of finished steps, which do not change any more

    def add(self, event: Event | Waiting) -> None:
        """Take the next event."""
        running = next((step for step in self._steps if not step.over), None)
        match event:
            case Waiting(0, loading):
                self._status = LOADING if loading else CHOOSING
            case Waiting(ahead):
                others = "another request" if ahead == 1 else f"{ahead} other requests"
                self._status = f"Waiting for {others} …"
            case Choice():
                self._steps.append(Step(event))
            case Progress():
                if running:
                    running.progress = event
                else:
                    self._status = event.message
            case Made():
                if running is None:
                    running = Step(Choice(event.tool, {}))
                    self._steps.append(running)
                running.made = event
                running.end()
            case Failed(sentence):
                if running:
                    running.failed = sentence
                    running.end()
                elif sentence not in self._failures:
                    self._failures.append(sentence)
            case Question():
                self._question = event
            case Word(text):
                self._talk += text
            case Reply(text):
                # A turn of tools is told by their own sentences, which stand there already.
                if not self._failures and not self._question and not any(step.over for step in self._steps):
                    self._talk = text

    def finish(self, stopped: bool = False) -> None:
        """There will be no more events."""
        self._status = ""
        self._cut_short = stopped or not all(step.over for step in self._steps)
        for step in self._steps:
            if not step.over:
                step.stopped = stopped
                step.failed = "" if stopped else "It ended without a result; ask again."
        if stopped and not (self._steps or self._talk or self._failures):
            self._talk = STOPPED

    @property
    def texts(self) -> int:
        """How many texts are being written, or were."""
        return sum(bool(step.progress and step.progress.text) for step in self._steps)

    @property
    def artifacts(self) -> list[Stored]:
        """What was made so far."""
        return [stored for step in self._steps if step.made for stored in step.made.artifacts]

    def text(self) -> str:
        """The reply without its pictures, as plain text."""
        told = [step.made.sentence if step.made else step.failed or STOPPED for step in self._steps if step.over]
        asked = [self._question.text] if self._question else []
        return "\n".join([*told, *filter(None, [self._talk.strip()]), *asked, *self._failures])

    def html(self) -> str:
        """The message's content."""
        parts = [self._step(i, step) for i, step in enumerate(self._steps)]
        if self._talk:
            parts.append(_talk(self._talk))
        if self._question:
            parts.append(_asking(self._question, answerable=not self._status))
        parts += [_failure(sentence) for sentence in self._failures]
        if self._cut_short and self._request:
            parts.append(f'<p class="aw-options">{_act("Run again", self._request)}</p>')
        if self._status and not self._talk and all(step.over for step in self._steps):
            parts.append(_busy(self._status, time.monotonic() - self._began))
        return _message(parts)

    def _step(self, index: int, step: Step) -> str:
        if index not in self._views:
            html = _chosen(step) + self._outcome(step)
            if not step.over:
                return html
            self._views[index] = html
        return self._views[index]

    def _outcome(self, step: Step) -> str:
        if step.made:
            return _told(step.made.sentence, step.made.artifacts, self._serve)
        if step.failed:
            return _failure(step.failed)
        if step.stopped:
            return f'<p class="aw-quiet">{STOPPED}</p>'
        return _progress(step.progress, time.monotonic() - step.began)


def said(text: str, tool: str = "", pictures: Sequence[Stored] = (), serve: Serve = str) -> str:
    """What the person wrote, as they wrote it, with the tool that they chose for it and the pictures they brought."""
    chosen = f'<span class="aw-chosen">{escape(_plainly(tool))} instead</span>' if tool else ""
    return f'<div class="aw-mine">{thumbnails(pictures, serve)}{_lines(text.strip())}{chosen}</div>'


def thumbnails(pictures: Sequence[Stored], serve: Serve) -> str:
    """Pictures that the person brought along, small; "" for none."""
    shown = []
    for stored in pictures:
        try:
            address = "gradio_api/file=" + quote(serve(stored.path))
            shown.append(f'<img class="aw-thumb" src="{address}" alt="Your picture {stored.id}">')
        except OSError:
            shown.append(f'<span class="aw-thumb">{stored.id}</span>')
    return f'<span class="aw-thumbs">{"".join(shown)}</span>' if shown else ""


def past(events: Sequence[Asked | Event], serve: Serve) -> list[dict[str, str]]:
    """An earlier conversation (`agent.history`) as chatbot messages; what followed one request is one message."""
    turns: list[tuple[Asked, list[Event]]] = []
    for event in events:
        if isinstance(event, Asked):
            turns.append((event, []))
        elif turns:
            turns[-1][1].append(event)
    shown: list[dict[str, str]] = []
    for asked, happened in turns:
        shown.append({"role": "user", "content": said(asked.text, asked.tool, asked.pictures, serve)})
        if happened or asked.is_open:
            answer = Answer(serve, asked.request)
            for event in happened:
                answer.add(event)
            if not happened:
                answer.add(Word(UNFINISHED))
            answer.finish(stopped=asked.is_open or not isinstance(happened[-1], Made | Failed | Word | Question))
            shown.append({"role": "assistant", "content": answer.html()})
    return shown


def _message(parts: Sequence[str]) -> str:
    # One line: to the chatbot's Markdown, a blank line would end the HTML. A lone carriage return is a line's end too.
    html = f'<div class="aw-answer">{"".join(parts)}</div>'
    return html.replace("\r\n", "\n").replace("\r", "\n").replace("\n", "&#10;")


def _lines(text: str) -> str:
    return "<br>".join(escape(text).splitlines())


def _talk(text: str) -> str:
    return f'<div class="aw-talk">{_markdown().render(text)}</div>'


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False, "breaks": True}).disable("image")


def _failure(sentence: str) -> str:
    return f'<p class="aw-failed" role="alert">{_lines(sentence)}</p>'


def _chosen(step: Step) -> str:
    """The step line: tool, arguments, confidence, runner-up, seconds."""
    choice = step.choice
    args = "".join(
        f'<span class="aw-arg"><span class="aw-key">{escape(key)}</span> {_lines(_short(value))}</span>'
        for key, value in choice.args.items()
    )
    notes = []
    if choice.confidence is not None:
        notes.append(f"{_percent(choice.confidence)} sure")
    if step.seconds is not None and step.seconds >= 0.05:
        notes.append(f"{step.seconds:.1f} s")
    other = ""
    if choice.alternatives and choice.alternatives[0][1] >= UNLIKELY:
        tool, share = choice.alternatives[0]
        other = _act(f"use {_plainly(tool)} instead", choice.request, tool, f"the next likeliest, {_percent(share)}")
    return (
        f'<p class="aw-step"><code class="aw-tool">{escape(choice.tool)}</code>{args}'
        f'<span class="aw-notes">{escape(" · ".join(notes))} {other}</span></p>'
    )


def _plainly(tool: str) -> str:
    return "plain talk" if tool == NO_TOOL else tool


def _asking(question: Question, answerable: bool) -> str:
    """A question and its answers, each one click; before the turn is over there is nothing to answer yet."""
    asks = f'<p class="aw-asks">{_lines(question.text)}</p>'
    options = "".join(_act(label, question.request, name) for name, label in question.options)
    return f'{asks}<p class="aw-options">{options}</p>' if answerable else asks


def _act(label: str, request: str, tool: str = "", title: str = "") -> str:
    """A button that answers a request anew; without its id it is words alone."""
    if not request:
        return f"<span>{escape(label)}</span>"
    hint = f' title="{escape(title)}"' if title else ""
    # Gradio takes data attributes out of messages, and leaves a button its value.
    return f'<button type="button" class="aw-act" value="{escape(f"{request} {tool}")}"{hint}>{escape(label)}</button>'


def _percent(share: float) -> str:
    """As whole percents that never claim certainty."""
    if share > 0.99:
        return "over 99 %"
    return f"{share:.0%}".replace("%", " %") if share >= 0.01 else "under 1 %"


def _short(value: Any, limit: int = 80) -> str:
    text = str(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _progress(progress: Progress | None, seconds: float) -> str:
    message = progress.message if progress else "Working …"
    if progress and progress.total:
        bar = f'<progress max="{progress.total}" value="{progress.done}">{progress.done} of {progress.total}</progress>'
        return f'{_growing(progress.text)}<p class="aw-wait">{bar} {escape(message)}</p>'
    return _busy(message, seconds)


def _growing(text: str) -> str:
    """A text so far, for the eye only: who is read to wants it once, when it is done."""
    return f'<div class="aw-text" aria-hidden="true"><div class="aw-prose">{escape(text)}</div></div>' if text else ""


def _busy(message: str, seconds: float) -> str:
    clock = f'<span aria-hidden="true">{int(seconds)} s</span>' if seconds >= PATIENCE else ""
    return f'<p class="aw-wait"><span class="aw-spin"></span>{escape(message)}{clock}</p>'


@dataclass(frozen=True)
class Work:
    """An artifact with the address of its file."""

    stored: Stored
    artifact: Artifact
    address: str


def _told(sentence: str, artifacts: Sequence[Stored], serve: Serve) -> str:
    """A tool's sentence and what it made; one that made nothing (`about`) tells at length, so in Markdown."""
    return f'<p class="aw-said">{_lines(sentence)}</p>{_works(artifacts, serve)}' if artifacts else _talk(sentence)


def _works(artifacts: Sequence[Stored], serve: Serve) -> str:
    """What a tool made, medium by medium, and below it how."""
    works: list[Work] = []
    lost = []
    for stored in artifacts:
        try:
            artifact = stored.open()
            address = "gradio_api/file=" + quote(serve(stored.path))
            works.append(Work(stored, artifact, address))
        except RequestError:
            lost.append(_failure(f"The file of {stored.id} is not in the store any more, or damaged."))
        except OSError as error:
            lost.append(_failure(f"The file of {stored.id} cannot be shown: {error.strerror}."))
    mediums = dict.fromkeys(work.artifact.medium for work in works)
    shown = [VIEWS[medium]([work for work in works if work.artifact.medium == medium]) for medium in mediums]
    return "".join([*shown, *lost, _provenance(works)])


def _pictures(works: Sequence[Work]) -> str:
    # Whole multiples of the pixels where there is room: 8 times for a few pictures of 28 x 28, 4 times for many.
    wanted = 224 if len(works) <= 3 else 168 if len(works) <= 8 else 112
    size = "large" if len(works) <= 3 else "medium" if len(works) <= 8 else "small"
    figures = []
    for i, work in enumerate(works):
        assert isinstance(work.artifact, Image)
        height, width = work.artifact.content.shape[:2]
        scale = max(1, wanted // max(height, width))
        crisp = " aw-crisp" if scale > 1 else ""
        what = _subject(work.artifact)
        alt = f"{what}, {i + 1} of {len(works)}" if len(works) > 1 else what
        figures.append(
            f'<a class="aw-shot{crisp}" href="{work.address}" target="_blank" title="Enlarge" '
            f'download="artwright-{work.stored.id}.png"><img src="{work.address}" alt="{escape(alt)}" '
            f'style="width: {width * scale}px" class="aw-picture{crisp}"></a>'
        )
    return f'<div class="aw-gallery aw-{size}">{"".join(figures)}</div>'


def _subject(artifact: Artifact) -> str:
    """What a picture shows, for those who cannot see it."""
    if artifact.provenance is None:
        return "Picture"
    args = artifact.provenance.args
    what = args.get("subject") or " to ".join(str(args[key]) for key in ("start", "end") if key in args)
    what = str(what or "picture")
    return f"{what[0].upper()}{what[1:]} made by {artifact.provenance.generator}"


def _texts(works: Sequence[Work]) -> str:
    contents = [str(work.artifact.content) for work in works if isinstance(work.artifact, Text)]
    how = works[0].artifact.provenance
    copy = '<button type="button" class="aw-copy">Copy</button>'
    if how is not None and how.task == "invent_names":
        names = [line for content in contents for line in content.splitlines() if line.strip()]
        items = "".join(f"<li>{escape(name)}</li>" for name in names)
        return f'<div class="aw-text"><ul class="aw-names">{items}</ul>{copy}</div>'
    return "".join(
        f'<div class="aw-text"><div class="aw-prose">{escape(content)}</div>{copy}</div>' for content in contents
    )


def _codes(works: Sequence[Work]) -> str:
    copy = '<button type="button" class="aw-copy">Copy</button>'
    contents = [work.artifact.content for work in works if isinstance(work.artifact, Code)]
    return "".join(
        f'<div class="aw-text"><div class="aw-code">{_coloured(code)}</div>{copy}</div>' for code in contents
    )


def _coloured(code: str) -> str:
    """Python as HTML in which classes tell keywords, names, strings, numbers and comments apart."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    formatter = HtmlFormatter(nowrap=True, classprefix="aw-py-")
    return str(highlight(code, PythonLexer(ensurenl=False, stripnl=False), formatter))


def _provenance(works: Sequence[Work]) -> str:
    """A line that unfolds: which model, which seed, which files, and the request as the generator got it."""
    made = [(work, work.artifact.provenance) for work in works if work.artifact.provenance is not None]
    if not made:
        return ""
    how = made[0][1]
    files = " ".join(
        f'<a href="{work.address}" target="_blank" download="artwright-{work.stored.id}{work.artifact.suffix}">'
        f"{work.stored.id}</a>"
        for work, _ in made
    )
    request = ", ".join(f"{key} {value}" for key, value in how.args.items()) or "nothing but the task"
    cpu = f"{how.cpu}, {how.threads} threads" if how.threads else how.cpu
    rows = [
        ("model", escape(how.generator)),
        ("weights", f"<code>{escape(how.weights_sha256[:16])}</code>"),
        ("request", f"{escape(how.task)}: {escape(_short(request, 300))}"),
        ("seed", escape(str(how.seed))),
        ("made on", escape(cpu)),
        ("files", files),
    ]
    table = "".join(f"<dt>{key}</dt><dd>{value}</dd>" for key, value in rows)
    which = made[0][0].stored.id + (f" and {len(made) - 1} more" if len(made) > 1 else "")
    return (
        f'<details class="aw-how"><summary>{escape(how.generator)} · seed {escape(str(how.seed))} · {which}</summary>'
        f"<dl>{table}</dl></details>"
    )


VIEWS: dict[str, Callable[[Sequence[Work]], str]] = {"image": _pictures, "text": _texts, "code": _codes}
