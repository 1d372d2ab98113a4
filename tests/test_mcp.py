"""The MCP server, asked by the official client over both transports; the sampler is a slow one from a plugin."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from socket import socket
from typing import Any

import httpx
import jsonschema
import numpy as np
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from commandline import ROOT, a_mistake
from mcp import ClientSession, McpError, StdioServerParameters, types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from chains.catalog import tool_specs
from chains.mcp_server import _content, _contents, _placed
from chains.store import Store, Stored
from generators.core import checkpoint
from generators.core.artifact import Text, open_artifact
from generators.core.errors import RequestError
from generators.core.generator import ModelInfo

COMMAND = (sys.executable, str(ROOT / "app.py"), "mcp")
PLUGIN = '''
import os, time
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from generators.core.errors import Cancelled
from generators.core.generator import Generator
from generators.core.inputs import picture

class Slow(Generator):
    """Draws a grey picture in a fifth of a second, and prints where it should not."""
    family, medium, tasks = "slow", "image", frozenset({"generate_image", "vary_image"})

    @dataclass
    class Config:
        pass

    @classmethod
    def fit(cls, splits, config, run):
        return cls()

    @classmethod
    def from_state(cls, info, state):
        return cls()

    def draw(self, request, *, seed, cancel):
        print("a stray line")
        if request.task == "vary_image":
            yield 255 - picture(request.args["image"])
            return
        try:
            for i in range(request.args["count"]):
                for _ in range(10):
                    time.sleep(0.02)
                    cancel.check()
                yield np.full((4, 4), i, np.uint8)
        except Cancelled:
            Path(os.environ["ARTWRIGHT_HOME"], "stopped").touch()
            raise

    def score(self, split):
        return {}

    def state(self):
        return {"nothing": np.zeros(1)}
'''


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a server whose home has a model of the plugin's family `slow`, which knows clouds."""
    home, site = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("site")
    (site / "slowly.py").write_text(PLUGIN)
    package = site / "slowly-1.dist-info"
    package.mkdir()
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: slowly\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[artwright.generators]\nslow = slowly:Slow\n")
    info = ModelInfo("slow-sky", "slow", "image", ["generate_image", "vary_image"], labels=["cloud"])
    checkpoint.write(home / "models" / "slow-sky", asdict(info), {"nothing": np.zeros(1)}, "A card.")
    return {**os.environ, "ARTWRIGHT_HOME": str(home), "PYTHONPATH": str(site)}


