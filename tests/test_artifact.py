"""An artifact's file holds what was made, to the last character."""

from __future__ import annotations

from pathlib import Path

import pytest

from generators.core.artifact import Text, open_artifact


@pytest.mark.parametrize("text", ["And\r\nthe", "one\rtwo", "ends with\n", "", "caf\u00e9 \u2028 line"])
def test_a_text_comes_back_as_it_was(tmp_path: Path, text: str) -> None:
    path = Text(text, None).write(tmp_path / "it.txt")
    assert open_artifact(path).content == text
