"""What the command line does, one function a command. Results go to stdout, progress and notices to stderr.

A person's mistake is a ValueError or an OSError with one sentence; `app.main` prints it and exits with 2. Everything
heavy is imported inside the functions, so that `artwright --help` and `artwright list` answer at once.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chains.inside import inspect
from chains.terminal import Ticker
from chains.training import Interrupted, Training, merge, train

if TYPE_CHECKING:
    from chains.events import Event
    from generators.core.artifact import Artifact

__all__ = [
    "MAX_SAMPLES",
    "MCP_PORT",
    "NAMES",
    "Interrupted",
    "Training",
    "authority",
    "chat",
    "doctor",
    "generate",
    "inspect",
    "left_behind",
    "mcp",
    "merge",
    "regenerate",
    "route",
    "sample",
    "score",
    "show",
    "tale",
    "train",
]

NAMES = (
    "app", "chat", "route", "list", "generate", "train", "merge", "score", "sample", "inspect", "regenerate", "tale",
    "mcp", "doctor",
)  # fmt: skip
MAX_SAMPLES = 100_000
MCP_PORT = 7861
GRACE_S = 1.0  # for a turn to end before it is left behind
IMAGE_ARGUMENTS = ("image", "start", "end")  # may be a path on the command line


def authority(host: str) -> tuple[str, str] | None:
    """User and password from ARTWRIGHT_AUTH. Raises ValueError when there is none and other computers reach `host`."""
    given = os.environ.get("ARTWRIGHT_AUTH", "")
    user, colon, password = given.partition(":")
    if given and not (user and colon and password):
        raise ValueError("ARTWRIGHT_AUTH must read user:password.")
    if not given and not _is_loopback(host):
        raise ValueError(
            f"--host {host} opens the app to other computers; set ARTWRIGHT_AUTH=user:password first, or use 127.0.0.1."
        )
    return (user, password) if given else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def show(as_json: bool) -> None:
    """Every tool and trained model."""
    from chains.catalog import listing

    found = listing()
    if as_json:
        _print_json(found)
        return
    print("Tools")
    for tool in found["tools"]:
        print(f"  {tool['name']:<16} {tool['description']}")
    print("\nModels" if found["models"] else "\nNo trained models yet; artwright train makes one.")
    for model in found["models"]:
        labels = f": {', '.join(model['labels'])}" if model["labels"] else ""
        print(f"  {model['name']:<20} {model['medium']}, {', '.join(model['tasks'])}{labels}")


def chat(text: str, llm: str, as_json: bool) -> None:
    """One turn of a conversation that is then forgotten. Raises ValueError if a tool failed and nothing was made."""
    import uuid

    from chains.agent import forget, talk
    from chains.events import Failed, Made, Reply, Word

    if not text.strip():
        raise ValueError('There is nothing to answer; type a request such as artwright chat "draw two sneakers".')
    thread = f"terminal-{uuid.uuid4().hex}"
    reply, failures = "", []
    files: list[str] = []
    written = False
    ticker = Ticker()
    try:
        with _explained(llm):
            for event in talk(text, llm=llm, thread=thread):
                _notice(event, ticker)
                match event:
                    case Word(text=piece) if not as_json:
                        print(piece, end="", flush=True)
                        written = True
                    case Made(artifacts=artifacts):
                        files += [str(item.path) for item in artifacts]
                    case Failed(sentence=sentence):
                        failures.append(sentence)
                    case Reply(text=whole):
                        reply = whole
    finally:
        ticker.close()
        forget(thread)
    failed = bool(failures) and not files
    if as_json:
        _print_json({"reply": reply, "files": files})
    elif written:
        print()
    elif not failed:
        print(reply)
    if not as_json:
        for file in files:
            print(file)
    if failed:
        raise ValueError(" ".join(dict.fromkeys(failures)))


def _notice(event: Event, ticker: Ticker) -> None:
    """What a person at the terminal wants to see while waiting."""
    from chains.events import Choice, Progress

    if isinstance(event, Progress):
        ticker.tell(event)
        return
    ticker.close()
    if isinstance(event, Choice):
        sure = f"  ({event.confidence:.0%} sure)" if event.confidence is not None else ""
        print(f"{event.tool} {json.dumps(event.args, ensure_ascii=False)}{sure}", file=sys.stderr)


def route(lines: Iterable[str], llm: str) -> None:
    """Answer JSON lines with the calls that each prompt leads to; nothing is run."""
    from chains.agent import route as ask

    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        request = _object(line, f"line {number} of the input")
        prompt, history, tools = request.get("prompt"), request.get("history", []), request.get("tools")
        if not isinstance(prompt, str):
            raise ValueError(
                f'Line {number} of the input has no "prompt"; it must read {{"prompt": "draw two sneakers"}}.'
            )
        if not (isinstance(history, list) and all(isinstance(earlier, str) for earlier in history)):
            raise ValueError(f'Line {number} of the input: "history" must be a list of earlier prompts.')
        if tools is not None and not (isinstance(tools, list) and all(isinstance(tool, dict) for tool in tools)):
            raise ValueError(f'Line {number} of the input: "tools" must be a list of JSON schemas.')
        with _explained(llm):
            answer = ask(prompt, history, tools, llm)
        _print_json(answer, flush=True)


@contextmanager
def _explained(llm: str) -> Iterator[None]:
    """Errors of somebody else's LLM (no key, no package, no network) as one sentence, and those of the memory on disk;
    ours stay as they are."""
    from generators.core.paths import home

    try:
        yield
    except (ValueError, OSError):
        raise
    except sqlite3.Error as error:
        raise OSError(f"The conversation cannot be kept in {home()}: {error}.") from error
    except Exception as error:
        if llm == "embedded":
            raise
        from chains.served import quoted

        raise ValueError(f"The LLM {llm} failed: {type(error).__name__}: {quoted(error)}.") from None


def generate(tool: str, arguments: str, out: Path | None, as_json: bool) -> None:
    """Call a tool; one file an artifact, in `out` or in the store."""
    from chains.store import Store
    from chains.tools import check, perform, watching

    given = _object(arguments, "--args")
    if tool == "about":
        from chains.about import answer

        topic = check("about", given).model_dump()["topic"]
        _report(answer(topic), [], as_json)
        return
    store = Store()
    for name in IMAGE_ARGUMENTS:
        value = given.get(name)
        if isinstance(value, str) and Path(value).is_file() and not _is_label(value, tool, name):
            given[name] = _stored_image(Path(value), store)
    if out is not None:
        _folder(out)
    ticker = Ticker()
    try:
        with watching(report=ticker.tell):
            outcome = perform(tool, check(tool, given), store)
    finally:
        ticker.close()
    kept = [store.put(artifact) for artifact in outcome.artifacts]
    sentence = outcome.sentence([item.id for item in kept])
    files = [item.path for item in kept] if out is None else list(_write_all(outcome.artifacts, tool, out))
    _report(sentence, files, as_json)


def _is_label(value: str, tool: str, argument: str) -> bool:
    """Whether a file's name is also a word that a model knows: it is the word then, as it is in the chat."""
    from chains.catalog import serving
    from generators.core.labels import match_label

    return argument != "image" and any(match_label(value, info.labels) for info in serving(tool))


