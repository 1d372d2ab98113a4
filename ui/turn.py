"""One request being answered: the agent works in a thread of its own, and what happens is shown as it happens."""

from __future__ import annotations

import logging
import queue
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, TypedDict, Unpack

from chains.agent import talk
from chains.events import Event, Failed
from chains.store import Stored
from generators.core.errors import Cancelled
from generators.core.generator import Cancel
from ui import render
from ui.line import WAKE

if TYPE_CHECKING:
    from ui.chat import Desk

log = logging.getLogger(__name__)

FRAME = 0.12  # seconds between two drawings of a growing answer; a page drawn for every event falls behind
SIGN_OF_LIFE = 1.0  # seconds after which the clock of a silent request is shown anew


class How(TypedDict, total=False):
    """What a request may bring besides its words; see `chains.agent.talk`."""

    again: str
    tool: str
    request: str
    pictures: Sequence[Stored]


class Turn:
    """One request being answered by the agent in its own thread; `show()` follows it."""

    def __init__(self, text: str, conversation: str, desk: Desk, **how: Unpack[How]) -> None:
        self.cancel = Cancel()
        self._text, self._conversation, self._desk = text, conversation, desk
        self._id = how.get("request") or str(uuid.uuid4())
        self._how: How = {**how, "request": self._id}
        self._events: queue.SimpleQueue[Event | render.Waiting | None] = queue.SimpleQueue()

    def show(self) -> Iterator[render.Answer]:
        """The answer so far, each time that it changed. Ends at once when `cancel` is set."""
        answer = render.Answer(self._desk.serve, self._id)
        threading.Thread(target=self._work, name="artwright-turn", daemon=True).start()
        yield answer
        shown, texts = time.monotonic(), 0
        try:
            open_ = True
            while open_ and not self.cancel.is_set():
                try:
                    open_ = self._take(answer, self._events.get(timeout=WAKE))
                except queue.Empty:
                    if time.monotonic() - shown < SIGN_OF_LIFE:
                        continue
                while open_ and not self.cancel.is_set() and (rest := shown + FRAME - time.monotonic()) > 0:
                    if answer.texts > texts:
                        break  # the first characters wait for nothing
                    with suppress(queue.Empty):
                        open_ = self._take(answer, self._events.get(timeout=rest))
                while open_ and not self._events.empty():
                    open_ = self._take(answer, self._events.get())
                if open_:
                    yield answer
                    shown, texts = time.monotonic(), answer.texts
            answer.finish(stopped=self.cancel.is_set())
            yield answer
        finally:
            self.cancel.set()  # a person who left the page needs no answer any more

    def _take(self, answer: render.Answer, event: Event | render.Waiting | None) -> bool:
        if event is None:
            return False
        answer.add(event)
        return True

    def _work(self) -> None:
        try:
            with self._desk.line.turn(self.cancel, lambda n: self._events.put(render.Waiting(n))):
                self._desk.loaded(self.cancel, lambda: self._events.put(render.Waiting(0, loading=True)))
                self._events.put(render.Waiting(0))
                for event in talk(
                    self._text, llm=self._desk.llm, thread=self._conversation, cancel=self.cancel, **self._how
                ):
                    self._events.put(event)
        except Cancelled:
            pass
        except ValueError as error:
            self._events.put(Failed(str(error)))
        except Exception:
            log.exception("a turn of the chat failed")
            self._events.put(Failed("Something went wrong inside the app; the terminal it was started from says what."))
        finally:
            self._events.put(None)
