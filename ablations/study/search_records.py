"""A search as somebody has published it: its trials.csv, and beside it the records of its runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState, create_trial

from ablations.study import study as attributes
from ablations.study.study import Search
from ablations.sweep.records import records_by_id
from benchmarks.config.former_ids import former_ids
from benchmarks.core.errors import ConfigError
from benchmarks.core.nearest import did_you_mean
from results.files.errors import ResultsError
from results.records.record import read_record

TRIALS = "trials.csv"
_STATES = {state.name.lower(): state for state in TrialState}
_COLUMNS = ("number", "state", "outcome", "reason", "last_reported", "iterations", "run", "retry_of", "base")


def study_of_records(search: Search, folder: Path, say: Callable[[str], None]) -> optuna.Study:
    """A study in memory of the trials in ``folder``'s trials.csv, whose runs are found below it by their ids.

    What a search measured is in the file, and the search on the command line must be the one that it is of: each
    trial's run is the one that its parameters give, and its objective is that of its record, where that is there.

    Raises:
        ConfigError: naming the file and the trial: no such file, a column or a value that is none, a run of another
            search, an objective that is not its record's.
        ResultsError: there is no such folder.
    """
    by_id, path = records_by_id(folder, say), folder / TRIALS
    study = optuna.create_study(directions=[each.direction for each in search.objectives], study_name=search.name)
    for number, row in enumerate(_rows(path, search)):
        try:
            trial = _trial(row, search, folder, by_id)
        except ValueError as error:  # of a number, a state or a range
            raise ConfigError(f"{path}: trial {row['number']}: {' '.join(str(error).split())}") from None
        if row["number"] != str(number):
            raise ConfigError(f"{path}: trial {row['number']} is row {number}, expected 0, 1, 2, ... in this order")
        study.add_trial(trial)
    return study


def _rows(path: Path, search: Search) -> list[dict[str, str]]:
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file, expected the trials that the search left in its folder") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: expected the trials of a search ({' '.join(str(error).split())})") from None
    names = [*_COLUMNS, *(each.name for each in search.objectives), *(each.name for each in search.space)]
    if missing := [name for name in names if name not in frame.columns]:
        hint = did_you_mean(missing[0], frame.columns, f"it has {', '.join(frame.columns)}")
        raise ConfigError(f"{path}: no column {missing[0]}, expected --space and --objective of the search; {hint}")
    return [dict(zip(frame.columns, row, strict=True)) for row in frame.itertuples(index=False)]


def _trial(row: Mapping[str, str], search: Search, folder: Path, by_id: Mapping[str, Path]) -> FrozenTrial:
    state = _STATES.get(row["state"])
    if state is None:
        raise ValueError(f"state {row['state']!r}, expected one of {', '.join(_STATES)}")
    space = {each.name: each for each in search.space if row[each.name]}
    params = {name: _value(row[name], each.ends) for name, each in space.items()}
    ids = [row["run"]]
    if row["run"]:
        run = search.run(params, folder)
        ids = [run.id, *former_ids(run.cfg)]
        if row["run"] not in ids:
            raise ValueError(
                f"run {row['run']}, where its parameters give {run.id}; expected the protocol, seed and KEY VALUE "
                "pairs that the search was made with"
            )
    place = next((by_id[each] for each in ids if each in by_id), folder / row["run"])
    known: dict[str, Any] = {
        attributes.OUTCOME: row["outcome"],
        attributes.REASON: row["reason"],
        attributes.RUN: row["run"],
        attributes.FOLDER: str(place.relative_to(folder)) if row["run"] else "",
        attributes.RETRY_OF: int(float(row["retry_of"])) if row["retry_of"] else None,
        attributes.BASE: row["base"] == "True",
    }
    is_complete, last = state == TrialState.COMPLETE, row["last_reported"]
    values = [float(row[each.name]) for each in search.objectives] if is_complete else None
    if values is not None:
        _check_values(values, search, place)
    return create_trial(
        state=state,
        params=params,
        distributions={name: each.distribution for name, each in space.items()},
        values=values,
        intermediate_values={int(float(row["iterations"] or 0)): float(last)} if last else {},
        user_attrs={name: value for name, value in known.items() if value not in ("", None, False)},
    )


def _value(text: str, ends: tuple[Any, ...]) -> Any:
    """A parameter in its own type: one of the values, or a number as the ends of its range are."""
    if (same := next((value for value in ends if str(value) == text), None)) is not None:
        return same
    kind = type(ends[0])
    return kind(text) if kind in (int, float) else text


def _check_values(values: list[float], search: Search, place: Path) -> None:
    """Raise ValueError for an objective that is not the one of the trial's record, where there is one."""
    try:
        record = read_record(place)
    except ResultsError:
        return  # its figures are left out, and counted as such
    if record is None:
        return
    result = record.result
    measured = {"miou": result.student.headline, **vars(result.criteria)}
    for objective, value in zip(search.objectives, values, strict=True):
        known = measured.get(objective.column, value)  # what is counted stands in no record
        if known is None or not math.isclose(known, value, rel_tol=1e-9):
            raise ValueError(f"{objective.name} {value:g}, where its record {place.name} has {known}")
