"""The app through its API and its parts, with a scripted agent: what it shows, stops and serves, and who waits."""

from __future__ import annotations

import re
import threading
import time
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from scripted import NAMES, QUESTION, VERSE, Script, a_script, an_address, picture  # noqa: F401

from chains.events import Asked, Choice, Failed, Made, Progress, Reply, Word
from chains.store import Store
from generators.core.artifact import Code, Image, Text, open_artifact
from generators.core.errors import Cancelled
from generators.core.generator import Cancel


@pytest.fixture
def client(address: str) -> Any:
    from gradio_client import Client

    return Client(address, verbose=False)


def test_api_gives_reply_files_and_conversation(client: Any) -> None:
    reply, files, conversation = client.predict("draw two sneakers", api_name="/chat")
    assert reply == "2 pictures of a sneaker by vae-fashion with seed 7."
    found = [open_artifact(file) for file in files]
    assert [item.sha256 for item in found] == [Image(picture(i), None).sha256 for i in range(2)]
    assert found[0].provenance is not None and found[0].provenance.generator == "vae-fashion"
    assert len(conversation) >= 32


def test_api_continues_a_conversation_and_keeps_others_apart(client: Any, script: Script) -> None:
    *_, mine = client.predict("invent five names", api_name="/chat")
    *_, again = client.predict("hello", mine, api_name="/chat")
    *_, other = client.predict("hello", api_name="/chat")
    assert again == mine != other
    asked = [event.text for event in script.history(mine) if isinstance(event, Asked)]
    assert asked == ["invent five names", "hello"]


def test_a_guessable_conversation_is_replaced(client: Any) -> None:
    *_, conversation = client.predict("hello", "default", api_name="/chat")
    assert conversation != "default"


@pytest.mark.parametrize(
    ("request_", "reply"),
    [
        ("a unicorn", "No model knows the subject 'unicorn'; ask for one of: sneaker, coat, dress."),
        ("crash", "Something went wrong inside the app; the terminal it was started from says what."),
        ("  ", "The request is empty: write what you want in a sentence or two."),
        ("x" * 2001, "The request has 2,001 characters; 2,000 are allowed: write what you want in a sentence or two."),
    ],
)
def test_errors_are_one_sentence(client: Any, request_: str, reply: str) -> None:
    assert client.predict(request_, api_name="/chat")[0] == reply


def test_only_the_stores_files_are_served(address: str, client: Any) -> None:
    import httpx

    for path in ("/etc/hostname", str(Path(__file__).absolute()), str(Path("pyproject.toml").absolute())):
        assert httpx.get(f"{address}/gradio_api/file={path}").status_code == 403
    # A file of the store is not served either before an answer hands it out.
    kept = Store().put(Text("nobody asked for this", None))
    assert httpx.get(f"{address}/gradio_api/file={kept.path}").status_code == 403


def test_the_page_and_the_theme_name_no_other_host(address: str) -> None:
    import httpx

    page = httpx.get(address).text
    css = httpx.get(f"{address}/theme.css").text
    assert "@import" not in css and not re.search(r"url\((?![\"']?data:)", css)
    assert "fonts.googleapis" not in page and '"analytics_enabled":false' in page.replace(" ", "")


def test_one_request_at_a_time_has_the_llm(address: str, script: Script) -> None:
    from gradio_client import Client

    script.most_running = 0
    jobs = [Client(address, verbose=False).submit("draw sixteen", api_name="/chat") for _ in range(3)]
    assert all(len(job.result()[1]) == 16 for job in jobs)
    assert script.most_running == 1


@pytest.fixture
def desk(script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))
    import ui

    ui._prepare()
    from ui import chat, turn

    monkeypatch.setattr(turn, "talk", script.talk)
    monkeypatch.setattr(chat, "history", script.history)
    return chat.Desk(None, serve=str)


def test_stop_ends_the_sampler_within_a_second(desk: Any, script: Script) -> None:
    script.stopped.clear()
    answers = desk.answer("slow one", "a" * 32)
    for answer in answers:
        if "<progress" in answer.html():
            break
    asked = time.monotonic()
    desk.stop("b" * 32)  # somebody else's stop is not ours
    assert "<progress" in next(answers).html()
    desk.stop("a" * 32)
    final = list(answers)[-1]
    assert time.monotonic() - asked < 1
    assert final.text() == "Stopped." and "<progress" not in final.html()
    deadline = asked + 1
    while not script.stopped and time.monotonic() < deadline:
        time.sleep(0.01)
    assert script.stopped, "the sampler went on after Stop"


