"""LangChain's own conformance suites, whole, over every tool of the app."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from langchain_core.tools import BaseTool
from langchain_tests.integration_tests import ToolsIntegrationTests
from langchain_tests.unit_tests import ToolsUnitTests

from chains import make, tools
from chains.schemas import TASKS
from chains.store import Store

EXAMPLES: dict[str, dict[str, Any]] = {
    "generate_image": {"subject": "sneaker", "count": 1, "seed": 1},
    "morph_images": {"start": "sneaker", "end": "bag", "frames": 2, "seed": 1},
    "vary_image": {"count": 1, "seed": 1},
    "complete_image": {"keep": "top", "count": 1, "seed": 1},
    "write_text": {"prompt": "In the beginning", "words": 5, "seed": 1},
    "fill_blanks": {"text": "The ___ sat on the mat."},
    "write_code": {"prompt": "def main():", "lines": 2, "seed": 1},
    "invent_names": {"count": 2, "starts_with": "K", "seed": 1},
    "compose_music": {"bars": 1, "seed": 1},
    "harmonize_melody": {"melody": "C4 D4 E4", "seed": 1},
    "make_sound": {"kind": "kick", "seed": 1},
    "make_video": {"frames": 2, "seed": 1},
    "train_model": {"family": "markov", "data": "names", "name": "conformance", "minutes": 0.01},
    "about": {"topic": "what can you do"},
}
NEEDS_IMAGE = ("vary_image", "complete_image")


@cache
def _image() -> str:
    """Id of a picture in the store, to be varied and completed."""
    return Store().put(make("generate_image", subject="sneaker", seed=1)[0]).id


class Each:
    """Every test of a suite once for each tool."""

    name: str

    @pytest.fixture(autouse=True, params=list(tools()))
    def _each(self, request: pytest.FixtureRequest) -> None:
        self.name = request.param

    @property
    def tool_constructor(self) -> BaseTool:
        return tools()[self.name]

    @property
    def tool_invoke_params_example(self) -> dict[str, Any]:
        image = {"image": _image()} if self.name in NEEDS_IMAGE else {}
        return EXAMPLES[self.name] | image


class TestUnit(Each, ToolsUnitTests):
    """Names, schemas and examples."""


class TestIntegration(Each, ToolsIntegrationTests):
    """Calls, also asynchronous ones."""


def test_every_task_has_an_example() -> None:
    assert set(EXAMPLES) == set(TASKS)
