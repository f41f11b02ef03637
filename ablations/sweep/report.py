"""What a grid measured: the table of the paper's form, beside published figures, and a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ablations.sweep.expand import Row
from ablations.sweep.grid import Grid
from ablations.sweep.grid_checks import label_of
from ablations.sweep.grid_plot import plot_grid
from ablations.sweep.published_figures import Beside, beside
from benchmarks.config.published_network import other_networks
from results.plots.files import FORMATS, write_figure
from results.plots.style import COLUMN
from results.records.images import about_images
from results.records.record import write_text
from results.tables.cells import as_csv, markdown
from results.tables.class_means import over_the_same_classes, said
from results.tables.comparison import SELECTION, compare, printable
from results.tables.frame import damaged, from_folders
from results.tables.run_table import render_table

_NOT_STARTED, _DAMAGED = "not started", "damaged"
_GIGA = 1e9


@dataclass(frozen=True, eq=False)
class Report:
    """A grid's results.

    Attributes:
        frame: one row a setting, figures at full precision (the CSV file).
        shown: the same as people read it, columns of text.
        caption: what the figures are of, and how they were taken.
        failed: whether a run is not finished.
    """

    frame: pd.DataFrame
    shown: dict[str, list[str]]
    caption: str
    failed: bool


def report(grid: Grid, rows: Sequence[Row], overrides: Mapping[str, Any], title: str) -> Report:
    """Read the records of the rows' runs back; runs that are not there are counted as not started.

    Those whose record is damaged are counted as such, and named in the caption; a line on stderr says what is wrong.

    Returns:
        The columns of ``frame`` are ``setting``, one an axis, ``method``, ``network``, ``reference`` (whether it is
        one), those of ``results.tables.comparison.compare`` from ``classes`` on (mIoU in percent, differences to the
        reference of the same host and network, seed by seed), ``published_miou`` and ``published_difference`` in
        percent, ``published_note`` and ``published_source``, ``target_image_macs`` (multiply-adds) and ``cost_ratio``
        (to the host) where the grid asks for them, and ``runs`` (ids).
    """
    runs = from_folders((run.folder for row in rows for run in row.runs), say=lambda line: None)  # said below
    comparison = pd.concat([_compared(group, runs) for group in _groups(rows)], ignore_index=True)
    published = beside(grid, rows)
    frame = pd.DataFrame(
        {
            "setting": [row.label for row in rows],
            **{axis.name: [row.labels[i] for row in rows] for i, axis in enumerate(grid.axes)},
            "method": [row.cfg.METHOD for row in rows],
            "network": [row.cfg.NETWORK for row in rows],
            "reference": [row.is_reference for row in rows],
        }
    )
    frame = frame.join(comparison.drop(columns=["method", "oracle"]))
    frame["published_miou"] = [each.miou for each in published]
    frame["published_difference"] = [each.difference for each in published]
    frame["published_note"] = [each.note for each in published]
    frame["published_source"] = [each.source for each in published]
    if grid.cost:
        frame["target_image_macs"], frame["cost_ratio"] = _costs(rows)
    frame["runs"] = [" ".join(run.folder.name for run in row.runs) for row in rows]
    caption = _caption(grid, rows, overrides, title, published, said(runs))
    caption += "".join(f" {line}." for line in other_networks(row.cfg for row in rows))
    folders = [run.folder for row in rows for run in row.runs]
    if left_out := damaged(folders, runs):
        caption += f" Left out, since their records are damaged: {', '.join(folder.name for folder in left_out)}."
    caption += about_images(folders, unrecorded=not rows[0].cfg.DATA.STREETS.SOURCE_IMAGES)
    return Report(frame, _shown(grid, rows, frame, comparison), caption, bool(frame["unfinished"].any()))


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one reference, which comes first."""
    return [[row for row in rows if row.group == group] for group in dict.fromkeys(row.group for row in rows)]


def _compared(rows: Sequence[Row], all_runs: pd.DataFrame) -> pd.DataFrame:
    """A line a row, also for rows without a record; runs of a row that have none are counted.

    Means are over the classes that ``all_runs`` of the grid count.
    """
    blank = {"method": None, "oracle": False, "n": 0, "difference_n": 0, "unfinished": ""}
    runs, missing = [], []
    for index, row in enumerate(rows):
        folders = [run.folder for run in row.runs]
        found = from_folders(folders)
        left_out = len(damaged(folders, found))
        missing.append({_DAMAGED: left_out, _NOT_STARTED: len(folders) - len(found) - left_out})
        runs.append(over_the_same_classes(found, all_runs).assign(method=str(index)))
    known = [found for found in runs if len(found)]
    lines: dict[str, dict[Any, Any]] = {}
    columns: list[Any] = []
    if known:
        together = pd.concat(known, ignore_index=True)
        comparison = compare(together)
        if not len(runs[0]):  # the first that has records is no reference
            comparison["difference"], comparison["difference_n"] = math.nan, 0
        lines = {str(line["method"]): line for line in comparison.to_dict("records")}
        columns = list(comparison.columns)
    made = []
    for index, row in enumerate(rows):
        line = lines.get(str(index), {**blank, "classes": row.cfg.TEST.CLASSES})
        counts = [f"{count} {what}" for what, count in missing[index].items() if count]
        line["unfinished"] = ", ".join(filter(None, (line["unfinished"], *counts)))
        made.append({**line, "method": row.label})
    figures = ["miou", "deviation", "difference", "iterations", "seconds_per_iteration", "peak_memory_mib"]
    return pd.DataFrame(made, columns=list(dict.fromkeys([*columns, *blank, "classes", *figures])))


