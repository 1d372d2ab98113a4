"""How good samples are: distances and accuracies in the feature space of a classifier trained on the same data.

Inception's weights are not needed and its figures not comparable: a Frechet distance from here may only stand beside
others from the same classifier.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from generators.data.splits import Images, Splits

if TYPE_CHECKING:
    from torch import nn

    from generators.core.generator import Score
    from generators.core.pictures import PictureModel

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]
JUDGES = Path(__file__).parents[1] / "pretrained" / "classifiers"
FEATURES = 128
CHUNK = 4000  # rows of a table of distances
EPOCHS = 4


def frechet_distance(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float:
    """The Frechet distance between Gaussian fits of two sets of features, (N, D) and (M, D); 0 is the same.

    |m_a - m_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2)) (Dowson & Landau 1982; Heusel et al. 2017, eq. 6). The trace of
    the root is taken over the symmetric (C_a^(1/2) C_b C_a^(1/2))^(1/2), which has the same eigenvalues.
    Raises ValueError for fewer than two rows or different widths.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"Features are {a.shape} and {b.shape}; they must be (N, D) and (M, D) with N and M above 1.")
    a, b = a.astype(np.float64), b.astype(np.float64)
    cov_a, cov_b = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    shared = np.sqrt(np.linalg.eigvalsh(root @ cov_b @ root).clip(0)).sum()
    apart = a.mean(0) - b.mean(0)
    return float(max(0.0, apart @ apart + np.trace(cov_a) + np.trace(cov_b) - 2 * shared))


