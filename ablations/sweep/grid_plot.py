"""The plot of a grid: differences to the reference, paired by seed, beside published ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from detectron2.config import CfgNode
from matplotlib.figure import Figure

from ablations.sweep.expand import Row, names_of
from ablations.sweep.grid import Grid, changes_of
from ablations.sweep.grid_checks import CHOICES, label_of
from benchmarks.config.deciding import PERIOD, idle_keys, used_values
from benchmarks.config.spec import RunSpec
from methods.framework.recipes import parse
from results.plots.heat_map import heat_map
from results.plots.line import line
from results.plots.marks import Mark
from results.plots.points import points
from results.plots.style import COLUMN
from results.records.published import SETTING, Names, read_published
from results.tables.beside_published import METHOD_KEYS, UNSTATED


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
    defaults = _Defaults()
    return [
        Mark(
            row.label,
            row.values[0],
            float(figures["miou"]),
            float(figures["deviation"]),
            int(figures["n"]),
            float(figures["difference"]),
            float(figures["difference_deviation"]),
            int(figures["difference_n"]),
            str(figures["unfinished"]),
            _number(figures["published_miou"]),
            _number(figures["published_difference"]),
            _is_published(grid, row, defaults),
        )
        for row, figures in zip(rows, frame.to_dict("records"), strict=True)
    ]


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


class _Defaults:
    """The values that runs have where nothing is set but protocol, method and network: most rows have the same ones."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str, int], dict[str, Any]] = {}

    def of(self, cfg: CfgNode) -> dict[str, Any]:
        key = cfg.PROTOCOL_FILE or cfg.PROTOCOL, cfg.METHOD, cfg.NETWORK, cfg.SEED
        if key not in self._known:
            self._known[key] = used_values(RunSpec(*key).resolve())
        return self._known[key]


def _changes(grid: Grid, row: Row) -> dict[str, Any]:
    """What the axes set in a row; nothing in a reference that is none of the settings."""
    return next((changes_of(each) for each in grid.settings if tuple(p.label for p in each) == row.labels), {})


def _is_published(grid: Grid, row: Row, defaults: _Defaults) -> bool:
    """Whether what the axes set of the method is as its recipe has it; whether other keys are is said by the title.

    Where the axes name recipes, those with MRM, which the paper's grids are about.
    """
    changes = _changes(grid, row)
    keys = [key for key in changes if key not in CHOICES]
    if row.is_reference or not all(key.startswith(METHOD_KEYS) and key not in UNSTATED for key in keys):
        return False
    if "METHOD" in changes and "mrm" not in parse(row.cfg.METHOD).terms:
        return False
    ours, theirs = used_values(row.cfg), defaults.of(row.cfg) if keys else {}
    return bool(keys or "METHOD" in changes) and all(ours.get(key) == theirs.get(key) for key in keys)


def title_of(grid: Grid, rows: Sequence[Row]) -> str:
    """What the plot is of: protocol, network and host, iterations, and what differs from the published setting."""
    cfg = rows[0].cfg
    told = names_of(grid, rows)
    iterations = " or ".join(map(str, sorted({row.cfg.SOLVER.ITERS for row in rows})))
    told += [f"{cfg.TEST.CLASSES} classes", f"{iterations}\N{NO-BREAK SPACE}iterations"]  # on one line of the title
    others = other_than_published(grid, rows)
    lines = [grid.title, ", ".join(told), *([f"Not as published: {', '.join(others)}"] if others else [])]
    return "\n".join(lines)


def other_than_published(grid: Grid, rows: Sequence[Row]) -> list[str]:
    """What the rows have that no published figure has, besides what the axes set: "protocol streets", keys and values.

    Published is what `results/published.csv` and the grid know figures of: with the training that is stated there, and
    else with the settings that protocol and recipe have where nothing is set.
    """
    figures = read_published()
    known = [(names.protocol, names.network) for names in figures]
    known += [(block.protocol, block.network) for block in grid.published]
    told = grid.varied | {PERIOD, "SEED", "NUMERICS"}
    found: dict[str, None] = {}
    stated: dict[str, dict[str, None]] = {}
    for cfg in (row.cfg for row in rows):
        if cfg.PROTOCOL not in {protocol for protocol, _ in known}:
            found[f"protocol {cfg.PROTOCOL}"] = None
        if cfg.NETWORK not in {network for _, network in known}:
            found[f"network {cfg.NETWORK}"] = None
        figure = figures.get(Names(cfg.METHOD, cfg.NETWORK, cfg.PROTOCOL, cfg.TEST.CLASSES))
        for name, value in (figure.setting if figure is not None else {}).items():
            ours = _text(used_values(cfg)[SETTING[name]])
            stated.setdefault(f"{name} {ours}", {}).update({} if value == ours else {value: None})
            told.add(SETTING[name])
    found |= {f"{ours} (published: {' or '.join(theirs)})": None for ours, theirs in stated.items() if theirs}
    of_nothing_set = _Defaults()
    for cfg in (row.cfg for row in rows):
        defaults, without = of_nothing_set.of(cfg), {*told, *idle_keys(cfg)}
        for key, value in used_values(cfg).items():
            if value != defaults.get(key) and key not in without:
                of = f"{value} of {defaults[key]} iterations"
                set_to = f"{key} {_text(value)}" + (" (not stated)" if key in UNSTATED else "")
                found[of if key == SETTING["iterations"] else set_to] = None
    return list(found)


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else label_of(value)
