"""Paired differences and intervals, against scipy, a worked example, and known truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.sparse import csr_array

from results.records.image_counts import sparse_counts
from results.statistics.bootstrap import bootstrap_interval, miou, sides
from results.statistics.paired import Interval, paired_difference


def test_a_worked_example() -> None:
    """Differences 1, 2, 3: mean 2, deviation 1; t(0.975, 2) = 4.3027, so 2 ± 4.3027 / √3 = 2 ± 2.4842."""
    found = paired_difference({0: 21.0, 1: 24.0, 2: 23.0, 7: 90.0}, {0: 20.0, 1: 22.0, 2: 20.0, 9: 1.0})
    assert found is not None
    assert (found.n, found.mean, found.deviation, found.better) == (3, 2.0, 1.0, 3)
    assert found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((-0.4842, 4.4842), abs=1e-4)
    assert not found.interval.holds  # three seeds that agree in sign are not enough


@pytest.mark.parametrize("n", [2, 3, 5, 12])
def test_as_scipy_has_it(n: int) -> None:
    rng = np.random.default_rng(n)
    ours, theirs = rng.normal(50, 3, n), rng.normal(48, 3, n)
    found = paired_difference(dict(enumerate(ours)), dict(enumerate(theirs)))
    expected = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert found is not None and found.interval is not None
    assert (found.interval.low, found.interval.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert found.deviation == pytest.approx(np.std(ours - theirs, ddof=1), rel=1e-9)
    assert found.interval.holds == (stats.ttest_rel(ours, theirs).pvalue < 0.05)


def test_few_seeds() -> None:
    assert paired_difference({0: 1.0}, {1: 1.0}) is None
    one = paired_difference({0: 2.0}, {0: 3.0})
    assert one is not None and (one.n, one.mean, one.deviation, one.interval, one.better) == (1, -1.0, None, None, 0)
    equal = paired_difference({0: 2.0, 1: 3.0}, {0: 1.5, 1: 2.5})
    assert equal is not None and equal.interval == Interval(0.5, 0.5) and equal.interval.holds


def counts(rng: np.random.Generator, images: int, hit: float, classes: int = 4) -> csr_array:
    """Of images of 100 pixels a class, of which a share of about ``hit`` is right."""
    found = np.zeros((images, classes, classes), dtype=np.int64)
    for image in range(images):
        for label in range(classes):
            right = min(max(hit + rng.normal(0, 0.05), 0), 1)
            wrong = (1 - right) / (classes - 1)
            found[image, label] = rng.multinomial(100, [right if each == label else wrong for each in range(classes)])
    return sparse_counts(found)


def test_miou_of_counts_is_that_of_pixels() -> None:
    labels = np.array([0, 0, 1, 1, 1, 3, 3, 0])
    predicted = np.array([0, 1, 1, 1, 2, 3, 0, 0])
    halves = np.zeros((2, 4, 4), dtype=np.int64)
    np.add.at(halves, (np.arange(8) // 4, labels, predicted), 1)
    of_images = sides(sparse_counts(halves))
    assert of_images.shape == (2, 4, 3) and of_images[1].tolist() == [[1, 1, 2], [0, 1, 0], [0, 0, 1], [1, 2, 1]]
    iou = [((labels == k) & (predicted == k)).sum() / ((labels == k) | (predicted == k)).sum() for k in (0, 1, 3)]
    assert miou(of_images.sum(axis=0)) == pytest.approx(100 * np.mean(iou))
    assert miou(of_images[:, [1, 2]].sum(axis=0)) == pytest.approx(100 * iou[1])  # 2 is predicted, never labelled
    assert np.isnan(miou(of_images[:, [2]].sum(axis=0)))


def test_the_interval_covers_the_truth_and_narrows_with_images() -> None:
    rng = np.random.default_rng(0)
    few, many = (
        bootstrap_interval(
            {seed: counts(rng, images, 0.8) for seed in range(3)},
            {seed: counts(rng, images, 0.7) for seed in range(3)},
            range(4),
            resamples=400,
        )
        for images in (8, 100)
    )
    truth = 100 * (0.8 / 1.2 - 0.7 / 1.3)
    assert few is not None and many is not None and few.holds
    assert many.low < truth < many.high
    assert many.high - many.low < few.high - few.low


def test_images_and_seeds_are_drawn_for_both_alike() -> None:
    """What an image or a seed does to both methods is no uncertainty of their difference."""
    rng = np.random.default_rng(1)
    same = {seed: counts(rng, 20, hit) for seed, hit in enumerate((0.4, 0.6, 0.9))}
    assert bootstrap_interval(same, same, range(4), resamples=100) == Interval(0.0, 0.0)
    again = bootstrap_interval(same, {0: same[1], 1: same[2]}, range(4), resamples=100)
    assert again is not None and again == bootstrap_interval(same, {0: same[1], 1: same[2]}, range(4), resamples=100)
    assert bootstrap_interval(same, {9: same[0]}, range(4)) is None
    with pytest.raises(ValueError, match="different numbers of images"):
        bootstrap_interval(same, {0: same[0][:5]}, range(4))


def test_seeds_that_differ_widen_it() -> None:
    rng = np.random.default_rng(2)
    baseline = {seed: counts(rng, 50, 0.6) for seed in range(3)}
    alike = {seed: counts(rng, 50, 0.7) for seed in range(3)}
    apart = {seed: counts(rng, 50, hit) for seed, hit in enumerate((0.6, 0.7, 0.8))}
    narrow, wide = (bootstrap_interval(each, baseline, range(4), resamples=400) for each in (alike, apart))
    assert narrow is not None and wide is not None
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)
