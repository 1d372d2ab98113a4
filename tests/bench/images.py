"""Our image families against their peers at an equal wall-clock budget, on Fashion-MNIST and the same cores; and what
ships, against the same peers. One after the other; about half an hour.

    python tests/bench/images.py [--gan-seconds 300] [--vae-seconds 180] [--seed 0] [--only gan|vae] [--pythae FOLDER]

The peers are in image_peers.py. pythae is not a dependency; where it is missing, install it beside this project's
packages, not among them:

    pip install --no-deps --target /tmp/pythae pythae cloudpickle scipy
    python tests/bench/images.py --pythae /tmp/pythae

All are trained on the same pictures and measured on the same 10,000 test pictures with 10,000 samples, in the features
of one small classifier. Targets are shares of the peer's figure in the same run. Exits with 1 where one is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import image_peers
import numpy as np
import torch

import generators
from generators.core.generator import Cancel, Request
from generators.core.metrics import Classifier, classification_accuracy_score, frechet_distance, judge_of, prdc
from generators.core.metrics import memorised as memorised_share
from generators.core.progress import progress_bar
from generators.core.training import Run
from generators.data.images import load
from generators.data.splits import Images, Splits

SAMPLES = 10_000
Row = tuple[str, str, float, str, bool]  # what, measured with, value, target, met


class Table:
    """Rows of the report, and the features that distances are taken in."""

    def __init__(self, splits: Splits[Images]) -> None:
        assert splits.test is not None
        self.splits, self.test = splits, splits.test
        self.judge: Classifier = judge_of(splits.train, splits.source.name, splits.source.sha256)
        self.real = self.judge.features(self.test.pixels)
        self.rows: list[Row] = []

    def distance(self, pixels: np.ndarray) -> float:
        """The Frechet distance of samples from the test pictures."""
        return frechet_distance(self.judge.features(pixels), self.real)

    def add(self, what: str, metric: str, value: float, target: str = "-", met: bool = True) -> None:
        """Add a row and show it on stderr at once."""
        self.rows.append((what, metric, value, target, met))
        print(f"  {what}: {metric} {value:.4g} (target {target})", file=sys.stderr)

    def at_most(self, what: str, metric: str, value: float, most: float) -> None:
        """A row whose target is an upper bound."""
        self.add(what, metric, value, f"<= {most:.4g}", value <= most)

    def at_least(self, what: str, metric: str, value: float, least: float) -> None:
        """A row whose target is a lower bound."""
        self.add(what, metric, value, f">= {least:.4g}", value >= least)


def fitted(family: str, splits: Splits[Images], seconds: float, seed: int) -> tuple[Any, float]:
    """A model after `seconds` of training, all of `fit` counted, and the seconds that it took."""
    cls = generators.family(family)
    began, share = time.monotonic(), 0.76 if family == "vae" else 0.99  # the VAE's second stage takes the rest
    with progress_bar(family) as bar:
        model = cls.fit(splits, cls.Config(), Run(seed=seed, minutes=share * seconds / 60, callbacks=(bar,)))
    return model, time.monotonic() - began


def gans(table: Table, seconds: float, seed: int) -> None:
    """cgan against the DCGAN recipe; cgan-fashion and dcgan-fashion against the same."""
    figures, images = image_peers.dcgan(table.splits, seconds, seed)
    peer = table.distance(images)
    table.add(f"DCGAN recipe, {figures['seconds']:.0f} s, {figures['steps']} steps", "frechet_distance", peer)
    model, spent = fitted("cgan", table.splits, seconds, seed)
    made = model.sample(SAMPLES, seed=seed)
    what = f"cgan, {spent:.0f} s, {model.trained.steps} steps"
    table.at_most(what, "frechet_distance", table.distance(made["images"]), 0.4 * peer)
    table.at_least(what, "label_fidelity", table.judge.accuracy(made["images"], made["labels"]), 0.90)
    table.at_most(what, "seconds", spent, 1.02 * seconds)
    shipped(table, "cgan-fashion", 0.16 * peer, seed)
    shipped(table, "dcgan-fashion", 0.3 * peer, seed)


def vaes(table: Table, seconds: float, seed: int) -> None:
    """vae against pythae's; vae-fashion against the same; its likelihood and its morphs."""
    figures, images = image_peers.pythae(table.splits, seconds, seed)
    peer, bound = table.distance(images), figures["neg_elbo_nats"]
    what = f"pythae VAE, {figures['seconds']:.0f} s, {figures['steps']} steps"
    table.add(what, "frechet_distance", peer)
    table.add(what, "neg_elbo_nats", bound)
    model, spent = fitted("vae", table.splits, seconds, seed)
    what = f"vae, {spent:.0f} s, {model.trained.steps} steps"
    made = model.sample(SAMPLES, seed=seed)
    table.at_most(what, "frechet_distance", table.distance(made["images"]), 0.5 * peer)
    table.at_most(what, "neg_elbo_nats", model.score(table.test)["neg_elbo_nats"], bound - 20)
    table.at_most(what, "seconds", spent, 1.02 * seconds)
    shipped(table, "vae-fashion", 0.35 * peer, seed)
    likelihood(table)


