"""Learning curves: what runs wrote down while they trained, over iterations, with what seeds make of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from results.records.metrics import read_metrics
from results.records.scores import HEADLINE, STUDENT
from results.tables.rows import Row
from results.tables.summary import Mean
from results.tables.summary_text import mean_text

PARTS = 40
"""Of a run's iterations, over each of which a curve is averaged where nobody says over how many."""
STUDENT_MIOU = f"{STUDENT}/{HEADLINE}"

Curve = dict[float, float]
"""A value for each end of a part of the iterations, counted from 1."""


def miou_curve(row: Row) -> list[Curve]:
    """The student's mIoU in percent at each evaluation, of each finished run, from its record."""
    return [
        {float(point.iteration): point.miou for point in record.curve if point.miou is not None}
        for record in row.records.values()
    ]


def metric_curves(folder: Path, most: int, prefixes: Sequence[str], every: int | None = None) -> dict[str, Curve]:
    """The curves of a run's metrics.json by name, those whose name begins with a prefix.

    Args:
        folder: of the run.
        most: its iterations.
        prefixes: of names.
        every: iterations of a part; None: a part of `PARTS`.

    Raises:
        ResultsError: metrics.json cannot be read.
    """
    width = every or max(1, math.ceil(most / PARTS))
    return {name: averaged(values, width, most) for name, values in read_metrics(folder, *prefixes).items()}


def averaged(values: Mapping[int, float], width: int, most: int) -> Curve:
    """Means over parts of ``width`` iterations, counted from 0 in ``values``; the last part ends with the run.

    Scores of the finished run stand at ``most``, one after its last iteration, and belong to the last part.
    """
    parts: dict[float, list[float]] = {}
    for iteration, value in values.items():
        parts.setdefault(float(min(math.ceil((iteration + 1) / width) * width, most)), []).append(value)
    return {end: math.fsum(each) / len(each) for end, each in sorted(parts.items())}


def over_seeds(curves: Sequence[Curve]) -> dict[float, Mean]:
    """The mean of each point that all curves have: of fewer the mean would jump. Empty curves count as none."""
    curves = [curve for curve in curves if curve]
    common = set.intersection(*map(set, curves)) if curves else set()
    found = {x: Mean.of(dict(enumerate(curve[x] for curve in curves))) for x in sorted(common)}
    return {x: mean for x, mean in found.items() if mean is not None}


def point_text(mean: Mean, digits: int) -> str:
    """A point for people: ``22.5 ± 1.1``."""
    if digits == 1:
        return mean_text(mean, mean.n)
    return f"{mean.mean:.{digits}f}" + ("" if mean.deviation is None else f" ± {mean.deviation:.{digits}f}")