def sliced_wasserstein(a: NDArray[np.uint8], b: NDArray[np.uint8], directions: int = 256, seed: int = 0) -> float:
    """The sliced 2-Wasserstein distance between two sets of as many pictures, (N, ...) uint8 each, 0 is the same.

    Root of the mean, over random unit directions, of the mean squared difference between the sorted projections of
    intensities in [0, 1] (Rabin et al. 2011). Raises ValueError for sets of different sizes or shapes.
    """
    if a.shape != b.shape or len(a) < 1:
        raise ValueError(f"The pictures are {a.shape} and {b.shape}; the two must be of one shape, and not empty.")
    random, total = np.random.default_rng(seed), 0.0
    rows = [x.reshape(len(x), -1).astype(np.float32) / 255 for x in (a, b)]
    for _ in range(-(-directions // 32)):
        axes = random.standard_normal((rows[0].shape[1], 32)).astype(np.float32)
        axes /= np.linalg.norm(axes, axis=0)
        near, far = (np.sort(x @ axes, axis=0) for x in rows)
        total += float(((near - far) ** 2).mean())
    return float(np.sqrt(total / -(-directions // 32)))


def prdc(real: Floats, made: Floats, k: int = 5) -> dict[str, float]:
    """Precision, recall (Kynkaanniemi et al. 2019), density, coverage (Naeem et al. 2020) of features (N, D), (M, D).

    Precision: the share of made points inside some real point's ball, whose radius reaches its k-th nearest real
    neighbour; density: into how many such balls they fall on average, over k; coverage: the share of real balls with a
    made point in them; recall: precision with the roles exchanged. All but density lie in [0, 1].
    Raises ValueError for sets of k points or fewer.
    """
    if min(len(real), len(made)) <= k:
        raise ValueError(f"There are {len(real)} real and {len(made)} made pictures; k = {k} takes more of each.")
    radii = [np.sqrt(_nearest(x, x, k + 1)[:, k]) for x in (real, made)]  # the point itself is its own nearest
    inside, balls = 0, 0
    covered, recalled = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for start in range(0, len(made), 1000):
        part = slice(start, start + 1000)
        apart = np.sqrt(squared_distances(made[part], real))  # (m, N)
        within = apart <= radii[0]
        inside += int(within.any(1).sum())
        balls += int(within.sum())
        covered |= within.any(0)
        recalled |= (apart <= radii[1][part, None]).any(0)
    return {
        "precision": inside / len(made),
        "recall": float(recalled.mean()),
        "density": balls / (k * len(made)),
        "coverage": float(covered.mean()),
    }


def memorised(made: Pixels, train: Pixels, held_out: Pixels, percentile: float = 1.0) -> float:
    """The share of made pictures nearer to a training picture than that percentile of held-out ones is, in [0, 1].

    Distances are Euclidean, between pixels. A model that learned its pictures by heart has a large share; one that
    draws new pictures about `percentile` / 100.
    """
    near, usual = (_nearest(_rows(x), _rows(train), 1)[:, 0] for x in (made, held_out))
    return float((near < np.percentile(usual, percentile)).mean())


def nearest(made: Pixels, train: Pixels) -> NDArray[np.int64]:
    """Which training picture (N, ...) each made one (M, ...) is nearest to, by pixels: (M,)."""
    best, found = np.full(len(made), np.inf, np.float32), np.zeros(len(made), np.int64)
    for start in range(0, len(train), CHUNK):
        for at in range(0, len(made), CHUNK):
            here = slice(at, at + CHUNK)
            apart = squared_distances(_rows(made)[here], _rows(train)[start : start + CHUNK])
            closer = apart.min(1) < best[here]
            found[here] = np.where(closer, start + apart.argmin(1), found[here])
            best[here] = np.minimum(best[here], apart.min(1))
    return found


def _rows(pixels: Pixels) -> Pixels:
    return pixels.reshape(len(pixels), -1)


def squared_distances(a: NDArray[Any], b: NDArray[Any]) -> Floats:
    """Squared Euclidean distances, (N, D) and (M, D) -> (N, M)."""
    a, b = a.astype(np.float32), b.astype(np.float32)
    apart = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.asarray(apart.clip(0), np.float32)


def _nearest(a: NDArray[Any], b: NDArray[Any], k: int) -> Floats:
    """Squared distances of each row of (N, D) to its k nearest rows of (M, D), ascending: (N, k)."""
    found = np.full((len(a), k), np.inf, np.float32)
    for start in range(0, len(b), CHUNK):  # in parts, so that neither set is ever whole in floats
        for at in range(0, len(a), CHUNK):
            here = slice(at, at + CHUNK)
            near = np.concatenate([found[here], squared_distances(a[here], b[start : start + CHUNK])], 1)
            found[here] = np.partition(near, k - 1, axis=1)[:, :k]
    return np.sort(found, axis=1)


class Classifier:
    """A small convolutional classifier, the judge of samples. Always fp32, on the CPU."""

    def __init__(self, net: nn.Module, names: tuple[str, ...]) -> None:
        self.net = net
        self.names = names

    @classmethod
    def build(cls, shape: tuple[int, ...], names: tuple[str, ...]) -> Classifier:
        """An untrained one for pictures of `shape`, (S, S) or (S, S, 3)."""
        from torch import nn

        channels, quarter = (shape[2] if len(shape) == 3 else 1), shape[0] // 4
        layers = [
            nn.Conv2d(channels, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * quarter * quarter, FEATURES),
            nn.ReLU(),  # the penultimate features
            nn.Dropout(0.3),
            nn.Linear(FEATURES, len(names)),
        ]
        return cls(nn.Sequential(*layers), names)

    @classmethod
    def fit(cls, images: Images, seed: int = 0, epochs: int = EPOCHS) -> Classifier:
        """Train one on labelled pictures with Adam for `epochs` epochs of batches of 128; the same for a seed."""
        import torch
        from torch.nn import functional

        from generators.core.training import lr_scale, shuffled

        batch = 128
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            judge = cls.build(images.pixels.shape[1:], images.names)
            optimizer = torch.optim.Adam(judge.net.parameters(), lr=2e-3, fused=True)
            steps, order = epochs * max(1, -(-len(images) // batch)), shuffled(len(images), batch, seed)
            for step in range(steps):
                optimizer.param_groups[0]["lr"] = 2e-3 * lr_scale(step / steps, 0.1)
                chosen = images.take(order(step))
                loss = functional.cross_entropy(judge.net(_input(chosen.pixels)), torch.from_numpy(chosen.labels))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        judge.net.eval().requires_grad_(False)
        return judge

    def _through(self, pixels: NDArray[np.uint8], layers: int | None) -> NDArray[np.float32]:
        import torch

        net = self.net[:layers]  # type: ignore[index]
        with torch.inference_mode():
            parts = [net(_input(pixels[i : i + 500])).numpy() for i in range(0, len(pixels), 500)]
        found: NDArray[np.float32] = np.concatenate(parts)
        return found

    def features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Penultimate features (N, 128) of pictures (N, S, S[, 3]) uint8."""
        return self._through(pixels, -2)

    def classify(self, pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
        """The most likely class of each picture, (N,)."""
        return np.asarray(self._through(pixels, None).argmax(1), np.int64)

    def confidence(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> NDArray[np.float32]:
        """The probability that each picture is given of being of its label, (N,) in [0, 1]."""
        logits = self._through(pixels, None)
        odds = np.exp(logits - logits.max(1, keepdims=True))
        return np.asarray(odds[np.arange(len(odds)), labels] / odds.sum(1), np.float32)

    def accuracy(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
        """The share of pictures that are taken for what they were meant to be, in [0, 1]."""
        return float((self.classify(pixels) == labels).mean())

    def save(self, path: Path) -> None:
        """Write the weights as safetensors, in half precision, which this classifier then has too."""
        from safetensors.torch import save_file

        self.net.half().float()
        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = path.with_suffix(".part")
        save_file({name: tensor.half() for name, tensor in self.net.state_dict().items()}, str(waiting))
        waiting.replace(path)

    @classmethod
    def load(cls, path: Path, shape: tuple[int, ...], names: tuple[str, ...]) -> Classifier:
        """The classifier that `save` wrote. Raises SafetensorError, OSError or RuntimeError where it does not fit."""
        from safetensors.torch import load_file

        judge = cls.build(shape, names)
        judge.net.load_state_dict({name: tensor.float() for name, tensor in load_file(str(path)).items()})
        judge.net.eval().requires_grad_(False)
        return judge


def judge_of(images: Images, name: str, sha256: str = "") -> Classifier:
    """The classifier of the data set `name`, so that figures of different models and machines compare.

    The shipped one, where there is one for data of this hash; else one trained on `images` once (a minute for 50,000
    pictures), then kept in the cache folder.
    """
    from safetensors import SafetensorError

    from generators.core.paths import cache

    file = judge_file(name, sha256, images.pixels.shape[1])
    kept = cache() / file
    for path in (JUDGES / file, kept):
        if path.is_file():
            try:
                return Classifier.load(path, images.pixels.shape[1:], images.names)
            except (SafetensorError, OSError, RuntimeError):
                kept.unlink(missing_ok=True)
    judge = Classifier.fit(images)
    judge.save(kept)
    return judge


def judge_file(name: str, sha256: str, size: int) -> str:
    """The file name of the classifier of a data set's pictures at one size."""
    return f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}-{sha256[:12]}-{size}.safetensors"


def _input(pixels: NDArray[np.uint8]) -> Any:
    """Pictures (N, S, S[, 3]) uint8 -> (N, C, S, S) float32 in [0, 1]."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(pixels))
    return (x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)).float() / 255


def classification_accuracy_score(made: Images, real: Images, seed: int = 0) -> float:
    """The accuracy on real pictures of a classifier that has seen made ones alone (Ravuri & Vinyals 2019), in [0, 1].

    `made` should be as many as the training pictures were; both number their labels alike.
    """
    return Classifier.fit(made, seed).accuracy(real.pixels, real.labels)


def sample_scores(model: PictureModel, splits: Splits[Images], held_out: Images, data: str) -> list[Score]:
    """How good `model`'s samples are beside the pictures `held_out`, which `data` names.

    As many samples as held-out pictures, of as many of each label, in the features of the classifier of
    `splits.train`: Frechet distance, the
    share taken for their labels (for a model with labels), precision, recall, density, coverage; and the share that is
    nearer to a training picture than 99 % of the held-out pictures are.
    """
    from generators.core.generator import Score
    from generators.data.images import fit

    made, n = model.sample_like(held_out, seed=0), len(held_out)
    size, colour = made["images"].shape[1], made["images"].ndim == 4
    train, held_out = (fit(part, size, colour) for part in (splits.train, held_out))
    judge = judge_of(train, splits.source.name, splits.source.sha256)
    seen, real = judge.features(made["images"]), judge.features(held_out.pixels)
    figures = {"frechet_distance": frechet_distance(seen, real)}
    if model.info.labels:
        figures["label_fidelity"] = judge.accuracy(made["images"], made["labels"])
    figures |= prdc(real, seen)
    figures["memorised"] = memorised(made["images"], train.pixels, held_out.pixels)
    return [Score(metric, value, data, n) for metric, value in figures.items()]


def failure(model: PictureModel, images: Images, seed: int) -> str:
    """Why what `model` makes is worthless beside the pictures it is trained on, or "" where it is not.

    Two signs, each beyond doubt: pictures of one label hardly differ, or labels hardly show. The second is judged by
    the nearest mean of the classes' pictures, and only where that tells real pictures apart.
    """
    classes = max(1, len(model.info.labels))
    made = model.sample(max(64, 16 * classes), seed=seed)
    some = images.take(np.random.default_rng([seed, 0]).choice(len(images), min(len(images), 2000), replace=False))
    real, fake = (a.reshape(len(a), -1).astype(np.float32) for a in (some.pixels, made["images"]))
    groups = [y for y in range(classes) if (some.labels == y).sum() > 1]
    spreads = [
        np.mean([rows[labels == y].std(0).mean() for y in groups]) if groups else 0.0
        for rows, labels in ((real, some.labels), (fake, made["labels"]))
    ]
    if spreads[1] < 0.1 * spreads[0]:
        return "all pictures that it makes of a label look alike"
    if len(groups) < 2:
        return ""
    means = np.stack([real[some.labels == y].mean(0) for y in groups])
    right = []
    for rows, labels in ((real, some.labels), (fake, made["labels"])):
        kept = np.isin(labels, groups)
        nearest = squared_distances(rows[kept], means).argmin(1)
        right.append(float((np.asarray(groups)[nearest] == labels[kept]).mean()))
    chance = 1 / len(groups)
    if right[0] - chance > 0.3 * (1 - chance) and right[1] - chance < 0.2 * (right[0] - chance):
        return "it ignores its labels"
    return ""