def shipped(table: Table, name: str, most: float, seed: int) -> None:
    """A shipped model's samples."""
    model: Any = generators.load(name)
    made = model.sample(SAMPLES, seed=seed)
    table.at_most(name, "frechet_distance", table.distance(made["images"]), most)
    for metric, value in prdc(table.real, table.judge.features(made["images"])).items():
        table.add(name, metric, value)
    held, train = table.test.pixels, table.splits.train
    table.at_most(name, "memorised", memorised_share(made["images"], train.pixels, held), 0.03)
    if model.info.labels:
        fidelity = table.judge.accuracy(made["images"], made["labels"])
        table.at_least(name, "label_fidelity", fidelity, 0.95)
        many = model.sample(len(train), seed=seed + 1)
        score = classification_accuracy_score(Images(many["images"], many["labels"], train.names), table.test, seed)
        table.add(
            name, "classification_accuracy_score", score, ">= 0.8 for the best", name != "cgan-fashion" or score >= 0.8
        )
        morphs(table, model)
    request = Request("generate_image", {"subject": (model.info.labels or [""])[0], "count": 16})
    times = []
    for i in range(6):
        began = time.monotonic()
        list(model.draw(request, seed=i, cancel=Cancel()))
        times.append(time.monotonic() - began)
    table.at_most(name, "seconds for 16 pictures", float(np.median(times[1:])), 0.15)


def morphs(table: Table, model: Any) -> None:
    """How often the classifier changes its mind on the way from one label to another, over 90 morphs of 16 frames."""
    labels, changes = model.info.labels, []
    for start in labels:
        for end in labels:
            if start != end:
                request = Request("morph_images", {"start": start, "end": end, "frames": 16})
                frames = np.stack(
                    [f for f in model.draw(request, seed=1, cancel=Cancel()) if isinstance(f, np.ndarray)]
                )
                seen = table.judge.classify(frames)
                changes.append(int((seen[1:] != seen[:-1]).sum()))
    often = float(np.mean([change <= 2 for change in changes]))
    table.add(model.info.name, "morphs with two changes of class or fewer", often)
    table.at_most(model.info.name, "most changes of class in a morph", float(max(changes)), 9)


def likelihood(table: Table) -> None:
    """The importance-weighted estimates of 500 test pictures with 500 and with 5,000 samples."""
    model: Any = generators.load("vae-fashion")
    some = table.test.take(np.arange(500))
    found = {k: model.nll(some, k)["nll_nats"] for k in (500, 5000)}
    table.add("vae-fashion, 500 test pictures, k = 500", "nll_nats", found[500])
    table.at_most("the same, k = 5,000, how far from that", "nats", abs(found[5000] - found[500]), 0.3)


def main() -> int:
    parser = argparse.ArgumentParser(description="Our image families against their peers.")
    parser.add_argument("--gan-seconds", type=float, default=300.0, help="wall-clock budget of each GAN")
    parser.add_argument("--vae-seconds", type=float, default=180.0, help="wall-clock budget of each VAE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("gan", "vae"), help="one half of it")
    parser.add_argument("--pythae", type=Path, help="folder that pythae was installed to with pip's --target")
    options = parser.parse_args()
    if options.pythae:
        sys.path.append(str(options.pythae))
    if options.only != "gan":
        try:
            import pythae.models  # noqa: F401
        except ImportError as error:
            print(
                f"pythae is not here ({error}); get it with:\n"
                "    pip install --no-deps --target /tmp/pythae pythae cloudpickle scipy\n"
                "and run: python tests/bench/images.py --pythae /tmp/pythae",
                file=sys.stderr,
            )
            return 2
    table = Table(load("fashion-mnist"))
    right = table.judge.accuracy(table.test.pixels, table.test.labels)
    table.add("the classifier, on test pictures", "accuracy", right)
    table.add("val against test pictures", "frechet_distance", table.distance(table.splits.val.pixels))
    parts: dict[str, tuple[Callable[[Table, float, int], None], float]] = {
        "gan": (gans, options.gan_seconds), "vae": (vaes, options.vae_seconds),
    }  # fmt: skip
    for name, (part, seconds) in parts.items():
        if options.only in (None, name):
            part(table, seconds, options.seed)
    how = f"{torch.get_num_threads()} threads, seed {options.seed}"
    print(f"\nFashion-MNIST, {how}; 10,000 samples, 10,000 test pictures\n")
    print("| what | metric | measured | target | |\n|---|---|---|---|---|")
    for what, metric, value, target, met in table.rows:
        print(f"| {what} | {metric} | {value:.4g} | {target} | {'' if met else 'missed'} |")
    return 0 if all(row[-1] for row in table.rows) else 1


if __name__ == "__main__":
    sys.exit(main())
