"""Runs sorted into the rows of a comparison: those of a row differ in their seed alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results.files.errors import ResultsError
from results.records.columns import ScoreKey
from results.records.record import FINISHED, Record, read_record
from results.records.settings import run_settings

if TYPE_CHECKING:
    import pandas as pd

# Keys of config.yaml in which runs of one row may differ: where and how a run ran, and what is only shown.
OF_NO_ROW = frozenset(
    {
        *("SEED", "PROTOCOL_FILE", "DATA.ROOT", "DATA.CACHE_RESIZED", "DEVICE", "NUM_WORKERS", "CHECKPOINT_PERIOD"),
        *("TEST.PERIOD", "TEST.ALSO", "LOG.PERIOD", "LOG.IMAGES", "LOG.WRITERS"),
        *("SOLVER.ACTIVATION_CHECKPOINTING", "SOLVER.DETERMINISTIC", "DESCRIPTION", "DATA.COLOURS"),
    }
)
UNKNOWN = "?"
"""The value of a key that a run's config does not have: an earlier version made it."""


@dataclass(frozen=True, eq=False)
class Row:
    """The runs of one row.

    Attributes:
        names: the values of what rows are named by, as method.
        setting: the config keys that tell it from rows of the same names, with its values; empty where there are none.
        runs: rows of `results.tables.frame`, whatever their status.
        config: the keys of the first run's config.yaml that decide numbers, but for the seed.
        missing: runs that are not in ``runs``, by what they are: "not started".
        lines: what ``runs`` has, a mapping a run, where somebody has it already: pandas is slow for a few values.
    """

    names: dict[str, str]
    setting: dict[str, str]
    runs: pd.DataFrame
    config: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    lines: Sequence[Mapping[Any, Any]] | None = field(default=None, repr=False)

    @property
    def label(self) -> str:
        """Names and setting as one text: ``dacs+mrm, TERMS.MRM.RATIO 0.6``."""
        return ", ".join([*self.names.values(), *(f"{key} {value}" for key, value in self.setting.items())])

    @cached_property
    def finished(self) -> dict[str | ScoreKey, list[Any]]:
        """The finished runs, which means are of: values by column of ``runs``."""
        lines = self.runs.to_dict("records") if self.lines is None else self.lines
        done = [line for line in lines if line["status"] == FINISHED]
        return {name: [line[name] for line in done] for name in self.runs.columns}

    def known(self, column: str | ScoreKey) -> list[float]:
        """The numbers of finished runs in a column; those that have none are left out."""
        return [float(each) for each in self.finished.get(column, []) if each is not None and each == each]

    @cached_property
    def records(self) -> dict[int, Record]:
        """The records of finished runs by seed, read once."""
        found = {}
        for seed, folder in zip(self.finished["seed"], self.finished["folder"], strict=True):
            record = read_record(Path(folder))
            assert record is not None
            found[int(seed)] = record
        return found


def rows_of(runs: pd.DataFrame, by: Sequence[str], say: Callable[[str], None]) -> list[Row]:
    """The rows that runs make, in the order of their first runs.

    Runs of the same names whose config.yaml differs, but for seed and place, are rows of their own, told apart by the
    keys in which they differ. A key that a config lacks, as an earlier version did not know it, tells nothing apart
    where all others agree on it.

    Args:
        runs: rows of `results.tables.frame`.
        by: its columns that rows are named by.
        say: gets the line of a config that cannot be read; its run counts as one without a config.

    Raises:
        ResultsError: two finished runs of one seed in a row.
    """
    found = []
    lines = {line["folder"]: line for line in runs.to_dict("records")}
    for names, group in runs.groupby(list(by), sort=False):
        settings = {folder: _settings(Path(folder), say) for folder in group["folder"]}
        differing = _differing(list(settings.values()))
        parts: dict[Hashable, list[str]] = {}
        for folder in group["folder"]:
            parts.setdefault(tuple(_text(settings[folder], key) for key in differing), []).append(folder)
        for values, folders in parts.items():
            assert isinstance(values, tuple)
            row = Row(
                dict(zip(by, map(str, names), strict=True)),
                dict(zip(differing, values, strict=True)) if len(parts) > 1 else {},
                group if len(parts) == 1 else group[group["folder"].isin(folders)],
                settings[folders[0]],
                lines=[lines[folder] for folder in folders],
            )
            check_seeds(row)
            found.append(row)
    first = {folder: place for place, folder in enumerate(runs["folder"])}
    return sorted(found, key=lambda row: first[row.runs["folder"].iloc[0]])


def _settings(folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    try:
        settings = run_settings(folder)
    except ResultsError as error:
        say(f"its settings are not known: {error}")
        return {}
    return {key: value for key, value in settings.items() if key not in OF_NO_ROW}


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that have several values, in the order in which they are found."""
    first: dict[str, Any] = {}
    found: dict[str, None] = {}
    for each in settings:
        for key, value in each.items():
            known = first.setdefault(key, value)
            # Equal parts of two files are mostly one object (`results.records.settings`); JSON tells 1 from true.
            if value is not known and json.dumps(value) != json.dumps(known):
                found[key] = None
    return [key for key in first if key in found]


def _text(settings: Mapping[str, Any], key: str) -> str:
    if key not in settings:
        return UNKNOWN
    value = settings[key]
    return "x".join(map(str, value)) if isinstance(value, list) else str(value)


def check_seeds(row: Row) -> None:
    """Raise ResultsError where two finished runs of a row have one seed: one would count twice."""
    seeds = row.finished["seed"]
    if len(set(seeds)) < len(seeds):
        seed = next(each for each in seeds if seeds.count(each) > 1)
        folders = " and ".join(
            folder for each, folder in zip(seeds, row.finished["folder"], strict=True) if each == seed
        )
        raise ResultsError(f"{row.label} has two finished runs of seed {seed}, {folders}: expected one of each seed")
