"""The chat: a request goes to the agent in a thread of its own, and what happens is shown as it happens.

The thread is what makes Stop quick: the page gives up waiting at once, and the sampler ends at its next look at the
cancel switch. One LLM serves everybody, so requests stand in line and say so.
"""

from __future__ import annotations

import logging
import re
import secrets
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Unpack

import gradio as gr

from chains.agent import history
from chains.events import Asked, Event, Failed, Question
from generators.core.generator import Cancel
from ui import render
from ui.line import WAKE, Line
from ui.tray import Tray, taken
from ui.turn import How, Turn

log = logging.getLogger(__name__)

EXAMPLES = (
    "draw two sneakers",
    "invent five names",
    "turn a coat into a dress",
    "write a verse",
    "what can you do?",
)
LONGEST = 2000  # characters of one request
CONVERSATION = re.compile(r"[A-Za-z0-9_-]{22,64}")


class Desk:
    """What the page's events call. Holds the line, and the turns under way by conversation so that Stop finds them."""

    def __init__(self, llm: Any, serve: render.Serve) -> None:
        self.llm = llm
        self.serve = serve
        self.line = Line()
        self._loading = threading.Thread(target=self._load, name="artwright-load", daemon=True)
        self._loading.start()
        self._turns: dict[str, set[Turn]] = {}
        self._lock = threading.Lock()
        self._recalling = threading.Lock()

    def _load(self) -> None:
        """Load an LLM of this process while the person reads the page; a failure shows again at the first request."""
        with suppress(Exception):
            getattr(self.llm, "engine", None)

    def loaded(self, cancel: Cancel, tell: Callable[[], None]) -> None:
        """Wait until the LLM is loaded, calling `tell` if it is not yet; raises `Cancelled`."""
        if self._loading.is_alive():
            tell()
        while self._loading.is_alive():
            self._loading.join(WAKE)
            cancel.check()

    def answer(self, text: str, conversation: str, **how: Unpack[How]) -> Iterator[render.Answer]:
        """Answer `text`, or an earlier request `again`, perhaps with a `tool` of the person's choice.

        `request` is the id that it has, or gets: `again` where it is answered in its own place.
        A request that is empty or too long is answered with one sentence.
        """
        text = text.strip()
        if not text or len(text) > LONGEST:
            answer = render.Answer(self.serve)
            problem = f"has {len(text):,} characters; {LONGEST:,} are allowed" if text else "is empty"
            answer.add(Failed(f"The request {problem}: write what you want in a sentence or two."))
            answer.finish()
            yield answer
            return
        turn = Turn(text, conversation, self, **how)
        with self._lock:
            self._turns.setdefault(conversation, set()).add(turn)
        try:
            yield from turn.show()
        finally:
            with self._lock:
                self._turns[conversation].discard(turn)
                if not self._turns[conversation]:
                    del self._turns[conversation]

    def stop(self, conversation: str) -> None:
        """Cancel what this conversation has under way."""
        with self._lock:
            for turn in self._turns.get(conversation, ()):
                turn.cancel.set()

    def send(
        self, text: str, messages: list[Any], conversation: str, pending: list[Any], event: gr.EventData
    ) -> Iterator[tuple[Any, ...]]:
        """The page's main event: messages, the input box, the conversation's id and the tray, as the answer grows.

        `messages` is the page's one list of what is shown, and is extended in place: another request of the same page
        may be growing its own answer in it. The pictures in `pending`, the page's tray, go with the request.
        """
        if isinstance(event.target, gr.Button):  # an example's label is its request
            text = event.target.value
        conversation = known(conversation)
        if not text.strip():
            yield (gr.skip(),) * 4
            return
        self._recall(messages, conversation)
        pictures = taken(pending)
        messages.append({"role": "user", "content": render.said(text, "", pictures, self.serve)})
        tray: Any = ""
        for shown in self._grow(text, messages, conversation, pictures=pictures):
            yield *shown, tray
            tray = gr.skip()

    def act(self, messages: list[Any], conversation: str, event: gr.EventData) -> Iterator[tuple[Any, ...]]:
        """A click on a button within an answer: one of a question's options, `use X instead`, or `Run again`."""
        conversation, clicked = known(conversation), event._data or {}
        told = self._history(conversation)
        wanted, tool = str(clicked.get("request")), str(clicked.get("tool") or "")
        at = next((i for i, one in enumerate(told) if isinstance(one, Asked) and one.request == wanted), None)
        if at is None:
            yield gr.skip(), gr.skip(), gr.skip()
            return
        asked = told[at]
        assert isinstance(asked, Asked)
        self._recall(messages, conversation)
        last = told[-1]
        if isinstance(last, Question) and last.request == wanted and (label := dict(last.options).get(tool)):
            messages.append({"role": "user", "content": render.said(label)})
            yield from self._grow(label, messages, conversation)
            return
        in_place = asked.is_open and not tool and not any(isinstance(one, Asked) for one in told[at + 1 :])
        if in_place and messages and messages[-1]["role"] == "assistant":
            del messages[-1]  # the unfinished answer
        if not in_place:
            messages.append({"role": "user", "content": render.said(asked.text, tool, asked.pictures, self.serve)})
        request = wanted if in_place else ""
        yield from self._grow(asked.text, messages, conversation, again=wanted, tool=tool, request=request)

    def _grow(self, text: str, messages: list[Any], conversation: str, **how: Unpack[How]) -> Iterator[tuple[Any, ...]]:
        mine = {"role": "assistant", "content": ""}
        messages.append(mine)
        for i, answer in enumerate(self.answer(text, conversation, **how)):
            if not any(entry is mine for entry in messages):
                yield gr.skip(), gr.skip(), gr.skip()  # what Gradio sends again when the event ends
                return  # the person began a new chat
            mine["content"] = answer.html()
            first = i == 0
            yield messages, busy_box(not how.get("again")) if first else gr.skip(), conversation if first else gr.skip()
        with self._lock:
            more = conversation in self._turns  # another request of this page, which Stop must reach
        yield gr.skip(), gr.skip() if more else idle_box(), gr.skip()

    def ask(self, message: str, conversation: str = "") -> Iterator[tuple[str, list[str], str]]:
        """The API's `chat`: the reply so far, the files made, and the conversation's id to go on with."""
        conversation = known(conversation)
        for answer in self.answer(message, conversation):
            yield answer.text(), [self.serve(stored.path) for stored in answer.artifacts], conversation

    def again(self, conversation: str, tool: str = "") -> Iterator[tuple[str, list[str], str]]:
        """The API's `again`: the conversation's last request anew, perhaps with a tool of the caller's choice.

        One that never came to an end is answered in its place.
        """
        last = next((one for one in reversed(self._history(known(conversation))) if isinstance(one, Asked)), None)
        if last is None:
            yield "There is no request to run again; use /chat first.", [], conversation
            return
        for answer in self.answer(last.text, conversation, again=last.request, tool=tool.strip()):
            yield answer.text(), [self.serve(stored.path) for stored in answer.artifacts], conversation

    def restore(self, conversation: str, messages: list[Any] | None = None) -> tuple[Any, Any, Any]:
        """What this browser's conversation has said so far, shown and kept in `messages`.

        A request may have come before: a page can be typed on while it still opens. What that shows is left alone, and
        so is a new browser's id, which its first request gives.
        """
        messages = [] if messages is None else messages
        if messages or not conversation:
            return gr.skip(), gr.skip(), gr.skip()
        if known(conversation) != conversation:
            return [], [], known("")
        self._recall(messages, conversation)
        return messages, messages, conversation

    def renew(self, messages: list[Any], conversation: str) -> tuple[list[Any], list[Any], Any, str]:
        """Stop what runs and begin a new conversation; an answer that is still growing finds its place gone."""
        self.stop(known(conversation))
        messages.clear()
        return [], [], idle_box(), known("")

    def _history(self, conversation: str) -> list[Asked | Event]:
        try:
            return history(conversation)
        except (ValueError, OSError):  # which the next request says
            return []

    def _recall(self, messages: list[Any], conversation: str) -> None:
        """Fill an empty list of messages: that of a page just opened, or open still after a restart of the app."""
        with self._recalling:
            if not messages:
                messages += self._past(conversation)

    def _past(self, conversation: str) -> list[Any]:
        try:
            return render.past(history(conversation), self.serve)
        except (ValueError, OSError) as error:
            answer = render.Answer(self.serve)
            answer.add(Failed(str(error)))
            answer.finish()
            return [{"role": "assistant", "content": answer.html()}]


