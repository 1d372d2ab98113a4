"""What goes wrong with a served LLM is one sentence with the cause and the fix, and no key gets out."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.outputs import ChatResult
from pydantic import BaseModel, SecretStr

from chains.agent import agent, route, talk
from chains.events import Failed, Reply
from chains.served import ServedError, quoted, unusable

KEY = "sk-this-is-the-key-0123456789"


class Served(BaseChatModel):
    """Asks an endpoint as the providers' packages do, and puts its key wherever one was ever seen to leak."""

    base_url: str
    api_key: SecretStr = SecretStr(KEY)
    model_name: str = "big-one"

    @property
    def _llm_type(self) -> str:
        return "served"

    @property
    def lc_secrets(self) -> dict[str, str]:
        return {"api_key": "BIG_API_KEY"}

    def bind_tools(self, tools: Any, **more: Any) -> Any:
        return self

    def _generate(self, *args: Any, **more: Any) -> ChatResult:
        headers = {"Authorization": f"Bearer {KEY}"}
        with httpx.Client(trust_env=False, timeout=0.3 if self.base_url.endswith("slow") else 10) as client:
            client.post(f"{self.base_url}?key={KEY}", headers=headers).raise_for_status()
        raise RuntimeError(f"Bearer {KEY}: cannot read what http://user:pass1234@host/x?token={KEY} answered")


class Toolless(Served):
    def bind_tools(self, tools: Any, **more: Any) -> Any:
        raise NotImplementedError


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Answers `/404` with status 404, and so on; `/slow` not in time."""

    class Answers(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = self.path.split("?")[0].strip("/")
            if status == "slow":
                time.sleep(0.6)
            self.send_response(int(status) if status.isdigit() else 200)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        Thread(target=listening.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{listening.server_port}"
        listening.shutdown()


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("401", "needs a key that it accepts: set BIG_API_KEY and start again"),
        ("403", "is not open to this key: ask its provider for access"),
        ("404", "is not known at http://127.0.0.1"),
        ("429", "takes no more requests for now: wait a minute"),
        ("503", "has a fault of its own (status 503): ask again later"),
        ("400", "refused the request ("),
        ("slow", "did not answer in time: it may be busy or still loading, so ask again"),
        ("200", "failed (*** cannot read what http://***@host/x answered): ask again"),
    ],
)
def test_each_cause_has_its_sentence(
    server: str, path: str, says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    failed, reply = talk("hi", llm=Served(base_url=f"http://me:pass1234@{server}/{path}"), thread="t")
    assert isinstance(failed, Failed) and reply == Reply(failed.sentence)
    assert says in failed.sentence and f"at http://{server}/{path}" in failed.sentence
    assert failed.sentence.startswith("The language model big-one ") and "--llm" in failed.sentence
    assert failed.sentence.count(". ") == 0 and failed.sentence.endswith(".")
    kept = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for place in (failed.sentence, caplog.text, kept.decode("latin-1")):
        assert KEY not in place and "pass1234" not in place


def test_an_endpoint_that_is_down_is_named() -> None:
    failed, _ = talk("hi", llm=Served(base_url="http://127.0.0.1:9"), thread="t")
    assert "does not answer at http://127.0.0.1:9 (Connection refused): start its server" in failed.sentence


def test_an_address_in_place_of_a_name_is_told_once_and_without_its_password() -> None:
    url = "http://me:pass1234@127.0.0.1:9"
    failed, _ = talk("hi", llm=Served(base_url=url, model_name=url), thread="t")
    assert failed.sentence.startswith("The language model does not answer at http://127.0.0.1:9 (")


def test_a_model_without_tools_is_said() -> None:
    failed, _ = talk("hi", llm=Toolless(base_url="http://127.0.0.1:9"), thread="t")
    assert failed.sentence == "The language model big-one cannot call tools: choose an LLM that can with --llm."
    with pytest.raises(ServedError, match="cannot call tools"):
        route("hi", llm=Toolless(base_url="http://127.0.0.1:9"))


async def test_the_same_from_python_with_nothing_of_the_cause_shown(server: str) -> None:
    llm = Served(base_url=f"http://{server}/401")
    with pytest.raises(ServedError, match="BIG_API_KEY") as error:
        await agent(llm).ainvoke({"messages": [("user", "hi")]})
    assert error.value.__suppress_context__
    with pytest.raises(ServedError, match="BIG_API_KEY"):
        route("hi", llm=llm)


def test_a_model_that_cannot_be_made_shows_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    class Strict(BaseModel):
        api_key: str
        temperature: float

    with pytest.raises(ValueError) as wrong:
        Strict.model_validate({"api_key": KEY, "temperature": {"key": KEY}})
    assert KEY in str(wrong.value)
    sentence = unusable("openai:gpt", wrong.value, {"api_key": KEY})
    assert sentence == "'openai:gpt' cannot be used: temperature: Input should be a valid number"
    missing = ValueError("The api_key client option must be set, or the OPENAI_API_KEY environment variable")
    assert "without a key: set OPENAI_API_KEY and start again" in unusable("openai:gpt", missing, {})
    monkeypatch.setenv("SOME_PROVIDER_TOKEN", "correct horse-battery")
    assert quoted(RuntimeError("denied to horse-battery")) == "denied to ***"
