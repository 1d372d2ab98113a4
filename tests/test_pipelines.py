"""The LCEL chains that combine generators, and the pages they make."""

from __future__ import annotations

import base64
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commandline import a_mistake
from langchain_core.runnables import Runnable, RunnableLambda
from test_browser import browser
from test_browser import pytestmark as needs_a_browser

import chains
from chains.pipelines import Comparison, Entry, Tale, contest, illustrated_tale, step, variations
from chains.watch import watching
from generators import PRETRAINED
from generators.core.artifact import Image, Text, open_artifact, regenerate
from generators.core.errors import Cancelled, RequestError
from generators.core.generator import Cancel

pytestmark = pytest.mark.usefixtures("home")
NASTY = "<script>alert(1)</script> & \"x\" 'y' | <img src=http://example.com/x.png>"


class Reader(HTMLParser):
    """Notes a page's elements, where it points and what it says."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_they_are_runnables_of_the_package() -> None:
    for name in ("illustrated_tale", "variations", "contest"):
        assert isinstance(getattr(chains, name)(), Runnable)
    shout = step("invent_names") | RunnableLambda(lambda made: made.artifacts[0].content.upper())
    assert shout.invoke({"count": 2, "seed": 1}).count("\n") == 1
    assert set(illustrated_tale().get_input_jsonschema()["properties"]) == {
        *("subject", "pages", "words", "style", "kind", "seed")
    }


def test_a_tale_is_one_page_that_needs_nothing_else(tmp_path: Path) -> None:
    tale = illustrated_tale().invoke({"subject": "Sneakers", "pages": 2, "words": 25, "seed": 7})
    assert tale.subject == "sneaker" and len(tale.artifacts) == 5
    assert len({artifact.sha256 for artifact in tale.artifacts}) == 5
    page = tale.write(tmp_path / "a" / "tale.html").read_text(encoding="utf-8")
    read = Reader(page)
    assert f"The Tale of {tale.name}" in read.text
    assert all(str(verse.content).strip() in read.text for verse in tale.verses)
    assert "cgan-fashion, lstm-names, mixture-scripture; seed 7." in read.text
    assert read.tags.count("img") == 2 and not {"script", "link", "iframe"} & {*read.tags}
    assert not re.search(r"https?:|@import|url\(", page)
    for link, picture in zip(read.links, tale.pictures, strict=True):
        data = link.removeprefix("data:image/png;base64,")
        saved = tmp_path / "saved.png"
        saved.write_bytes(base64.b64decode(data, validate=True))
        assert open_artifact(saved).sha256 == picture.sha256
    assert regenerate(saved)[1] == []  # a picture that is saved from the page can be made again


async def test_the_same_seed_makes_the_same_tale_however_it_is_asked() -> None:
    chain, asked = illustrated_tale(), {"subject": "coat", "pages": 1, "words": 10, "seed": 3}
    one = chain.invoke(asked)
    assert (await chain.ainvoke(asked)).html() == one.html()
    first, second = chain.batch([asked, {**asked, "seed": 4}])
    assert first.html() == one.html() != second.html()
    assert [tale.html() for tale in chain.stream(asked)] == [one.html()]
    assert chain.invoke({"subject": "coat"}).seed != chain.invoke({"subject": "coat"}).seed


def test_what_models_and_people_say_is_escaped() -> None:
    grey = Image(np.zeros((4, 4), np.uint8), None)
    tale = Tale(Text(NASTY, None), NASTY, (grey,), (Text(NASTY, None),), 1)
    entries = (Entry("write_text", {"style": NASTY}, "m", artifacts=(Text(NASTY, None),)), Entry(NASTY, {}, NASTY))
    for page in (tale.html(), Comparison(entries).html()):
        read = Reader(page)
        assert "script" not in read.tags and NASTY in read.text
        assert all(link.startswith("data:image/png") for link in read.links)
    table = Comparison(entries).table().splitlines()
    assert {line.replace("\\|", "").count("|") for line in table} == {table[0].count("|")}


@needs_a_browser[0]
@needs_a_browser[1]
def test_a_browser_shows_the_tale_and_asks_nobody(tmp_path: Path) -> None:
    page = illustrated_tale().invoke({"subject": "bag", "pages": 2, "seed": 1}).write(tmp_path / "tale.html")
    asked: list[str] = []
    problems: list[str] = []
    with browser() as chromium:
        shown = chromium.new_page(viewport={"width": 390, "height": 800})
        shown.on("request", lambda request: asked.append(request.url))
        shown.on("console", lambda line: problems.append(line.text))
        shown.goto(page.as_uri())
        assert shown.evaluate("[...document.images].map(image => image.naturalWidth)") == [28, 28]
        assert shown.evaluate("document.documentElement.scrollWidth") <= 390
        assert shown.evaluate("getComputedStyle(document.querySelector('.verse')).whiteSpaceCollapse") == (
            "preserve-breaks"
        )
    assert problems == [] and {url.split(":")[0] for url in asked} <= {"file", "data"}


def test_variations_go_over_seeds_temperatures_and_models() -> None:
    coats = variations().invoke({"tool": "generate_image", "args": {"subject": "coat", "seed": 5}, "count": 3})
    assert [entry.args["seed"] for entry in coats.entries] == [5, 6, 7]
    assert len({artifact.sha256 for artifact in coats.artifacts}) == 3
    assert "| cgan-fashion | 6 |" in coats.table() and Reader(coats.html()).tags.count("img") == 3
    asked = {"tool": "write_text", "args": {"words": 8}, "temperatures": [0.2, 1.5], "seeds": [1, 2]}
    verses = variations().invoke({**asked, "models": ["mixture-scripture"]})
    assert [(e.args["temperature"], e.args["seed"]) for e in verses.entries] == [(0.2, 1), (0.2, 2), (1.5, 1), (1.5, 2)]
    assert variations().invoke(asked).artifacts[0].content == verses.artifacts[0].content
    hotter = variations().invoke({"tool": "write_text", "temperatures": [0.2, 1.5]})
    assert len({entry.args["seed"] for entry in hotter.entries}) == 1


def test_a_contest_may_be_of_a_tool_without_a_model_among_its_arguments(home: Path) -> None:
    shutil.copytree(PRETRAINED / "bert-scripture", home / "models" / "second-bert")
    result = contest().invoke({"tool": "fill_blanks", "args": {"text": "And God [MASK] unto Moses."}})
    assert [entry.model for entry in result.entries] == ["bert-scripture", "second-bert"]
    assert [item.provenance.generator for item in result.artifacts] == ["bert-scripture", "second-bert"]
    assert not any(entry.problem for entry in result.entries)


def test_a_contest_is_between_all_models_that_serve(home: Path) -> None:
    shutil.copytree(PRETRAINED / "markov-names", home / "models" / "second-names")
    result = contest().invoke({"tool": "invent_names", "args": {"count": 2, "kind": "surname", "seed": 9}})
    assert [entry.model for entry in result.entries] == ["lstm-names", "markov-names", "second-names"]
    _, one, two = result.artifacts
    assert one.content == two.content and one.provenance and one.provenance.seed == 9
    lines = result.table().splitlines()
    assert lines[0] == "| model | held-out score | seconds | made |" and len(lines) == 5
    assert "2.096 nats_per_char (names:test)" in lines[3] and "second-names" in lines[4]
    alone = contest().invoke({"tool": "generate_image", "args": {"subject": "unicorn"}})
    unlabelled = {"dcgan-fashion"}  # which draws what it likes when it is asked by name
    for entry in alone.entries:
        if entry.model not in unlabelled:
            assert "unicorn" in entry.problem and not entry.artifacts and entry.problem in alone.table()
    assert any(entry.problem for entry in alone.entries)


@pytest.mark.parametrize(
    ("chain", "asked", "words"),
    [
        (illustrated_tale, {"subject": "unicorn"}, ["unicorn", "sneaker"]),
        (illustrated_tale, {"subject": "coat", "pages": 99}, ["pages=99", "24"]),
        (illustrated_tale, {"topic": "coat"}, ["subject is missing", "topic"]),
        (illustrated_tale, "coat", ["mapping", "subject"]),
        (variations, {"tool": "about"}, ["about", "generate_image"]),
        (variations, {"tool": "nothing"}, ["nothing", "generate_image"]),
        (variations, {"tool": "invent_names", "temperatures": [1.0, 2.0]}, ["no temperature"]),
        (variations, {"tool": "write_text", "temperatures": [9.0, 1.0]}, ["temperature=9"]),
        (variations, {"tool": "write_text", "args": {"seed": "x"}}, ["seed='x'"]),
        (variations, {"tool": "write_text", "count": 1}, ["2 to 64"]),
        (variations, {"tool": "write_text", "count": 40, "temperatures": [0.5, 1.0]}, ["80", "2 to 64"]),
        (variations, {"tool": "write_text", "models": ["nobody", "markov"]}, ["nobody"]),
        (contest, {"tool": "write_text", "args": {"model": "markov"}}, ["leave model out"]),
        (contest, {"tool": "write_text", "models": ["vae-fashion"]}, ["vae-fashion", "markov-scripture"]),
        (contest, {"tool": "write_text", "args": {"words": 0}}, ["words=0"]),
    ],
)
def test_a_wrong_request_is_one_sentence(chain: Any, asked: Any, words: list[str]) -> None:
    with pytest.raises(RequestError) as wrong:
        chain().invoke(asked)
    assert all(word in str(wrong.value) for word in words) and "\n" not in str(wrong.value)


def test_a_switch_stops_a_chain_and_its_threads() -> None:
    stop = Cancel()
    heard: list[int] = []

    def report(part: Any) -> None:
        heard.append(part.done)
        stop.set()

    with watching(stop, report), pytest.raises(Cancelled):
        illustrated_tale().invoke({"subject": "coat", "pages": 24, "words": 200, "seed": 1})
    assert len(heard) < 24
    with watching(stop), pytest.raises(Cancelled):
        variations().invoke({"tool": "generate_image", "args": {"subject": "coat"}})


def test_the_command_writes_the_page(artwright: Any, tmp_path: Path) -> None:
    done = artwright("tale", "coats", "--out", "tale.html", "--pages", "1", "--seed", "4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "tale.html" and "The Tale of" in (tmp_path / "tale.html").read_text()
    a_mistake(artwright("tale", "unicorn", "--out", "other.html"), "unicorn", "sneaker")
    a_mistake(artwright("tale", "coat", "--out", "tale.pdf"), ".html")
