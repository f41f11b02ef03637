"""Which runs and which scores a comparison is of, as its options say."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from results.files.errors import ResultsError
from results.records.columns import ScoreKey
from results.records.folders import run_folders
from results.records.images import MadeOf
from results.records.record import Records
from results.records.scores import CLASS_IOU, HEADLINE
from results.tables.class_means import over_the_same_classes
from results.tables.frame import from_folders
from results.tables.rows import Row
from results.tables.run_table import check_keys, with_settings
from results.tables.scores_by_seed import Score, classes_of

NONE = "-"


def read_runs(
    folders: Sequence[str], say: Callable[[str], None], made_of: MadeOf, records: Records | None = None
) -> pd.DataFrame:
    """The runs below all folders, each once; ``say`` gets a line for each damaged record, ``made_of`` their images.

    ``records`` takes their records, for who needs more of them than the table has.

    Raises:
        ResultsError: a folder that is not there, or no run.
    """
    found: dict[Path, Path] = {}
    for folder in folders:
        below = run_folders(folder)
        if below.left_out:
            print(below.left_out, file=sys.stderr)
        for path in below.folders:
            found.setdefault(path.resolve() if len(folders) > 1 else path, path)
    runs = from_folders(found.values(), say, made_of, records)
    if runs.empty:
        raise ResultsError(f"{', '.join(folders)}: no run there, expected run folders with a record.json")
    return runs


def selected(runs: pd.DataFrame, conditions: Sequence[str], say: Callable[[str], None]) -> pd.DataFrame:
    """The runs that fulfil all KEY=VALUE: columns of the table of runs by name, else keys of config.yaml."""
    for condition in conditions:
        key, sign, value = condition.partition("=")
        if not sign:
            raise ResultsError(f"--where {condition}: expected KEY=VALUE, such as protocol=streets or SOLVER.ITERS=350")
        values = runs[key] if key in runs else with_settings(runs, [key], say)[key]
        runs = runs[[_said(each) == value for each in values]]
        if runs.empty:
            known = ", ".join(dict.fromkeys(map(_said, values)))
            raise ResultsError(f"--where {condition}: no run is so, expected one of {known}")
    return runs


def over_common_classes(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with mIoU over the classes that all runs of their protocol count (`class_means`)."""
    parts = [over_the_same_classes(group) for _, group in runs.groupby("protocol", sort=False)]
    return pd.concat(parts).loc[runs.index]


def _said(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def named(option: str, text: str, known: Sequence[str]) -> list[str]:
    """The names in a comma-separated text. Raises ResultsError for one that is not ``known``, or none."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    if wrong := [name for name in names if name not in known]:
        raise ResultsError(f"{option} {wrong[0]}: expected one or more of {', '.join(known)}")
    if not names:
        raise ResultsError(f"{option} is empty, expected one or more of {', '.join(known)}")
    return names


COST = "cost"


def named_scores(text: str, rows: Sequence[Row], model: str) -> tuple[list[Score], bool]:
    """The scores that a comma-separated text names, and whether it names COST.

    They are class sets by size, metrics and classes by name; of COST alone the headline.

    Raises:
        ResultsError: one that the runs do not have.
    """
    classes = classes_of(list(rows), model)
    keys = [key for key in rows[0].runs if isinstance(key, ScoreKey) and key.metric and not key.statistic]
    sizes = sorted({key.classes for key in keys if key.metric == HEADLINE and key.classes})
    metrics = sorted({key.metric for key in keys})
    found = []
    for name in (each.strip() for each in text.split(",")):
        if name == COST:
            continue
        if name.isdecimal() and int(name) in sizes:
            found.append(Score(HEADLINE, int(name)))
        elif name in classes:
            found.append(Score(CLASS_IOU, name))
        elif name in metrics:
            found.append(Score(name))
        else:
            known = ", ".join([*map(str, sizes), *metrics, COST, *classes])
            raise ResultsError(f"--columns {name}: expected a class set, metric or class of the runs, or cost: {known}")
    return found or [Score()], COST in [each.strip() for each in text.split(",")]


def with_keys(rows: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    """The rows with their values of config ``keys`` among their names.

    Raises:
        ResultsError: a key that no row's runs have (with the nearest).
    """
    if not keys:
        return list(rows)
    check_keys(keys, {key for row in rows for key in row.config})
    return [
        replace(
            row,
            names=row.names | {key: _said(row.config[key]) if key in row.config else NONE for key in keys},
            setting={key: value for key, value in row.setting.items() if key not in keys},
        )
        for row in rows
    ]
