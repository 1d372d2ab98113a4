"""Bringing pictures into the chat, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image
from scripted import Script, a_script, an_address  # noqa: F401
from test_browser import Visitor, chromium, pytestmark  # noqa: F401


def test_a_picture_is_added_shown_and_sent(chromium: Any, address: str, script: Script, tmp_path: Path) -> None:  # noqa: F811
    Image.new("RGB", (300, 200), (200, 30, 30)).save(tmp_path / "photo.jpg")
    visitor = Visitor(chromium, address)
    with visitor.page.expect_file_chooser() as chooser:
        visitor.page.click("#aw-add")
    chooser.value.set_files(str(tmp_path / "photo.jpg"))
    thumb = visitor.page.locator("#aw-tray img.aw-thumb")
    thumb.wait_for()
    assert thumb.evaluate("image => image.complete && image.naturalWidth") == 300
    visitor.ask("hello")
    assert visitor.page.locator("#aw-tray img.aw-thumb").count() == 0
    assert visitor.page.locator(".aw-mine img.aw-thumb").count() == 1
    assert [len(turns[0].pictures) for turns in script.past.values()] == [1]
    visitor.reload()
    visitor.page.locator(".aw-mine img.aw-thumb").wait_for()
    assert not visitor.problems and visitor.hosts == {"127.0.0.1"}
    visitor.context.close()