def test_leaving_the_page_stops_the_sampler(desk: Any, script: Script) -> None:
    script.stopped.clear()
    answers = desk.answer("slow one", "c" * 32)
    while "<progress" not in next(answers).html():
        pass
    answers.close()
    deadline = time.monotonic() + 1
    while not script.stopped and time.monotonic() < deadline:
        time.sleep(0.01)
    assert script.stopped


def test_line_is_first_come_first_served_and_says_who_is_ahead() -> None:
    from ui.chat import Line

    line, order, told = Line(), [], []
    inside, go = threading.Event(), threading.Event()

    def first() -> None:
        with line.turn(Cancel(), lambda n: None):
            inside.set()
            go.wait(5)
            order.append(1)

    def second() -> None:
        with line.turn(Cancel(), told.append):
            order.append(2)

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    inside.wait(5)
    threads[1].start()
    stopped = Cancel()
    stopped.set()
    with pytest.raises(Cancelled), line.turn(stopped, lambda n: None):
        pass
    go.set()
    for thread in threads:
        thread.join(5)
    assert order == [1, 2] and told == [1]


def answer(*events: Any) -> Any:
    from ui.render import Answer

    shown = Answer(serve=str)
    for event in events:
        shown.add(event)
    return shown


def test_step_line_tells_tool_arguments_confidence_and_runner_up() -> None:
    html = answer(
        Choice("generate_image", {"subject": "sneaker", "count": 2}, 0.974, (("morph_images", 0.012),), "id-1"),
        Progress("drawing", 1, 2),
    ).html()
    text = re.sub("<[^>]+>", " ", html)
    for part in ("generate_image", "subject", "sneaker", "97 % sure", "use morph_images instead", "drawing"):
        assert part in text
    assert 'value="id-1 morph_images" title="the next likeliest, 1 %"' in html
    assert '<progress max="2" value="1">' in html


def test_code_is_shown_in_colours_and_escaped(tmp_path: Path) -> None:
    stored = Store(tmp_path).put(Code("def f(a):\n    return '<b>' + a", None))
    html = answer(Made("write_code", "Wrote 2 lines.", (stored,))).html()
    assert '<span class="aw-py-k">def</span>' in html and "&lt;b&gt;" in html and "<b>" not in html
    assert "def f(a):\n    return '<b>' + a" in unescape(re.sub("<[^>]+>", "", html))


def test_a_text_is_shown_as_it_grows_until_what_was_made_takes_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))
    shown = answer(Choice("write_text", {}), Progress("2 words of 60", 2, 60, "And <b>"))
    assert '<div class="aw-prose">And &lt;b&gt;</div></div>' in shown.html() and shown.texts == 1
    shown.add(Progress("3 words of 60", 3, 60, "And <b>\nso"))
    assert '<div class="aw-prose">And &lt;b&gt;&#10;so</div></div>' in shown.html() and shown.texts == 1
    shown.add(Made("write_text", "Wrote 1 word.", (Store().put(Text("And", None)),)))
    assert "aw-prose" in shown.html() and "&lt;b&gt;" not in shown.html()
    stopped = answer(Choice("write_text", {}), Progress("2 words of 60", 2, 60, "And so"))
    stopped.finish(stopped=True)
    assert "And so" not in stopped.html() and stopped.text() == "Stopped." and not stopped.artifacts


def test_the_first_characters_are_drawn_at_once(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ui import turn

    monkeypatch.setattr(turn, "FRAME", 60.0)
    begin = time.monotonic()
    drawn = [shown.html() for shown in desk.answer("a saga", "d" * 32)]
    assert time.monotonic() - begin < 30 and any("Once" in html and "<progress" in html for html in drawn)
    assert "Once upon a time." in drawn[-1] and "<progress" not in drawn[-1]


def test_events_of_several_steps_find_their_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))
    shown = answer(
        Choice("generate_image", {}),
        Choice("invent_names", {}),
        Failed("no"),
        Made("invent_names", "Names."),
        Reply("x"),
    )
    shown.finish()
    assert shown.text() == "no\nNames."
    assert shown.html().index("no</p>") < shown.html().index("invent_names")


def test_whatever_is_said_is_escaped_and_loads_nothing() -> None:
    from ui import render

    nasty = "<img src=http://example.com/x onerror=alert(1)> ![x](http://example.com/y.png)\n\n<script>1</script>\r\r!"
    for html in (
        answer(Word(nasty)).html(),
        answer(Failed(nasty)).html(),
        answer(Choice("about", {"topic": nasty})).html(),
        render.said(nasty),
        render.past([Asked("x"), Word(nasty)], str)[1]["content"],
    ):
        assert "<img" not in html and "<script" not in html and not set(html) & set("\r\n")


