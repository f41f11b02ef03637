"""Metrics that count images themselves: calibration and boundaries against counts by hand, and those of the user."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from plugged_in import forgotten
from scipy.ndimage import binary_erosion

from benchmarks.config.boundaries import boundary_counts
from benchmarks.config.calibration import UNIT, confidence_counts
from benchmarks.config.label_space import Scoring
from benchmarks.config.metric_counts import MetricCounts, check_metrics
from benchmarks.config.metrics import METRICS, metric, score
from benchmarks.core.errors import ConfigError
from datasets.classes.label_space import own_space
from results.records.scores import Scores

SPACE = own_space(("road", "sky", "car", "bus"), (), ())
OPTIONAL = ("ECE", "BIoU", "mBIoU")
IGNORE = 255


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    with forgotten():
        yield


def images(count: int, height: int = 40, width: int = 70) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Labels (H, W) of a few rectangles, ignored ones among them, and logits (K, H, W) that are mostly right."""
    generator = torch.Generator().manual_seed(0)
    found = []
    for number in range(count):
        label = torch.full((height, width), 1, dtype=torch.uint8)
        label[height // 2 :, : 30 + number] = 0
        label[5:15, 20 + number : 40] = 2
        label[-6:] = IGNORE
        logits = 2 * torch.randn(4, height, width, generator=generator)
        logits += 2.5 * torch.nn.functional.one_hot(label.clamp(max=3).long(), 4).movedim(-1, 0)
        found.append((label, logits))
    return found


def scored(pairs: list[tuple[torch.Tensor, torch.Tensor]], scoring: Scoring) -> Scores:
    counts = MetricCounts(scoring)
    for label, logits in pairs:
        counts.add(label, logits.argmax(dim=0).to(torch.uint8), logits)
    return score(np.eye(4, dtype=np.int64), scoring, counts.total())


def test_calibration_is_that_of_all_pixels_at_once() -> None:
    pairs = images(3)
    found = scored(pairs, Scoring(SPACE, (4,), ("ECE",)))
    labels = np.concatenate([label.numpy().ravel() for label, _ in pairs])
    logits = np.concatenate([logits.numpy().reshape(4, -1).T for _, logits in pairs]).astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    confidence, right = shares.max(axis=1), shares.argmax(axis=1) == labels
    known = labels != IGNORE
    places = np.digitize(confidence, np.linspace(0, 1, 16), right=True)
    bins = [known & (places == place) for place in range(1, 16)]
    expected = sum(
        here.sum() / known.sum() * abs(right[here].mean() - confidence[here].mean()) for here in bins if here.any()
    )
    assert found.means["ECE"] == {4: pytest.approx(100 * expected, abs=1e-4)} and 1 < 100 * expected < 50


def test_calibration_by_hand_and_of_a_class_set() -> None:
    """Two pixels of road with 0.75 for it, one right; one of sky, right, with 1.0; one ignored."""
    share = math.log(3.0)
    logits = torch.tensor([[share, share, 0.0, 9.0], [0.0, 0.0, 99.0, 0.0]])[:, None]
    label = torch.tensor([[0, 1, 1, IGNORE]], dtype=torch.uint8)
    counts = confidence_counts(label, logits, 2)
    assert counts.shape == (2, 15, 3) and counts[..., 0].sum() == 3
    # 0.75 is in the twelfth of fifteen bins, and 1 in the last.
    assert counts[0, 11].tolist() == pytest.approx([1, 1, 0.75 * UNIT], abs=2)
    assert counts[1, 11].tolist() == pytest.approx([1, 0, 0.75 * UNIT], abs=2)
    assert counts[1, 14].tolist() == [1, 1, UNIT]
    ece = METRICS["ECE"].function
    assert ece(counts, [0, 1]) == pytest.approx(100 * (2 / 3 * abs(0.5 - 0.75)), abs=1e-5)
    assert ece(counts, [0]) == pytest.approx(25, abs=1e-5) and ece(counts, [1]) == pytest.approx(37.5, abs=1e-5)
    assert math.isnan(ece(counts * 0, [0]))


def near(mask: np.ndarray, distance: int) -> np.ndarray:
    """The pixels of a mask within so many steps, diagonal ones too, of another pixel or of the image's edge."""
    inside = binary_erosion(mask, np.ones((3, 3)), iterations=distance, border_value=0)
    return mask & ~inside


def test_boundaries_are_those_of_masks_class_by_class() -> None:
    pairs = images(2, 300, 360)  # 0.5% of a diagonal of 469 pixels: 2
    found = scored(pairs, Scoring(SPACE, (4,), ("BIoU", "mBIoU")))
    both, either = np.zeros(4), np.zeros(4)
    for label, logits in pairs:
        truth, guess = label.numpy(), logits.argmax(dim=0).numpy()
        guess = np.where(truth == IGNORE, IGNORE, guess)
        for train_id in range(4):
            one, other = near(truth == train_id, 2), near(guess == train_id, 2)
            both[train_id] += (one & other).sum()
            either[train_id] += (one | other).sum()
    expected = dict(zip(SPACE.names, 100 * both / either, strict=True))
    assert found.by_class["BIoU"] == pytest.approx(expected) and 0 < expected["car"] < 100
    labelled = [expected[name] for name in ("road", "sky", "car")]
    assert found.means["mBIoU"] == {4: pytest.approx(sum(labelled) / 3)}


def test_a_prediction_that_is_right_has_its_boundaries_right_whatever_it_is_where_no_label_is() -> None:
    ((label, _),) = images(1)
    prediction = torch.where(label == IGNORE, torch.tensor(3, dtype=torch.uint8), label)
    counts = boundary_counts(label, prediction, 4)
    assert counts[:3, 0].min() > 0 and (counts[:, 0] == counts[:, 1]).all() and (counts[:, 0] == counts[:, 2]).all()
    assert counts[3].tolist() == [0, 0, 0]
    found = score(np.eye(4, dtype=np.int64), Scoring(SPACE, (4,), OPTIONAL), {boundary_counts: counts,
                  confidence_counts: "raised ValueError: no"})  # fmt: skip
    assert found.by_class["BIoU"] == {"road": 100.0, "sky": 100.0, "car": 100.0, "bus": None}
    assert found.faults == {"ECE": "metric ECE raised ValueError: no"}


def test_optional_metrics_are_had_where_they_are_named() -> None:
    pairs = images(1)
    assert set(scored(pairs, Scoring(SPACE, (4,))).means) == {"mIoU"}
    assert not MetricCounts(Scoring(SPACE, (4,), ("BIoU",))).needs_logits
    found = scored(pairs, Scoring(SPACE, (4,), OPTIONAL))
    assert set(found.means) == {"mIoU", "ECE", "mBIoU"} and set(found.by_class) == {"IoU", "BIoU"}
    assert {"ECE-4", "mBIoU-4", "BIoU-road"} <= set(found.scalars())
    check_metrics(Scoring(SPACE, (4,), OPTIONAL))
    with pytest.raises(ConfigError, match=r"^TEST\.METRICS: unknown metric 'ECF': did you mean 'ECE'\?"):
        check_metrics(Scoring(SPACE, (4,), ("ECF",)))


def test_several_processes_have_the_sums_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of them has no image, and one meets what cannot be counted."""
    pairs, scoring = images(3), Scoring(SPACE, (4,), OPTIONAL)
    alone = scored(pairs, scoring)
    parts: list[list[Any]] = []
    monkeypatch.setattr("benchmarks.config.metric_counts.comm.all_gather", lambda value: [*parts, value])
    for share in (pairs[::2], [], pairs[1::2]):
        counts = MetricCounts(scoring)
        for label, logits in share:
            counts.add(label, logits.argmax(dim=0).to(torch.uint8), logits)
        together = score(np.eye(4, dtype=np.int64), scoring, counts.total()) if len(parts) == 2 else None
        parts.append([counts._found.get(counted) for counted in counts._takes_logits])
    assert together == alone and alone.means["ECE"][4]
    parts[0][0] = "no luck"
    assert [each for each in counts.total().values() if isinstance(each, str)] == ["no luck"]


def bright(label: torch.Tensor, prediction: torch.Tensor, classes: int) -> Any:
    """The pixels of each class, and of the whole image."""
    return torch.bincount(prediction.flatten().long(), minlength=classes)


def test_a_metric_of_the_user_counts_images_too() -> None:
    metric("share", counted=bright)(lambda counts, classes: 100 * counts[list(classes)].sum() / counts.sum())
    pairs = images(2)
    found = scored(pairs, Scoring(SPACE, (4,)))
    assert found.means["share"] == {4: 100.0} and found.faults == {}
    check_metrics(Scoring(SPACE, (4,)))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (ValueError("no\nluck"), "raised ValueError: no luck"),
        ("many", "counted 'many', expected an array of numbers"),
        (None, "counted None, expected an array of numbers"),
        (lambda label: np.ones(label.shape[1]), "counted (69,) numbers of an image and (70,) of another"),
    ],
)
def test_what_cannot_be_counted_is_named_and_the_others_are_kept(value: Any, told: str) -> None:
    def counted(label: torch.Tensor, prediction: torch.Tensor, classes: int) -> Any:
        if isinstance(value, BaseException):
            raise value
        return value(label) if callable(value) else value

    metric("mine", counted=counted)(lambda counts, classes: 1.0)
    found = scored([*images(1), *images(1, width=69), *images(1)], Scoring(SPACE, (4,), ("ECE",)))
    assert found.faults == {"mine": f"metric mine {told}"} and set(found.means) == {"mIoU", "ECE"}
