"""A small OpenAI-compatible server for the tests: it says what a test tells it to, streamed or whole, on loopback.

Ollama, vLLM, llama.cpp and LM Studio speak the same protocol.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

HANG = "hang"  # accept the request and never answer
HANG_IN_STREAM = "hang in the stream"  # begin an answer and never end it


def call(name: str, arguments: Any, ident: str = "call_1") -> dict[str, Any]:
    """A tool call as such servers write it; `arguments` as text are sent as they are, valid or not."""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": written}}


class StandIn:
    """`replies` are said in order: a text, a list of `call`s, an HTTP status, or one of the constants above.

    `asked` has the requests' bodies, `headers` their headers, in lower case. `url` is what OPENAI_BASE_URL is set to.
    """

    def __init__(self) -> None:
        self.replies: list[Any] = []
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.over = Event()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """One request."""
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.asked.append(body)
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        if handler.path != "/v1/chat/completions":
            return self._error(handler, 404)
        reply = self.replies.pop(0)
        if isinstance(reply, int):
            return self._error(handler, reply)
        if reply == HANG:
            self.over.wait(60)
            return None
        return self._stream(handler, reply) if body.get("stream") else self._whole(handler, reply)

    @staticmethod
    def _error(handler: BaseHTTPRequestHandler, status: int) -> None:
        body = json.dumps({"error": {"message": f"status {status}", "type": "t", "code": status}}).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    @staticmethod
    def _whole(handler: BaseHTTPRequestHandler, reply: Any) -> None:
        message: dict[str, Any] = {"role": "assistant", "content": reply if isinstance(reply, str) else None}
        if not isinstance(reply, str):
            message["tool_calls"] = reply
        finish = "stop" if isinstance(reply, str) else "tool_calls"
        usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
        choice = {"index": 0, "message": message, "finish_reason": finish}
        body = json.dumps({**_head("chat.completion"), "choices": [choice], "usage": usage}).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def _stream(self, handler: BaseHTTPRequestHandler, reply: Any) -> None:
        """Server-sent events; words one by one, a call's arguments in pieces of five characters, as servers do."""
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()

        def send(delta: dict[str, Any], finish: str | None = None) -> None:
            choice = {"index": 0, "delta": delta, "finish_reason": finish}
            handler.wfile.write(
                f"data: {json.dumps({**_head('chat.completion.chunk'), 'choices': [choice]})}\n\n".encode()
            )
            handler.wfile.flush()

        send({"role": "assistant", "content": ""})
        if isinstance(reply, str):
            for word in reply.split(" "):
                send({"content": f"{word} "})
                time.sleep(0.01)
            if reply == HANG_IN_STREAM:
                self.over.wait(60)
                return
        for index, called in enumerate(() if isinstance(reply, str) else reply):
            function = called["function"]
            started = {**called, "index": index, "function": {**function, "arguments": ""}}
            send({"tool_calls": [started]})
            for start in range(0, len(function["arguments"]), 5):
                piece = {"arguments": function["arguments"][start : start + 5]}
                send({"tool_calls": [{"index": index, "function": piece}]})
        send({}, "stop" if isinstance(reply, str) else "tool_calls")
        handler.wfile.write(b"data: [DONE]\n\n")


def _head(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": "stand-in"}


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """Run one on a free port of 127.0.0.1."""
    server = StandIn()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            with suppress(ConnectionError):  # the client has gone, as in a turn that is stopped
                server.answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.daemon_threads = True
        server.url = f"http://127.0.0.1:{listening.server_port}/v1"
        Thread(target=listening.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.over.set()
            listening.shutdown()