def test_texts_keep_their_lines_and_names_become_a_list(desk: Any) -> None:
    *_, names = desk.answer("invent five names", "d" * 32)
    assert all(f"<li>{name}</li>" in names.html() for name in NAMES)
    *_, verse = desk.answer("a verse", "d" * 32)
    assert VERSE.replace("\n", "&#10;") in verse.html()
    assert "markov-scripture · seed 7" in verse.html()


def test_pictures_have_alt_text_and_whole_multiples_of_their_pixels(desk: Any) -> None:
    *_, drawn = desk.answer("draw two sneakers", "e" * 32)
    html = drawn.html()
    assert 'alt="Sneaker made by vae-fashion, 1 of 2"' in html and html.count("width: 224px") == 2
    assert html.count("aw-crisp") == 4


def test_a_lost_file_is_said_and_the_rest_is_shown(desk: Any) -> None:
    *_, drawn = desk.answer("draw two sneakers", "f" * 32)
    drawn.artifacts[0].path.unlink()
    messages, _, _ = desk.restore("f" * 32)
    assert messages[1]["content"].count("<img") == 1
    assert f"The file of {drawn.artifacts[0].id} is not in the store" in messages[1]["content"]


def test_restore_brings_back_the_conversation_of_its_id_only(desk: Any) -> None:
    list(desk.answer("draw two sneakers", "g" * 32))
    messages, kept, conversation = desk.restore("g" * 32)
    assert kept == messages
    assert [m["role"] for m in messages] == ["user", "assistant"] and conversation == "g" * 32
    assert messages[1]["content"].count("<img") == 2
    for part in ("generate_image", "sneaker", "97 % sure", "use morph_images instead"):
        assert part in messages[1]["content"]
    empty, _, fresh = desk.restore("default")
    assert empty == [] and len(fresh) >= 32


def test_restore_tells_what_failed_and_what_was_stopped() -> None:
    from ui import render

    failed, stopped = (Choice("about", {}), Failed("No such topic.")), Choice("make_video", {})
    messages = render.past([Asked("a"), *failed, Asked("b"), stopped, Asked("c")], str)
    assert [message["role"] for message in messages] == ["user", "assistant", "user", "assistant", "user"]
    assert '<p class="aw-failed" role="alert">No such topic.</p>' in messages[1]["content"]
    assert "make_video" in messages[3]["content"] and "Stopped." in messages[3]["content"]


def test_what_a_kill_left_unfinished_can_be_run_again() -> None:
    from ui import render

    asked = Asked("draw", "id-7", is_open=True)
    (_, nothing), (_, begun) = render.past([asked], str), render.past([asked, Choice("make_video", {})], str)
    assert "This was never finished." in nothing["content"] and 'value="id-7 "' in nothing["content"]
    assert "Stopped." in begun["content"] and "Run again" in begun["content"]


