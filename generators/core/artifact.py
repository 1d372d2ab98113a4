"""What generators make: content with the provenance to make it again.

The content hash is over the content alone (pixels, characters), not over the file, so the same picture has the same
hash whoever wrote it down. Every file carries its provenance: PNG in text chunks, text and code in a sidecar `.json`.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from generators.core.checkpoint import checked, versions
from generators.core.errors import RequestError
from generators.data.images import FORMATS, MAX_FILE_BYTES, MAX_PIXELS, decode
from generators.data.splits import DataError

if TYPE_CHECKING:
    from generators.core.generator import Generator, Request

PNG_KEY = "artwright"


@dataclass(frozen=True)
class Provenance:
    """Everything that the same content can be made from again, given the model.

    `index` is the artifact's place in the request's batch; `threads` and `cpu` are what exact bits may depend on.
    """

    generator: str
    weights_sha256: str
    task: str
    args: dict[str, Any]
    seed: int
    index: int
    versions: dict[str, str] = field(default_factory=dict)
    cpu: str = ""
    threads: int = 0

    @classmethod
    def from_json(cls, text: str) -> Provenance:
        """Read what `to_json` wrote. Raises ValueError for anything else."""
        try:
            found = checked(cls, json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ValueError("its provenance is damaged") from error
        if min(found.seed, found.index) < 0:
            raise ValueError("its provenance is damaged")
        return found

    def to_json(self) -> str:
        """As JSON on one line."""
        return json.dumps(asdict(self), ensure_ascii=False, sort_keys=True)


@dataclass(frozen=True)
class Artifact(ABC):
    """One made thing. Subclasses fix the type of `content`, the file's `suffix` and `media_type`."""

    content: Any
    provenance: Provenance | None
    medium: ClassVar[str]
    suffix: ClassVar[str]
    media_type: ClassVar[str]

    @property
    def sha256(self) -> str:
        """The content's hash, hexadecimal."""
        return hashlib.sha256(self._hashed()).hexdigest()

    @property
    def id(self) -> str:
        """A short name for the content: the first 12 digits of its hash."""
        return self.sha256[:12]

    @abstractmethod
    def _hashed(self) -> bytes: ...

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The file's bytes."""

    def write(self, path: str | Path) -> Path:
        """Write the file (and, where the format cannot carry it, a sidecar `.json`), whole or not at all.

        Returns its path.
        """
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        _write_whole([*self._sidecars(path), (path, self.to_bytes())])
        return path

    def _sidecars(self, path: Path) -> list[tuple[Path, bytes]]:
        return []


@dataclass(frozen=True)
class Image(Artifact):
    """A picture; `content` is (H, W) grey or (H, W, 3) colour, uint8."""

    content: NDArray[np.uint8]
    medium = "image"
    suffix = ".png"
    media_type = "image/png"

    def _hashed(self) -> bytes:
        return repr(self.content.shape).encode() + np.ascontiguousarray(self.content).tobytes()

    def to_bytes(self) -> bytes:
        """PNG with the provenance in a text chunk."""
        from PIL import Image as Pillow
        from PIL import PngImagePlugin

        notes = PngImagePlugin.PngInfo()
        if self.provenance is not None:
            notes.add_itxt(PNG_KEY, self.provenance.to_json())
        buffer = io.BytesIO()
        Pillow.fromarray(self.content).save(buffer, "PNG", pnginfo=notes)
        return buffer.getvalue()


@dataclass(frozen=True)
class Text(Artifact):
    """A text; `content` is the characters."""

    content: str
    medium = "text"
    suffix = ".txt"
    media_type = "text/plain"

    def _hashed(self) -> bytes:
        return self.content.encode("utf-8")

    def to_bytes(self) -> bytes:
        """UTF-8 with a final newline."""
        return (self.content + "\n").encode("utf-8")

    def _sidecars(self, path: Path) -> list[tuple[Path, bytes]]:
        if self.provenance is None:
            return []
        return [(path.with_name(path.name + ".json"), (self.provenance.to_json() + "\n").encode("utf-8"))]


@dataclass(frozen=True)
class Code(Text):
    """Python; `content` is the characters. It is written down, never run."""

    medium = "code"
    suffix = ".py"
    media_type = "text/x-python"


KINDS: dict[str, type[Artifact]] = {kind.medium: kind for kind in (Image, Text, Code)}


