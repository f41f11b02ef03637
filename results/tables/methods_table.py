"""Methods side by side, the first as the baseline: the table of a command that makes runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from results.files.errors import ResultsError
from results.tables.baselines import baselines_by_method
from results.tables.class_means import over_the_same_classes
from results.tables.frame import say as tell
from results.tables.notes import SELECTION, on_differences, on_further_sets, on_shared
from results.tables.rows import rows_of
from results.tables.summary import all_scores, summarize
from results.tables.summary_frame import frame_of
from results.tables.summary_text import Shown, columns_of


@dataclass(frozen=True)
class MethodsTable:
    """A row a method.

    Attributes:
        columns: cells by head, as people read them.
        frame: the figures at full precision (`results.tables.summary_frame`).
        notes: what the figures are.
    """

    columns: dict[str, list[str]]
    frame: pd.DataFrame
    notes: str


def methods_table(runs: pd.DataFrame, say: Callable[[str], None] = tell) -> MethodsTable:
    """The table of runs of one protocol and network, in the order of their methods' first runs.

    Args:
        runs: rows of `results.tables.frame`.
        say: gets a line for what is damaged, and for a row that has no difference.

    Raises:
        ResultsError: no runs, or two finished runs of one method, setting and seed.
    """
    if runs.empty:
        raise ResultsError("no runs to compare: expected at least one run folder with a record")
    rows = rows_of(over_the_same_classes(runs), ["method"], say)
    baseline, scores = rows[0].names["method"], all_scores(rows)
    summaries = summarize(rows, scores, baselines_by_method(rows, baseline), say=say)
    has_differences = any(each.versus for each in summaries)
    return MethodsTable(
        columns_of(summaries, scores, Shown(baseline, cost=True)),
        frame_of(summaries, scores, setting=any(row.setting for row in rows)),
        f"{SELECTION}."
        + (f" {on_differences(baseline)}." if has_differences else "")
        + (f" {elsewhere}." if (elsewhere := on_further_sets(runs.columns)) else "")
        + (f" {shared}." if (shared := on_shared(summaries)) else ""),
    )
