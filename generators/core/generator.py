"""The contract of a generator, and how to write one.

A family is one file in `generators/` (or an installed package's entry point in the group `artwright.generators`) with
a subclass of `Generator`. This is a whole one, of no use but complete; everything else (command line, tools, studio,
contract tests) follows from it:

    class Echo(Generator):
        family = "echo"
        medium = "text"
        tasks = frozenset({"write_text"})

        @dataclass
        class Config:
            words: int = 10  # how many words it remembers, 1 to 1000

        @classmethod
        def fit(cls, splits, config, run):
            model = cls()
            model.info = ModelInfo.of(cls, splits, config)
            model.memory = splits.train.text.split()[: config.words]
            return model

        def draw(self, request, *, seed, cancel):
            yield " ".join(self.memory[: request.args.get("words", 5)])

        def score(self, split):
            ...
        def state(self):
            return {"memory": np.frombuffer(" ".join(self.memory).encode(), np.uint8)}
        @classmethod
        def from_state(cls, info, state):
            ...
"""

from __future__ import annotations

import io
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from generators.core import checkpoint
from generators.core.errors import Cancelled, CheckpointError, RequestError
from generators.data.splits import Images, Source, Splits, Texts

if TYPE_CHECKING:
    from generators.core.artifact import Artifact
    from generators.core.inside import Inside
    from generators.core.training import Run, Trained

Medium = Literal["text", "code", "image", "music", "sound", "video"]

# The one metric (lower is better) by which `auto` ranks the models that serve a task.
TASK_METRICS: dict[str, str] = {
    "generate_image": "frechet_distance",
    "morph_images": "neg_elbo_nats",
    "vary_image": "neg_elbo_nats",
    "write_text": "nats_per_char",
    "fill_blanks": "masked_nats_per_word",
    "write_code": "nats_per_char",
    "invent_names": "nats_per_char",
}


class Cancel:
    """A switch that stops long work from another thread; `check()` raises `Cancelled` once it is set."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def set(self) -> None:
        """Ask for the stop."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether the stop was asked for."""
        return self._event.is_set()

    def check(self) -> None:
        """Raise `Cancelled` if the stop was asked for."""
        if self._event.is_set():
            raise Cancelled


@dataclass(frozen=True)
class Request:
    """What is asked of a generator: the tool's name and its arguments, without those left at `auto` or none."""

    task: str
    args: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Partial:
    """A sign of life between artifacts: what is being made, and how far it is (`done` of `total`).

    `text` is what has been written of a text so far. It mostly grows, but may start anew, and the end may be cut off
    what becomes the artifact.
    """

    message: str
    done: int = 0
    total: int = 0
    text: str = ""


@dataclass(frozen=True)
class Score:
    """A measured figure: `metric` (unit in its name), `value`, on which data (`fashion-mnist:test`), over `n` scored
    units.
    """

    metric: str
    value: float
    data: str
    n: int


@dataclass
class ModelInfo:
    """What `config.json` says of a trained model, so that it can be listed and chosen without loading it."""

    name: str
    family: str
    medium: str
    tasks: list[str]
    kinds: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    data: str = "unknown"
    data_sha256: str = ""
    licence: str = "unknown"
    parameters: int = 0
    scores: list[Score] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    seed: int = 0
    base: dict[str, str] = field(default_factory=dict)  # the model it goes on from: name, weights_sha256, data
    training: dict[str, Any] = field(default_factory=dict)  # command, steps, seconds, threads: how to make it again

    @classmethod
    def of(cls, generator: type[Generator], splits: Splits[Any], config: Any, seed: int = 0) -> ModelInfo:
        """The information of a model of class `generator` that was trained on `splits` with `config`."""
        source: Source = splits.source
        return cls(
            name="",
            family=generator.family,
            medium=generator.medium,
            tasks=sorted(generator.tasks),
            kinds=sorted(generator.kinds),
            labels=list(splits.train.names),
            data=source.name,
            data_sha256=source.sha256,
            licence=source.licence,
            config=asdict(config),
            versions=checkpoint.versions(),
            seed=seed,
        )

    def note_base(self, base: Generator) -> None:
        """Note which model this one goes on from, and under whose licence too."""
        earlier = base.info.base.get("data")
        data = f"{earlier}, then {base.info.data}" if earlier else base.info.data
        self.base = {"name": base.info.name, "weights_sha256": base.weights_sha256, "data": data}
        self.licence = " and ".join(dict.fromkeys([*base.info.licence.split(" and "), self.licence]))


