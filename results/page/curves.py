"""Curves over iterations, with what seeds make of them: mIoU, and what is known of pseudo-labels and gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from results.files.errors import ResultsError
from results.page.compared import Compared
from results.page.figure import Figure, Point, Series
from results.page.table import NOTHING, Table
from results.plots.style import Look
from results.records.metrics import GRADIENT_NORM
from results.tables.learning_curves import Curve, metric_curves, miou_curve, over_seeds, point_text
from results.tables.rows import Row

PSEUDO_LABELS = "pseudo_label"  # begins the names in metrics.json
_MEANINGS = {
    "pseudo_label_confidence": "The share of pixels whose largest probability reaches the threshold.",
    "pseudo_label_probability": "The mean of the largest probability of all pixels.",
    "pseudo_label_accuracy": "The share of pixels that target labels agree with; no method learns from those.",
}


def miou_curves(compared: Compared) -> list[Figure]:
    """mIoU of the student over iterations, a figure for each protocol and network."""
    figures = []
    for place, members in compared.by_place():
        curves = {summary.row.label: miou_curve(summary.row) for summary in members}
        figures += _figure(f"mIoU of the student over iterations: {place}", "mIoU (%)", compared.looks, curves, 1)
    return figures


def training_curves(compared: Compared, say: Callable[[str], None]) -> list[Figure]:
    """What metrics.json says of pseudo-labels and gradients, a figure for each protocol, network and measure."""
    figures = []
    for place, members in compared.by_place():
        known = {
            summary.row.label: [_read(folder, most, say) for folder, most in _finished(summary.row)]
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


def _read(folder: Path, most: int, say: Callable[[str], None]) -> dict[str, Curve]:
    try:
        return metric_curves(folder, most, (PSEUDO_LABELS, GRADIENT_NORM))
    except ResultsError as error:
        say(f"no curves of pseudo-labels and gradients: {error}")
        return {}


def _figure(
    title: str, y_label: str, looks: Mapping[str, Look], curves: Mapping[str, list[Curve]], digits: int, note: str = ""
) -> list[Figure]:
    """The figure of curves by the labels of rows, or none where no row has any."""
    means = {label: found for label, each in curves.items() if (found := over_seeds(each))}
    if not means:
        return []
    series = []
    for label, each in means.items():
        points = [
            Point(x, mean.mean, mean.deviation, f"{label}, iteration {x:.0f}: {point_text(mean, digits)}")
            for x, mean in each.items()
        ]
        series.append(Series(label, looks[label], points, band=True))
    iterations = sorted({x for each in means.values() for x in each})
    columns = {"iteration": [f"{x:.0f}" for x in iterations]}
    for label, each in means.items():
        columns[label] = [point_text(each[x], digits) if x in each else NOTHING for x in iterations]
    numbers = sorted({mean.n for each in means.values() for mean in each.values()})
    lines = "Of one seed each."
    if max(numbers) > 1:
        lines = f"Lines are means over {' or '.join(map(str, numbers))} seeds, bands the sample deviation."
    return [Figure(title, "iteration", y_label, series, Table.of(title, columns), notes=[note, lines])]
