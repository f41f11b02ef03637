"""What is told of a run from outside its process: how far it is, and that it was lost, stopped or taken up again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.core.errors import RunLocked
from benchmarks.state.again import newest
from benchmarks.state.lock import locked
from results.files.errors import ResultsError
from results.files.plain_file import read_plain_text
from results.records.record import FAILED, LOST, PENDING, RUNNING, STOPPED, Record, read_record, write_record
from results.tables.run_index import note_in_index


def iteration(folder: Path) -> int:
    """The iteration of a run that is going on, from its metrics.json; 0 before the first line."""
    try:
        last = read_plain_text(folder / "metrics.json").splitlines()[-1]
        return int(json.loads(last)["iteration"]) + 1
    except (OSError, ValueError, OverflowError, KeyError, IndexError, TypeError, RecursionError):
        return 0


def mark_lost(folder: Path, reason: str, force: bool = False) -> bool:
    """Let the record of a run whose process is gone say so; a run that a process has is left alone.

    With ``force`` it is the run that was being made anew (`benchmarks.state.again`). Returns whether it says so now.
    """
    return _mark(folder, (PENDING, RUNNING), FAILED, f"{LOST}{reason}", force)


def mark_stopped(folder: Path, reason: str) -> bool:
    """Let the record of a run whose process was ended on purpose say by what; returns whether it does now.

    Left alone are a run that a process still has (the caller can try again when that is gone), and one that is over or
    was never begun. The next command that wants the run takes it up from its last checkpoint.
    """
    return _mark(folder, (PENDING, RUNNING), STOPPED, reason)


def mark_begun(folder: Path) -> None:
    """Let the record of a run that is taken up again say that it goes on: an end of before is not the new one's."""
    _mark(folder, (FAILED, STOPPED), RUNNING, "")


def validation_may_be_mended(record: Record) -> bool:
    """Whether a run failed by itself: perhaps of its validation images, which decide nothing of what it has learned."""
    return record.status == FAILED and not record.is_lost


def validated_anew(record: Record) -> Record:
    """The record of a run that is about to go on: one that failed forgets which images it was validated on."""
    if not (validation_may_be_mended(record) and record.data):
        return record
    return record.changed(data={role: known for role, known in record.data.items() if role != "VAL"})


def _mark(folder: Path, found: Sequence[str], status: str, reason: str, force: bool = False) -> bool:
    try:
        with locked(folder):
            place = newest(folder) if force else folder
            record = read_record(place)
            if record is None or record.status not in found:
                return False
            write_record(place, validated_anew(record).changed(status=status, reason=reason))
            note_in_index(place)
            return True
    except (RunLocked, ResultsError, OSError):  # a full disk has no place for it
        return False