def known(conversation: Any) -> str:
    """`conversation` if it can be one's id, else a new one that nobody can guess."""
    if isinstance(conversation, str) and CONVERSATION.fullmatch(conversation):
        return conversation
    return secrets.token_urlsafe(24)


def busy_box(clear: bool = True) -> gr.Textbox:
    """The input box while a request runs; `clear` takes out what was sent."""
    if clear:
        return gr.Textbox(value="", submit_btn=False, stop_btn="Stop")
    return gr.Textbox(submit_btn=False, stop_btn="Stop")


def idle_box() -> gr.Textbox:
    """The input box ready for a request."""
    return gr.Textbox(submit_btn="Send", stop_btn=False)


def room(page: gr.Blocks, llm: Any = None) -> None:
    """Lay out the chat on `page` and connect it."""
    # Gradio encrypts what the browser keeps; with a secret of its own choice, a restart would lose the conversation.
    conversation = gr.BrowserState("", storage_key="artwright-conversation", secret="artwright")
    # What is shown is kept here, not read back from the page, which could send messages that name files.
    messages = gr.State([])
    chatbot = gr.Chatbot(
        label="Conversation",
        show_label=False,
        container=False,
        elem_id="aw-chat",
        layout="bubble",
        scale=1,
        height=None,
        min_height=200,
        buttons=[],
        latex_delimiters=[],
        placeholder=render.WELCOME,
    )
    # Buttons within an answer are HTML; chat.js hands their clicks to this.
    acts = gr.HTML("", js_on_load="window.artwrightAct = (act) => trigger('click', act)", elem_id="aw-acts")
    desk = Desk(llm, serve=lambda path: str(chatbot.move_resource_to_block_cache(path)))
    pending = gr.State([])
    tray = Tray(desk.serve)
    shown = gr.HTML("", elem_id="aw-tray")
    with gr.Row(elem_id="aw-tools"):
        with gr.Row(elem_id="aw-chips"):
            chips = [gr.Button(text, size="sm", variant="secondary", min_width=0) for text in EXAMPLES]
        add = gr.UploadButton(
            "+ Picture",
            file_count="multiple",
            file_types=["image"],
            size="sm",
            variant="secondary",
            min_width=0,
            elem_id="aw-add",
        )
        fresh = gr.Button("New chat", size="sm", variant="secondary", min_width=0, elem_id="aw-new")
    box = gr.Textbox(
        label="Your request",
        show_label=False,
        container=False,
        placeholder="Say what to make …",
        elem_id="aw-box",
        lines=1,
        max_lines=6,
        max_length=LONGEST,
        autofocus=True,
        submit_btn="Send",
        stop_btn=False,
    )
    quietly: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
    sending = gr.on(
        [box.submit, *(chip.click for chip in chips)],
        desk.send,
        [box, messages, conversation, pending],
        [chatbot, box, conversation, shown],
        concurrency_limit=32,  # they wait in our own line, which tells them so
        **quietly,
    )
    acting = acts.click(
        desk.act,
        [messages, conversation],
        [chatbot, box, conversation],
        concurrency_limit=32,
        trigger_mode="multiple",  # or Gradio drops a click while an earlier one is being answered
        **quietly,
    )
    add.upload(tray.add, [add, pending], [shown], queue=False, **quietly)
    fresh.click(tray.empty, [pending], [shown], queue=False, **quietly)
    box.stop(desk.stop, [conversation], queue=False, **quietly)
    fresh.click(
        desk.renew,
        [messages, conversation],
        [chatbot, messages, box, conversation],
        cancels=[sending, acting],  # or its last words would bring the old conversation back
        queue=False,
        **quietly,
    )
    page.load(desk.restore, [conversation, messages], [chatbot, messages, conversation], queue=False, **quietly)
    _endpoint(desk)


def _endpoint(desk: Desk) -> None:
    """For programs. `/chat`: message and, to go on with one, conversation in; reply, files and conversation out.

    `/again`: conversation and, to choose one, tool in; the same out.
    """
    with gr.Group(visible=False):
        message = gr.Textbox(label="message")
        before = gr.Textbox(label="conversation", value="")
        tool = gr.Textbox(label="tool", value="")
        reply = gr.Textbox(label="reply")
        files = gr.Files(label="files")
        after = gr.Textbox(label="conversation")
        gr.Button("ask").click(
            desk.ask, [message, before], [reply, files, after], api_name="chat", concurrency_limit=32
        )
        gr.Button("again").click(
            desk.again, [before, tool], [reply, files, after], api_name="again", concurrency_limit=32
        )
