"""Scores by what they are of: a metric, a model, and a class set or a class."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from results.records.typed_json import Name, typed

HEADLINE = "mIoU"  # the metric that runs are compared by
CLASS_IOU = "IoU"
LOWER_IS_BETTER = frozenset({"ECE"})  # of the suite's own metrics; of others a record says it
STUDENT, TEACHER = "student", "teacher"
AT = "@"  # before the name of a further set: mIoU@acdc


def lower_is_better(metric: str, others: Collection[str] = ()) -> bool:
    """Whether less of a metric is better, on a further set too; ``others``: of those that are none of the suite's."""
    name = metric.partition(AT)[0]
    return name in LOWER_IS_BETTER or name in others


Means = dict[str, dict[int, "float | None"]]
"""By metric and size of the class set, which a metric has one value of; None for what could not be measured."""
ByClass = dict[str, dict[str, "float | None"]]
"""By metric and class, of metrics that have a value of each class."""


@dataclass(frozen=True)
class Scores:
    """The scores of one model on one set of images.

    Attributes:
        headline: HEADLINE's over the class set that comes first.
        faults: why a metric has no value, by its name.
        lower_is_better: metrics beside `LOWER_IS_BETTER` of which less is better.
    """

    headline: float | None = None
    means: Means = field(default_factory=dict)
    by_class: ByClass = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    lower_is_better: list[str] = field(default_factory=list)

    @classmethod
    def from_json(cls, content: Mapping[str, Any], name: Name = "") -> Scores:
        """What `as_json` made; where earlier versions wrote down no class sets, there are none.

        Raises:
            ValueError: a value is of another kind, in one line that begins with ``name`` and its key.
        """
        file = typed(_InFile, content, name)
        means = {HEADLINE: file.miou_by_classes} if file.miou_by_classes else {}
        by_class = {CLASS_IOU: file.iou} if file.iou else {}
        scores = means | file.metrics, by_class | file.metrics_by_class
        return cls(file.miou, *scores, file.faults, file.lower_is_better)

    def scalars(self) -> dict[str, float]:
        """The scores by names of metrics.json: ``mIoU`` for the first class set, ``mIoU-16``, ``IoU-road``."""
        found = {HEADLINE: self.headline}
        found |= {f"{name}-{size}": value for name, each in self.means.items() for size, value in each.items()}
        found |= {f"{name}-{label}": value for name, each in self.by_class.items() for label, value in each.items()}
        return {name: math.nan if value is None else value for name, value in found.items()}

    def as_json(self) -> dict[str, Any]:
        """The scores as record.json and evaluation.json have them: HEADLINE and CLASS_IOU under keys of their own."""
        means, by_class = dict(self.means), dict(self.by_class)
        found: dict[str, Any] = {
            "miou": self.headline,
            "miou_by_classes": {str(size): value for size, value in means.pop(HEADLINE, {}).items()},
            "iou": by_class.pop(CLASS_IOU, {}),
        }
        further = {
            "metrics": {name: {str(size): each for size, each in values.items()} for name, values in means.items()},
            "metrics_by_class": by_class,
            "faults": self.faults,
            "lower_is_better": self.lower_is_better,
        }
        return found | {key: value for key, value in further.items() if value}


@dataclass(frozen=True)
class _InFile:
    miou: float | None = None
    miou_by_classes: dict[int, float | None] = field(default_factory=dict)
    iou: dict[str, float | None] = field(default_factory=dict)
    metrics: dict[str, dict[int, float | None]] = field(default_factory=dict)
    metrics_by_class: dict[str, dict[str, float | None]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    lower_is_better: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Criteria:
    """What was measured without target labels: mIoU on the source in percent, confidence in [0, 1]."""

    source_miou: float | None = None
    confidence: float | None = None


@dataclass(frozen=True)
class Result:
    """The scores of a finished run; a model that was not scored has none."""

    student: Scores = field(default_factory=Scores)
    teacher: Scores = field(default_factory=Scores)
    criteria: Criteria = Criteria()

    def of(self, model: str) -> Scores:
        """The scores of STUDENT or TEACHER."""
        return {STUDENT: self.student, TEACHER: self.teacher}[model]


@dataclass(frozen=True)
class Elsewhere:
    """The scores on a further set of images (TEST.ALSO).

    Attributes:
        images: how many.
        short_side: of images as the network saw them, in pixels; None: as they are.
        result: the scores.
        conditions: those of its images of a weather or daytime, by its name.
        fault: why there are none.
    """

    images: int = 0
    short_side: int | None = None
    result: Result = field(default_factory=Result)
    conditions: dict[str, Result] = field(default_factory=dict)
    fault: str = ""


def with_means_elsewhere(scores: Scores, also: Mapping[str, Elsewhere], model: str) -> Scores:
    """A model's scores with those on further sets as metrics of their own: ``mIoU@acdc``, ``ECE@acdc-fog``.

    Of several sets there is their mean too, named by them: ``mIoU@acdc+bdd100k``.
    """
    found: Means = {}
    by_metric: dict[str, dict[str, dict[int, float | None]]] = {}  # of sets as a whole
    for name, each in also.items():
        for part, result in {name: each.result, **{f"{name}-{key}": of for key, of in each.conditions.items()}}.items():
            for metric, means in result.of(model).means.items():
                if means:
                    found[f"{metric}{AT}{part}"] = means
                    by_metric.setdefault(metric, {}).update({name: means} if part == name else {})
    for metric, sets in by_metric.items():
        if len(sets) > 1:
            each_set = [sets[name] for name in sorted(sets)]
            found[f"{metric}{AT}{'+'.join(sorted(sets))}"] = {
                size: mean([means.get(size) for means in each_set]) for size in each_set[0]
            }
    return replace(scores, means=scores.means | found) if found else scores


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of all; None where one is not known."""
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known and len(known) == len(values) else None


@dataclass(frozen=True)
class Validation:
    """What the validation labels have: pixels by class, and the classes without any, by size of the class set."""

    labelled_pixels: dict[str, int] = field(default_factory=dict)
    left_out: dict[int, list[str]] = field(default_factory=dict)
