"""What methods cost, against what they score."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from results.page.compared import Compared
from results.page.figure import BARS, Figure, Point, Series
from results.page.table import NOTHING, Table
from results.plots.style import Look
from results.tables.rows import Runs, is_known
from results.tables.summary import Summary
from results.tables.summary_text import mean_text

COSTS = {"seconds_per_iteration": ("seconds an iteration", 3), "peak_memory_mib": ("peak memory (MiB)", 0)}


def cost_figures(compared: Compared) -> list[Figure]:
    """mIoU over seconds an iteration and over memory, a figure for each protocol, network and hardware, shared or not.

    Rows are their medians over finished runs. An oracle learns from labels that others do not have: it is drawn hollow
    and is on no front.
    """
    figures = []
    for place, members in compared.by_place():
        for hardware in dict.fromkeys(name for summary in members for name in _hardware(summary)):
            for column, (label, digits) in COSTS.items():
                there = [
                    (summary, cost)
                    for summary in members
                    if (cost := _cost(summary, hardware, column)) is not None and summary.means[0] is not None
                ]
                if there:
                    figures.append(_figure(f"{place}, {hardware}", label, digits, there, compared.looks))
    return figures


def pareto(points: Sequence[Point]) -> list[Point]:
    """The points that no other beats: none costs less or the same and scores more, or the same for less."""
    front: list[Point] = []
    for point in sorted(points, key=lambda each: (each.x, -each.y)):
        if not front or point.y > front[-1].y:
            front.append(point)
    return front


def _figure(
    place: str, label: str, digits: int, there: Sequence[tuple[Summary, float]], looks: Mapping[str, Look]
) -> Figure:
    series, on_front = [], []
    texts: list[tuple[str, str, str]] = []
    for summary, cost in there:
        mean, name, oracle = summary.means[0], summary.row.label, summary.row.is_oracle
        assert mean is not None
        texts.append((name, f"{cost:.{digits}f}", mean_text(mean, mean.n)))
        point = Point(cost, mean.mean, mean.deviation, f"{name}: {texts[-1][1]}, mIoU {texts[-1][2]}")
        series.append(Series(f"{name} (oracle)" if oracle else name, looks[name], [point], line=False, hollow=oracle))
        if not oracle:
            on_front.append(point)
    front = pareto(on_front)
    names = [series[place].label for place, each in enumerate(series) if each.points[0] in front]
    columns = dict(zip(("row", label, "mIoU (%)"), map(list, zip(*texts, strict=True)), strict=True))
    columns["on the front"] = ["yes" if each.points[0] in front else NOTHING for each in series]
    title = f"mIoU against {label}: {place}"
    note = f"On the Pareto front, where none is both cheaper and better: {', '.join(names)}." if names else ""
    table = Table.of(title, columns)
    return Figure(title, label, "mIoU (%)", series, table, front=(front, "Pareto front"), notes=[note], bars=BARS)


def _hardware(summary: Summary) -> list[str]:
    return list(dict.fromkeys(_where(summary.row.runs)))


def _cost(summary: Summary, hardware: str, column: str) -> float | None:
    runs = summary.row.finished
    known = [cost for cost, where in zip(runs[column], _where(runs), strict=True) if where == hardware]
    costs = [float(cost) for cost in known if is_known(cost)]
    return statistics.median(costs) if costs else None


def _where(runs: Runs) -> list[str]:
    """Hardware, precision, and whether it was shared, of each run."""
    return [
        f"{name}, {precision}" + (", shared with other runs" if is_known(part) and part > 0 else "")
        for name, precision, part in zip(runs["hardware"], runs["precision"], runs["shared"], strict=True)
    ]
