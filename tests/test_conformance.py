"""LangChain's own conformance suites, whole, over the embedded LLM: nothing overridden, nothing expected to fail.

Off, through the suites' own properties, are pictures, sounds and PDFs as input, which this model cannot read; every
other switch is on. (LangChain reads back only classes on a list of its own, so one test skips itself.) Where the
suites bind tools without `tool_choice` the model really decides.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests
from random_tools import tiny_llm

import chains.engine
from chains.chat_model import ChatArtwright
from generators.core.paths import home


@cache
def another_model() -> str:
    """The folder of a tiny random model, in the tests' home."""
    folder = home() / "another-llm"
    return str(tiny_llm(folder) if not folder.exists() else folder)


class TestUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[ChatArtwright]:
        return ChatArtwright

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "embedded"}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"ARTWRIGHT_LLM": another_model()}, {}, {"model": another_model()}


class TestIntegration(ChatModelIntegrationTests):
    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The suite's jokes are free text; a small model may go on until a call is brought to its end."""
        monkeypatch.setattr(chains.engine, "CALL_TOKENS", 40)

    @property
    def chat_model_class(self) -> type[ChatArtwright]:
        return ChatArtwright

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "embedded"}

    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {"max_tokens": 6}  # the suite only asks for some text; every token costs the tests' time

    @property
    def model_override_value(self) -> str:
        return another_model()

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_anthropic_inputs(self) -> bool:
        return True

    @property
    def enable_vcr_tests(self) -> bool:
        return True  # this model asks no server, so there is nothing to record

    @property
    def supported_usage_metadata_details(self) -> Any:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        model = ChatArtwright(model="embedded", max_tokens=2)
        model.invoke("Hello")
        if not stream:
            return model.invoke("Hello")
        first, *others = model.stream("Hello")
        whole = cast("AIMessageChunk", first)
        for chunk in others:
            whole += cast("AIMessageChunk", chunk)
        return whole
