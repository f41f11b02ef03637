"""Runs as others have published them: record, config and counts, in a folder for each of any name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ablations.sweep.expand import Row
from benchmarks.config.former_ids import former_ids
from benchmarks.config.run import Run
from benchmarks.core.errors import ConfigError
from results.files.errors import ResultsError
from results.files.text import one_line
from results.records.folders import run_folders
from results.records.record import read_record


def rows_of_records(rows: Sequence[Row], folder: Path, say: Callable[[str], None]) -> list[Row]:
    """The rows with the folders of their runs below ``folder``, found by the ids in their records.

    A run that has none there is given a folder that is not there, and counts as not started. Damaged records, which
    cannot be told to be whose, are left out and told by ``say``.

    Raises:
        ConfigError: no run of the rows is there, or two folders hold the same one.
        ResultsError: there is no such folder.
    """
    by_id = records_by_id(folder, say)
    there = {run.id: next((by_id[each] for each in _ids(run) if each in by_id), None) for run in _runs(rows)}
    if not any(there.values()):
        first = next(iter(there))
        raise ConfigError(
            f"--records {folder}: has none of the {len(there)} runs that are asked for (such as {first}) among "
            f"{len(by_id)} records, expected the protocol, seeds and KEY VALUE pairs that they were made with"
        )
    return [
        replace(row, runs=tuple(replace(run, folder=there[run.id] or folder / run.id) for run in row.runs))
        for row in rows
    ]


def records_by_id(folder: Path, say: Callable[[str], None]) -> dict[str, Path]:
    """The folders below ``folder`` that have a record, by the id in it; damaged ones are left out and told by ``say``.

    Raises:
        ConfigError: two folders hold the same run. ResultsError: there is no such folder.
    """
    by_id: dict[str, Path] = {}
    for path in run_folders(folder).folders:
        try:
            record = read_record(path)
        except ResultsError as error:
            say(f"left out: {one_line(str(error))}")
            continue
        if record is not None and by_id.setdefault(record.id, path) != path:
            raise ConfigError(f"--records {folder}: {by_id[record.id]} and {path} are one run, expected each once")
    return by_id


def _runs(rows: Sequence[Row]) -> list[Run]:
    return [run for row in rows for run in row.runs]


def _ids(run: Run) -> list[str]:
    return [run.id, *former_ids(run.cfg)]
