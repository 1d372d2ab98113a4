"""Artifacts on disk by content hash: what tools, chat and gallery refer to.

Messages carry ids and paths, never bytes. A file is named by its content's sha256; the same content made twice is one
file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from generators.core.artifact import KINDS, Artifact, open_artifact
from generators.core.errors import RequestError
from generators.core.paths import home


@dataclass(frozen=True)
class Stored:
    """An artifact in the store. `id` is the first 12 digits of `sha256`, the content's hash."""

    id: str
    path: Path
    media_type: str
    sha256: str

    def reference(self) -> dict[str, str]:
        """What a tool message carries: id, path, media_type, sha256."""
        return {"id": self.id, "path": str(self.path), "media_type": self.media_type, "sha256": self.sha256}

    @classmethod
    def from_reference(cls, reference: dict[str, Any]) -> Stored:
        """Back from `reference()`."""
        return cls(
            str(reference["id"]), Path(reference["path"]), str(reference["media_type"]), str(reference["sha256"])
        )

    def open(self) -> Artifact:
        """The artifact with its provenance. Raises `RequestError` when the file is gone or damaged."""
        return open_artifact(self.path)


class Store:
    """A folder of artifacts; by default `$ARTWRIGHT_HOME/store`."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or home() / "store").absolute()

    def put(self, artifact: Artifact) -> Stored:
        """Keep an artifact. Raises OSError when the disk is full or cannot be written."""
        digest = artifact.sha256
        path = self.root / digest[:2] / f"{digest}{artifact.suffix}"
        if not path.exists():
            artifact.write(path)
        return Stored(digest[:12], path, artifact.media_type, digest)

    def get(self, identifier: str) -> Stored:
        """The artifact whose hash starts with `identifier` (8 digits at least).

        Raises `RequestError` for none or several.
        """
        wanted = identifier.lower()
        if len(wanted) >= 8 and all(c in "0123456789abcdef" for c in wanted):
            for kind in KINDS.values():
                found = sorted((self.root / wanted[:2]).glob(f"{wanted}*{kind.suffix}"))
                if len(found) == 1:
                    digest = found[0].stem
                    return Stored(digest[:12], found[0], kind.media_type, digest)
        raise RequestError(f"There is no artifact {identifier!r}; use an id that a tool reported, or `last`.")
