"""A comparison class by class."""

from __future__ import annotations

from collections.abc import Sequence

from results.records.scores import CLASS_IOU
from results.tables.rows import Row
from results.tables.scores_by_seed import Score, classes_of
from results.tables.summary import summarize
from results.tables.summary_text import difference_text, mean_text


def class_columns(rows: Sequence[Row], baselines: Sequence[Row | str], model: str, rule: str) -> dict[str, list[str]]:
    """The cells of a table by head: classes down, rows across; IoU, with the paired difference to the baseline.

    Raises:
        ResultsError: records do not have ``rule`` by class.
    """
    classes = classes_of(list(rows), model)
    cells: dict[str, list[str]] = {row.label: [] for row in rows}
    for name in classes:
        for summary in summarize(rows, [Score(CLASS_IOU, name)], baselines, model, rule):
            mean = summary.means[0]
            versus = f" ({difference_text(summary.versus)})" if summary.versus else ""
            cells[summary.row.label].append(mean_text(mean, mean.n if mean else 0) + versus)
    return {"class": classes} | cells
