"""What a grid measured: the table of the paper's form, beside published figures, and a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ablations.sweep.expand import Row
from ablations.sweep.grid import Grid
from ablations.sweep.grid_checks import label_of
from ablations.sweep.grid_plot import plot_grid
from ablations.sweep.published_figures import beside
from ablations.sweep.stability import Stability, stability_caption, stability_columns
from benchmarks.config.keys import flatten
from benchmarks.config.remarks import remarks
from results.forms.written import write_tables
from results.plots.files import FORMATS, write_figure
from results.plots.style import COLUMN
from results.records.images import about_images
from results.tables.class_means import over_the_same_classes, said
from results.tables.frame import damaged, from_folders
from results.tables.notes import SELECTION, on_differences, on_shared, sources
from results.tables.rows import Row as TableRow
from results.tables.rows import check_seeds, runs_of
from results.tables.summary import all_scores, summarize
from results.tables.summary_frame import frame_of
from results.tables.summary_text import NONE, Shown, columns_of

if TYPE_CHECKING:
    from ablations.profiling.step_cost import CostCounter

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


def report(
    grid: Grid, rows: Sequence[Row], overrides: Mapping[str, Any], title: str, counter: CostCounter | None = None
) -> Report:
    """Read the records of the rows' runs back; runs that are not there are counted as not started.

    Those whose record is damaged are counted as such, and named in the caption; a line on stderr says what is wrong.
    ``counter``: has counted for other grids; what these have in common is not counted again.

    Returns:
        The columns of ``frame`` are ``setting``, one an axis, ``method``, ``network``, ``reference`` (whether it is
        one), those of `results.tables.summary_frame.frame_of` from ``oracle`` on (differences to the reference of the
        same host and network, seed by seed), ``target_image_macs`` (multiply-adds) and ``cost_ratio`` (to the host),
        and those of `ablations.sweep.stability.Stability` where the grid asks for them, and ``runs`` (ids).
    """
    runs = from_folders((run.folder for row in rows for run in row.runs), say=lambda line: None)  # said below
    measured = [_measured(grid, row, runs) for row in rows]
    references = {row.group: each for row, each in zip(rows, measured, strict=True) if row.is_reference}
    scores = all_scores(measured)
    summaries = summarize(measured, scores, ["" if row.is_reference else references[row.group] for row in rows])
    published = beside(grid, rows, measured)
    figures = frame_of(summaries, scores, published, setting=False)
    names = [axis.name for axis in grid.axes]
    frame = pd.DataFrame(
        {
            "setting": [row.label for row in rows],
            **{name: figures.pop(name) for name in names},
            "method": [row.cfg.METHOD for row in rows],
            "network": [row.cfg.NETWORK for row in rows],
            "reference": [row.is_reference for row in rows],
        }
    ).join(figures.assign(classes=[row.cfg.TEST.CLASSES for row in rows]))
    if grid.cost:
        frame["target_image_macs"], frame["cost_ratio"] = _costs(rows, counter)
    stable = [Stability.of(row) for row in measured] if grid.stability else []
    if stable:
        frame = frame.join(pd.DataFrame([each.figures for each in stable]))
    frame["runs"] = [" ".join(run.folder.name for run in row.runs) for row in rows]
    told = [_caption(grid, rows, overrides, title, said(runs)), stability_caption(stable), sources(published)]
    caption = " ".join(filter(None, told)) + (f" {shared}." if (shared := on_shared(summaries)) else "")
    caption += "".join(f" {line}." for line in remarks(row.cfg for row in rows))
    folders = [run.folder for row in rows for run in row.runs]
    if left_out := damaged(folders, runs):
        caption += f" Left out, since their records are damaged: {', '.join(folder.name for folder in left_out)}."
    caption += about_images(folders, unrecorded=not rows[0].cfg.DATA.STREETS.SOURCE_IMAGES)
    columns = columns_of(summaries, scores, Shown(_reference_label(grid, rows), True, published))
    if stable:
        columns |= stability_columns(stable)
    return Report(frame, _shown(grid, frame, columns), caption, bool(frame["unfinished"].any()))


def _groups(rows: Sequence[Row]) -> list[list[Row]]:
    """Rows of one reference, which comes first."""
    return [[row for row in rows if row.group == group] for group in dict.fromkeys(row.group for row in rows)]


def _measured(grid: Grid, row: Row, all_runs: pd.DataFrame) -> TableRow:
    """The row's runs as tables have them; those that have no record are counted.

    Means are over the classes that ``all_runs`` of the grid count.
    """
    folders = [run.folder for run in row.runs]
    found = from_folders(folders)
    left_out = len(damaged(folders, found))
    made = TableRow(
        {axis.name: label for axis, label in zip(grid.axes, row.labels, strict=True)},
        {},
        runs_of(over_the_same_classes(found, all_runs)),
        flatten(row.cfg),
        missing={_DAMAGED: left_out, _NOT_STARTED: len(folders) - len(found) - left_out},
    )
    check_seeds(made)
    return made


def _costs(rows: Sequence[Row], counter: CostCounter | None) -> tuple[list[float], list[float | None]]:
    """Counted multiply-adds of one target image, and their ratio to the host's."""
    from ablations.profiling import step_cost

    counter = counter or step_cost.CostCounter()
    costs = [counter.method(row.cfg) for row in rows]
    return [cost.target_image_macs for cost in costs], [cost.ratio for cost in costs]


