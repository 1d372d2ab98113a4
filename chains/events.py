"""What happens during one turn of the chat, as the app shows it and the terminal prints it.

A conversation that comes back from memory is told by the same events, each turn after what was `Asked`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from chains.store import Stored


@dataclass(frozen=True)
class Asked:
    """What the person said, in a conversation that comes back; no event of a running turn.

    `request` is its id, `tool` what the person chose for it, if anything; `is_open` where it was never answered to the
    end, since the app was killed or the turn stopped. `pictures` are those that the person brought along.
    """

    text: str
    request: str = field(default="", compare=False)
    tool: str = ""
    is_open: bool = field(default=False, compare=False)
    pictures: tuple[Stored, ...] = ()


@dataclass(frozen=True)
class Choice:
    """The LLM decided to call `tool` with `args`.

    `confidence` (0 to 1) is its share among all tools and plain talk; `alternatives` are the runners-up with theirs.
    `request` is the id of what it answers.
    """

    tool: str
    args: dict[str, Any]
    confidence: float | None = None
    alternatives: tuple[tuple[str, float], ...] = ()
    request: str = field(default="", compare=False)


@dataclass(frozen=True)
class Question:
    """The LLM is not sure enough and asks; `options` are the readings, each a tool (or `no tool`) in plain words.

    `request` is the id of what it answers.
    """

    text: str
    options: tuple[tuple[str, str], ...]
    request: str = field(default="", compare=False)


@dataclass(frozen=True)
class Progress:
    """A sign of life from a running tool: `done` of `total` (0 when unknown).

    `text` is what it has written so far; what `Made` brings takes its place.
    """

    message: str
    done: int = 0
    total: int = 0
    text: str = ""


@dataclass(frozen=True)
class Made:
    """A tool succeeded: its own sentence, and what it made."""

    tool: str
    sentence: str
    artifacts: tuple[Stored, ...] = field(default=())


@dataclass(frozen=True)
class Word:
    """A piece of plain talk, as it is written."""

    text: str


@dataclass(frozen=True)
class Failed:
    """Something did not work; one sentence that says what and how to mend it."""

    sentence: str


@dataclass(frozen=True)
class Reply:
    """The whole reply; always the last event of a turn that was not cancelled."""

    text: str


Event = Choice | Question | Progress | Made | Word | Failed | Reply
