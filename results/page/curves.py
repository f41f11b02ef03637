"""Curves over iterations, with what seeds make of them: mIoU, and what is known of pseudo-labels and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from results.files.errors import ResultsError
from results.page.compared import Compared
from results.page.figure import Figure, Point, Series
from results.page.table import NOTHING, Table
from results.plots.style import Look
from results.records.metrics import GRADIENT_NORM, read_metrics
from results.tables.rows import Row
from results.tables.summary import Mean
from results.tables.summary_text import mean_text

PSEUDO_LABELS = "pseudo_label"  # begins the names in metrics.json
_MEANINGS = {
    "pseudo_label_confidence": "The share of pixels whose largest probability reaches the threshold.",
    "pseudo_label_probability": "The mean of the largest probability of all pixels.",
    "pseudo_label_accuracy": "The share of pixels that target labels agree with; no method learns from those.",
}
_BINS = 40  # of a curve of what is written every few iterations

Curve = dict[float, float]


def miou_curves(compared: Compared) -> list[Figure]:
    """mIoU of the student over iterations, a figure for each protocol and network."""
    figures = []
    for place, members in compared.by_place():
        curves = {
            summary.row.label: [
                {float(point.iteration): point.miou for point in record.curve if point.miou is not None}
                for record in summary.row.records.values()
            ]
            for summary in members
        }
        figures += _figure(f"mIoU of the student over iterations: {place}", "mIoU (%)", compared.looks, curves, 1)
    return figures


def training_curves(compared: Compared, say: Callable[[str], None]) -> list[Figure]:
    """What metrics.json says of pseudo-labels and gradients, a figure for each protocol, network and measure."""
    figures = []
    for place, members in compared.by_place():
        known = {
            summary.row.label: [_binned(folder, most, say) for folder, most in _finished(summary.row)]
            for summary in members
        }
        names = dict.fromkeys(name for curves in known.values() for curve in curves for name in curve)
        for name in names:
            curves = {label: [curve.get(name, {}) for curve in each] for label, each in known.items()}
            title = name.replace("pseudo_label", "pseudo-label").replace("_norm/", " norm of ").replace("_", " ")
            title = title.capitalize()
            figures += _figure(f"{title}: {place}", title, compared.looks, curves, 3, _MEANINGS.get(name, ""))
    return figures


def _finished(row: Row) -> list[tuple[Path, int]]:
    done = row.finished
    return [(Path(folder), most) for folder, most in zip(done["folder"], done["max_iterations"], strict=True)]


def _binned(folder: Path, most: int, say: Callable[[str], None]) -> dict[str, Curve]:
    """Means over equal parts of the run's iterations, by name."""
    try:
        metrics = read_metrics(folder, PSEUDO_LABELS, GRADIENT_NORM)
    except ResultsError as error:
        say(f"no curves of pseudo-labels and gradients: {error}")
        return {}
    width = max(1, math.ceil(most / _BINS))
    found = {}
    for name, values in metrics.items():
        parts: dict[float, list[float]] = {}
        for iteration, value in values.items():
            end = min(math.ceil((iteration + 1) / width) * width, max(most, iteration + 1))
            parts.setdefault(float(end), []).append(value)
        found[name] = {end: math.fsum(each) / len(each) for end, each in sorted(parts.items())}
    return found


def _figure(
    title: str, y_label: str, looks: Mapping[str, Look], curves: Mapping[str, list[Curve]], digits: int, note: str = ""
) -> list[Figure]:
    """The figure of curves by the labels of rows, or none where no row has any."""
    means = {label: found for label, each in curves.items() if (found := _means(each))}
    if not means:
        return []
    series = []
    for label, each in means.items():
        points = [
            Point(x, mean.mean, mean.deviation, f"{label}, iteration {x:.0f}: {_text(mean, digits)}")
            for x, mean in each.items()
        ]
        series.append(Series(label, looks[label], points, band=True))
    iterations = sorted({x for each in means.values() for x in each})
    columns = {"iteration": [f"{x:.0f}" for x in iterations]}
    for label, each in means.items():
        columns[label] = [_text(each[x], digits) if x in each else NOTHING for x in iterations]
    numbers = sorted({mean.n for each in means.values() for mean in each.values()})
    lines = "Of one seed each."
    if max(numbers) > 1:
        lines = f"Lines are means over {' or '.join(map(str, numbers))} seeds, bands the sample deviation."
    return [Figure(title, "iteration", y_label, series, Table.of(title, columns), notes=[note, lines])]


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
