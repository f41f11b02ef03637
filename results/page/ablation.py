"""What a setting does: the runs of one recipe that differ in config keys."""

from __future__ import annotations

import math
from collections.abc import Sequence

from results.page.compared import Compared
from results.page.figure import BARS, Figure, Point, Series
from results.page.table import NOTHING, Table
from results.plots.style import MARKERS, PALETTE, Look
from results.tables.rows import UNKNOWN
from results.tables.summary import Summary
from results.tables.summary_text import difference_text, interval_text, mean_text


def ablation_figures(compared: Compared) -> list[Figure]:
    """A figure for each key that has several values in the rows of one recipe, protocol and network.

    What differs in further keys as well is a line of its own. Where rows have a paired difference to the baseline,
    that is drawn, with its own deviation; else mIoU.
    """
    figures = []
    for place, members in compared.by_place():
        recipes: dict[str, list[Summary]] = {}
        for summary in members:
            if summary.row.setting and summary.means[0] is not None:
                recipes.setdefault(", ".join(summary.row.names.values()), []).append(summary)
        for recipe, rows in recipes.items():
            for key in rows[0].row.setting:
                if lines := _lines(rows, key):
                    figures.append(_figure(compared, f"{recipe}, {key}: {place}", key, lines))
    return figures


def _lines(rows: Sequence[Summary], key: str) -> dict[str, list[Summary]]:
    """The rows with several values of a key, by what else they are set to."""
    found: dict[str, list[Summary]] = {}
    for summary in rows:
        if summary.row.setting[key] != UNKNOWN:
            others = ", ".join(f"{name} {value}" for name, value in summary.row.setting.items() if name != key)
            found.setdefault(others, []).append(summary)
    return {others: each for others, each in found.items() if len(each) > 1}


def _figure(compared: Compared, title: str, key: str, lines: dict[str, list[Summary]]) -> Figure:
    every = [summary for each in lines.values() for summary in each]
    paired = all(summary.versus for summary in every)
    values = _places(list(dict.fromkeys(summary.row.setting[key] for summary in every)))
    series = []
    for place, (others, rows) in enumerate(lines.items()):
        points = [_point(summary, values[summary.row.setting[key]], paired, key) for summary in rows]
        look = Look(PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)])
        series.append(Series(others or key, look, sorted(points, key=lambda each: each.x)))
    baseline = compared.baseline
    y_label = f"mIoU difference to {baseline}" if paired else "mIoU (%)"
    return Figure(
        title,
        key,
        y_label,
        series,
        _table(title, key, every, compared),
        labels={at: text for text, at in values.items()},
        level=(0.0, f"{baseline}") if paired else None,
        notes=[f"Differences to {baseline} are paired by seed."] if paired else [],
        bars="Bars are their deviation." if paired else BARS,
    )


def _places(texts: Sequence[str]) -> dict[str, float]:
    """The place of each value: at the number that it is, or side by side."""
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        numbers = [math.nan]
    if all(map(math.isfinite, numbers)) and len(set(numbers)) == len(texts):
        return dict(zip(texts, numbers, strict=True))
    return {text: float(place) for place, text in enumerate(texts)}


def _point(summary: Summary, x: float, paired: bool, key: str) -> Point:
    mean = summary.means[0]
    assert mean is not None
    if paired and summary.versus:
        difference = summary.versus.difference
        y, deviation, text = difference.mean, difference.deviation, difference_text(summary.versus)
    else:
        y, deviation, text = mean.mean, mean.deviation, mean_text(mean, mean.n)
    return Point(x, y, deviation, f"{key} {summary.row.setting[key]}: {text} (n={mean.n})")


def _table(title: str, key: str, rows: Sequence[Summary], compared: Compared) -> Table:
    names = list(rows[0].row.setting)
    columns = {name: [summary.row.setting[name] for summary in rows] for name in [key, *(n for n in names if n != key)]}
    means = [summary.means[0] for summary in rows]
    columns["mIoU (%)"] = [mean_text(mean, mean.n) if mean else NOTHING for mean in means]
    columns["n"] = [str(mean.n) if mean else NOTHING for mean in means]
    if compared.baseline:
        columns[f"vs {compared.baseline}"] = [difference_text(summary.versus) for summary in rows]
        columns["95% (seeds)"] = [
            interval_text(summary.versus.difference.interval if summary.versus else None) for summary in rows
        ]
    return Table.of(title, columns)
