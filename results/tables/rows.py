"""Runs sorted into the rows of a comparison: those of a row differ in their seed alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from results.files.errors import ResultsError
from results.records.columns import ScoreKey
from results.records.record import FINISHED, Record, read_record
from results.records.settings import Settings, settings_of
from results.tables.class_means import SEPARATOR

if TYPE_CHECKING:
    import pandas as pd

# Keys of config.yaml in which runs of one row may differ: where and how a run ran, and what is only shown.
OF_NO_ROW = frozenset(
    {
        *("SEED", "PROTOCOL_FILE", "DATA.ROOT", "DATA.CACHE_RESIZED", "DEVICE", "NUM_WORKERS", "CHECKPOINT_PERIOD"),
        *("TEST.PERIOD", "TEST.ALSO", "TEST.METRICS", "LOG.PERIOD", "LOG.IMAGES", "LOG.WRITERS"),
        *("SOLVER.ACTIVATION_CHECKPOINTING", "SOLVER.DETERMINISTIC", "SOLVER.GRAPHS", "DESCRIPTION", "DATA.COLOURS"),
    }
)
UNKNOWN = "?"
"""The value of a key that a run's config does not have: an earlier version made it."""

Runs = dict[str | ScoreKey, list[Any]]
"""Runs by column of `results.tables.frame`, a value each: pandas is slow for the few runs of one row."""


def is_known(value: Any) -> bool:
    """Whether a table of runs has this value: it is neither None nor NaN."""
    return value is not None and value == value


def runs_of(frame: pd.DataFrame) -> Runs:
    """The runs of a table of runs, by its columns."""
    return {cast("str | ScoreKey", name): frame[name].tolist() for name in frame}


@dataclass(frozen=True, eq=False)
class Row:
    """The runs of one row.

    Attributes:
        names: the values of what rows are named by, as method.
        setting: the config keys that tell it from rows of the same names, with its values; empty where there are none.
        runs: whatever their status.
        config: the keys of the first run's config.yaml that decide numbers, but for the seed.
        missing: runs that are not in ``runs``, by what they are: "not started".
        read: records by folder that were read already.
    """

    names: dict[str, str]
    setting: dict[str, str]
    runs: Runs
    config: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    read: Mapping[str, Record] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Names and setting as one text: ``dacs+mrm, TERMS.MRM.RATIO 0.6``."""
        return ", ".join([*self.names.values(), *(f"{key} {value}" for key, value in self.setting.items())])

    @cached_property
    def finished(self) -> Runs:
        """The finished runs, which means are of."""
        done = [place for place, status in enumerate(self.runs["status"]) if status == FINISHED]
        return self.runs if len(done) == len(self.runs["status"]) else _at(self.runs, done)

    @cached_property
    def is_oracle(self) -> bool:
        """Whether a run of it learns from target labels."""
        return any(self.runs["oracle"])

    def known(self, column: str | ScoreKey) -> list[float]:
        """The numbers of finished runs in a column; those that have none are left out."""
        return [float(each) for each in self.finished.get(column, []) if is_known(each)]

    @cached_property
    def records(self) -> dict[int, Record]:
        """The records of finished runs by seed, read once."""
        found = {}
        for seed, folder in zip(self.finished["seed"], self.finished["folder"], strict=True):
            record = self.read.get(folder) or read_record(Path(folder))
            assert record is not None
            found[int(seed)] = record
        return found


def lower_metrics(rows: Iterable[Row]) -> set[str]:
    """The metrics of plug-ins of which less is better, as runs say."""
    told = {text for row in rows for text in row.finished.get("lower_is_better", [])}
    return {name for text in told for name in text.split(SEPARATOR)}


def rows_of(
    runs: pd.DataFrame, by: Sequence[str], say: Callable[[str], None], records: Mapping[str, Record] | None = None
) -> list[Row]:
    """The rows that runs make, in the order of their first runs.

    Runs of the same names whose config.yaml differs, but for seed and place, are rows of their own, told apart by the
    keys in which they differ. A key that a config lacks, as an earlier version did not know it, tells nothing apart
    where all others agree on it.

    Args:
        runs: rows of `results.tables.frame`.
        by: its columns that rows are named by.
        say: gets the line of a config that cannot be read; its run counts as one without a config.
        records: those that are read already, by folder.

    Raises:
        ResultsError: two finished runs of one seed in a row.
    """
    every, found = runs_of(runs), dict[int, Row]()
    settings = list(settings_of(every["folder"], lambda line: say(f"its settings are not known: {line}")))
    for names, group in _groups(zip(*(every[name] for name in by), strict=True)).items():
        configs = _configs([settings[place] for place in group])
        differing = _differing(list({id(each): each for each in configs}.values()))
        parts = _groups(tuple(_text(each, key) for key in differing) for each in configs)
        for values, members in parts.items():
            row = Row(
                dict(zip(by, map(str, names), strict=True)),
                dict(zip(differing, values, strict=True)) if len(parts) > 1 else {},
                _at(every, [group[member] for member in members]),
                configs[members[0]],
                read=records or {},
            )
            check_seeds(row)
            found[group[members[0]]] = row
    return [row for _, row in sorted(found.items())]


def _groups(values: Iterable[tuple[Any, ...]]) -> dict[tuple[Any, ...], list[int]]:
    """The places of equal values, in the order of the first of each."""
    found: dict[tuple[Any, ...], list[int]] = {}
    for place, value in enumerate(values):
        found.setdefault(value, []).append(place)
    return found


def _at(runs: Runs, places: Sequence[int]) -> Runs:
    return {name: [values[place] for place in places] for name, values in runs.items()}


def _configs(settings: Sequence[Settings]) -> list[dict[str, Any]]:
    """The keys that tell rows apart of each, one object for those that are alike."""
    known: dict[tuple[int, str], dict[str, Any]] = {}
    found = []
    for each in settings:
        place = id(each.shared), repr({key: value for key, value in each.own.items() if key not in OF_NO_ROW})
        if place not in known:
            known[place] = {key: value for key, value in each.every.items() if key not in OF_NO_ROW}
        found.append(known[place])
    return found


def _differing(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys that have several values, in the order in which they are found."""
    if len(settings) < 2:
        return []
    first: dict[str, Any] = {}
    found: dict[str, None] = {}
    for each in settings:
        for key, value in each.items():
            known = first.setdefault(key, value)
            # Equal parts of two files are mostly one object (`results.records.settings`); `repr` tells 1 from true.
            if value is not known and repr(value) != repr(known):
                found[key] = None
    return [key for key in first if key in found]


def _text(settings: Mapping[str, Any], key: str) -> str:
    if key not in settings:
        return UNKNOWN
    value = settings[key]
    text = "x".join(map(str, value)) if isinstance(value, list) else str(value)
    return text or repr(value)  # as [] and '', which are nothing to be seen


def check_seeds(row: Row) -> None:
    """Raise ResultsError where two finished runs of a row have one seed: one would count twice."""
    seeds = row.finished["seed"]
    if len(set(seeds)) < len(seeds):
        seed = next(each for each in seeds if seeds.count(each) > 1)
        folders = " and ".join(
            folder for each, folder in zip(seeds, row.finished["folder"], strict=True) if each == seed
        )
        raise ResultsError(f"{row.label} has two finished runs of seed {seed}, {folders}: expected one of each seed")
