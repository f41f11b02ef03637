"""What is scored: functions of counts summed over images, which plug-ins can add to (examples/own_metric)."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.config.label_space import Scoring
from benchmarks.core.errors import ConfigError
from datasets.base.errors import unknown_name
from results.files.text import one_line
from results.records.columns import COUNTED, DEVIATION, N
from results.records.scores import CLASS_IOU, HEADLINE, LOWER_IS_BETTER, Scores

_NAME = re.compile("[A-Za-z][A-Za-z0-9]*")
_RESERVED = f"{DEVIATION}, {N} and {COUNTED}"  # which begin headings of columns
_HUGE = 1e300  # beyond it a number is not read back from a record


Counted = Callable[[torch.Tensor, Any, int], Any]
"""What a metric counts of one image itself; `metric` says of what."""
Counts = dict[Counted, "np.ndarray | str"]
"""The sum over images of what each counts, or why there is none."""


@dataclass(frozen=True)
class Metric:
    """A function of counts; `metric` says what the others are."""

    function: Callable[..., Any]
    by_class: bool
    counted: Counted | None = None
    logits: bool = False
    optional: bool = False
    lower_is_better: bool = False


METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    *,
    by_class: bool = False,
    counted: Counted | None = None,
    logits: bool = False,
    optional: bool = False,
    lower_is_better: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the metric ``name``, which records and tables have then.

    It is called with counts that are summed over all images, which it cannot change; and, but for ``by_class``, with
    the train ids of a class set, whose one number it returns. With ``by_class`` it returns (K,) numbers, NaN for a
    class that has none. Tables show one decimal: shares are best in percent.

    Args:
        name: of letters and digits.
        by_class: whether it has a value of each class.
        counted: what is counted of an image: a function of its label, uint8 (H, W), 255 where no class is, of its
            prediction, uint8 (H, W), and of K. It returns an array of numbers, of one shape for all images; integers
            are best, whose sum does not depend on the order of images. Label and prediction are tensors on the device
            of the network. None: pixels by label and prediction, int64 (K, K), rows label.
        logits: whether ``counted`` takes logits, float32 (K, H, W), in place of the prediction.
        optional: whether it is had only where TEST.METRICS names it.
        lower_is_better: whether less of it is better, as of an error: tables then mark the lowest as the best.

    Raises:
        ValueError: the name is taken, whatever its case, or is not of letters and digits.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        if not _NAME.fullmatch(name) or name.lower() in (DEVIATION, N, COUNTED):
            raise ValueError(f"a metric is called {name!r}, expected a word of letters and digits, none of {_RESERVED}")
        if same := next((known for known in METRICS if known.lower() == name.lower()), None):
            raise ValueError(f"two metrics are called {same!r}")
        METRICS[name] = Metric(function, by_class, counted, logits, optional, lower_is_better)
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


def wanted(scoring: Scoring) -> dict[str, Metric]:
    """The metrics that are had, by name. Raises ConfigError for one of TEST.METRICS that there is none of."""
    for name in scoring.metrics:
        if name not in METRICS:
            raise ConfigError(f"TEST.METRICS: {unknown_name('metric', name, METRICS)}")
    return {name: each for name, each in METRICS.items() if not each.optional or name in scoring.metrics}


def score(confusion: np.ndarray, scoring: Scoring, counted: Counts | None = None) -> Scores:
    """The value of each metric for counts (K, K); none, and a line that says why, of one that cannot be had.

    ``counted``: of metrics that count themselves (`benchmarks.config.metric_counts`); None: they are left out.
    """
    space, means, by_class, faults = scoring.space, {}, {}, {}
    for name, each in wanted(scoring).items():
        if each.counted is not None and counted is None:
            continue
        try:
            counts = _readonly(confusion if each.counted is None else (counted or {})[each.counted])
            if each.by_class:
                values = _numbers(each.function(counts), (len(space.names),))
                by_class[name] = dict(zip(space.names, values, strict=True))
            else:
                sets = {size: space.class_sets[size] for size in scoring.class_sets}
                means[name] = {size: _number(each.function(counts, ids), confusion, ids) for size, ids in sets.items()}
        except (Exception, SystemExit) as error:  # a user's code: what was trained is not lost for it
            faults[name] = one_line(f"metric {name} {why(error)}")
    lower = [name for name in means if METRICS[name].lower_is_better and name not in LOWER_IS_BETTER]
    return Scores(means[HEADLINE][scoring.class_sets[0]], means, by_class, faults, lower)


class NoValueError(Exception):
    """What a metric returned, or counted."""


def why(error: BaseException) -> str:
    """Why a metric has no value: "raised ValueError: no luck"."""
    return str(error) if isinstance(error, NoValueError) else f"raised {type(error).__name__}: {error}"


def _readonly(counts: np.ndarray | str) -> np.ndarray:
    if isinstance(counts, str):
        raise NoValueError(counts)
    copied = counts.copy()
    copied.flags.writeable = False
    return copied


def _numbers(value: Any, shape: tuple[int, ...]) -> list[float | None]:
    expected = f"{shape[0]} numbers, one a class" if shape else "one number"
    try:
        found = np.asarray(value)
    except ValueError:  # lists of several lengths
        found = np.asarray(None)
    if found.dtype.kind not in "iuf":
        raise NoValueError(f"returned {value!r:.60}, expected {expected}")
    if found.shape != shape:
        raise NoValueError(f"returned numbers of shape {found.shape}, expected {expected}")
    found = found.astype(np.float64)
    if not (np.isnan(found) | (abs(found) < _HUGE)).all():
        raise NoValueError(f"returned an infinite number, expected {expected}")
    return [None if math.isnan(each) else float(each) for each in found.reshape(-1)]


def _number(value: Any, counts: np.ndarray, ids: Sequence[int]) -> float | None:
    """NaN is of a class set that no label has: of others it is a fault."""
    (number,) = _numbers(value, ())
    if number is None and counts[list(ids)].any():
        raise NoValueError("returned NaN, expected one number")
    return number
