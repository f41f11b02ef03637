"""A comparison class by class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from results.records.scores import CLASS_IOU
from results.tables.rows import Row
from results.tables.scores_by_seed import Score, classes_of
from results.tables.summary import Summary, summarize
from results.tables.summary_frame import difference_figures, mean_figures
from results.tables.summary_text import difference_text, mean_text

if TYPE_CHECKING:
    import pandas as pd

ByClass = dict[str, list[Summary]]
"""By class, the summaries of all rows in its IoU."""


def by_class(rows: Sequence[Row], baselines: Sequence[Row | str], model: str, rule: str) -> ByClass:
    """IoU of each class, with the paired difference to the baseline.

    Raises:
        ResultsError: records do not have ``rule`` by class.
    """
    return {
        name: summarize(rows, [Score(CLASS_IOU, name)], baselines, model, rule) for name in classes_of(rows, model)
    }


def class_columns(found: ByClass) -> dict[str, list[str]]:
    """The cells of a table by head: classes down, rows across; the difference in brackets."""
    cells: dict[str, list[str]] = {"class": list(found)}
    for summaries in found.values():
        for summary in summaries:
            mean = summary.means[0]
            versus = f" ({difference_text(summary.versus)})" if summary.versus else ""
            cells.setdefault(summary.row.label, []).append(mean_text(mean, mean.n if mean else 0) + versus)
    return cells


def class_frame(found: ByClass) -> pd.DataFrame:
    """The figures at full precision, a row a class and row of the comparison."""
    import pandas as pd

    return pd.DataFrame(
        {"class": name, "row": each.row.label, **mean_figures(each.means[0], "iou"), **difference_figures(each.versus)}
        for name, summaries in found.items()
        for each in summaries
    )
