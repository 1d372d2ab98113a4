"""The tools as a server of the Model Context Protocol (MCP): over stdio, or over HTTP for this computer alone.

Any MCP client gets the chat's tools, with the same names, arguments and bounds. An answer holds the tool's sentence,
what was made (pictures, sound and text as MCP content) and, as structured content, references as tool messages carry
them. Calls run one after the other, whoever makes them. The SDK's low-level server is used, since the schemas are
there already; its decorators would derive them anew from Python signatures.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from types import FrameType
from typing import Any, TextIO

import anyio
from anyio import from_thread, to_thread
from anyio.lowlevel import checkpoint_if_cancelled
from mcp import types
from mcp.server.lowlevel import Server
from pydantic import AnyUrl

from chains.catalog import tool_specs
from chains.commands import IMAGE_ARGUMENTS
from chains.schemas import TASKS
from chains.store import Store, Stored
from chains.watch import Report, watching
from generators.core.errors import Cancelled, RequestError
from generators.core.generator import Cancel, Partial

PATH = "/mcp"
HOST = "127.0.0.1"
INLINE_BYTES = 16 * 2**20  # of files in one answer; what is beyond is only referred to
SHUTDOWN_S = 1  # for open connections, when the HTTP server stops
INSTRUCTIONS = (
    "Makes pictures, texts, names and more with small generative models that were trained on this computer. "
    "A tool without a seed draws one and names it; the same request with that seed makes the same thing again. "
    "The tool about tells what there is."
)
REFERENCE = ("id", "path", "media_type", "sha256")
OUTPUT = {
    "type": "object",
    "properties": {
        "artifacts": {
            "description": "the files that were made, in order; an id can be given to a tool that takes an image",
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in REFERENCE},
                "required": list(REFERENCE),
            },
        }
    },
    "required": ["artifacts"],
}


def server(store: Store | None = None) -> Server[list[str], Any]:
    """The MCP server over the tools that the trained models serve now; what is made goes to `store`, the app's by
    default. It is not yet connected to a transport.
    """
    app: Server[list[str], Any] = Server("artwright", version("artwright"), INSTRUCTIONS, lifespan=_pictures)
    kept = store or Store()
    turn = anyio.CapacityLimiter(1)

    async def offer(_: types.ListToolsRequest) -> types.ServerResult:
        return types.ServerResult(types.ListToolsResult(tools=[_described(spec) for spec in tool_specs()]))

    async def call(request: types.CallToolRequest) -> types.ServerResult:
        async with _progress() as report, _switch() as cancel:
            pictures: list[str] = app.request_context.lifespan_context
            work = partial(_call, request.params.name, request.params.arguments or {}, kept, pictures, cancel, report)
            result = await to_thread.run_sync(work, limiter=turn)
        await checkpoint_if_cancelled()  # the SDK has then answered already
        return types.ServerResult(result)

    @asynccontextmanager
    async def _progress() -> AsyncIterator[Report]:
        """A listener for the worker's thread that tells the client, where it asked for progress.

        A client that reads slowly misses some of it rather than hold up the sampler.
        """
        context = app.request_context
        token = context.meta.progressToken if context.meta else None
        said, heard = anyio.create_memory_object_stream[Partial](1)

        async def tell() -> None:
            furthest = 0
            async with heard:
                async for part in heard:
                    if token is not None and part.done > furthest:  # MCP: it must increase
                        furthest = part.done
                        await context.session.send_progress_notification(
                            token, part.done, part.total or None, part.message, str(context.request_id)
                        )

        def report(part: Partial) -> None:
            with suppress(anyio.WouldBlock, anyio.BrokenResourceError):
                from_thread.run_sync(said.send_nowait, part)

        async with anyio.create_task_group() as telling, said:
            telling.start_soon(tell)
            yield report

    app.request_handlers = {types.ListToolsRequest: offer, types.CallToolRequest: call, **app.request_handlers}
    return app


@asynccontextmanager
async def _pictures(_: Server[list[str], Any]) -> AsyncIterator[list[str]]:
    """The ids of the pictures that a client's newest call made, for `last`; each client has its own."""
    yield []


@asynccontextmanager
async def _switch() -> AsyncIterator[Cancel]:
    """A switch that is set when the client cancels the call or leaves; the worker's thread is then waited for."""
    cancel = Cancel()

    async def watch() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancel.set()

    async with anyio.create_task_group() as watching_it:
        watching_it.start_soon(watch)
        yield cancel
        watching_it.cancel_scope.cancel()


def _described(spec: dict[str, Any]) -> types.Tool:
    """A tool of the catalog as MCP lists it."""
    title = str(spec["name"]).replace("_", " ").capitalize()
    reads = spec["name"] == "about"
    return types.Tool(
        name=spec["name"],
        title=title,
        description=spec["description"],
        inputSchema=spec["parameters"],
        outputSchema=OUTPUT,
        annotations=types.ToolAnnotations(title=title, readOnlyHint=reads, destructiveHint=False, openWorldHint=False),
    )