class Generator(ABC):
    """A trainable model of one family; see the module's docstring for a whole example.

    Class attributes: `family` as `artwright train` names it, `kinds` the wider names it answers to (`gan`, `hybrid`,
    `transformer`), `medium` of its artifacts, `tasks` it serves (tool names), `Config` a dataclass of its options,
    `budgeted` whether minutes and steps bound its training (False where it is done once the data has been read).
    `refit_options`: what may be set when a model goes on from a trained one (`refit`), each with its default there,
    None for what that one has; a family without any cannot.
    """

    family: ClassVar[str]
    kinds: ClassVar[frozenset[str]] = frozenset()
    medium: ClassVar[Medium]
    tasks: ClassVar[frozenset[str]]
    budgeted: ClassVar[bool] = True
    refit_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    Config: ClassVar[type[Any]]

    info: ModelInfo
    weights_sha256: str = ""  # of model.safetensors, known once the model was saved or loaded
    trained: Trained | None = None  # how the run that made it went; not stored

    @classmethod
    @abstractmethod
    def fit(cls, splits: Splits[Any], config: Any, run: Run) -> Self:
        """Train on `splits.train`, choosing on `splits.val`, within `run`'s budget. Raises `Cancelled` when stopped."""

    def refit(self, splits: Splits[Any], config: Any, run: Run) -> Self:
        """A model that goes on from this one, as `fit` with other data; this one stays as it is.

        config: from `refit_config`. Raises ValueError for other options, a model that is not stored, and in a family
        that cannot.
        """
        raise ValueError(f"{self.family} models cannot go on from a trained model; fit a new one.")

    @classmethod
    def merged(cls, models: Sequence[Self], weights: Sequence[float] | None = None) -> Self:
        """One model of several of this family, by `weights` (any sum; None: all alike).

        Raises ValueError for models or weights that do not fit together, and in a family that cannot.
        """
        raise ValueError(f"{cls.family} models cannot be merged.")

    def refit_config(self, **given: Any) -> Any:
        """The options to go on with: as `given`, else by `refit_options`, else this model's own.

        Raises ValueError for an option that this model has settled.
        """
        own = asdict(self.Config(**self.info.config))
        for name, value in given.items():
            if name not in self.refit_options and value != own[name]:
                raise ValueError(
                    f"{name} is {own[name]} in {self.info.name}, and stays so in what goes on from it: leave {name} "
                    f"out. What may be set: {', '.join(self.refit_options)}."
                )
        usual = {name: value for name, value in self.refit_options.items() if value is not None}
        return self.Config(**{**own, **usual, **given})

    @abstractmethod
    def draw(self, request: Request, *, seed: int, cancel: Cancel) -> Iterator[Any]:
        """The contents of the artifacts that `request` asks for, one after the other, or `Partial`s between them.

        Sample i depends on (seed, i) alone: use `rng(seed, i)` or `torch_rng(seed, i)`, and compute each sample in the
        same shape of batch, since a matrix product's bits depend on it. Image contents are (H, W) or (H, W, 3) uint8,
        text contents str. Raises `RequestError` for arguments it cannot serve.
        """

    @abstractmethod
    def score(self, split: Any) -> dict[str, float]:
        """Exact held-out loss over the whole split: figures with their unit in the name, and `n`, the units scored."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """The arrays that make the model, for `model.safetensors`."""

    @classmethod
    @abstractmethod
    def from_state(cls, info: ModelInfo, state: dict[str, NDArray[Any]]) -> Self:
        """The model back from `state()` and its information. Raises `CheckpointError` where they do not fit."""

    def sample(self, count: int, *, label: str | None = None, seed: int = 0) -> dict[str, NDArray[Any]]:
        """`count` raw samples for evaluation, in any batch size.

        Images: `images` (N, H, W) or (N, H, W, 3) uint8 and `labels` (N,) int64 in the data set's own numbering, all
        labels in turn unless `label` is given. Text: `texts` (N,) str.
        """
        raise RequestError(f"{self.info.name or self.family} has no raw samples to give.")

    def look_inside(self, text: str) -> Inside:
        """What a model of text does on one line. Raises `RequestError` for a line that it cannot read whole."""
        raise RequestError(
            f"{self.info.name or self.family} ({self.medium}) cannot be looked into; choose a model of text."
        )

    def note_training(self, command: str) -> None:
        """Put into the model's information which command made it, and what that took."""
        import torch

        how = self.trained
        self.info.training = {"command": command}
        if how is not None:
            self.info.training |= {
                "steps": how.steps,
                "seconds": round(how.seconds),
                "threads": torch.get_num_threads(),
            }

    def card_files(self) -> dict[str, bytes]:
        """Files that the model card shows, by name: samples and curves, where there are such."""
        from generators.core.sheets import contact_sheet, curves

        files: dict[str, bytes] = {}
        if self.medium == "image":
            classes = len(self.info.labels) if 1 < len(self.info.labels) <= 12 else 10
            with suppress(RequestError):  # not every family has raw samples
                made = self.sample(8 * classes, seed=1)["images"]
                buffer = io.BytesIO()
                contact_sheet(made, columns=classes, scale=2 if made.shape[1] <= 32 else 1).save(buffer, "PNG")
                files["samples.png"] = buffer.getvalue()
        drawn = curves(self.trained.history) if self.trained is not None else ""
        if drawn:
            files["curves.svg"] = drawn.encode()
        return files

    def card_notes(self) -> str:
        """A paragraph for the model card on what is particular to this family (Markdown)."""
        return ""

    def generate(self, request: Request, *, seed: int, cancel: Cancel | None = None) -> Iterator[Artifact | Partial]:
        """Serve `request` with `seed`: artifacts with their provenance, in order, and `Partial`s between them."""
        from generators.core.artifact import artifact_of

        if request.task not in self.tasks:
            raise RequestError(
                f"{self.info.name} does not serve {request.task}; it serves {', '.join(sorted(self.tasks))}."
            )
        cancel = cancel or Cancel()
        index = 0
        for content in self.draw(request, seed=seed, cancel=cancel):
            cancel.check()
            if isinstance(content, Partial):
                yield content
            else:
                yield artifact_of(self, content, request, seed, index)
                index += 1

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write the model to `folder` (all of it or nothing): config.json, model.safetensors, the card.

        Returns the folder.
        """
        folder = Path(folder)
        self.info.name = self.info.name or folder.name
        self.info.tasks = sorted(self.tasks)
        kept: dict[str, bytes] = {}
        weights = folder / checkpoint.WEIGHTS
        if weights.is_file() and checkpoint.sha256(weights) == self.weights_sha256:  # measured again: its curves stay
            kept = {name: (folder / name).read_bytes() for name in checkpoint.SHOWN if (folder / name).is_file()}
        files = {**kept, **self.card_files()}
        self.weights_sha256 = checkpoint.write(folder, asdict(self.info), self.state(), card(self, files), files)
        return folder

    @classmethod
    def from_pretrained(cls, name_or_folder: str | Path) -> Self:
        """A trained model by name or folder. Raises `CheckpointError` for one that is damaged or of another family."""
        from generators import find

        folder = find(name_or_folder)
        info = read_info(folder)
        if info.family != cls.family:
            raise _unusable(folder, f"is of the family {info.family}, not {cls.family}")
        model = cls.from_state(info, checkpoint.read_tensors(folder))
        model.info = info
        model.weights_sha256 = checkpoint.sha256(folder / checkpoint.WEIGHTS)
        return model


def _unusable(folder: Path, problem: str) -> CheckpointError:
    """The one sentence for a model folder that cannot be used."""
    return CheckpointError(f"The model in {folder} {problem}; train it again or remove the folder.")


def read_info(folder: Path) -> ModelInfo:
    """The information in a model folder's config.json. Raises `CheckpointError`."""
    try:
        info = checkpoint.checked(ModelInfo, checkpoint.read_config(folder))
    except CheckpointError:
        raise
    except ValueError as error:
        raise _unusable(folder, f"has a config.json with wrong entries ({error})") from error
    info.name = folder.name if not info.name else info.name
    return info