def test_a_memory_that_cannot_be_read_is_said(desk: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ui import chat

    def broken(conversation: str) -> list[Any]:
        raise ValueError("The conversations cannot be used; move that file away.")

    monkeypatch.setattr(chat, "history", broken)
    (message,), _, conversation = desk.restore("g" * 32)
    assert "move that file away" in message["content"] and conversation == "g" * 32


class Typed:
    target = None


class Clicked:
    """What chat.js tells of a click on a button within an answer."""

    target = None

    def __init__(self, request: str, tool: str = "") -> None:
        self._data = {"request": request, "tool": tool}


def asked_last(script: Script, conversation: str) -> Asked:
    return next(event for event in reversed(script.history(conversation)) if isinstance(event, Asked))


def test_a_question_is_answered_with_one_click(desk: Any, script: Script) -> None:
    shown: list[Any] = []
    list(desk.send("a coat?", shown, "k" * 32, [], Typed))
    assert QUESTION in shown[1]["content"] and shown[1]["content"].count("<button") == 2
    request = asked_last(script, "k" * 32).request
    assert request and f'value="{request} no tool"' in shown[1]["content"]
    list(desk.act(shown, "k" * 32, Clicked(request, "generate_image")))
    assert "draw new pictures of a subject" in shown[2]["content"] and shown[3]["content"].count("<img") == 16
    # Later the same button answers the first request anew, since nothing was asked last.
    list(desk.act(shown, "k" * 32, Clicked(request, "no tool")))
    assert "a coat?" in shown[4]["content"] and "plain talk instead" in shown[4]["content"]
    assert script.asked_again[-1] == ("a coat?", request, "no tool")


def test_the_runner_up_is_one_click_and_adds_a_turn(desk: Any, script: Script) -> None:
    shown: list[Any] = []
    list(desk.send("draw two sneakers", shown, "l" * 32, [], Typed))
    request = asked_last(script, "l" * 32).request
    steps = list(desk.act(shown, "l" * 32, Clicked(request, "morph_images")))
    assert [message["role"] for message in shown] == ["user", "assistant"] * 2
    assert shown[1]["content"].count("<img") == 2, "the first answer has gone"
    assert "draw two sneakers" in shown[2]["content"] and "morph_images instead" in shown[2]["content"]
    assert script.asked_again[-1] == ("draw two sneakers", request, "morph_images")
    assert steps[0][1].value is None, "what the person was typing has gone"


def test_what_was_stopped_runs_again_in_its_place(desk: Any, script: Script) -> None:
    shown: list[Any] = []
    for _ in desk.send("slow one", shown, "m" * 32, [], Typed):
        if "<progress" in shown[-1]["content"]:
            desk.stop("m" * 32)
    assert "Stopped." in shown[1]["content"] and "Run again" in shown[1]["content"]
    request = asked_last(script, "m" * 32).request
    assert f'value="{request} "' in shown[1]["content"]
    again = desk.act(shown, "m" * 32, Clicked(request))
    next(again)
    assert len(shown) == 2 and "Stopped." not in shown[1]["content"]
    desk.stop("m" * 32)
    list(again)
    restored, _, _ = desk.restore("m" * 32)
    assert len(restored) == 2 and "Run again" in restored[1]["content"]


def test_a_click_on_a_request_that_is_not_there_does_nothing(desk: Any) -> None:
    shown: list[Any] = []
    list(desk.act(shown, "n" * 32, Clicked("nobody's", "generate_image")))
    assert shown == []


def test_the_api_runs_the_last_request_again(client: Any, script: Script) -> None:
    _, _, conversation = client.predict("draw two sneakers", api_name="/chat")
    _, files, same = client.predict(conversation, "morph_images", api_name="/again")
    assert same == conversation and len(files) == 16 and script.asked_again[-1][2] == "morph_images"
    assert client.predict("", api_name="/again")[0].startswith("There is no request")


def test_two_requests_of_one_page_keep_both_answers(desk: Any) -> None:
    shown: list[Any] = []
    first = desk.send("draw two sneakers", shown, "i" * 32, [], Typed)
    next(first)
    for _ in desk.send("invent five names", shown, "i" * 32, [], Typed):
        pass
    for _ in first:
        pass
    assert [message["role"] for message in shown] == ["user", "assistant"] * 2
    assert shown[1]["content"].count("<img") == 2 and NAMES[0] in shown[3]["content"]


def test_a_page_that_outlived_the_app_keeps_its_conversation(desk: Any) -> None:
    list(desk.answer("draw two sneakers", "j" * 32))
    shown: list[Any] = []
    list(desk.send("hello", shown, "j" * 32, [], Typed))
    assert len(shown) == 4 and shown[1]["content"].count("<img") == 2


def test_a_loading_llm_is_waited_for_and_said(desk: Any, script: Script) -> None:
    from ui.chat import Desk

    class Slow:
        ready = threading.Event()

        @property
        def engine(self) -> None:
            self.ready.wait(5)

    slow = Slow()
    answers = Desk(slow, serve=str).answer("hello", "h" * 32)
    while "Loading the language model" not in next(answers).html():
        pass
    slow.ready.set()
    assert "draw" in list(answers)[-1].text()


def test_pictures_wait_in_the_tray_for_the_next_request(desk: Any, script: Script, tmp_path: Path, monkeypatch) -> None:
    from PIL import Image as Pillow

    from ui import tray as module
    from ui.tray import MOST, Tray

    warned: list[str] = []
    monkeypatch.setattr(module.gr, "Warning", warned.append)
    photo, junk = tmp_path / "photo.jpg", tmp_path / "<b>junk.png"
    Pillow.new("RGB", (40, 30), (200, 30, 30)).save(photo)
    junk.write_bytes(b"not a picture")
    pending: list[Any] = []
    tray = Tray(str)
    assert tray.show(pending) == "" and tray.add(None, pending) == ""
    shown = tray.add([str(junk), str(photo)], pending)
    assert shown.count("<img") == 1 and len(pending) == 1
    assert len(warned) == 1 and "The file" in warned[0] and "<b>" not in warned[0]
    tray.add([str(photo)] * MOST, pending)
    assert len(pending) == MOST and f"up to {MOST} pictures" in warned[-1]

    said: list[Any] = []
    list(desk.send("hello", said, "p" * 32, pending, Typed))
    assert pending == [] and said[0]["content"].count("aw-thumb") == MOST + 1
    assert len(script.past["p" * 32][0].pictures) == MOST
    tray.add([str(photo)], pending)
    assert tray.empty(pending) == "" and pending == []
