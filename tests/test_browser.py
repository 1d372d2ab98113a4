"""The chat in a real browser: what a person sees and can do, with a scripted agent and once with the real one.

`python tests/test_browser.py PICTURE.png` takes the screenshot of the README: the real app, the embedded LLM.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from scripted import NAMES, QUESTION, Script, a_script, an_address, serve  # noqa: F401

from generators.core import paths

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 800}
BROKEN_STREAMS = ("AbortError: signal is aborted", "Connection errored out")
BOX, SEND, STOP, ANSWER = "#aw-box textarea", "#aw-box .submit-button", "#aw-box .stop-button", ".aw-answer"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        CHROMIUM is None and os.environ.get("CI") != "true",
        reason="no chromium here; `make setup-test` installs Debian's",
    ),
]


@contextmanager
def browser() -> Iterator[Any]:
    """Headless chromium."""
    from playwright.sync_api import sync_playwright

    assert CHROMIUM, "no chromium here; `make setup-test` installs Debian's"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=SWITCHES)
        try:
            yield opened
        finally:
            opened.close()


class Visitor:
    """A browser profile of its own on the app's page, which notes whom the page asks and what goes wrong on it."""

    def __init__(self, chromium: Any, address: str, *, dark: bool = False, viewport: dict[str, int] = DESK) -> None:
        self.context = chromium.new_context(viewport=viewport, color_scheme="dark" if dark else "light")
        self.page = self.context.new_page()
        self.hosts: set[str] = set()
        self.problems: list[str] = []
        self.page.on("request", self._note)
        self.is_leaving = False
        self.page.on("pageerror", lambda error: self._blame(str(error)))
        self.page.on("console", lambda line: self._blame(line.text) if line.type == "error" else None)
        self.page.goto(address)
        self.page.wait_for_selector(BOX)

    def _note(self, request: Any) -> None:
        url = urlparse(request.url)
        if url.scheme not in ("data", "blob"):
            self.hosts.add(url.hostname or "")

    def _blame(self, problem: str) -> None:
        """Note what went wrong; that Gradio's open streams break when a page is left is no fault of the page."""
        if not (self.is_leaving and any(sign in problem for sign in BROKEN_STREAMS)):
            self.problems.append(problem)

    def reload(self) -> None:
        """Leave the page and come back to it."""
        self.page.evaluate("0")  # what went wrong before comes first
        self.is_leaving = True
        self.page.reload(wait_until="commit")
        self.is_leaving = False
        self.page.wait_for_load_state()

    def say(self, text: str) -> None:
        """Type a request and press Enter."""
        self.page.fill(BOX, text)
        self.page.keyboard.press("Enter")

    def ask(self, text: str, seconds: float = 30) -> Any:
        """Say something and wait for the end of the answer; gives that answer's element."""
        before = self.page.locator(ANSWER).count()
        self.say(text)
        self.page.wait_for_function(
            "([css, n]) => document.querySelectorAll(css).length > n", arg=[ANSWER, before], timeout=seconds * 1000
        )
        self.page.wait_for_selector(SEND, timeout=seconds * 1000)
        return self.page.locator(ANSWER).nth(before)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as opened:
        yield opened


@pytest.fixture
def visitor(chromium: Any, address: str) -> Iterator[Visitor]:
    guest = Visitor(chromium, address)
    yield guest
    assert guest.hosts == {"127.0.0.1"}
    assert guest.problems == []
    guest.context.close()


def loaded(pictures: Any) -> list[bool]:
    """Whether each picture really has arrived."""
    return pictures.evaluate_all("all => all.map(one => one.complete && one.naturalWidth > 0)")


def test_two_pictures_appear_crisp_with_alt_text_and_provenance(visitor: Visitor, tmp_path: Path) -> None:
    answer = visitor.ask("draw two sneakers")
    pictures = answer.locator("img")
    assert pictures.count() == 2
    visitor.page.wait_for_function("[...document.images].every(one => one.complete)")
    assert loaded(pictures) == [True, True]
    assert pictures.first.get_attribute("alt") == "Sneaker made by vae-fashion, 1 of 2"
    assert pictures.first.bounding_box()["width"] == 224
    assert pictures.first.evaluate("one => getComputedStyle(one).imageRendering") == "pixelated"
    assert "97 % sure" in answer.inner_text()
    answer.locator("summary").click()
    assert "AVX2, 2 threads" in answer.inner_text()
    shot = tmp_path / "chat.png"
    visitor.page.screenshot(path=shot)
    assert shot.stat().st_size > 10_000


