"""The agent: an LLM chooses tools, the tools run in order, and the reply is their own sentences.

Built on LangChain's `create_agent`. What is ours is the middleware: an argument or tool error becomes one sentence,
finished tools end the turn without asking the LLM to retell them, and the model sees the last few turns only.
"""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware, ModelCallLimitMiddleware, ToolCallLimitMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, ToolMessage
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool

from chains.chat_model import ChatArtwright, chat_model
from chains.events import Asked, Choice, Event, Failed, Made, Progress, Reply, Word
from chains.middleware import STOPPED, TOLD, InOrder, LastTurns, Sentences, ServedErrors, TheirOwnWords
from chains.served import explained
from chains.store import Stored
from chains.tools import tools as app_tools
from chains.watch import watching
from generators.core.errors import Cancelled
from generators.core.generator import Cancel, Partial
from generators.core.paths import home

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from langgraph.checkpoint.sqlite import SqliteSaver
    from langgraph.graph.state import CompiledStateGraph

MODEL_CALLS, TOOL_CALLS = 4, 8  # at most, in one turn
ROUTE_ROUNDS = 4
LOOK_S = 0.1  # between looks at the cancel switch
GRACE_S = 1.0  # for a stopped turn to end by itself before it is left behind
TALK_TOKENS = 120  # of plain talk by a model in this process, about 6 s on two cores
SYSTEM = (
    "You are Artwright, an app that makes pictures, text, names and more with small models trained on this computer. "
    "Use the tools for that; several tasks are several calls. Where no tool fits, just talk, briefly."
)