def _stored_image(path: Path, store: Any) -> str:
    from generators.core.artifact import Image, open_artifact

    artifact = open_artifact(path)
    if not isinstance(artifact, Image):
        raise ValueError(f"{path} is not a picture.")
    return str(store.put(artifact).id)


def _write_all(artifacts: list[Artifact], tool: str, out: Path) -> Iterator[Path]:
    """Write the files under names that are not taken yet: generate_image-1.png and so on."""
    taken = [int(found[1]) for path in out.glob(f"{tool}-*") if (found := re.match(rf"{tool}-(\d+)\.", path.name))]
    for number, artifact in enumerate(artifacts, max(taken, default=0) + 1):
        yield artifact.write(out / f"{tool}-{number}{artifact.suffix}").absolute()


def _report(reply: str, files: list[Path], as_json: bool) -> None:
    if as_json:
        _print_json({"reply": reply, "files": [str(file) for file in files]})
    else:
        print("\n".join([reply, *map(str, files)]))


def score(model_name: str, data: str, as_json: bool) -> None:
    """The exact held-out loss of a model on all of `data`."""
    import generators
    from generators.core.progress import busy
    from generators.data import load_all

    model = generators.load(model_name)
    with busy(f"scoring {model.info.name} on {data}"):
        figures = model.score(load_all(data, model.medium))
    if as_json:
        _print_json(figures)
        return
    for metric, value in figures.items():
        print(f"{metric} {int(value) if metric == 'n' else format(value, '.6g')}")


