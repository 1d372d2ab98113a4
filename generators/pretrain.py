"""Train the models that ship in `generators/pretrained`, measure them on held-out data, and write their cards.

    python -m generators.pretrain                 all of them
    python -m generators.pretrain vae-fashion     one of them; add --resume to go on with a stopped run
    python -m generators.pretrain --classifiers   what samples of pictures are measured by

The data comes from packages (`artwright doctor` names what is missing). The figures in a model's card and config.json
are those measured here, on data not trained on. The VAE's options were chosen on val, those of the Markov models partly
on the very parts reported: see tests/bench/EXPERIMENTS.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import generators
from generators.core.errors import Cancelled
from generators.core.generator import Generator, Score
from generators.core.metrics import JUDGES, Classifier, classification_accuracy_score, judge_file, sample_scores
from generators.core.paths import cache
from generators.core.pictures import PictureModel
from generators.core.progress import progress_bar
from generators.core.training import Run
from generators.data import DataError, images, load, load_all
from generators.data.splits import Images


@dataclass(frozen=True)
class Recipe:
    """How one shipped model is made. score_on: what `load_all` reads for the held-out figures."""

    family: str
    source: str
    minutes: float | None  # None: as long as it takes to read the data
    score_on: str
    config: Mapping[str, Any] = field(default_factory=dict)


RECIPES: dict[str, Recipe] = {
    "cgan-fashion": Recipe("cgan", "fashion-mnist", 20.0, "fashion-mnist:test"),
    "dcgan-fashion": Recipe("dcgan", "fashion-mnist", 12.0, "fashion-mnist:test"),
    "cgan-digits": Recipe("cgan", "mnist", 10.0, "mnist:test", {"width": 16, "hidden": 128, "discriminator_width": 32}),
    "vae-fashion": Recipe("vae", "fashion-mnist", 15.0, "fashion-mnist:test"),
    "vae-digits": Recipe("vae", "mnist", 5.0, "mnist:test", {"hidden": 96}),
    "gpt-code": Recipe(
        "codegpt", "python-stdlib", 60.0, "python-stdlib:test", {"layers": 6, "width": 192, "heads": 6, "batch": 16}
    ),
    "markov-names": Recipe("markov", "names", None, "names:test", {"order": 6}),
    "markov-scripture": Recipe("markov", "kjv", None, "kjv:val", {"order": 4, "level": "word", "max_mib": 3.9}),
}


def pretrain(
    name: str, *, minutes: float | None = None, resume: bool = False, place: Path | None = None, again: bool = False
) -> Generator:
    """Train, measure and write the model `name`; returns it. `again`: only measure the one that is there.

    Raises ValueError for a name without a recipe.
    """
    if name not in RECIPES:
        raise ValueError(f"There is no recipe for {name!r}; there are {', '.join(RECIPES)}.")
    recipe = RECIPES[name]
    family = generators.family(recipe.family)
    splits = load(recipe.source, family.medium)
    folder = cache() / "runs" / name
    if again:
        model = generators.load(name)
    else:
        with progress_bar(name) as bar:
            run = Run(minutes=minutes or recipe.minutes, folder=folder, resume=resume, callbacks=(bar,))
            model = family.fit(splits, family.Config(**recipe.config), run)
        model.note_training(f"python -m generators.pretrain {name}" + (f" --minutes {minutes:g}" if minutes else ""))
    held_out = load_all(recipe.score_on, family.medium)
    model.info.scores = held_out_scores(model, held_out, recipe.score_on)
    if isinstance(model, PictureModel) and held_out.names:
        model.info.scores += sample_scores(model, splits, held_out, recipe.score_on)
    if isinstance(model, PictureModel) and model.info.labels:
        model.info.scores.append(accuracy_score(model, splits, held_out, recipe.score_on))
    model.info.name = name
    model.save_pretrained((place or generators.PRETRAINED) / name)
    if not again:
        shutil.rmtree(folder, ignore_errors=True)
    return model


def held_out_scores(model: Generator, held_out: Any, data: str) -> list[Score]:
    """Every figure of `model.score` as a `Score` on `data`."""
    figures = model.score(held_out)
    return [Score(metric, value, data, int(figures["n"])) for metric, value in figures.items() if metric != "n"]


def accuracy_score(model: Generator, splits: Any, held_out: Any, data: str) -> Score:
    """The classification accuracy score of as many samples as there are training pictures."""
    made = model.sample(len(splits.train), seed=1)
    value = classification_accuracy_score(Images(made["images"], made["labels"], held_out.names), held_out)
    return Score("classification_accuracy_score", value, data, len(held_out))


def train_classifiers() -> None:
    """Train the classifiers by whose features samples of packaged pictures are measured; prints how good they are."""
    for source in sorted({recipe.source for recipe in RECIPES.values() if recipe.source in images.SOURCES}):
        splits = load(source, "image")
        judge = Classifier.fit(splits.train, epochs=10)
        size = splits.train.pixels.shape[1]
        judge.save(JUDGES / judge_file(splits.source.name, splits.source.sha256, size))
        held_out = load_all(f"{source}:test", "image")
        print(
            f"classifier of {source}: {judge.accuracy(held_out.pixels, held_out.labels):.2%} of the test pictures right"
        )


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(prog="python -m generators.pretrain", description="Train the shipped models.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(RECIPES)} (default: all)")
    parser.add_argument("--minutes", type=float, help="wall-clock budget in place of the recipe's")
    parser.add_argument("--resume", action="store_true", help="go on with a stopped run")
    parser.add_argument("--measure", action="store_true", help="train nothing, measure the models that are there anew")
    parser.add_argument("--out", type=Path, help="folder to write to in place of generators/pretrained")
    parser.add_argument("--classifiers", action="store_true", help="train the classifiers that samples are measured by")
    options = parser.parse_args(arguments)
    if options.classifiers:
        train_classifiers()
        return 0
    for name in options.names or RECIPES:
        try:
            model = pretrain(
                name, minutes=options.minutes, resume=options.resume, place=options.out, again=options.measure
            )
        except Cancelled:
            print(f"Stopped; python -m generators.pretrain {name} --resume goes on.", file=sys.stderr)
            return 130
        except (DataError, ValueError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        for score in model.info.scores:
            print(f"{name}: {score.metric} {score.value:.4g} on {score.data} (n = {score.n:,})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
