"""Curves over iterations, with what seeds make of them: mIoU, and what is known of pseudo-labels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from results.files.errors import ResultsError
from results.page.compared import Compared
from results.page.figure import Figure, Point, Series
from results.page.table import NOTHING, Table
from results.records.metrics import read_metrics
from results.records.record import FINISHED
from results.tables.rows import Row
from results.tables.summary import Mean
from results.tables.summary_text import mean_text

PSEUDO_LABELS = "pseudo_label"  # begins the names in metrics.json
_BINS = 40  # of a curve of what is written every few iterations

Curve = dict[float, float]


def miou_curves(compared: Compared) -> list[Figure]:
    """mIoU of the student over iterations, a figure for each protocol and network."""
    figures = []
    for place, members in compared.by_place():
        curves = {
            style: [
                {float(point.iteration): point.miou for point in record.curve if point.miou is not None}
                for record in compared.finished(summary.row)
            ]
            for style, summary in members
        }
        figures += _figure(f"mIoU of the student over iterations: {place}", "mIoU (%)", members_of(members), curves, 1)
    return figures


def pseudo_label_curves(compared: Compared, say: Callable[[str], None]) -> list[Figure]:
    """What metrics.json says of pseudo-labels, a figure for each protocol, network and measure."""
    figures = []
    for place, members in compared.by_place():
        known = {
            style: [_binned(folder, most, say) for folder, most in _finished(summary.row)] for style, summary in members
        }
        names = dict.fromkeys(name for curves in known.values() for curve in curves for name in curve)
        for name in names:
            curves = {style: [curve.get(name, {}) for curve in each] for style, each in known.items()}
            title = name.replace("pseudo_label", "pseudo-label").replace("_", " ").capitalize()
            figures += _figure(f"{title}: {place}", title, members_of(members), curves, 3)
    return figures


def members_of(members: Sequence[tuple[int, object]]) -> dict[int, str]:
    """The labels of rows by their numbers."""
    return {style: summary.row.label for style, summary in members}  # type: ignore[attr-defined]


def _finished(row: Row) -> list[tuple[Path, int]]:
    done = row.runs[row.runs["status"] == FINISHED].sort_values("seed")
    return [(Path(folder), int(most)) for folder, most in zip(done["folder"], done["max_iterations"], strict=True)]


def _binned(folder: Path, most: int, say: Callable[[str], None]) -> dict[str, Curve]:
    """Means over equal parts of the run's iterations, by name."""
    try:
        metrics = read_metrics(folder, PSEUDO_LABELS)
    except ResultsError as error:
        say(f"no curves of pseudo-labels: {error}")
        return {}
    width = max(1, math.ceil(most / _BINS))
    found = {}
    for name, values in metrics.items():
        parts: dict[float, list[float]] = {}
        for iteration, value in values.items():
            parts.setdefault(float(math.ceil((iteration + 1) / width) * width), []).append(value)
        found[name] = {end: math.fsum(each) / len(each) for end, each in sorted(parts.items())}
    return found


def _figure(
    title: str, y_label: str, labels: Mapping[int, str], curves: Mapping[int, list[Curve]], digits: int
) -> list[Figure]:
    """The figure of curves by row, or none where no row has any."""
    means = {style: _means(each) for style, each in curves.items()}
    means = {style: each for style, each in means.items() if each}
    if not means:
        return []
    series = [
        Series(
            labels[style],
            style,
            [
                Point(x, mean.mean, mean.deviation, f"{labels[style]}, iteration {x:.0f}: {_text(mean, digits)}")
                for x, mean in each.items()
            ],
            band=True,
        )
        for style, each in means.items()
    ]
    iterations = sorted({x for each in means.values() for x in each})
    columns = {"iteration": [f"{x:.0f}" for x in iterations]}
    for style, each in means.items():
        columns[labels[style]] = [_text(each[x], digits) if x in each else NOTHING for x in iterations]
    numbers = sorted({mean.n for each in means.values() for mean in each.values()})
    note = "Of one seed each."
    if max(numbers) > 1:
        note = f"Lines are means over {' or '.join(map(str, numbers))} seeds, bands the sample deviation."
    return [Figure(title, "iteration", y_label, series, Table.of(title, columns), notes=[note])]


def _means(curves: Sequence[Curve]) -> dict[float, Mean]:
    """The mean of each iteration that all curves have: of fewer the mean would jump."""
    curves = [curve for curve in curves if curve]
    common = set.intersection(*map(set, curves)) if curves else set()
    found = {x: Mean.of(dict(enumerate(curve[x] for curve in curves))) for x in sorted(common)}
    return {x: mean for x, mean in found.items() if mean is not None}


def _text(mean: Mean, digits: int) -> str:
    if digits == 1:
        return mean_text(mean, mean.n)
    return f"{mean.mean:.{digits}f}" + ("" if mean.deviation is None else f" ± {mean.deviation:.{digits}f}")