def test_a_new_chat_stays_empty_though_a_request_was_running(visitor: Visitor) -> None:
    page = visitor.page
    visitor.say("slow one")
    page.wait_for_selector("progress")
    page.click("#aw-new")
    page.wait_for_selector(".aw-welcome")
    page.wait_for_timeout(1000)
    assert page.locator(ANSWER).count() == 0 and page.locator(SEND).is_visible()
    assert "I can" in visitor.ask("hello").inner_text()


def test_the_viewer_enlarges_leafs_downloads_and_gives_the_focus_back(visitor: Visitor) -> None:
    page, held, may_come = visitor.page, [], threading.Event()

    def hold(route: Any) -> None:
        if route.request.resource_type == "image" and not may_come.is_set():
            held.append(route)
        else:
            route.continue_()

    page.route("**", hold)
    answer = visitor.ask("draw two sneakers")
    answer.locator(".aw-shot").first.focus()
    page.keyboard.press("Enter")
    viewer = page.locator("dialog.aw-viewer")
    viewer.wait_for()
    assert held and not any(loaded(answer.locator("img")))  # the small pictures come later
    may_come.set()
    for route in held:
        route.continue_()
    page.wait_for_function("document.querySelector('.aw-viewer img').width > 400")
    assert viewer.locator("img").bounding_box()["width"] % 28 == 0
    page.keyboard.press("ArrowRight")
    assert "2 of 2" in viewer.inner_text()
    with page.expect_download() as download:
        viewer.locator(".aw-save").click()
    assert Path(download.value.path()).read_bytes().startswith(b"\x89PNG")
    page.keyboard.press("Escape")
    assert not viewer.is_visible()
    assert page.evaluate("document.activeElement.className").startswith("aw-shot")


def test_an_example_is_one_click_and_names_are_a_list(visitor: Visitor) -> None:
    visitor.page.click("#aw-chips button:has-text('invent five names')")
    visitor.page.wait_for_selector(".aw-names")
    assert visitor.page.locator(".aw-names li").all_inner_texts() == NAMES
    assert visitor.page.locator(".aw-mine").inner_text() == "invent five names"


@pytest.mark.parametrize("how", ["button", "Escape"])
def test_stop_stops_within_a_second(visitor: Visitor, script: Script, how: str) -> None:
    script.stopped.clear()
    visitor.say("slow one")
    visitor.page.wait_for_selector(f"{ANSWER} progress")
    if how == "button":
        visitor.page.click(STOP)
    else:
        visitor.page.keyboard.press("Escape")
    visitor.page.wait_for_selector(f"{ANSWER} >> text=Stopped.", timeout=1000)
    visitor.page.wait_for_selector(SEND, timeout=1000)
    assert len(script.stopped) == 1


def test_another_tool_is_one_click_and_adds_a_turn(visitor: Visitor, script: Script) -> None:
    visitor.ask("draw two sneakers")
    visitor.page.fill(BOX, "half a thought")
    visitor.page.click("text=use morph_images instead")
    visitor.page.wait_for_function("css => document.querySelectorAll(css).length > 1", arg=ANSWER)
    visitor.page.wait_for_selector(SEND)
    answers, mine = visitor.page.locator(ANSWER), visitor.page.locator(".aw-mine")
    assert answers.count() == 2 and answers.first.locator("img").count() == 2
    assert mine.nth(1).inner_text().splitlines() == ["draw two sneakers", "morph_images instead"]
    assert script.asked_again[-1][::2] == ("draw two sneakers", "morph_images")
    assert visitor.page.input_value(BOX) == "half a thought"


def test_a_question_is_answered_with_a_button(visitor: Visitor, tmp_path: Path) -> None:
    question = visitor.ask("a coat?")
    assert QUESTION in question.inner_text()
    options = question.locator("button.aw-act")
    assert options.all_inner_texts() == ["draw new pictures of a subject", "only talk"]
    visitor.page.screenshot(path=tmp_path / "question.png")
    options.first.focus()
    visitor.page.keyboard.press("Enter")  # without a mouse as well
    visitor.page.wait_for_selector(f"{ANSWER} img")
    assert visitor.page.locator(".aw-mine").nth(1).inner_text() == "draw new pictures of a subject"


