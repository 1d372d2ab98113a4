"""Conversations in one SQLite file: only its owner can read it, and killing the app at any moment leaves it whole."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from generators.core.generator import Cancel
from generators.core.paths import home

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage
    from langgraph.checkpoint.sqlite import SqliteSaver


def memory_path() -> Path:
    """Where the app's conversations are kept."""
    return home() / "memory.sqlite"


@cache
def saver(path: Path) -> SqliteSaver:
    """The conversations of a file, made if it is not there; with a write-ahead log. Raises ValueError."""
    from langgraph.checkpoint.sqlite import SqliteSaver

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise ValueError(f"cannot write {path} ({error.strerror}); set ARTWRIGHT_HOME elsewhere") from error
    with readable(path):
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        kept = SqliteSaver(connection)
        kept.setup()
    return kept


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """SQLite's errors inside (damaged, full, read-only) as one sentence. Raises ValueError."""
    try:
        yield
    except sqlite3.Error as error:
        raise ValueError(
            f"The conversations in {path} cannot be used ({error}); move that file away, or make room for it."
        ) from error


def until(left: Cancel, kept: SqliteSaver) -> SqliteSaver:
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

    mine = Until(kept.conn, serde=kept.serde)
    mine.lock, mine.is_setup = kept.lock, kept.is_setup
    return mine


def messages_of(kept: SqliteSaver, thread: str) -> list[AnyMessage]:
    """All messages of a conversation."""
    found = kept.get({"configurable": {"thread_id": thread}})
    return list(found["channel_values"].get("messages", [])) if found else []


def drop_older(kept: SqliteSaver, thread: str) -> None:
    """Keep a conversation's newest checkpoint, which holds all of its messages; the older ones hold them again."""
    newest = "(SELECT MAX(checkpoint_id) FROM checkpoints WHERE thread_id = :thread)"
    with kept.cursor() as cursor:
        for table in ("writes", "checkpoints"):
            cursor.execute(
                f"DELETE FROM {table} WHERE thread_id = :thread AND checkpoint_id < {newest}", {"thread": thread}
            )


def forget(thread: str) -> None:
    """Remove a conversation from the memory."""
    with readable(memory_path()):
        saver(memory_path()).delete_thread(thread)