def sample(model_name: str, count: int, out: Path, label: str | None, seed: int) -> None:
    """Write `count` raw samples to a NumPy archive, whole or not at all."""
    import numpy as np

    import generators
    from generators.core.progress import busy

    if out.suffix != ".npz":
        raise ValueError(f"--out {out} must end in .npz.")
    if not 1 <= count <= MAX_SAMPLES:
        raise ValueError(f"--count {count} must be 1 to {MAX_SAMPLES:,}.")
    model = generators.load(model_name)
    if label is not None and not model.info.labels:
        raise ValueError(f"{model.info.name} has no labels; leave --label {label} out.")
    _folder(out.parent)
    with busy(f"sampling {count} from {model.info.name}"):
        arrays = model.sample(count, label=label, seed=seed)
    descriptor, staging = tempfile.mkstemp(prefix=f".{out.name}-", dir=out.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
        os.chmod(staging, 0o644)
        os.replace(staging, out)
    finally:
        Path(staging).unlink(missing_ok=True)
    print(out)


def regenerate(path: Path) -> int:
    """Make a file again: 0 the same, 1 it differs (and how). Raises ValueError when it cannot be made again."""
    from chains.store import Store
    from generators.core.artifact import regenerate as again
    from generators.core.inputs import reading

    store = Store()
    with reading(lambda identifier: store.get(identifier).open()):
        _, differences = again(path)
    if differences:
        print(f"{path} differs: {'; '.join(differences)}.")
        return 1
    print(f"{path} is the same when it is made again.")
    return 0


def tale(subject: str, out: Path, pages: int, seed: int | None) -> None:
    """Write an illustrated tale to `out`, one HTML page, and print its path."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {out} must end in .html.")
    _folder(out.parent)
    from chains.pipelines import illustrated_tale
    from generators.core.progress import busy

    with busy("writing the tale"):
        made = illustrated_tale().invoke({"subject": subject, "pages": pages, "seed": seed})
    print(made.write(out))


def mcp(http: bool, port: int | None) -> None:
    """Serve the tools to MCP clients until they leave (stdio) or the person interrupts (HTTP)."""
    if port is not None and not http:
        raise ValueError(f"--port {port} is the port of --http; add --http, or leave --port out.")
    from chains.mcp_server import serve_http, serve_stdio

    if http:
        serve_http(MCP_PORT if port is None else port, lambda url: print(f"MCP server at {url}", file=sys.stderr))
        return
    if sys.stdin.isatty():
        print("An MCP client starts this command and talks to it here; Ctrl-C ends it.", file=sys.stderr)
    serve_stdio()


def left_behind() -> bool:
    """Whether a turn of the chat goes on that nobody waits for any more, since its LLM's server hangs."""
    turns = [thread for thread in threading.enumerate() if thread.name == "artwright-turn"]
    for thread in turns:
        thread.join(GRACE_S)
    return any(thread.is_alive() for thread in turns)


def doctor(llm: str) -> None:
    """What is installed, which LLM and device are used, what is missing and how to get it."""
    from chains.doctor import report

    for line in report(llm):
        print(line)


def _object(text: str, where: str) -> dict[str, Any]:
    """A JSON object. Raises ValueError that shows what one looks like."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{where} is not JSON ({error}); it must be an object such as {{"count": 2}}.') from None
    if not isinstance(found, dict):
        raise ValueError(f'{where} must be a JSON object such as {{"count": 2}}, not {type(found).__name__}.')
    return found


def _folder(path: Path) -> Path:
    """Make sure `path` is a folder that can be written, before any work is done. Raises OSError."""
    path.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        return path


def _print_json(value: Any, flush: bool = False) -> None:
    print(json.dumps(value, ensure_ascii=False, default=_plain), flush=flush)


def _plain(value: Any) -> Any:
    """NumPy's numbers and dataclasses as JSON knows them."""
    return value.item() if hasattr(value, "item") else asdict(value)
