"""A comparison class by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from results.records.scores import CLASS_IOU
from results.tables.beside_published import Beside
from results.tables.rows import Row
from results.tables.scores_by_seed import Score, classes_of
from results.tables.summary import Summary, summarize
from results.tables.summary_frame import difference_figures, mean_figures
from results.tables.summary_text import difference_text, mean_text, published_class_text

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED = ", published"  # after a row's name, over its published IoU
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


def class_columns(found: ByClass, published: Sequence[Beside] = ()) -> dict[str, list[str]]:
    """The cells of a table by head: classes down, rows across; the difference in brackets.

    A row with published IoU has that beside it, and in brackets what the measured mean differs from it by.
    """
    cells: dict[str, list[str]] = {"class": list(found)}
    for name, summaries in found.items():
        for summary, own in zip(summaries, published or [Beside()] * len(summaries), strict=True):
            mean = summary.means[0]
            versus = f" ({difference_text(summary.versus)})" if summary.versus else ""
            cells.setdefault(summary.row.label, []).append(mean_text(mean, mean.n if mean else 0) + versus)
            if own.iou:
                text, difference = published_class_text(mean, own.iou.get(name))
                head = f"{summary.row.label}{PUBLISHED}"
                cells.setdefault(head, []).append(text + (f" ({difference})" if difference else ""))
    return cells


def class_frame(found: ByClass, published: Sequence[Beside] | None = None) -> pd.DataFrame:
    """The figures at full precision, a row a class and row of the comparison; ``published``: with columns of it."""
    import pandas as pd

    lines = []
    for name, summaries in found.items():
        for each, own in zip(summaries, published or [Beside()] * len(summaries), strict=True):
            line: dict[str, Any] = {"class": name, "row": each.row.label}
            line |= mean_figures(each.means[0], "iou") | difference_figures(each.versus)
            if published is not None:
                known = name in own.iou
                line |= {"published_iou": own.iou.get(name, math.nan), "published_source": own.source if known else ""}
                line |= {"not_as_published": own.other if known else ""}
            lines.append(line)
    return pd.DataFrame(lines)
