"""A scripted agent for the tests of the app: real artifacts in a real store, no model and no LLM."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from chains.events import Asked, Choice, Event, Failed, Made, Progress, Question, Reply, Word
from chains.store import Store, Stored
from generators.core.artifact import Image, Provenance, Text
from generators.core.generator import Cancel

NAMES = ["Orlenna", "Marvick", "Tessaly", "Brannor", "Ilsabet"]
QUESTION = "Which did you mean: 1. draw new pictures of a subject, or 2. only talk?"
VERSE = "And the sea gave up the deep,\nand the winds were still;\n\nand he said, Let the waters sleep."


def picture(index: int) -> NDArray[np.uint8]:
    """A grey 28 x 28 picture that differs from the others: a disc on a gradient."""
    y, x = np.mgrid[:28, :28]
    disc = (x - 10 - index) ** 2 + (y - 14) ** 2 < 40
    return np.where(disc, 230, 4 * x).astype(np.uint8)


class Script:
    """Stands in for `chains.agent`: its `talk` and `history`. `stopped` notes when a slow request saw its switch."""

    def __init__(self) -> None:
        self.past: dict[str, list[Asked | Event]] = {}
        self.stopped: list[float] = []
        self.asked_again: list[tuple[str, str, str]] = []
        self.running = 0
        self.most_running = 0

    def talk(
        self,
        text: str,
        *,
        llm: Any = None,
        thread: str = "default",
        cancel: Cancel | None = None,
        request: str = "",
        again: str = "",
        tool: str = "",
        pictures: Sequence[Stored] = (),
    ) -> Iterator[Event]:
        """Answer by the script below; `asked_again` notes what was to be answered anew."""
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        past = self.past.setdefault(thread, [])
        if again:
            self.asked_again.append((text, again, tool))
            if not tool and past and isinstance(past[-1], Asked) and past[-1].is_open:
                request = past.pop().request
        asked = Asked(text, request, tool, True, tuple(pictures))
        told: list[Asked | Event] = [asked]
        past.append(asked)
        words = {"no tool": "hello", "morph_images": "turn"}.get(tool, text)
        try:
            for event in self._events(words, cancel or Cancel()):
                if isinstance(event, Choice | Question):
                    event = replace(event, request=request)
                if not isinstance(event, Progress | Reply):
                    told.append(event)
                yield event
        finally:
            self.running -= 1
        if not (cancel and cancel.is_set()):
            at = next(i for i, one in enumerate(past) if one is asked)
            past[at : at + 1] = [replace(asked, is_open=False), *told[1:]]

    def history(self, thread: str) -> list[Asked | Event]:
        """What `talk` said in this conversation."""
        return self.past.get(thread, [])

    def _events(self, text: str, cancel: Cancel) -> Iterator[Event]:
        if "name" in text:
            args: dict[str, Any] = {"count": 5}
            yield Choice("invent_names", args, 0.91, (("write_text", 0.06),))
            made = [
                self._keep(Text(n, self._how("markov-names", "invent_names", args, i))) for i, n in enumerate(NAMES)
            ]
            yield Made("invent_names", "Five names by markov-names with seed 7.", tuple(made))
            yield Reply("Five names by markov-names with seed 7.")
        elif "verse" in text:
            args = {"style": "scripture", "words": 20}
            yield Choice("write_text", args, 0.88, (("about", 0.004),))
            stored = self._keep(Text(VERSE, self._how("markov-scripture", "write_text", args, 0)))
            yield Made("write_text", "A text of 20 words by markov-scripture with seed 7.", (stored,))
            yield Reply("A text of 20 words by markov-scripture with seed 7.")
        elif "saga" in text:
            saga = "Once upon a time."
            yield Choice("write_text", {"words": 4}, 0.88)
            for end in range(4, len(saga)):
                yield Progress("writing", end, len(saga), saga[:end])
                time.sleep(0.02)
            stored = self._keep(Text(saga, self._how("markov-scripture", "write_text", {"words": 4}, 0)))
            yield Made("write_text", "A text of 4 words by markov-scripture with seed 7.", (stored,))
            yield Reply("A text of 4 words by markov-scripture with seed 7.")
        elif "unicorn" in text:
            yield Choice("generate_image", {"subject": "unicorn"}, 0.41, (("write_text", 0.3),))
            sentence = "No model knows the subject 'unicorn'; ask for one of: sneaker, coat, dress."
            yield Failed(sentence)
            yield Reply(sentence)
        elif "coat?" in text:
            options = (("generate_image", "draw new pictures of a subject"), ("no tool", "only talk"))
            yield Question(QUESTION, options)
            yield Reply(QUESTION)
        elif "crash" in text:
            raise RuntimeError("a defect")
        elif "slow" in text:
            yield Choice("generate_image", {"subject": "sneaker", "count": 64}, 0.97, (("morph_images", 0.02),))
            for i in range(2400):  # two minutes: a test stops it, however slow the machine is
                if cancel.is_set():
                    self.stopped.append(time.monotonic())
                    return
                yield Progress("drawing sneakers", i, 2400)
                time.sleep(0.05)
            yield Reply("Done.")
        elif "draw" in text or "turn" in text:
            count = 2 if "two" in text else 16
            args = {"subject": "sneaker", "count": count}
            yield Choice("generate_image", args, 0.974, (("morph_images", 0.012),))
            made = []
            for i in range(count):
                yield Progress("drawing with vae-fashion", i, count)
                made.append(self._keep(Image(self.picture(i), self._how("vae-fashion", "generate_image", args, i))))
            sentence = f"{count} pictures of a sneaker by vae-fashion with seed 7."
            yield Made("generate_image", sentence, tuple(made))
            yield Reply(sentence)
        else:
            words = "Hello! I can **draw**, write <b>verses</b> and invent names. ![x](http://example.com/x.png)"
            for word in words.split(" "):
                yield Word(word + " ")
            yield Reply(words)

    def picture(self, index: int) -> NDArray[np.uint8]:
        """What the script draws."""
        return picture(index)

    @staticmethod
    def _keep(artifact: Image | Text) -> Stored:
        return Store().put(artifact)

    @staticmethod
    def _how(generator: str, task: str, args: dict[str, Any], index: int) -> Provenance:
        return Provenance(generator, "c0ffee" * 10 + "abcd", task, args, 7, index, {"artwright": "0.1.0"}, "AVX2", 2)


@contextmanager
def serve(script: Script | None, home: Path, llm: Any = None, port: int = 0) -> Iterator[str]:
    """Serve the app with `home` as ARTWRIGHT_HOME and `script` in the agent's place; gives its address.

    Without a script the real agent answers; without a port it is any free one.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ARTWRIGHT_HOME", str(home))
        patch.setenv("GRADIO_TEMP_DIR", str(home / "gradio"))
        import ui

        if script is not None:
            from ui import chat, turn

            patch.setattr(turn, "talk", script.talk)
            patch.setattr(chat, "history", script.history)
        app = ui.launch(port=port, llm=llm or script, wait=False)
        try:
            yield f"http://127.0.0.1:{app.server_port}"
        finally:
            app.close()


@pytest.fixture(name="script", scope="module")
def a_script() -> Script:
    """What answers at `address`."""
    return Script()


@pytest.fixture(name="address", scope="module")
def an_address(script: Script, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app served on a free port, with `script` in the agent's place."""
    with serve(script, tmp_path_factory.mktemp("artwright")) as url:
        yield url