def rng(seed: int, index: int = 0) -> np.random.Generator:
    """The random generator of sample `index` of a request with `seed`."""
    return np.random.default_rng([seed, index])


def torch_rng(seed: int, index: int = 0) -> Any:
    """Like `rng`, a `torch.Generator` on the CPU."""
    import torch

    mixed = int(np.random.SeedSequence([seed, index]).generate_state(1, np.uint64)[0]) & (2**63 - 1)
    return torch.Generator().manual_seed(mixed)


def card(model: Generator, files: Mapping[str, bytes] = MappingProxyType({})) -> str:
    """The model card (Markdown) of a trained model, from its information alone: no figure that was not measured.

    `files`: the pictures that lie beside it, see `Generator.card_files`.
    """
    info = model.info
    rows = "\n".join(f"| {s.metric} | {s.value:.4g} | {s.data} | {s.n:,} |" for s in info.scores)
    scores = f"| metric | value | data | n |\n|---|---|---|---|\n{rows}" if rows else "Not measured yet."
    options = "\n".join(f"- `{key}`: {value}" for key, value in info.config.items())
    parts = [
        f"# {info.name}",
        f"A `{info.family}` model ({info.medium}) that serves {', '.join(f'`{t}`' for t in info.tasks)}. "
        f"{info.parameters:,} parameters.",
        model.card_notes(),
        f"## Data\n\n{info.data}, licence {info.licence}"
        + (f", sha256 `{info.data_sha256[:16]}`" if info.data_sha256 else "")
        + (f".\n\nLabels: {', '.join(info.labels)}." if info.labels else ".")
        + (f"\n\n{_base(info)}" if info.base else ""),
        f"## Held-out figures\n\n{scores}{_peer(info)}",
        "## Samples\n\nNot chosen: the first of seed 1.\n\n![samples](samples.png)" if "samples.png" in files else "",
        f"## Training\n\n{_training(info)}" if info.training else "",
        "![curves of the training](curves.svg)" if "curves.svg" in files else "",
        f"## Options\n\nseed {info.seed}\n\n{options}",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _base(info: ModelInfo) -> str:
    base = info.base
    return (
        f"Goes on from `{base['name']}` (weights' sha256 `{base['weights_sha256'][:16]}`), trained on {base['data']}."
    )


def _peer(info: ModelInfo) -> str:
    """What the table's Kneser-Ney row is, where it has one."""
    if not any(score.metric.startswith("kneser_ney") for score in info.scores):
        return ""
    return (
        "\n\n`kneser_ney` is no figure of this model but one to compare with: that of interpolated modified Kneser-Ney "
        f"of the order in the name, over the characters of the training part of {info.data} alone."
    )


def _training(info: ModelInfo) -> str:
    how = dict(info.training)
    lines = [f"```\n{how.pop('command', '')}\n```"]
    if "parts" in how:
        parts = (f"`{name}` (weights' sha256 `{sha256[:16]}`)" for name, sha256 in how["parts"].items())
        lines.append(f"Its parts: {', '.join(parts)}.")
    if "steps" in how:
        threads = f"{how['threads']} thread{'s' * (how['threads'] > 1)}"
        lines.append(f"{how['steps']:,} steps in {how['seconds']:,} s on {threads}.")
    return "\n\n".join(lines)


__all__ = [
    "TASK_METRICS", "Cancel", "Generator", "Images", "Medium", "ModelInfo", "Partial", "Request", "Score", "Splits",
    "Texts", "card", "read_info", "rng", "torch_rng",
]  # fmt: skip
