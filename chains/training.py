"""Training from start to finish, as `artwright train` runs it: options, data, the run, its held-out figures, saving."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import sys
import tempfile
import types
import typing
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from generators.core.generator import Generator
    from generators.data.splits import Splits

MEASURED = 500_000  # characters of held-out text that a network is measured on after training
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Interrupted(Exception):
    """Ctrl-C stopped a training; the message says how to go on."""


@dataclass(frozen=True)
class Training:
    """What `artwright train` was asked for; the fields are its options."""

    family: str
    data: str
    val: str | None = None
    name: str | None = None
    minutes: float | None = None
    steps: int | None = None
    seed: int = 0
    resume: bool = False
    start: str | None = None
    out: Path | None = None
    settings: tuple[str, ...] = ()

    @property
    def model_name(self) -> str:
        """The model's name: the one given, or FAMILY-DATA."""
        stem = re.sub(r"[^A-Za-z0-9]+", "-", Path(self.data).stem).strip("-").lower()
        return self.name or f"{self.family}-{stem or 'data'}"[:64]

    def command(self, *more: str) -> str:
        """The command line of this training with `more` at its end."""
        parts = ["artwright", "train", self.family, "--data", self.data]
        for option, value in [("val", self.val), ("name", self.name), ("minutes", self.minutes), ("steps", self.steps),
                              ("seed", self.seed or None), ("from", self.start), ("out", self.out)]:  # fmt: skip
            if value is not None:
                parts += [f"--{option}", f"{value:g}" if isinstance(value, float) else str(value)]
        for setting in self.settings:
            parts += ["--set", setting]
        return shlex.join([*parts, *more])


def train(asked: Training) -> Path:
    """Train, measure on the validation data, save; prints and returns the model's folder.

    Raises ValueError or OSError for a person's mistakes, before any work where that is possible, and `Interrupted`
    with the command that goes on when ctrl-C stopped it.
    """
    import generators
    from generators.core.errors import Cancelled
    from generators.core.progress import busy, progress_bar
    from generators.core.training import CHECKPOINT, Run, is_main
    from generators.data import load

    target, work = _places(asked)
    cls = generators.family(asked.family)
    first = _started_from(asked, cls)
    config = configured(cls, asked.settings, first)
    if asked.resume and not (work / CHECKPOINT).is_file():
        raise ValueError(f"There is no interrupted run of {asked.model_name} to go on with; start it without --resume.")
    run = Run(seed=asked.seed, minutes=asked.minutes, steps=asked.steps, folder=work, resume=asked.resume)
    if not cls.budgeted:
        _warn_of_budget(asked)
    saved = False
    try:
        with busy(f"reading {asked.data}"):
            splits = load(asked.data, cls.medium, val=asked.val)
        if not asked.resume and work.exists() and is_main():
            print(f"dropping the interrupted run in {work}", file=sys.stderr)
            shutil.rmtree(work)
        with progress_bar(f"training {asked.model_name}", shown=is_main()) as bar:
            run.callbacks = (bar, _live_samples(work, bar.tell)) if is_main() else ()
            model: Generator = first.refit(splits, config, run) if first else cls.fit(splits, config, run)
        if not is_main():
            return target  # another process has the same weights, and writes them
        model.info.name, model.info.seed = asked.model_name, asked.seed
        model.note_training(_recorded(asked))
        model.save_pretrained(target)  # measuring may take a while, or fail
        saved = True
        _measure(model, splits, asked)
        model.save_pretrained(target)
    except (Cancelled, KeyboardInterrupt):
        how = "nothing was kept; start it again"
        if saved:
            how = f"the model in {target} is whole, but not measured; artwright score does"
        elif (work / CHECKPOINT).is_file():
            how = f"go on with: {asked.command('--resume')}"
        raise Interrupted(f"stopped; {how}") from None
    shutil.rmtree(work, ignore_errors=True)
    print(target)
    return target