@contextmanager
def _http(env: dict[str, str]) -> Iterator[str]:
    """The address of an HTTP server of the command line."""
    process = subprocess.Popen([*COMMAND, "--http", "--port", "0"], env=env, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        said = process.stderr.readline()
        found = re.search(r"http://\S+", said)
        assert found, said
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        assert process.stderr and "Traceback" not in process.stderr.read()


@asynccontextmanager
async def _session(streams: Any) -> AsyncIterator[ClientSession]:
    async with streams as (read, write, *_), ClientSession(read, write) as session:
        await session.initialize()
        yield session


@dataclass
class Client:
    """The official client in a thread of its own, asked from here."""

    portal: BlockingPortal
    session: ClientSession
    home: Path

    def call(self, name: str, /, **arguments: Any) -> types.CallToolResult:
        return self.portal.call(self.session.call_tool, name, arguments)


@pytest.fixture(scope="module", params=["stdio", "http"])
def client(request: pytest.FixtureRequest, env: dict[str, str]) -> Iterator[Client]:
    home = Path(env["ARTWRIGHT_HOME"])
    with start_blocking_portal() as portal:
        if request.param == "stdio":
            streams = stdio_client(StdioServerParameters(command=COMMAND[0], args=list(COMMAND[1:]), env=env))
            with portal.wrap_async_context_manager(_session(streams)) as session:
                yield Client(portal, session, home)
        else:
            with (
                _http(env) as url,
                portal.wrap_async_context_manager(_session(streamable_http_client(url))) as session,
            ):
                yield Client(portal, session, home)


def test_the_tools_are_the_chats_own(client: Client) -> None:
    offered = client.portal.call(client.session.list_tools).tools
    told = {tool.name: (tool.description, {**tool.inputSchema}) for tool in offered}
    ours = {spec["name"]: (spec["description"], spec["parameters"]) for spec in tool_specs()}
    assert told.keys() == ours.keys()
    for name in ours.keys() - {"generate_image"}:  # which also knows clouds here
        assert told[name] == ours[name]
    subject = told["generate_image"][1]["properties"]["subject"]
    assert "t-shirt" in subject["description"] and "cloud" in subject["description"] and subject["maxLength"] == 60
    for tool in offered:
        jsonschema.Draft202012Validator.check_schema(tool.inputSchema)
        assert tool.annotations and tool.annotations.readOnlyHint is (tool.name == "about")


def test_pictures_come_as_png_with_references(client: Client) -> None:
    result = client.call("generate_image", subject="clouds", count=2, seed=7)
    assert not result.isError and result.structuredContent
    sentence, *pictures = result.content
    assert isinstance(sentence, types.TextContent) and "2 pictures of cloud" in sentence.text
    assert "slow-sky, seed 7" in sentence.text
    for picture, reference in zip(pictures, result.structuredContent["artifacts"], strict=True):
        assert isinstance(picture, types.ImageContent) and picture.mimeType == "image/png" == reference["media_type"]
        assert base64.b64decode(picture.data) == Path(reference["path"]).read_bytes()
        artifact = open_artifact(reference["path"])
        assert artifact.sha256 == reference["sha256"] and artifact.id == reference["id"]
        assert artifact.provenance and artifact.provenance.seed == 7


def test_last_is_the_newest_picture_of_this_client(client: Client) -> None:
    drawn = client.call("generate_image", subject="cloud", count=2).structuredContent
    assert drawn and not client.call("about", topic="models").isError
    varied = client.call("vary_image", count=1, seed=1).structuredContent
    assert varied
    black, white = (open_artifact(made["artifacts"][0]["path"]) for made in (drawn, varied))
    assert (white.content == 255 - black.content).all()
    assert white.provenance and white.provenance.args["image"] == black.id  # which can be made again, unlike `last`
    with pytest.raises(RequestError, match="no picture in this session yet"):
        _placed({}, "vary_image", [])


def test_texts_and_names_come_as_text(client: Client) -> None:
    result = client.call("invent_names", count=3, starts_with="Ma", seed=1)
    assert [type(part) for part in result.content] == [types.TextContent] * 2
    names = result.content[1].text.split("\n")
    assert len(names) == 3 and all(name.startswith("Ma") for name in names)
    assert client.call("invent_names", count=3, starts_with="Ma", seed=1).content == result.content
    verse = client.call("write_text", words=20, seed=1)
    assert 10 < len(verse.content[1].text.split()) < 40
    assert verse.structuredContent and verse.structuredContent["artifacts"][0]["media_type"] == "text/plain"
    about = client.call("about", topic="models")
    assert "markov-names" in about.content[0].text and about.structuredContent == {"artifacts": []}


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("generate_image", {"subject": "unicorn"}, ["unicorn", "cloud"]),
        ("generate_image", {}, ["subject is missing"]),
        ("generate_image", {"subject": "cloud", "count": 65}, ["count=65", "64"]),
        ("generate_image", {"subject": "cloud", "colour": "red"}, ["colour", "subject, count"]),
        ("invent_names", {"count": True}, ["count=True"]),
        ("write_text", {"words": "many\nwords"}, ["words="]),
        ("draw", {}, ["There is no tool 'draw'; there are generate_image"]),
    ],
)
def test_a_wrong_call_is_one_sentence(client: Client, name: str, arguments: dict[str, Any], words: list[str]) -> None:
    result = client.call(name, **arguments)
    assert result.isError and result.structuredContent is None
    (sentence,) = result.content
    assert isinstance(sentence, types.TextContent)
    assert all(word in sentence.text for word in words) and "\n" not in sentence.text


def test_progress_is_told_and_grows(client: Client) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    arguments = {"subject": "cloud", "count": 4}
    client.portal.call(client.session.call_tool, "generate_image", arguments, None, hear)
    assert told == [(i, 4, f"{i} of 4 pictures") for i in (1, 2, 3, 4)]