def _costs(rows: Sequence[Row]) -> tuple[list[float], list[float | None]]:
    """Counted multiply-adds of one target image, and their ratio to the host's."""
    from ablations.profiling.step_cost import CostCounter

    counter = CostCounter()
    costs = [counter.method(row.cfg) for row in rows]
    return [cost.target_image_macs for cost in costs], [cost.ratio for cost in costs]


def _shown(grid: Grid, rows: Sequence[Row], frame: pd.DataFrame, comparison: pd.DataFrame) -> dict[str, list[str]]:
    columns = {str(head): list(map(str, texts)) for head, texts in printable(comparison).items()}
    names = {axis.name: list(frame[axis.name]) for axis in grid.axes}
    against = next((head for head in columns if head.startswith("vs ")), "")  # none where there is one row
    before_published = against or next(head for head in columns if head.startswith("mIoU "))
    label = grid.reference.label if len(_groups(rows)) > 1 else rows[0].label
    if rows[0].values[0] is not None:  # a bare number says little
        label = f"{grid.axes[0].name} {label}"
    shown = dict(names)
    for head, texts in columns.items():
        if head == "method" or (head == "iterations" and len(set(texts) - {"-"}) < 2):
            continue  # all of one number of iterations: the caption has it
        shown[head.replace(against, f"vs {label}") if head == against else head] = texts
        if head == before_published:
            shown |= _published_columns(frame)
    if grid.cost:
        shown["G multiply-adds"] = [
            f"{macs / _GIGA:.2f}" + ("" if ratio is None else f" ({ratio:.2f}×)")
            for macs, ratio in zip(frame["target_image_macs"], frame["cost_ratio"], strict=True)
        ]
    return shown


def _published_columns(frame: pd.DataFrame) -> dict[str, list[str]]:
    """The columns of what is published of these runs; none where nothing is."""
    mious = [
        note or ("-" if pd.isna(miou) else f"{miou:.1f}")
        for miou, note in zip(frame["published_miou"], frame["published_note"], strict=True)
    ]
    differences = ["-" if pd.isna(value) else f"{value:+.1f}" for value in frame["published_difference"]]
    if set(mious) | set(differences) == {"-"}:
        return {}
    return {"published": mious, "published difference": differences}


def _caption(
    grid: Grid, rows: Sequence[Row], overrides: Mapping[str, Any], title: str, published: Sequence[Beside], without: str
) -> str:
    classes = " and ".join(map(str, rows[0].runs[0].scoring.class_sets))
    seeds = ", ".join(str(run.cfg.SEED) for run in rows[0].runs)
    iterations = ", ".join(sorted({str(row.cfg.SOLVER.ITERS) for row in rows}))
    sentences = [
        f"{title}, {classes} classes, {iterations} iterations, seeds {seeds}",
        SELECTION,
        *([without] if without else []),
        "± is the sample deviation over n seeds; differences are means over seeds, each to the reference of its own",
    ]
    if grid.fixed:
        sentences.append(f"Held fixed: {_pairs({**grid.fixed, **overrides}, grid.fixed)}")
    besides = {key: value for key, value in overrides.items() if key not in grid.fixed and key not in _UNTOLD}
    if besides:
        sentences.append(f"Set besides: {_pairs(besides, besides)}")
    if grid.cost:
        sentences.append(
            "Multiply-adds: forward passes of one target image, counted, and their ratio to the host (docs/cost.md)"
        )
    if sources := dict.fromkeys(each.source for each in published if each.source):
        sentences.append(f"Published: {'; '.join(sources)}")
    return ". ".join(sentences) + "."


_UNTOLD = ("SOLVER.ITERS", "DATA.ROOT", "DEVICE", "NUM_WORKERS", "CHECKPOINT_PERIOD")


def _pairs(values: Mapping[str, Any], keys: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {label_of(values[key])}" for key in keys)


def write_report(
    grid: Grid, rows: Sequence[Row], made: Report, stem: Path, formats: Sequence[str] = FORMATS, width: float = COLUMN
) -> list[Path]:
    """Write ``stem``.csv, .md, and the plot as .png, .pdf and .svg or some of them; returns the paths. Raises OSError.

    ``width``: of the plot, in inches.
    """
    csv, text = (stem.with_name(f"{stem.name}.{ending}") for ending in ("csv", "md"))
    write_text(csv, as_csv(made.frame))
    write_text(text, f"{render_table(made.shown, 'markdown')}\n\n{markdown(made.caption)}\n")
    return [csv, text, *write_figure(plot_grid(grid, rows, made.frame, width), stem, formats)]
