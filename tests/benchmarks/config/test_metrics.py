"""Metrics of the user's own: what they may return, and what is told of those that return something else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from plugged_in import forgotten

from benchmarks.config.label_space import Scoring
from benchmarks.config.metric_counts import check_metrics
from benchmarks.config.metrics import METRICS, metric, score
from benchmarks.core.errors import ConfigError
from datasets.classes.label_space import CITYSCAPES, own_space
from results.records.scores import Scores

SPACE = own_space(("road", "sky", "car"), (), ())
OWN = Scoring(SPACE, (3,))
COUNTS = np.array([[6, 2, 0], [1, 7, 0], [0, 0, 0]])  # no car


@pytest.fixture(autouse=True)
def own_process() -> Iterator[None]:
    with forgotten():
        yield


def returning(value: Any, *, by_class: bool = False) -> None:
    def function(*_: Any) -> Any:
        if isinstance(value, BaseException):
            raise value
        return value

    metric("mine", by_class=by_class)(function)


def test_ours_are_registered_as_those_of_others_are() -> None:
    assert {name: each.by_class for name, each in METRICS.items() if not each.optional} == {"mIoU": False, "IoU": True}
    returning(7)
    found = score(COUNTS, OWN)
    iou = {"road": 100 * 6 / 9, "sky": 100 * 7 / 10, "car": None}
    assert found.by_class == {"IoU": pytest.approx(iou)} and found.faults == {}
    mean = pytest.approx((100 * 6 / 9 + 100 * 7 / 10) / 2)
    assert found.means == {"mIoU": {3: mean}, "mine": {3: 7.0}} and found.headline == mean


def test_a_metric_says_that_less_of_it_is_better_and_so_does_the_record() -> None:
    metric("wrong", lower_is_better=True)(lambda counts, classes: float(counts.sum() - np.trace(counts)))
    metric("ece2", counted=lambda *_: np.zeros(1), lower_is_better=True)(lambda counts, classes: 0.0)
    found = score(COUNTS, OWN)  # without what counts by itself
    assert found.lower_is_better == ["wrong"] and METRICS["ECE"].lower_is_better
    written = found.as_json()
    assert written["lower_is_better"] == ["wrong"] and Scores.from_json(written) == found
    METRICS.pop("wrong")
    assert "lower_is_better" not in score(COUNTS, OWN).as_json()


def test_each_class_set_has_a_value_of_its_own_and_each_class() -> None:
    metric("right")(lambda counts, classes: 100 * counts[classes, classes].sum() / counts.sum())
    metric("recall", by_class=True)(lambda counts: np.diag(counts) / np.maximum(1, counts.sum(axis=1)))
    counts = np.diag(np.arange(1, 20))
    found = score(counts, Scoring(CITYSCAPES, (16, 13)))
    sums = {size: sum(train_id + 1 for train_id in CITYSCAPES.class_sets[size]) for size in (16, 13)}
    assert found.means["right"] == {size: pytest.approx(100 * sums[size] / 190) for size in (16, 13)}
    assert found.by_class["recall"] == dict.fromkeys(CITYSCAPES.names, 1.0)
    assert found.scalars()["right-13"] == pytest.approx(100 * sums[13] / 190)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (ValueError("no\nluck"), "raised ValueError: no luck"),
        (SystemExit(3), "raised SystemExit: 3"),
        (math.nan, "returned NaN, expected one number"),
        (np.float32("inf"), "returned an infinite number, expected one number"),
        (-1e301, "returned an infinite number, expected one number"),
        (np.ones(3), "returned numbers of shape (3,), expected one number"),
        ([[1.0], 2.0], "returned [[1.0], 2.0], expected one number"),
        (None, "returned None, expected one number"),
        ("50", "returned '50', expected one number"),
        (True, "returned True, expected one number"),
        (1j, "returned 1j, expected one number"),
    ],
)
def test_a_metric_without_a_number_is_named_and_the_others_are_kept(value: Any, told: str) -> None:
    plain = score(COUNTS, OWN)
    returning(value)
    found = score(COUNTS, OWN)
    assert found.faults == {"mine": f"metric mine {told}"}
    assert (found.means, found.by_class) == (plain.means, plain.by_class)
    with pytest.raises(ConfigError, match=r"^metric mine ") as error:
        check_metrics(OWN)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (1.0, "returned numbers of shape (), expected 3 numbers, one a class"),
        ([1.0, 2.0], "returned numbers of shape (2,), expected 3 numbers, one a class"),
        ([1.0, math.inf, 2.0], "returned an infinite number, expected 3 numbers, one a class"),
    ],
)
def test_a_metric_of_classes_without_a_number_of_each_is_named(value: Any, told: str) -> None:
    returning(value, by_class=True)
    assert score(COUNTS, OWN).faults == {"mine": f"metric mine {told}"}


def test_what_nothing_was_labelled_for_is_no_fault_and_the_counts_stay_as_they_are() -> None:
    returning(math.nan)
    assert score(np.zeros((3, 3), np.int64), OWN).means == {"mIoU": {3: None}, "mine": {3: None}}

    def emptied(counts: np.ndarray, classes: Any) -> float:
        counts[:] = 0
        return 1.0

    metric("emptied")(emptied)
    before = COUNTS.copy()
    assert "read-only" in score(COUNTS, OWN).faults["emptied"] and (before == COUNTS).all()
