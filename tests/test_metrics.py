"""Metrics against closed forms, and the judge on an easy task."""

from __future__ import annotations

import numpy as np
import pytest

from generators.core.metrics import (
    Classifier,
    classification_accuracy_score,
    frechet_distance,
    judge_of,
    memorised,
    nearest,
    prdc,
    sliced_wasserstein,
)
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


def test_prdc_of_points_on_a_line():
    """Real: 0, 1, 2, 3, 10 with k = 1: radii 1, 1, 1, 1, 7; made: 0.5, 0.6 and 100: radii 0.1, 0.1, 99.4."""
    real, made = (np.asarray(x, np.float32)[:, None] for x in ([0, 1, 2, 3, 10], [0.5, 0.6, 100]))
    found = prdc(real, made, k=1)
    assert found["precision"] == pytest.approx(2 / 3)
    # 0.5 lies in the balls of 0 and 1, 0.6 in those of 0 and 1; neither in that of 10, which reaches to 3
    assert found["density"] == pytest.approx(4 / 3)
    assert found["coverage"] == pytest.approx(2 / 5)
    # the ball about 100 reaches to 0.6: it holds 1, 2, 3 and 10
    assert found["recall"] == pytest.approx(4 / 5)


def test_prdc_of_the_same_and_of_what_is_far():
    points = np.random.default_rng(0).standard_normal((2500, 4)).astype(np.float32)
    same = prdc(points, points, k=3)
    assert same["precision"] == same["recall"] == same["coverage"] == 1
    far = prdc(points, points + 100, k=3)
    assert set(far.values()) == {0.0}
    with pytest.raises(ValueError, match="k = 3 takes more"):
        prdc(points[:3], points, k=3)


def test_memorised_tells_copies_from_new_pictures():
    random = np.random.default_rng(0)
    train, held_out, new = (random.integers(0, 256, (n, 6, 6)).astype(np.uint8) for n in (300, 200, 100))
    assert memorised(train[:100], train, held_out) == 1
    assert memorised(new, train, held_out) <= 0.05
    half = np.concatenate([train[:50], new[:50]])
    assert 0.5 <= memorised(half, train, held_out) <= 0.55
    assert nearest(train[5:9], train).tolist() == [5, 6, 7, 8]


def test_sliced_wasserstein_in_closed_form():
    """Two sets apart by a constant: every projection is apart by it times the sum of the direction's numbers."""
    random = np.random.default_rng(0)
    a = random.integers(0, 200, (50, 4, 4)).astype(np.uint8)
    assert sliced_wasserstein(a, a[::-1]) == 0  # order does not matter
    # E[(sum of a unit direction)^2] = 1 in any dimension, so the distance is 51 / 255 on average over directions
    assert sliced_wasserstein(a, a + 51, directions=4096) == pytest.approx(0.2, rel=0.03)
    with pytest.raises(ValueError, match="of one shape"):
        sliced_wasserstein(a, a[:10])


def test_a_classifier_of_made_pictures_is_measured_on_real_ones():
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 400)
    pixels = (random.integers(0, 60, (400, 28, 28)) + 120 * labels[:, None, None]).astype(np.uint8)
    real, turned = (Images(pixels, y, ("dark", "light")) for y in (labels, 1 - labels))
    assert classification_accuracy_score(real, real) > 0.95
    assert classification_accuracy_score(turned, real) < 0.05  # what was made under the wrong labels is of no use


def test_the_judge_learns_and_is_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("ARTWRIGHT_HOME", str(tmp_path))
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 400)
    pixels = (random.integers(0, 60, (400, 28, 28)) + 120 * labels[:, None, None]).astype(np.uint8)
    images = Images(pixels, labels, ("dark", "light"))
    judge = Classifier.fit(images, epochs=6)
    assert judge.accuracy(pixels, labels) > 0.95
    sure = [judge.confidence(pixels, np.full(400, label)) for label in (0, 1)]
    assert np.allclose(sure[0] + sure[1], 1) and np.array_equal(sure[1] > 0.5, judge.classify(pixels) == 1)
    assert judge.features(pixels[:7]).shape == (7, 128)
    first, second = judge_of(images, "two-test"), judge_of(images, "two-test")
    assert np.array_equal(first.features(pixels[:3]), second.features(pixels[:3]))