def merge(names: list[str], weights: list[float], name: str | None, out: Path | None) -> Path:
    """One model of several of a family, see `Generator.merged`; saves it, prints and returns its folder.

    Raises ValueError for models or weights that do not fit together, and OSError.
    """
    import generators

    models = [generators.load(one) for one in names]
    family = models[0].family
    for model in models:
        if model.family != family:
            raise ValueError(f"{model.info.name} is of the family {model.family}, not {family}; merge models of one.")
    made = type(models[0]).merged(models, weights or None)
    stem = "-".join(model.info.name.removeprefix(f"{family}-") for model in models)
    asked = Training(family, stem, name=name, out=out)
    if asked.model_name in [model.info.name for model in models]:
        raise ValueError(f"{asked.model_name} is one of the models to merge; give the new one another --name.")
    target, _ = _places(asked)
    made.info.name = asked.model_name
    told = [f"--weight {weight:g}" for weight in weights] + ([f"--name {name}"] if name else [])
    made.note_training(" ".join(["artwright merge", *(model.info.name for model in models), *told]))
    made.info.training["parts"] = {model.info.name: model.weights_sha256 for model in models}
    made.save_pretrained(target)
    print(target)
    return target


def _recorded(asked: Training) -> str:
    """The command for the model card, which may be passed on: without this machine's folders."""
    val = Path(asked.val).name if asked.val else None
    start = Path(asked.start).name if asked.start else None
    plain = replace(asked, data=Path(asked.data).name or asked.data, val=val, start=start, out=None)
    return plain.command() + ("  # and gone on with: --resume" if asked.resume else "")


def _live_samples(work: Path, tell: Callable[[str], None]) -> Callable[[Any], None]:
    """A callback that keeps the newest samples of a run as `samples.png` in its folder, and says so once."""
    told = False

    def keep(event: Any) -> None:
        nonlocal told
        if event.images is None:
            return
        from generators.core.sheets import contact_sheet

        try:
            work.mkdir(parents=True, exist_ok=True)
            contact_sheet(event.images).save(work / "samples.png")
        except OSError:  # a full disk, which the checkpoint will tell of
            return
        if not told:
            told = True
            tell(f"samples, renewed ten times a run: {work / 'samples.png'}")

    return keep


def _places(asked: Training) -> tuple[Path, Path]:
    """Where the model goes and where the run is kept. Raises ValueError or OSError where that cannot be."""
    import generators
    from generators.core.paths import home

    name = asked.model_name
    if not NAME.fullmatch(name) or name == "auto":
        raise ValueError(f"--name {name} cannot be a model's name; use letters, digits, '-', '_' and '.', 64 at most.")
    if asked.out is not None:
        target = asked.out.expanduser().absolute()
        if target.exists() and not _replaceable(target):
            raise ValueError(f"--out {target} is neither new nor empty nor a trained model; give another folder.")
        work = target.with_name(f".{target.name}.run")
    else:
        target, work = home().absolute() / "models" / name, home().absolute() / "runs" / name
        there = generators.folders().get(name)
        if there is not None and there.absolute() != target:
            raise ValueError(f"{name} is the name of a model in {there}; give this one another --name.")
    if (target / "config.json").is_file():
        print(f"the model in {target} will be replaced", file=sys.stderr)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=target.parent):
        return target, work


def _replaceable(folder: Path) -> bool:
    """Whether a folder is empty, or a trained model with nothing of anybody else's in it: it is replaced whole."""
    from generators.core import checkpoint
    from generators.core.errors import CheckpointError

    if not folder.is_dir():
        return False
    entries = {path.name for path in folder.iterdir()}
    if not entries:
        return True
    try:
        checkpoint.read_config(folder)
    except CheckpointError:
        return False
    return entries <= {checkpoint.CONFIG, checkpoint.WEIGHTS, checkpoint.CARD, *checkpoint.SHOWN}


def _started_from(asked: Training, cls: type[Generator]) -> Generator | None:
    """The trained model to go on from, if any. Raises ValueError for one that a model of `cls` cannot go on from."""
    import generators

    if asked.start is None:
        return None
    if not cls.refit_options:
        able = ", ".join(name for name in generators.families() if generators.family(name).refit_options)
        raise ValueError(f"{asked.family} models cannot go on from a trained model, only {able}; leave --from out.")
    model = generators.load(asked.start)
    if model.family != asked.family:
        raise ValueError(
            f"--from {asked.start} is of the family {model.family}, not {asked.family}: train {model.family}, or start "
            f"from another model."
        )
    return model