def test_cancelling_stops_the_sampler_within_a_second(client: Client) -> None:
    began: list[float] = []
    mark = client.home / "stopped"
    mark.unlink(missing_ok=True)

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        began.append(progress)

    arguments = {"subject": "cloud", "count": 64}
    running = client.portal.start_task_soon(client.session.call_tool, "generate_image", arguments, None, hear)
    _until(lambda: bool(began), 20)
    params = types.CancelledNotificationParams(requestId=client.session._request_id - 1)
    notice = types.ClientNotification(types.CancelledNotification(params=params))
    client.portal.call(client.session.send_notification, notice)
    assert _until(mark.exists, 5) < 1
    with pytest.raises(McpError, match="cancelled"):
        running.result(5)
    assert not client.call("about", topic="models").isError  # the next call has its turn


def _until(happened: Any, limit: float) -> float:
    """Wait for it; the seconds that it took."""
    began = time.monotonic()
    while not happened():
        assert time.monotonic() - began < limit
        time.sleep(0.01)
    return time.monotonic() - began


def test_stdout_is_the_protocols_alone_and_a_client_that_leaves_stops_the_sampler(env: dict[str, str]) -> None:
    """Without the client, which is forgiving: every line is JSON, though the sampler prints."""
    mark = Path(env["ARTWRIGHT_HOME"], "stopped")
    mark.unlink(missing_ok=True)
    hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "me", "version": "1"}}
    draw = {"name": "generate_image", "arguments": {"subject": "cloud", "count": 1}}
    many = {"name": "generate_image", "arguments": {"subject": "cloud", "count": 64}}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        COMMAND, env=env, stdin=pipe, stdout=pipe, stderr=pipe, text=True, encoding="utf-8"
    ) as server:
        assert server.stdin and server.stdout and server.stderr

        def send(**message: Any) -> None:
            print(json.dumps({"jsonrpc": "2.0", **message}), file=server.stdin, flush=True)

        send(id=0, method="initialize", params=hello)
        send(method="notifications/initialized")
        send(id=1, method="tools/call", params=draw)
        answers = [json.loads(server.stdout.readline()) for _ in range(2)]
        assert [answer["id"] for answer in answers] == [0, 1] and not answers[1]["result"]["isError"]
        send(id=2, method="tools/call", params={**many, "_meta": {"progressToken": "p"}})
        assert json.loads(server.stdout.readline())["params"]["progressToken"] == "p"
        server.stdin.close()
        assert server.wait(60) == 0 and mark.exists()
        assert all(json.loads(line) for line in server.stdout)
        assert server.stderr.read().count("a stray line") == 2


def test_http_answers_this_computer_and_no_web_page(env: dict[str, str]) -> None:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    with _http(env) as url, httpx.Client(trust_env=False) as web:
        port = int(url.rsplit(":", 1)[1].split("/")[0])
        assert url == f"http://127.0.0.1:{port}/mcp"
        assert web.post(url, json=ping, headers={"Host": "evil.example"}).status_code == 421
        assert web.post(url, json=ping, headers={"Host": f"evil.example:{port}"}).status_code == 421
        assert web.post(url, json=ping, headers={"Origin": "https://evil.example"}).status_code == 403
        assert web.post(url, content="x" * (5 * 2**20)).status_code == 413
        with socket() as other:
            assert other.connect_ex(("127.0.0.2", port)) != 0  # nor any other address of this computer


def test_a_mistake_is_one_line(artwright: Any) -> None:
    a_mistake(artwright("mcp", "--port", "7000"), "--http")
    with socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        a_mistake(artwright("mcp", "--http", "--port", str(taken.getsockname()[1])), "--port")


def test_other_media_and_files_that_are_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    sound = _content(Stored("a", tmp_path / "a.wav", "audio/wav", "a"))
    assert isinstance(sound, types.AudioContent) and base64.b64decode(sound.data) == b"RIFF"
    video = _content(Stored("a", tmp_path / "a.wav", "video/mp4", "a"))
    assert isinstance(video, types.EmbeddedResource) and str(video.resource.uri).endswith("/a.wav")
    made = [Store(tmp_path).put(Text(word, None)) for word in ("one", "two", "three")]
    monkeypatch.setattr("chains.mcp_server.INLINE_BYTES", 8)
    sentence, *files = _contents("Done.", made)
    assert [part.text for part in files if isinstance(part, types.TextContent)] == ["one", "two"]
    assert isinstance(sentence, types.TextContent) and "1 of the files" in sentence.text