def _call(
    name: str, arguments: dict[str, Any], store: Store, pictures: list[str], cancel: Cancel, report: Report
) -> types.CallToolResult:
    """Run a tool in this thread; whatever goes wrong is an answer with `isError` and one clear sentence."""
    from chains.tools import check, tools

    try:
        with watching(cancel, report):
            offered = tools(store)
            if name not in offered:
                raise RequestError(f"There is no tool {name!r}; there are {', '.join(offered)}.")
            checked = _placed(check(name, arguments).model_dump(exclude_unset=True), name, pictures)
            cancel.check()
            message = offered[name].invoke({"name": name, "args": checked, "id": "mcp", "type": "tool_call"})
            made = [Stored.from_reference(reference) for reference in message.artifact or ()]
            pictures[:] = [item.id for item in made if item.media_type.startswith("image/")] or pictures
            return types.CallToolResult(
                content=_contents(str(message.content), made),
                structuredContent={"artifacts": [item.reference() for item in made]},
            )
    except Cancelled:
        return _failed("Stopped.")
    except (ValueError, OSError) as error:
        return _failed(str(error))
    except Exception as error:  # a tool's failure is not the server's
        return _failed(f"{name} failed unexpectedly ({type(error).__name__}: {error}).")


def _placed(arguments: dict[str, Any], tool: str, pictures: list[str]) -> dict[str, Any]:
    """The arguments with an id in place of `last`, the newest picture, also where that is the default."""
    fields = TASKS[tool].model_fields
    for name in IMAGE_ARGUMENTS:
        if name in fields and arguments.get(name, fields[name].default) == "last":
            if not pictures:
                raise RequestError("There is no picture in this session yet; make one first, or give a picture's id.")
            arguments = {**arguments, name: pictures[0]}
    return arguments


def _failed(sentence: str) -> types.CallToolResult:
    return types.CallToolResult(content=[_text(" ".join(sentence.split()))], isError=True)


def _contents(sentence: str, made: list[Stored]) -> list[types.ContentBlock]:
    """The sentence, then the files in order, as far as there is room for them."""
    files: list[types.ContentBlock] = []
    room = INLINE_BYTES
    for item in made:
        room -= item.path.stat().st_size
        if room < 0:
            left = len(made) - len(files)
            sentence += f" {left} of the files are too large for this answer; the structured content has their paths."
            break
        files.append(_content(item))
    return [_text(sentence), *files]


def _content(item: Stored) -> types.ContentBlock:
    """A stored file as MCP content of its kind."""
    kind = item.media_type.partition("/")[0]
    if kind == "text":
        return _text(str(item.open().content))
    data = b64encode(item.path.read_bytes()).decode("ascii")
    if kind == "image":
        return types.ImageContent(type="image", data=data, mimeType=item.media_type)
    if kind == "audio":
        return types.AudioContent(type="audio", data=data, mimeType=item.media_type)
    blob = types.BlobResourceContents(uri=AnyUrl(item.path.as_uri()), mimeType=item.media_type, blob=data)
    return types.EmbeddedResource(type="resource", resource=blob)


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)


def serve_stdio() -> None:
    """Serve the client that started this process, over its stdin and stdout, until it closes them."""
    # The thread that waits for a line cannot be interrupted; files are written whole or not at all, so nothing is lost.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    anyio.run(_over_stdio, server())


async def _over_stdio(app: Server[list[str], Any]) -> None:
    from mcp.server.stdio import stdio_server

    with _streams() as (stdin, stdout):
        async with stdio_server(anyio.wrap_file(stdin), anyio.wrap_file(stdout)) as (read, write):
            await app.run(read, write, app.create_initialization_options())


@contextmanager
def _streams() -> Iterator[tuple[TextIO, TextIO]]:
    """The process's stdin and stdout for the protocol alone: what anything else prints goes to stderr meanwhile."""
    sys.stdout.flush()
    given, taken = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(2, 1)
    os.close(nothing)
    try:
        with (
            open(os.dup(given), encoding="utf-8", errors="replace") as stdin,
            open(os.dup(taken), "w", encoding="utf-8", newline="\n") as stdout,
        ):
            yield stdin, stdout
    finally:
        sys.stdout.flush()
        os.dup2(given, 0)
        os.dup2(taken, 1)
        os.close(given)
        os.close(taken)


def serve_http(port: int, ready: Callable[[str], None]) -> None:
    """Serve streamable HTTP at http://127.0.0.1:`port`/mcp until interrupted; `ready` is told the address.

    Port 0 takes any free one. Raises OSError where the port is taken.
    """
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((HOST, port))
        except OSError as error:
            raise OSError(f"Port {port} cannot be used ({error.strerror}); choose another with --port.") from error
        anyio.run(_over_http, server(), listening, ready)


async def _over_http(app: Server[list[str], Any], listening: socket.socket, ready: Callable[[str], None]) -> None:
    import uvicorn
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
    from mcp.server.transport_security import TransportSecuritySettings
    from starlette.applications import Starlette
    from starlette.routing import Route

    port = listening.getsockname()[1]
    names = [f"{name}:{port}" for name in (HOST, "localhost")]
    # A page of the web that had its name resolve to this computer would come with its own Host or Origin.
    security = TransportSecuritySettings(allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names])
    manager = StreamableHTTPSessionManager(app, security_settings=security)

    @asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            ready(f"http://{HOST}:{port}{PATH}")
            yield

    # These report every client that leaves, and every stream that is open when the server stops, as errors.
    logging.getLogger("mcp.server.streamable_http").setLevel(logging.CRITICAL)

    class Quiet(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            super().handle_exit(sig, frame)

    web = Starlette(routes=[Route(PATH, manager.asgi_app)], lifespan=running)
    config = uvicorn.Config(web, log_config=None, access_log=False, timeout_graceful_shutdown=SHUTDOWN_S)
    await Quiet(config).serve([listening])