def test_a_growing_answer_keeps_the_focus_and_takes_a_slow_click(visitor: Visitor) -> None:
    page = visitor.page
    visitor.say("slow one")
    page.wait_for_selector(f"{ANSWER} progress")

    def let_it_grow() -> None:
        page.evaluate("window.was = document.querySelector('progress').value")
        page.wait_for_function("document.querySelector('progress').value > window.was + 3")

    button = page.locator("button.aw-act")
    button.focus()
    let_it_grow()
    assert page.evaluate("document.activeElement.className") == "aw-act"
    button.hover()
    page.mouse.down()
    let_it_grow()
    page.mouse.up()
    page.wait_for_function("document.querySelectorAll('.aw-mine').length == 2")
    assert page.locator(".aw-mine").nth(1).inner_text().splitlines() == ["slow one", "morph_images instead"]
    page.click(STOP)
    page.wait_for_selector(SEND)
    assert page.locator(".aw-mine").count() == 2


@pytest.mark.parametrize("before", [0, 1])
def test_a_page_can_be_used_while_it_still_opens(visitor: Visitor, before: int) -> None:
    page = visitor.page
    held: list[Any] = []
    for _ in range(before):
        visitor.ask("draw two sneakers")
    page.route("**/gradio_api/run/**", lambda route: held.append(route))  # what was said so far, which comes late
    visitor.reload()
    page.wait_for_selector(BOX)
    visitor.say("a coat?")
    page.wait_for_selector("text=only talk")
    page.wait_for_selector(SEND)
    assert len(held) == 1
    with page.expect_response("**/gradio_api/run/**"):
        held.pop().continue_()
    page.unroute("**/gradio_api/run/**")
    page.wait_for_timeout(200)  # for the page to take it in
    assert page.locator(ANSWER).count() == before + 1
    page.locator(ANSWER).last.locator("button.aw-act").first.click()
    page.wait_for_function("n => document.querySelectorAll('.aw-answer').length > n", arg=before + 1)
    page.locator(ANSWER).last.locator("img").first.wait_for()
    page.wait_for_selector(SEND)
    visitor.reload()
    page.wait_for_selector(f"{ANSWER} img")
    assert page.locator(ANSWER).count() == before + 2


def test_what_was_stopped_runs_again_with_one_click(visitor: Visitor, script: Script) -> None:
    visitor.say("slow one")
    visitor.page.wait_for_selector(f"{ANSWER} progress")
    visitor.page.click(STOP)
    visitor.page.click("text=Run again")
    visitor.page.wait_for_selector(f"{ANSWER} progress")
    assert visitor.page.locator(ANSWER).count() == 1 and visitor.page.locator(".aw-mine").count() == 1
    visitor.page.click(STOP)
    visitor.page.wait_for_selector("text=Run again")
    visitor.page.wait_for_selector(SEND)
    visitor.reload()
    visitor.page.wait_for_selector("text=Run again")
    assert visitor.page.locator(ANSWER).count() == 1


def test_an_error_is_one_sentence_and_the_chat_goes_on(visitor: Visitor) -> None:
    assert "No model knows the subject 'unicorn'" in visitor.ask("a unicorn").locator("[role=alert]").inner_text()
    assert "draw" in visitor.ask("hello").inner_text()


def test_what_is_said_is_shown_as_said(visitor: Visitor) -> None:
    visitor.ask("<b>hello</b> *you* <img src=http://example.com/x.png>")
    assert visitor.page.locator(".aw-mine").inner_text() == "<b>hello</b> *you* <img src=http://example.com/x.png>"
    assert visitor.page.locator(f"{ANSWER} img, .aw-mine img").count() == 0


def test_a_reload_brings_the_conversation_back_and_new_chat_begins_another(visitor: Visitor) -> None:
    visitor.ask("draw two sneakers")
    visitor.reload()
    visitor.page.wait_for_selector(f"{ANSWER} img")
    assert visitor.page.locator(f"{ANSWER} img").count() == 2
    step = visitor.page.locator(".aw-step").inner_text()
    assert "generate_image" in step and "97 % sure" in step and "use morph_images instead" in step
    visitor.page.click("#aw-new")
    visitor.page.wait_for_selector(".aw-welcome")
    visitor.reload()
    visitor.page.wait_for_selector(".aw-welcome")
    assert visitor.page.locator(ANSWER).count() == 0


