"""Replies that name only what is there: ids and files that are not in the store do not reach the person.

An LLM that talks about its work makes up names for it. The tools' own sentences are true by construction; whatever
else an LLM says is looked through word by word, so the same words pass whether they come at once or in a stream.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

from chains.store import Store
from generators.core.artifact import KINDS
from generators.core.errors import RequestError
from generators.core.paths import home

MISSING = "(a file that does not exist)"
_ID = re.compile(r"(?<![\w/.-])(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{8,64}(?![\w-])")
_MEDIA = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".svg", ".wav", ".mp3", ".ogg", ".flac", ".mid", ".midi", ".mp4")
_FILE = re.compile(r"(?:(?:sandbox|attachment|file):)?[\w~/.\\-]*[\w)]\.[A-Za-z0-9]{1,5}\b|[~/][\w./\\-]*/[\w./\\-]+")
_ELSEWHERE = re.compile(r"\b(?:https?|ftp|mailto):")  # the web's matter, not the store's
_LINK = re.compile(r"!?\[[^\]\s]*\]\(([^()\s]+)\)")


class Truth:
    """Looks through what an LLM says, given what the person `said`, whose own words it may repeat."""

    def __init__(self, said: str = "", store: Store | None = None) -> None:
        self._said, self._store = said, store or Store()
        self._waiting = ""  # the beginning of a word

    def correct(self, text: str) -> str:
        """The text, with MISSING for every id and file that does not exist."""
        return "".join(self._word(word) for word in re.split(r"(\s+)", text))

    def feed(self, piece: str) -> str:
        """The same for a stream: what can be told after `piece` has come."""
        text = self._waiting + piece
        cut = max((found.end() for found in re.finditer(r"\s", text)), default=0)
        self._waiting = text[cut:]
        return self.correct(text[:cut])

    def rest(self) -> str:
        """The end of a stream."""
        text, self._waiting = self._waiting, ""
        return self.correct(text)

    def _word(self, word: str) -> str:
        if not word.strip() or word in self._said or _ELSEWHERE.search(word):
            return word
        word = _LINK.sub(lambda found: found[0] if self._is_there(found[1]) else MISSING, word)
        word = _FILE.sub(lambda found: found[0] if self._is_there(found[0]) else MISSING, word)
        return _ID.sub(lambda found: found[0] if self._is_kept(found[0]) else MISSING, word)

    def _is_there(self, name: str) -> bool:
        """Whether a name is no file of ours, or one that exists."""
        if name in self._said:
            return True
        name = re.sub(r"^(?:sandbox|attachment|file):/*", "/" if "/" in name else "", name)
        path = Path(name).expanduser() if name.startswith(("/", "~")) else Path(name)
        inside = path.is_absolute() and path.is_relative_to(_home())
        if not inside and path.suffix.lower() not in _MEDIA and not (_ID.fullmatch(path.stem) and _is_kind(path)):
            return True
        if path.is_absolute():
            return path.exists()
        return self._is_kept(path.stem)

    def _is_kept(self, identifier: str) -> bool:
        try:
            return self._store.get(identifier).path.exists()
        except (RequestError, OSError):
            return False


def _home() -> Path:
    return home().absolute()


@cache
def _suffixes() -> frozenset[str]:
    return frozenset(kind.suffix for kind in KINDS.values())


def _is_kind(path: Path) -> bool:
    return path.suffix.lower() in _suffixes()
