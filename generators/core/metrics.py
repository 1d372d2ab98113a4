"""How good samples are: distances and accuracies in the feature space of a classifier trained on the same data.

Inception's weights are not needed and its figures not comparable: a Frechet distance from here may only stand beside
others from the same classifier.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from generators.data.splits import Images

if TYPE_CHECKING:
    from torch import nn

FEATURES = 128
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

    def accuracy(self, pixels: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
        """The share of pictures that are taken for what they were meant to be, in [0, 1]."""
        return float((self.classify(pixels) == labels).mean())

    def save(self, path: Path) -> None:
        """Write the weights as safetensors."""
        from safetensors.torch import save_file

        path.parent.mkdir(parents=True, exist_ok=True)
        waiting = path.with_suffix(".part")
        save_file(self.net.state_dict(), str(waiting))
        waiting.replace(path)

    @classmethod
    def load(cls, path: Path, shape: tuple[int, ...], names: tuple[str, ...]) -> Classifier:
        """The classifier that `save` wrote. Raises SafetensorError, OSError or RuntimeError where it does not fit."""
        from safetensors.torch import load_file

        judge = cls.build(shape, names)
        judge.net.load_state_dict(load_file(str(path)))
        judge.net.eval().requires_grad_(False)
        return judge


def judge_of(images: Images, name: str, sha256: str = "") -> Classifier:
    """The classifier of the data set `name`: trained on `images` once (a minute), then kept in the cache folder."""
    from safetensors import SafetensorError

    from generators.core.paths import cache

    path = cache() / f"classifier-{name}-{sha256[:12]}-{EPOCHS}.safetensors"
    if path.is_file():
        try:
            return Classifier.load(path, images.pixels.shape[1:], images.names)
        except (SafetensorError, OSError, RuntimeError):
            path.unlink(missing_ok=True)
    judge = Classifier.fit(images)
    judge.save(path)
    return judge


def _input(pixels: NDArray[np.uint8]) -> Any:
    """Pictures (N, S, S[, 3]) uint8 -> (N, C, S, S) float32 in [0, 1]."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(pixels))
    return (x[:, None] if x.ndim == 3 else x.permute(0, 3, 1, 2)).float() / 255