def artifact_of(model: Generator, content: Any, request: Request, seed: int, index: int) -> Artifact:
    """Wrap what `model` drew for `request` with its provenance."""
    import platform

    threads = 0
    cpu = platform.machine()
    if model.medium == "image":
        import torch

        threads = torch.get_num_threads()
        cpu = torch.backends.cpu.get_cpu_capability()
    provenance = Provenance(
        generator=model.info.name,
        weights_sha256=model.weights_sha256,
        task=request.task,
        args=dict(request.args),
        seed=seed,
        index=index,
        versions=versions(),
        cpu=cpu,
        threads=threads,
    )
    return KINDS[model.medium](content, provenance)


def open_artifact(path: str | Path) -> Artifact:
    """Read an artifact's file with its provenance (None where the file carries none).

    A picture from elsewhere is decoded by `generators.data.images.decode`, in bounds. Raises `RequestError` for a file
    that is missing, of no known kind, damaged or too large.
    """
    from PIL import Image as Pillow

    path = Path(path)
    try:
        written = next((kind for kind in (Text, Code) if path.suffix.lower() == kind.suffix), None)
        if written:
            sidecar = path.with_name(path.name + ".json")
            notes = sidecar.read_text(encoding="utf-8") if sidecar.exists() else ""
            text = path.read_bytes().decode("utf-8").removesuffix("\n")  # a carriage return stays one
            return written(text, Provenance.from_json(notes) if notes else None)
        if path.stat().st_size > MAX_FILE_BYTES:
            raise RequestError(f"{path} is larger than {MAX_FILE_BYTES // 10**6} MB; give a smaller picture.")
        data = path.read_bytes()
        with Pillow.open(io.BytesIO(data), formats=FORMATS) as picture:
            many = picture.width * picture.height > MAX_PIXELS or getattr(picture, "is_animated", False)
            notes = "" if many else str(getattr(picture, "text", {}).get(PNG_KEY, ""))  # which decodes all of it
            if not notes or picture.mode not in ("L", "RGB"):
                return Image(np.array(decode(data, str(path))), None)
            return Image(np.array(picture), Provenance.from_json(notes))
    except FileNotFoundError:
        raise RequestError(f"There is no file {path}.") from None
    except RequestError:
        raise
    except DataError as error:
        raise RequestError(str(error)) from error
    except (OSError, ValueError, SyntaxError, Pillow.DecompressionBombError) as error:
        raise RequestError(
            f"{path} cannot be read as a picture (PNG), a text (.txt) or code (.py): {error}."
        ) from error


def regenerate(path: str | Path) -> tuple[Artifact, list[str]]:
    """Make the artifact in `path` again from its provenance: the new artifact, and what differs (nothing when it is
    the same).

    Raises `RequestError` when it cannot be made again: no provenance, or the model is not here.
    """
    from generators import load
    from generators.core.generator import Request

    old = open_artifact(path)
    if old.provenance is None:
        raise RequestError(
            f"{path} carries no provenance, so it cannot be made again; it needs the file as it was written."
        )
    how = old.provenance
    model = load(how.generator)
    made = [item for item in model.generate(Request(how.task, how.args), seed=how.seed) if isinstance(item, Artifact)]
    if how.index >= len(made):
        raise RequestError(f"{how.generator} now makes {len(made)} artifacts of that request, not {how.index + 1}.")
    new = made[how.index]
    if new.sha256 == old.sha256:
        return new, []
    reasons = ["the content differs"]
    if model.weights_sha256 != how.weights_sha256:
        reasons.append(f"{how.generator} was trained anew since (weights differ)")
    now = new.provenance
    assert now is not None
    for name in sorted(how.versions.keys() | now.versions.keys()):
        before, after = how.versions.get(name, "none"), now.versions.get(name, "none")
        if before != after:
            reasons.append(f"{name} was {before}, is {after}")
    if (how.cpu, how.threads) != (now.cpu, now.threads):
        reasons.append(f"the CPU was {how.cpu} with {how.threads} threads, is {now.cpu} with {now.threads}")
    return new, reasons


def _write_whole(files: list[tuple[Path, bytes]]) -> None:
    """Write every path's bytes, or leave all of them as they were; raises OSError."""
    staged: list[tuple[Path, Path]] = []
    try:
        for path, data in files:
            descriptor, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
            staged.append((Path(name), path))
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            os.chmod(name, 0o644)
        for staging, path in staged:
            os.replace(staging, path)
    finally:
        for staging, _ in staged:
            staging.unlink(missing_ok=True)