def test_a_restart_of_the_app_loses_nothing(chromium: Any, script: Script, tmp_path: Path) -> None:
    with serve(script, tmp_path) as url:
        guest = Visitor(chromium, url)
        guest.ask("draw two sneakers")
        guest.page.goto("about:blank")
    with serve(script, tmp_path, port=urlparse(url).port or 0):
        guest.page.goto(url)
        guest.page.wait_for_selector(f"{ANSWER} img")
        guest.page.wait_for_function("[...document.images].every(one => one.complete)")
        assert loaded(guest.page.locator(f"{ANSWER} img")) == [True, True]
        guest.context.close()


def test_two_people_do_not_see_each_other(visitor: Visitor, chromium: Any, address: str) -> None:
    visitor.ask("draw two sneakers")
    other = Visitor(chromium, address)
    other.page.wait_for_selector(".aw-welcome")
    assert other.page.locator(ANSWER).count() == 0
    other.context.close()


def test_who_must_wait_is_told(visitor: Visitor, chromium: Any, address: str) -> None:
    other = Visitor(chromium, address)
    other.say("slow one")
    other.page.wait_for_selector("progress")
    visitor.say("draw two sneakers")
    visitor.page.wait_for_selector("text=Waiting for another request")
    other.page.click(STOP)
    visitor.page.wait_for_selector(f"{ANSWER} img")
    other.context.close()


def test_closing_the_page_stops_what_it_asked_for(chromium: Any, address: str, script: Script) -> None:
    script.stopped.clear()
    guest = Visitor(chromium, address)
    guest.say("slow one")
    guest.page.wait_for_selector("progress")
    guest.context.close()
    deadline = time.monotonic() + 5
    while not script.stopped and time.monotonic() < deadline:
        time.sleep(0.05)
    assert script.stopped


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scrolling(chromium: Any, address: str, dark: bool) -> None:
    guest = Visitor(chromium, address, dark=dark, viewport=PHONE)
    guest.ask("draw two sneakers")
    guest.ask("draw sixteen")
    assert guest.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    pictures = guest.page.locator(f"{ANSWER} img")
    edges = pictures.evaluate_all("all => all.map(one => one.getBoundingClientRect().toJSON())")  # at one moment
    assert len(edges) == 18
    assert edges[0]["y"] == edges[1]["y"], "two pictures do not stand side by side"
    assert all(edge["left"] >= 0 and edge["right"] <= PHONE["width"] for edge in edges)
    back = guest.page.evaluate("getComputedStyle(document.querySelector('gradio-app')).backgroundColor")
    assert (sum(map(int, back[4:-1].split(","))) < 200) is dark
    guest.context.close()


def test_a_real_conversation(chromium: Any, tmp_path: Path) -> None:
    """The whole way: the embedded LLM routes, the shipped model draws, the browser shows."""
    with serve(None, Path(os.environ["ARTWRIGHT_HOME"])) as url:
        guest = Visitor(chromium, url)
        answer = guest.ask("draw two sneakers", seconds=180)
        assert "generate_image" in answer.inner_text()
        assert answer.locator("img").count() == 2
        guest.page.wait_for_function("[...document.images].every(one => one.complete)")
        assert loaded(answer.locator("img")) == [True, True]
        assert "Sneaker made by" in answer.locator("img").first.get_attribute("alt")
        guest.page.screenshot(path=tmp_path / "real.png")
        guest.reload()
        guest.page.wait_for_selector(f"{ANSWER} img")
        assert guest.hosts == {"127.0.0.1"} and guest.problems == []
        guest.context.close()


def screenshot(path: Path, requests: tuple[str, ...] = ("invent five names", "draw two sneakers")) -> None:
    """A picture of a real conversation, as the README shows it."""
    with tempfile.TemporaryDirectory() as folder, browser() as opened:
        paths.cache().mkdir(parents=True, exist_ok=True)
        (Path(folder) / "cache").symlink_to(paths.cache())  # where the LLM may have been converted already
        with serve(None, Path(folder)) as url:
            guest = Visitor(opened, url, viewport={"width": 1000, "height": 960})
            for request in requests:
                guest.ask(request, seconds=300)
            guest.page.wait_for_timeout(500)
            guest.page.screenshot(path=path)
    from PIL import Image

    with Image.open(path) as picture:
        picture.convert("RGB").quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    screenshot(Path(sys.argv[1]))