def _reference_label(grid: Grid, rows: Sequence[Row]) -> str:
    """What differences are to."""
    label = grid.reference.label if len(_groups(rows)) > 1 else rows[0].label
    return f"{grid.axes[0].name} {label}" if rows[0].values[0] is not None else label  # a bare number says little


def _shown(grid: Grid, frame: pd.DataFrame, columns: dict[str, list[str]]) -> dict[str, list[str]]:
    if len(set(columns["iterations"]) - {NONE}) < 2:
        del columns["iterations"]  # the caption has it
    if grid.cost:
        columns["G multiply-adds"] = [
            f"{macs / _GIGA:.2f}" + ("" if ratio is None else f" ({ratio:.2f}×)")
            for macs, ratio in zip(frame["target_image_macs"], frame["cost_ratio"], strict=True)
        ]
    return columns


def _caption(grid: Grid, rows: Sequence[Row], overrides: Mapping[str, Any], title: str, without: str) -> str:
    classes = " and ".join(map(str, rows[0].runs[0].scoring.class_sets))
    seeds = ", ".join(str(run.cfg.SEED) for run in rows[0].runs)
    iterations = ", ".join(sorted({str(row.cfg.SOLVER.ITERS) for row in rows}))
    sentences = [
        f"{title}, {classes} classes, {iterations} iterations, seeds {seeds}",
        SELECTION,
        *([without] if without else []),
        "± is the sample deviation over n seeds",
        *([on_differences(_reference_label(grid, rows))] if len(rows) > 1 else []),
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
    return ". ".join(sentences) + "."


_UNTOLD = (
    *("SOLVER.ITERS", "DATA.ROOT", "DATA.CACHE_RESIZED", "DEVICE", "NUM_WORKERS", "CHECKPOINT_PERIOD"),
    *("LOG.PERIOD", "LOG.IMAGES", "LOG.WRITERS", "TEST.ALSO"),
)


def _pairs(values: Mapping[str, Any], keys: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {label_of(values[key])}" for key in keys)


def write_report(
    grid: Grid, rows: Sequence[Row], made: Report, stem: Path, formats: Sequence[str] = FORMATS, width: float = COLUMN
) -> list[Path]:
    """Write ``stem``.csv, .md, and the plot as .png, .pdf and .svg or some of them; returns the paths. Raises OSError.

    ``width``: of the plot, in inches.
    """
    csv, text = write_tables(made.shown, made.frame, made.caption, stem)
    return [csv, text, *write_figure(plot_grid(grid, rows, made.frame, width), stem, formats)]
