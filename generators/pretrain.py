"""Train the models that ship in `generators/pretrained`, measure them on held-out data, and write their cards.

    python -m generators.pretrain                 all of them
    python -m generators.pretrain vae-fashion     one of them; add --resume to go on with a stopped run
    python -m generators.pretrain --classifiers   what samples of pictures are measured by

The data comes from packages (`artwright doctor` names what is missing). The figures in a model's card and config.json
are those measured here, on data not trained on; those of text and code stand beside Kneser-Ney's. The VAE's options
were chosen on val, those of the Markov models partly on the very parts reported: see tests/bench/EXPERIMENTS.md.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import generators
from generators.core.discounts import tuned_discounts
from generators.core.errors import Cancelled
from generators.core.generator import Generator, Score
from generators.core.kneser_ney import Ints, KneserNey
from generators.core.metrics import JUDGES, Classifier, classification_accuracy_score, judge_file, sample_scores
from generators.core.paths import cache
from generators.core.pictures import PictureModel
from generators.core.progress import progress_bar
from generators.core.training import Run
from generators.core.vocabulary import Characters
from generators.data import DataError, images, load, load_all
from generators.data.splits import Images, Texts


@dataclass(frozen=True)
class Recipe:
    """How one shipped model is made. score_on: what `load_all` reads for the held-out figures. base: the model that it
    goes on from, "" for none. labels: what the model says it knows, where that is not what its data says.
    """

    family: str
    source: str
    minutes: float | None  # None: as long as it takes to read the data
    score_on: str
    config: Mapping[str, Any] = field(default_factory=dict)
    base: str = ""
    labels: tuple[str, ...] = ()


END = "\x03"  # end of text: no item has it
RECIPES: dict[str, Recipe] = {
    "cgan-fashion": Recipe("cgan", "fashion-mnist", 20.0, "fashion-mnist:test"),
    "dcgan-fashion": Recipe("dcgan", "fashion-mnist", 12.0, "fashion-mnist:test"),
    "cgan-digits": Recipe("cgan", "mnist", 10.0, "mnist:test", {"width": 16, "hidden": 128, "discriminator_width": 32}),
    "vae-fashion": Recipe("vae", "fashion-mnist", 15.0, "fashion-mnist:test"),
    "vae-digits": Recipe("vae", "mnist", 5.0, "mnist:test", {"hidden": 96}),
    "gpt-code": Recipe(
        "codegpt", "python-stdlib", 25.0, "python-stdlib:test", {"layers": 4, "width": 160, "heads": 5, "batch": 8}
    ),
    "gpt-scripture": Recipe(
        "gpt", "kjv", 20.0, "kjv:val", {"layers": 4, "width": 160, "heads": 5, "context": 256, "batch": 8}
    ),
    "gpt-austen": Recipe("gpt", "austen", 9.0, "austen:val", base="gpt-scripture"),
    "mixture-scripture": Recipe("mixture", "kjv", 20.0, "kjv:val", {"max_counts": 600_000}),
    "bert-scripture": Recipe("bert", "kjv", 25.0, "kjv:val"),
    "lstm-names": Recipe(
        "lstm",
        "names",
        5.0,
        "names:test",
        {"layers": 3, "width": 128, "context": 32, "batch": 128, "learning_rate": 0.01},
    ),
    "hmm-words": Recipe("hmm", "kjv", 10.0, "kjv:val", {"states": 96}, labels=("scripture",)),
    "markov-names": Recipe("markov", "names", None, "names:test", {"order": 6}),
    "markov-scripture": Recipe("markov", "kjv", None, "kjv:val", {"order": 4, "level": "word", "max_mib": 3.9}),
}


def pretrain(
    name: str, *, minutes: float | None = None, resume: bool = False, place: Path | None = None, again: bool = False
) -> Generator:
    """Train, measure and write the model `name`; returns it. `again`: only measure the one that is there.

    Raises ValueError for a name without a recipe, and for a base that is not there.
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
            if recipe.base:
                base = _base(name, place)
                model = base.refit(splits, base.refit_config(**recipe.config), run)
            else:
                model = family.fit(splits, family.Config(**recipe.config), run)
        model.note_training(f"python -m generators.pretrain {name}" + (f" --minutes {minutes:g}" if minutes else ""))
    held_out = load_all(recipe.score_on, family.medium)
    model.info.scores = held_out_scores(model, held_out, recipe.score_on)
    if model.family != "markov" and any(score.metric == "nats_per_char" for score in model.info.scores):
        order = 6 if "invent_names" in model.tasks else 7
        model.info.scores.append(kneser_ney_score(splits.train, held_out, order, recipe.score_on))
    if isinstance(model, PictureModel) and held_out.names:
        model.info.scores += sample_scores(model, splits, held_out, recipe.score_on)
    if isinstance(model, PictureModel) and model.info.labels:
        model.info.scores.append(accuracy_score(model, splits, held_out, recipe.score_on))
    model.info.name = name
    model.info.labels = list(recipe.labels) or model.info.labels
    model.save_pretrained((place or generators.PRETRAINED) / name)
    if not again:
        shutil.rmtree(folder, ignore_errors=True)
    return model


def _base(name: str, place: Path | None) -> Generator:
    """The trained model that the recipe `name` goes on from: the one in `place` before any other of its name."""
    base = RECIPES[name].base
    folder = (place or generators.PRETRAINED) / base
    if (folder / "config.json").is_file():
        return generators.load(folder)
    if base not in generators.names():
        raise ValueError(
            f"{name} goes on from {base}, which is not here; python -m generators.pretrain {base} makes it."
        )
    return generators.load(base)


def held_out_scores(model: Generator, held_out: Any, data: str) -> list[Score]:
    """Every figure of `model.score` as a `Score` on `data`."""
    figures = model.score(held_out)
    return [Score(metric, value, data, int(figures["n"])) for metric, value in figures.items() if metric != "n"]


def kneser_ney_score(train: Texts, held_out: Texts, order: int, data: str) -> Score:
    """What interpolated modified Kneser-Ney of characters, counted on `train`, scores on `held_out`, called `data`.

    The figure compares with a model's `nats_per_char`: every character is scored, of an item its end too, each kind of
    items has a start symbol of its own, and the discounts are tuned as those of `generators.markov` are.
    """
    items = not train.running
    vocabulary = Characters.of([*train.items, END * items])
    size, starts = len(vocabulary), max(len(train.names), 1)

    def sequence(texts: Texts) -> Ints:
        if not items:
            return vocabulary.encode(texts.text)
        kinds = texts.labels or (0,) * len(texts)
        each = zip(texts.items, kinds, strict=True)
        return np.concatenate([np.append(size + kind, vocabulary.encode(item + END)) for item, kind in each])

    counted = sequence(train) if items else np.append(size, sequence(train))
    options: dict[str, Any] = {"size": size, "starts": starts, "order": order}
    model = KneserNey.fit(counted, discounts=tuned_discounts(counted, items, options), **options)
    n = len(held_out.text) + items
    return Score(f"kneser_ney_{order}_nats_per_char", float(-model.log_probs(sequence(held_out)).sum() / n), data, n)


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
