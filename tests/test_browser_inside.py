"""The page *Look inside*, in a real browser."""

from __future__ import annotations

from typing import Any

from scripted import Script, a_script, an_address  # noqa: F401
from test_browser import Visitor, chromium, pytestmark  # noqa: F401

PICTURE = "#aw-inside img"


def test_a_line_is_looked_into_and_a_line_that_cannot_be_says_why(chromium: Any, address: str) -> None:  # noqa: F811
    visitor = Visitor(chromium, address)
    page = visitor.page
    page.click("a:has-text('Look inside')")
    line = page.get_by_label("Line")
    line.fill("In the beginning God created the heaven.")
    page.click("#aw-inside button:has-text('Look inside')")
    page.wait_for_function("css => document.querySelector(css)?.naturalWidth > 600", arg=PICTURE)
    assert page.get_by_label("Model").input_value()
    line.fill("")
    page.click("#aw-inside button:has-text('Look inside')")
    assert "no text to look at" in page.wait_for_selector("#aw-inside [role=alert]").inner_text()
    assert page.locator(PICTURE).count() == 0
    assert visitor.hosts == {"127.0.0.1"} and visitor.problems == []
    visitor.context.close()