def agent(
    llm: str | BaseChatModel | None = None,
    memory: BaseCheckpointSaver[Any] | str | Path | None = None,
    tools: Sequence[BaseTool] | None = None,
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """The compiled LangGraph agent: `agent().invoke({"messages": [("user", "draw two sneakers")]})`.

    `llm` is a SPEC (see `chat_model`) or any LangChain chat model; `memory` a checkpointer, or the path of an SQLite
    file that keeps conversations (then every call names its `thread_id`); `tools` the app's own by default. The calls
    of a turn run one after the other.
    """
    model = _model(llm)
    own = _is_ours(model)
    middleware: list[AgentMiddleware[Any, Any, Any]] = [
        InOrder(),
        Sentences(),
        LastTurns(),
        ServedErrors(),
        ModelCallLimitMiddleware(run_limit=MODEL_CALLS, exit_behavior="end"),
        ToolCallLimitMiddleware(run_limit=TOOL_CALLS, exit_behavior="continue"),
    ]
    if own:
        middleware.append(TheirOwnWords())
    return create_agent(
        model,
        list(app_tools().values()) if tools is None else list(tools),
        system_prompt=None if own else SYSTEM,
        middleware=middleware,
        checkpointer=_saver(Path(memory)) if isinstance(memory, str | Path) else memory,
    )


def _model(llm: str | BaseChatModel | None) -> BaseChatModel:
    """The chat model; one that runs in this process talks in one short paragraph, unless it was told otherwise."""
    model = llm if isinstance(llm, BaseChatModel) else chat_model(llm)
    if not isinstance(model, ChatArtwright):
        return model
    brief = {"max_tokens": TALK_TOKENS, "stop": ["\n\n"]}
    return model.model_copy(update={key: brief[key] for key in brief.keys() - model.model_fields_set})


def _is_ours(model: BaseChatModel) -> bool:
    """Whether the model takes all calls of a turn in one go, as the in-process model does."""
    return model._llm_type == "artwright"


@cache
def _saver(path: Path) -> SqliteSaver:
    """Conversations in one SQLite file that only its owner can read, safe against a crash (write-ahead log)."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise ValueError(f"cannot write {path} ({error.strerror}); set ARTWRIGHT_HOME elsewhere") from error
    with _readable(path):
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        saver = SqliteSaver(connection)
        saver.setup()
    return saver


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """SQLite's errors inside (damaged, full, read-only) as one sentence. Raises ValueError."""
    try:
        yield
    except sqlite3.Error as error:
        raise ValueError(
            f"The conversations in {path} cannot be used ({error}); move that file away, or make room for it."
        ) from error


def _until(left: Cancel, saver: SqliteSaver) -> SqliteSaver:
    """The same conversations, for one turn, which may write until `left` is set.

    A turn that was left behind would otherwise save its messages on top of the next turn's, which would be lost.
    """
    from langgraph.checkpoint.sqlite import SqliteSaver

    class Until(SqliteSaver):
        def put(self, *args: Any, **more: Any) -> Any:
            left.check()
            return super().put(*args, **more)

        def put_writes(self, *args: Any, **more: Any) -> None:
            left.check()
            super().put_writes(*args, **more)

    mine = Until(saver.conn, serde=saver.serde)
    mine.lock, mine.is_setup = saver.lock, saver.is_setup
    return mine


def _drop_older(saver: SqliteSaver, thread: str) -> None:
    """Keep a conversation's newest checkpoint, which holds all of its messages; the older ones hold them again."""
    newest = "(SELECT MAX(checkpoint_id) FROM checkpoints WHERE thread_id = :thread)"
    with saver.cursor() as cursor:
        for table in ("writes", "checkpoints"):
            cursor.execute(
                f"DELETE FROM {table} WHERE thread_id = :thread AND checkpoint_id < {newest}", {"thread": thread}
            )


def memory_path() -> Path:
    """Where the app's conversations are kept."""
    return home() / "memory.sqlite"


def talk(
    text: str,
    *,
    llm: str | BaseChatModel | None = None,
    thread: str = "default",
    cancel: Cancel | None = None,
) -> Iterator[Event]:
    """One turn of the conversation `thread`, as it happens; the last event is the `Reply`.

    Setting `cancel`, or closing the iterator, stops the running sampler. The turn runs in a thread of its own, so the
    iterator may be advanced from any thread, and a turn that does not stop (a served LLM hangs) is left behind: it
    ends at its next event and can write nothing more into the conversation.
    """
    cancel = cancel or Cancel()
    left = Cancel()  # set once nobody waits for the worker any more
    events: queue.SimpleQueue[Event | BaseException | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            with _readable(memory_path()):
                for event in _turn(text, llm, thread, cancel, left, events.put):
                    events.put(event)
        except Cancelled:
            events.put(Reply(STOPPED))
        except (ValueError, OSError) as error:
            events.put(Failed(str(error)))
            events.put(Reply(str(error)))
        except Exception as error:
            events.put(error)
        finally:
            events.put(None)

    worker = threading.Thread(target=run, name="artwright-turn", daemon=True)
    worker.start()
    deadline: float | None = None
    try:
        while True:
            if cancel.is_set() and worker.is_alive():
                deadline = deadline or time.monotonic() + GRACE_S
                if time.monotonic() > deadline:
                    left.set()
                    yield Reply(STOPPED)
                    return
            try:
                event = events.get(timeout=LOOK_S)
            except queue.Empty:
                continue
            if event is None:
                return
            if isinstance(event, BaseException):
                raise event
            yield event
    except (GeneratorExit, KeyboardInterrupt):
        cancel.set()
        left.set()
        raise


def _turn(
    text: str,
    llm: str | BaseChatModel | None,
    thread: str,
    cancel: Cancel,
    left: Cancel,
    tell: Callable[[Event], None],
) -> Iterator[Event]:
    def report(part: Partial) -> None:
        tell(Progress(part.message, part.done, part.total))

    memory = _saver(memory_path())
    graph = agent(llm, _until(left, memory))
    text = text.encode("utf-8", "replace").decode()  # half of a surrogate pair cannot be stored or tokenised
    config: Any = {"configurable": {"thread_id": thread}}
    reply, silent = "", True
    with watching(cancel, report):
        data: Any
        for mode, data in graph.stream({"messages": [HumanMessage(text)]}, config, stream_mode=["updates", "messages"]):
            cancel.check()
            if mode == "messages":
                chunk = data[0]
                if isinstance(chunk, AIMessageChunk) and chunk.text:
                    yield Word(str(chunk.text))
                continue
            for update in data.values():
                for message in (update or {}).get("messages", ()):
                    yield from _events(message)
                    silent = silent and not isinstance(message, ToolMessage)
                    if isinstance(message, AIMessage) and not message.tool_calls:
                        reply = str(message.text)
    left.check()
    _drop_older(memory, thread)
    if silent and not reply:  # a served LLM may write nothing, or only a call that cannot be read
        reply = "The language model gave no answer; ask again in other words."
        yield Failed(reply)
    yield Reply(reply)


def _events(message: AnyMessage) -> Iterator[Event]:
    if isinstance(message, AIMessage):
        for call, (confidence, others) in zip(message.tool_calls, _confidences(message), strict=True):
            yield Choice(call["name"], call["args"], confidence, others)
    elif isinstance(message, ToolMessage) and message.status == "error":
        yield Failed(str(message.content))
    elif isinstance(message, ToolMessage):
        artifacts = tuple(Stored.from_reference(item) for item in message.artifact or ())
        yield Made(str(message.name), str(message.content), artifacts)


def _confidences(message: AIMessage) -> list[tuple[float | None, tuple[tuple[str, float], ...]]]:
    """Confidence and runners-up of every call of a message; the runners-up are known for the first."""
    known = list(message.response_metadata.get("confidences", ()))
    choice = message.response_metadata.get("choice") or {}
    others = tuple((str(n), float(p)) for n, p in choice.get("alternatives", ()) if n != choice.get("name"))
    return [(known[i] if i < len(known) else None, others if i == 0 else ()) for i in range(len(message.tool_calls))]


def history(thread: str) -> list[Asked | Event]:
    """A conversation so far, as the events of its turns: `Asked`, `Choice`, `Made`, `Failed`, `Word`.

    Raises ValueError or OSError where the memory cannot be read.
    """
    saver = _saver(memory_path())
    with _readable(memory_path()):
        found = saver.get({"configurable": {"thread_id": thread}})
    messages = found["channel_values"].get("messages", []) if found else []
    told: list[Asked | Event] = []
    for message in messages:
        if isinstance(message, HumanMessage):
            told.append(Asked(str(message.text)))
        elif not message.additional_kwargs.get(TOLD):  # which only repeats the tools
            if isinstance(message, AIMessage) and message.text:
                told.append(Word(str(message.text)))
            told += _events(message)
    return told


def forget(thread: str) -> None:
    """Remove a conversation from the memory."""
    saver = _saver(memory_path())
    with _readable(memory_path()):
        saver.delete_thread(thread)


def route(
    prompt: str,
    history: Sequence[str] = (),
    tools: Sequence[Mapping[str, Any]] | None = None,
    llm: str | BaseChatModel | None = None,
) -> dict[str, Any]:
    """What the LLM would call for `prompt`, without running anything.

    `history` are earlier prompts, answered as if their calls had succeeded; `tools` JSON schemas in place of the
    app's. Returns `{"prompt", "calls": [{"name", "args", "confidence"}], "reply", "seconds"}`.
    """
    model = _model(llm)
    offered: list[Any] = list(app_tools().values()) if tools is None else [_as_function(tool) for tool in tools]
    messages: list[AnyMessage] = []
    with explained(model):
        bound = model.bind_tools(offered)
        for earlier in history:
            _answer(bound, messages, earlier, _is_ours(model))
        start = time.perf_counter()
        calls, reply = _answer(bound, messages, prompt, _is_ours(model))
    defaults = _defaults(offered)
    for call in calls:
        usual = defaults.get(call["name"], {})
        call["args"] = {k: v for k, v in call["args"].items() if k not in usual or v != usual[k]}
    return {"prompt": prompt, "calls": calls, "reply": reply, "seconds": round(time.perf_counter() - start, 3)}


def _as_function(tool: Mapping[str, Any]) -> dict[str, Any]:
    """A tool's JSON schema as LangChain reads it; `args`, as `artwright list --json` names it, is `parameters`."""
    return {"parameters" if key == "args" and "parameters" not in tool else key: tool[key] for key in tool}


def _defaults(tools: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """The default of every argument that has one, by tool."""
    functions = [convert_to_openai_tool(tool)["function"] for tool in tools]
    return {
        function["name"]: {
            name: field["default"]
            for name, field in (function.get("parameters", {}).get("properties") or {}).items()
            if "default" in field
        }
        for function in functions
    }


def _answer(bound: Any, messages: list[AnyMessage], prompt: str, at_once: bool) -> tuple[list[dict[str, Any]], str]:
    """One turn of `route`: asks until there is no further call, with a canned success after each.

    Extends `messages`.
    """
    messages.append(HumanMessage(prompt))
    calls: list[dict[str, Any]] = []
    for _ in range(ROUTE_ROUNDS):
        message = bound.invoke(messages)
        messages.append(message)
        for call, (confidence, _others) in zip(message.tool_calls, _confidences(message), strict=True):
            calls.append({"name": call["name"], "args": call["args"], "confidence": confidence})
            messages.append(ToolMessage("Done.", tool_call_id=call["id"], name=call["name"]))
        if not message.tool_calls or at_once:
            return calls, str(message.text)
    return calls, ""
