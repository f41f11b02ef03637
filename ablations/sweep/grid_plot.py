"""The plot of a grid: differences to the reference, paired by seed, beside published ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from detectron2.config import CfgNode
from matplotlib.figure import Figure

from ablations.sweep.expand import METHOD_KEYS, Row
from ablations.sweep.grid import Grid
from ablations.sweep.grid_checks import CHOICES, label_of
from benchmarks.config.deciding import PERIOD, idle_keys, used_values
from benchmarks.config.spec import RunSpec
from methods.framework.recipes import parse
from results.plots.heat_map import heat_map
from results.plots.line import line
from results.plots.marks import Mark
from results.plots.points import points
from results.plots.style import COLUMN
from results.records.published import read_published
from results.records.record import FINISHED
from results.statistics.paired import paired_difference
from results.tables.class_means import over_the_same_classes
from results.tables.frame import from_folders


def plot_grid(grid: Grid, rows: Sequence[Row], frame: pd.DataFrame, width: float = COLUMN) -> Figure:
    """Draw a grid's results: one axis of numbers as a line, two as a heat map, all else as points.

    Args:
        grid: what was varied.
        rows: its rows.
        frame: of the report of these rows.
        width: in inches.
    """
    marks = _marks(grid, rows, frame)
    pairs, axes = list(zip(rows, marks, strict=True)), grid.axes
    title, references = title_of(grid, rows), [mark for row, mark in pairs if row.is_reference]
    others = [mark for row, mark in pairs if not row.is_reference] or marks
    if len(references) > 1:
        own = {row.group: mark.text for row, mark in pairs if row.is_reference}
        others = [
            replace(mark, beside=f"(reference: {own[row.group]})") for row, mark in pairs if not row.is_reference
        ]
    if len(references) > 1 or not all(axis.numeric for axis in axes) or others is marks:
        return points(others, references, title=title, width=width)
    if len(axes) == 1:
        return line(others, references[0], title=title, x_label=axes[0].name, log=axes[0].log, width=width)
    by_labels = {row.labels: mark for row, mark in pairs}
    return heat_map(
        [[by_labels[y.label, x.label] for x in axes[1].points] for y in axes[0].points],
        references[0],
        title=title,
        x_label=axes[1].name,
        y_label=axes[0].name,
        x_ticks=[point.label for point in axes[1].points],
        y_ticks=[point.label for point in axes[0].points],
        width=width,
    )


def _marks(grid: Grid, rows: Sequence[Row], frame: pd.DataFrame) -> list[Mark]:
    """A mark a row, in their order."""
    scores = _scores(rows)
    references = {row.group: miou for row, miou in zip(rows, scores, strict=True) if row.is_reference}
    marks = []
    for row, figures, miou in zip(rows, frame.to_dict("records"), scores, strict=True):
        paired = None if row.is_reference else paired_difference(miou, references[row.group])
        marks.append(
            Mark(
                row.label,
                row.values[0],
                float(figures["miou"]),
                float(figures["deviation"]),
                int(figures["n"]),
                math.nan if paired is None else paired.mean,
                math.nan if paired is None or paired.deviation is None else paired.deviation,
                0 if paired is None else paired.n,
                str(figures["unfinished"]),
                _number(figures["published_miou"]),
                _number(figures["published_difference"]),
                _is_published(grid, row),
            )
        )
    return marks


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _scores(rows: Sequence[Row]) -> list[dict[int, float]]:
    """The mIoU of each row's finished runs by seed, over the same classes in all."""
    runs = from_folders((run.folder for row in rows for run in row.runs), say=lambda line: None)  # the report says it
    runs = over_the_same_classes(runs)
    done = runs[(runs["status"] == FINISHED) & runs["miou"].notna()].set_index("folder")["miou"].astype(float).to_dict()
    return [{run.cfg.SEED: done[str(run.folder)] for run in row.runs if str(run.folder) in done} for row in rows]


def _defaults(cfg: CfgNode) -> dict[str, Any]:
    """The values that the run has where nothing is set but protocol, method and network."""
    return used_values(RunSpec(cfg.PROTOCOL_FILE or cfg.PROTOCOL, cfg.METHOD, cfg.NETWORK, cfg.SEED).resolve())


def _changes(grid: Grid, row: Row) -> dict[str, Any]:
    """What the axes set in a row; nothing in a reference that is none of the settings."""
    chosen = zip(grid.axes, row.labels, strict=True)
    points = [point for axis, label in chosen for point in axis.points if point.label == label]
    return {key: value for point in points for key, value in point.changes.items()}


def _is_published(grid: Grid, row: Row) -> bool:
    """Whether what the axes set of the method is as its recipe has it; whether other keys are is said by the title.

    Where the axes name recipes, those with MRM, which the paper's grids are about.
    """
    changes = _changes(grid, row)
    keys = [key for key in changes if key not in CHOICES]
    if row.is_reference or not all(key.startswith(METHOD_KEYS) for key in keys):
        return False
    if "METHOD" in changes and "mrm" not in parse(row.cfg.METHOD).terms:
        return False
    ours, theirs = used_values(row.cfg), _defaults(row.cfg) if keys else {}
    return bool(keys or "METHOD" in changes) and all(ours.get(key) == theirs.get(key) for key in keys)


def title_of(grid: Grid, rows: Sequence[Row]) -> str:
    """What the plot is of: protocol, network and host, iterations, and what differs from the published setting."""
    cfg = rows[0].cfg
    names = {"NETWORK": cfg.NETWORK, "HOST": rows[0].host}
    told = [cfg.PROTOCOL, *(name for key, name in names.items() if not grid.sets(key))]
    numbers = sorted({row.cfg.SOLVER.ITERS for row in rows})
    told += [f"{cfg.TEST.CLASSES} classes", f"{' to '.join(map(str, {numbers[0]: 0, numbers[-1]: 0}))} iterations"]
    others = other_than_published(grid, rows)
    differing = f"Not as published: {', '.join(others)}" if others else "As published"
    return f"{grid.title}\n{', '.join(told)}\n{differing}"


def other_than_published(grid: Grid, rows: Sequence[Row]) -> list[str]:
    """What the rows have that no published figure has, besides what the axes set: "protocol streets", keys and values.

    Published is what `results/published.csv` and the grid know figures of, with the settings that protocol and recipe
    have where nothing is set.
    """
    known = [(names.protocol, names.network) for names in read_published()]
    known += [(block.protocol, block.network) for block in grid.published]
    varied = {key for axis in grid.axes for point in axis.points for key in point.changes}
    found: dict[str, None] = {}
    for row in rows:
        cfg = row.cfg
        if cfg.PROTOCOL not in {protocol for protocol, _ in known}:
            found[f"protocol {cfg.PROTOCOL}"] = None
        if cfg.NETWORK not in {network for _, network in known}:
            found[f"network {cfg.NETWORK}"] = None
        defaults = _defaults(cfg)
        for key, value in used_values(cfg).items():
            if value == defaults.get(key) or key in {*varied, PERIOD, "SEED", *idle_keys(cfg)}:
                continue
            told = f"{value} of {defaults[key]} iterations" if key == "SOLVER.ITERS" else f"{key} {label_of(value)}"
            found[told] = None
    return list(found)
