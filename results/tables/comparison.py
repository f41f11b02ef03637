"""The comparison of methods: one row a method, over its seeds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from results.files.errors import ResultsError
from results.records.columns import COUNTED, DEVIATION, N, ScoreKey
from results.records.record import FINISHED, write_text
from results.records.scores import HEADLINE, STUDENT
from results.tables.cells import MARKDOWN, as_csv, markdown, tabulated
from results.tables.class_means import over_the_same_classes

SELECTION = "mIoU in percent of the student at the last iterate; no checkpoint is chosen by target labels"


def compare(runs: pd.DataFrame) -> pd.DataFrame:
    """Summarize runs by method, in order of first appearance; the first method is the reference.

    Args:
        runs: rows of ``results.tables.frame`` of one protocol and network.

    Returns:
        One row a method: ``method``, ``classes`` (size of the class set of the columns that name none), ``counted``
        (how many of them the means are over, the same ones for all methods: `class_means`), ``miou`` (mean over
        finished seeds, percent), ``deviation`` (sample standard deviation, n - 1; missing for one seed), ``n``,
        ``difference`` (mean over the seeds that the reference has finished too, each against the reference of its own
        seed; missing for the reference), ``difference_n``, a `ScoreKey` with its DEVIATION and N for each further class
        set and metric, ``iterations``, ``seconds_per_iteration`` and ``peak_memory_mib`` (medians),
        ``unfinished`` (runs by status).

    Raises:
        ResultsError: no runs, runs of several class sets, or two finished runs of one method and seed (they differ in
            other settings).
    """
    if runs.empty:
        raise ResultsError("no runs to compare: expected at least one run folder with a record")
    sizes = runs["classes"].unique()
    if len(sizes) > 1:
        found = " and ".join(str(size) for size in sizes)
        raise ResultsError(f"mIoU over {found} classes cannot be compared: expected runs of one TEST.CLASSES")
    headline = ScoreKey(HEADLINE, int(sizes[0]))
    others = [
        key
        for key in runs
        if isinstance(key, ScoreKey) and not key.statistic and key.model == STUDENT and key != headline
    ]
    runs = over_the_same_classes(runs)
    rows = []
    reference: pd.Series | None = None
    for method, group in runs.groupby("method", sort=False):
        done = group[group["status"] == FINISHED].set_index("seed")
        if done.index.has_duplicates:
            seed = done.index[done.index.duplicated()][0]
            folders = " and ".join(done.loc[seed, "folder"])
            raise ResultsError(f"{method} has two runs of seed {seed}, {folders}: expected one of each seed")
        miou = done["miou"].astype(float).dropna()
        row: dict[str | ScoreKey, Any] = {
            "method": method,
            "oracle": bool(group["oracle"].any()),
            "classes": sizes[0],
            "counted": done["counted"].astype(float).min(),
            "miou": miou.mean(),
            "deviation": miou.std(ddof=1),
            "n": len(miou),
            "iterations": done["iterations"].max(),
            "seconds_per_iteration": done["seconds_per_iteration"].astype(float).median(),
            "peak_memory_mib": done["peak_memory_mib"].astype(float).median(),
            "unfinished": _unfinished(group),
        }
        if reference is None:
            reference, difference = miou, pd.Series(dtype=float)
        else:
            difference = (miou - reference).dropna()
        row["difference"], row["difference_n"] = difference.mean(), len(difference)
        for key in others:
            further = done[key].astype(float).dropna()
            row |= {key: further.mean(), replace(key, statistic=DEVIATION): further.std(ddof=1)}
            row[replace(key, statistic=N)] = len(further)
        for column in runs:
            if isinstance(column, ScoreKey) and column.statistic == COUNTED:
                row[column] = done[column].astype(float).min()
        rows.append(row)
    return pd.DataFrame(rows)


def _unfinished(group: pd.DataFrame) -> str:
    counts = group.loc[group["status"] != FINISHED, "status"].value_counts()
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def printable(comparison: pd.DataFrame) -> pd.DataFrame:
    """The comparison with its figures as people read them; the head of each mIoU says over how many classes."""
    first, classes = comparison["method"].iloc[0], comparison["classes"].iloc[0]
    rows = comparison.to_dict("records")
    further, others = dict[str, list[str]](), dict[str, list[str]]()
    for key in comparison:
        if isinstance(key, ScoreKey) and not key.statistic:
            figures = [_miou(*(row[replace(key, statistic=name)] for name in ("", DEVIATION, N))) for row in rows]
            if key.metric != HEADLINE:
                others[key.title] = figures
            else:
                counted = _counted(comparison, ScoreKey("", key.classes, statistic=COUNTED), key.classes)
                further[f"{HEADLINE} ({counted})"] = figures
    versus = f"vs {first} ({classes})" if further else f"vs {first}"
    table = pd.DataFrame(
        {
            "method": [f"{row.method} (oracle)" if row.oracle else row.method for row in comparison.itertuples()],
            f"mIoU ({_counted(comparison, 'counted', classes)})": [
                _miou(row["miou"], row["deviation"], row["n"]) for row in rows
            ],
            **further,
            # Of one method there is nothing else to be compared with.
            **({versus: [_difference(row) for row in comparison.itertuples()]} if len(rows) > 1 else {}),
            **others,
            "iterations": [_number(value, "d") for value in comparison["iterations"]],
            "s/iteration": [_number(value, ".3f") for value in comparison["seconds_per_iteration"]],
            "peak memory": [_number(value, ".0f", " MiB") for value in comparison["peak_memory_mib"]],
        }
    )
    if comparison["unfinished"].any():
        table["unfinished"] = list(comparison["unfinished"])
    return table


def _counted(comparison: pd.DataFrame, column: str | ScoreKey, size: Any) -> str:
    """The number of classes, ``19``, or ``18 of 19`` where labels lack a class; several where methods differ."""
    known = comparison[column].dropna() if column in comparison else pd.Series(dtype=float)
    numbers = sorted({int(number) for number in known})
    return f"{size}" if not numbers or numbers == [int(size)] else f"{' or '.join(map(str, numbers))} of {size}"


def _miou(mean: float, deviation: float, n: float) -> str:
    if pd.isna(mean):
        return "-"
    return f"{mean:.1f}" if n == 1 else f"{mean:.1f} ± {deviation:.1f} (n={n:.0f})"


def _difference(row: Any) -> str:
    if not row.difference_n:
        return "-"
    paired = f" (n={row.difference_n})" if row.difference_n != row.n else ""
    return f"{round(row.difference, 1) + 0.0:+.1f}{paired}"  # never -0.0


def _number(value: float, form: str, unit: str = "") -> str:
    if pd.isna(value):
        return "-"
    return f"{int(value) if form == 'd' else value:{form}}{unit}"


def render(comparison: pd.DataFrame, form: str) -> str:
    """The printable table, as tabulate's ``form``: ``simple`` for a terminal, ``github`` for Markdown."""
    return tabulated({str(head): list(texts) for head, texts in printable(comparison).items()}, form)


def write_tables(comparison: pd.DataFrame, caption: str, stem: Path) -> tuple[Path, Path]:
    """Write ``stem``.csv (full precision) and ``stem``.md (as printed, with the caption). Returns both paths."""
    csv, text = (stem.with_name(f"{stem.name}.{ending}") for ending in ("csv", "md"))  # names may have dots
    write_text(csv, as_csv(comparison))
    write_text(text, f"{render(comparison, MARKDOWN)}\n\n{markdown(caption)}\n")
    return csv, text