def _warn_of_budget(asked: Training) -> None:
    """Say that --minutes or --steps is of no use to a family that is done when it has read its data.

    Such a family says `budgeted = False` in its class.
    """
    given = f"--minutes {asked.minutes:g}" if asked.minutes else f"--steps {asked.steps}" if asked.steps else ""
    if given:
        why = f"{asked.family} models are done when they have read all the data, however long that takes"
        print(f"{given} changes nothing: {why}", file=sys.stderr)


def _measure(model: Generator, splits: Splits[Any], asked: Training) -> None:
    """Put the exact loss on the validation data into the model's information.

    A network reads the first `MEASURED` characters of a text only, as `n` tells: it may learn for a minute from what
    takes hours to score.
    """
    from generators.core.generator import Score, Texts

    if not len(splits.val):
        return
    cut = isinstance(splits.val, Texts) and model.budgeted
    figures = dict(model.score(splits.val.head(MEASURED) if cut else splits.val))
    counted = int(figures.pop("n", 0))
    data = Path(asked.val).name if asked.val else f"{splits.source.name}:val"
    new = [Score(metric, float(value), data, counted) for metric, value in figures.items()]
    from generators.core.pictures import PictureModel

    if isinstance(model, PictureModel) and splits.train.names and counted >= 50:
        from generators.core.metrics import sample_scores

        print("measuring samples; the first time, a classifier of the data is trained for that", file=sys.stderr)
        new += sample_scores(model, splits, splits.val, data)
    replaced = {(score.metric, score.data) for score in new}
    model.info.scores = [old for old in model.info.scores if (old.metric, old.data) not in replaced] + new
    print("; ".join(f"{s.metric} {s.value:.5g} on {s.data} (n {s.n:,})" for s in new), file=sys.stderr)


def configured(cls: type[Generator], settings: tuple[str, ...], first: Generator | None = None) -> Any:
    """The family's `Config` with `key=value` settings, of a model that goes on from `first` where there is one.

    Raises ValueError that lists the options.
    """
    kinds = typing.get_type_hints(cls.Config)
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in kinds:
            raise ValueError(f"--set {setting}: {cls.family} has the options {_options(cls)}; write --set key=value.")
        try:
            values[key] = parsed(text, kinds[key])
        except ValueError:
            raise ValueError(f"--set {setting}: {key} must be {spelled(kinds[key])}.") from None
    return first.refit_config(**values) if first else cls.Config(**values)


def _options(cls: type[Generator]) -> str:
    named = []
    for option in fields(cls.Config):
        default = option.default_factory() if option.default_factory is not MISSING else option.default
        named.append(option.name if default is MISSING else f"{option.name}={default}")
    return ", ".join(named)


def parsed(text: str, kind: Any) -> Any:
    """`text` as a value of the annotation `kind`: a plain type, Literal, a union or a tuple. Raises ValueError."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        for part in parts:
            try:
                return parsed(text, part)
            except ValueError:
                continue
        raise ValueError(text)
    if origin is typing.Literal:
        for choice in parts:
            if str(choice) == text:
                return choice
        raise ValueError(text)
    if origin is tuple:
        pieces = text.strip("()").rstrip(",").split(",")
        inner = parts[:1] * len(pieces) if parts[1:] == (Ellipsis,) else parts
        return tuple(parsed(piece.strip(), part) for piece, part in zip(pieces, inner, strict=True))
    if kind is type(None):
        if text.lower() == "none":
            return None
        raise ValueError(text)
    if kind is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError(text)
    if kind is float:
        number = float(text)
        if not math.isfinite(number):
            raise ValueError(text)
        return number
    return kind(text)


def spelled(kind: Any) -> str:
    """An annotation in words: `a whole number`, `a or b`."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(spelled(part) for part in parts)
    if origin is typing.Literal:
        return " or ".join(str(part) for part in parts)
    if origin is tuple:
        return f"values with commas between, each {spelled(parts[0])}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", type(None): "none"}
    return words.get(kind, str(kind))
