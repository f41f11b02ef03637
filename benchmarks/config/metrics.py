"""What is scored: functions of the confusion counts, which plug-ins can add to (examples/own_metric)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.config.label_space import Scoring
from benchmarks.core.errors import ConfigError
from results.files.text import one_line
from results.records.columns import COUNTED, DEVIATION, N
from results.records.scores import CLASS_IOU, HEADLINE, Scores

_NAME = re.compile("[A-Za-z][A-Za-z0-9]*")
_RESERVED = f"{DEVIATION}, {N} and {COUNTED}"  # which begin headings of columns
_HUGE = 1e300  # beyond it a number is not read back from a record


@dataclass(frozen=True)
class Metric:
    """A function of the counts. ``by_class``: whether it has a value of each class, and not one of a class set."""

    function: Callable[..., Any]
    by_class: bool


METRICS: dict[str, Metric] = {}


def metric(name: str, *, by_class: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the metric ``name``, which records and tables have then.

    It is called with the counts, int64 (K, K), rows label, columns prediction, in pixels, which it cannot change; and,
    but for ``by_class``, with the train ids of a class set, whose one number it returns. With ``by_class`` it returns
    (K,) numbers, NaN for a class that has none. Tables show one decimal: shares are best in percent.

    Raises:
        ValueError: the name is taken, whatever its case, or is not of letters and digits.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        if not _NAME.fullmatch(name) or name.lower() in (DEVIATION, N, COUNTED):
            raise ValueError(f"a metric is called {name!r}, expected a word of letters and digits, none of {_RESERVED}")
        if same := next((known for known in METRICS if known.lower() == name.lower()), None):
            raise ValueError(f"two metrics are called {same!r}")
        METRICS[name] = Metric(function, by_class)
        return function

    return register


@metric(HEADLINE)
def mean_iou_percent(confusion: np.ndarray, scored: Sequence[int]) -> float:
    """`mean_iou` in percent."""
    return 100 * mean_iou(confusion, scored)


@metric(CLASS_IOU, by_class=True)
def iou_percent(confusion: np.ndarray) -> np.ndarray:
    """`intersection_over_union` in percent."""
    return 100 * intersection_over_union(confusion)


def intersection_over_union(confusion: np.ndarray) -> np.ndarray:
    """(K,) TP / (TP + FP + FN) in [0, 1]; NaN where a class is neither labelled nor predicted."""
    hits = np.diag(confusion)
    union = confusion.sum(0) + confusion.sum(1) - hits
    return np.divide(hits, union, out=np.full(len(hits), np.nan), where=union > 0)


def mean_iou(confusion: np.ndarray, scored: Sequence[int]) -> float:
    """Mean over the scored classes that the labels have, in [0, 1]; NaN if they have none.

    So it is over the same classes for all methods. A class that no label has would be 0 where a method predicts it
    somewhere and NaN where it does not, and count for the one alone. Where all occur, as in Cityscapes, it is the
    published mean.
    """
    labelled = [train_id for train_id in scored if confusion[train_id].sum() > 0]
    return float(np.mean(intersection_over_union(confusion)[labelled])) if labelled else float("nan")


def score(confusion: np.ndarray, scoring: Scoring) -> Scores:
    """The value of each metric for counts (K, K); none, and a line that says why, of one that cannot be had."""
    space, means, by_class, faults = scoring.space, {}, {}, {}
    counts = confusion.copy()
    counts.flags.writeable = False
    for name, each in METRICS.items():
        try:
            if each.by_class:
                values = _numbers(each.function(counts), (len(space.names),))
                by_class[name] = dict(zip(space.names, values, strict=True))
            else:
                sets = {size: space.class_sets[size] for size in scoring.class_sets}
                means[name] = {size: _number(each.function(counts, ids), counts, ids) for size, ids in sets.items()}
        except (Exception, SystemExit) as error:  # a user's code: what was trained is not lost for it
            what = str(error) if isinstance(error, _NoValueError) else f"raised {type(error).__name__}: {error}"
            faults[name] = one_line(f"metric {name} {what}")
    return Scores(means[HEADLINE][scoring.class_sets[0]], means, by_class, faults)


def check_metrics(scoring: Scoring) -> None:
    """Find a metric that cannot be had before anything is trained. Raises ConfigError, one line that names it."""
    classes = len(scoring.space.names)
    for fault in score(np.eye(classes, dtype=np.int64) + 1, scoring).faults.values():
        raise ConfigError(f"{fault} (tried on counts of {classes} classes, each predicted and labelled)")


class _NoValueError(Exception):
    """What a metric returned."""


def _numbers(value: Any, shape: tuple[int, ...]) -> list[float | None]:
    expected = f"{shape[0]} numbers, one a class" if shape else "one number"
    try:
        found = np.asarray(value)
    except ValueError:  # lists of several lengths
        found = np.asarray(None)
    if found.dtype.kind not in "iuf":
        raise _NoValueError(f"returned {value!r:.60}, expected {expected}")
    if found.shape != shape:
        raise _NoValueError(f"returned numbers of shape {found.shape}, expected {expected}")
    found = found.astype(np.float64)
    if not (np.isnan(found) | (abs(found) < _HUGE)).all():
        raise _NoValueError(f"returned an infinite number, expected {expected}")
    return [None if math.isnan(each) else float(each) for each in found.reshape(-1)]


def _number(value: Any, counts: np.ndarray, ids: Sequence[int]) -> float | None:
    """NaN is of a class set that no label has: of others it is a fault."""
    (number,) = _numbers(value, ())
    if number is None and counts[list(ids)].any():
        raise _NoValueError("returned NaN, expected one number")
    return number
