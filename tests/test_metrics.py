"""Metrics against closed forms, and the judge on an easy task."""

from __future__ import annotations

import numpy as np
import pytest

from generators.core.metrics import Classifier, frechet_distance, judge_of
from generators.data.splits import Images


def exactly(mean: np.ndarray, spread: np.ndarray, count: int = 400) -> np.ndarray:
    """Points whose sample mean is `mean` and whose sample covariance is spread @ spread.T."""
    points = np.random.default_rng(0).standard_normal((count, len(mean)))
    points -= points.mean(0)
    points = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False))).T
    return points @ spread.T + mean


def test_frechet_distance_of_gaussians_in_closed_form():
    mean, apart = np.zeros(3), np.asarray([1.0, -2.0, 2.0])
    a = exactly(mean, np.diag([1.0, 2.0, 3.0]))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a + apart) == pytest.approx(9)
    # covariances that commute: |m|^2 + sum (s_a - s_b)^2
    assert frechet_distance(a, exactly(apart, np.diag([2.0, 2.0, 5.0]))) == pytest.approx(9 + 1 + 0 + 4)
    turned, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((3, 3)))  # a rotation of both changes nothing
    b = exactly(apart, np.asarray([[1.0, 0, 0], [0.5, 1, 0], [0, 2, 1]]))
    assert frechet_distance(a @ turned, b @ turned) == pytest.approx(frechet_distance(a, b))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a))


def test_frechet_distance_refuses_what_it_cannot_compare():
    with pytest.raises(ValueError, match="must be"):
        frechet_distance(np.zeros((5, 2)), np.zeros((5, 3)))
    with pytest.raises(ValueError, match="must be"):
        frechet_distance(np.zeros((1, 2)), np.zeros((5, 2)))


def test_the_judge_learns_and_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 400)
    pixels = (random.integers(0, 60, (400, 28, 28)) + 120 * labels[:, None, None]).astype(np.uint8)
    images = Images(pixels, labels, ("dark", "light"))
    judge = Classifier.fit(images, epochs=6)
    assert judge.accuracy(pixels, labels) > 0.95
    assert judge.features(pixels[:7]).shape == (7, 128)
    first, second = judge_of(images, "two-test"), judge_of(images, "two-test")
    assert np.array_equal(first.features(pixels[:3]), second.features(pixels[:3]))
