"""What a search's study says of its trials, read while another process writes it."""

from __future__ import annotations

from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState
from record_files import read_record

from ablations.study.study import FOLDER, LOST, OUTCOME, RETRY_OF
from results.records.record import FINISHED

STUDY = "mine"


def trials(output: Path) -> list[FrozenTrial]:
    path = output / "search" / STUDY / "study.db"
    if not path.is_file():
        return []
    try:
        return optuna.load_study(study_name=STUDY, storage=f"sqlite:///{path}").get_trials()
    except Exception:  # while it is being made
        return []


def runs(output: Path) -> list[Path]:
    return [lock.parent for lock in output.glob("streets/*/*/*/.lock")]


def lost_trials(output: Path) -> list[FrozenTrial]:
    return [trial for trial in trials(output) if trial.user_attrs.get(OUTCOME) == LOST]


def assert_counted_once(output: Path, count: int, killed: Path) -> None:
    """All trials are finished or lost, each lost one was made again, and the killed run from its checkpoint."""
    made = trials(output)
    counted = [trial for trial in made if trial.state == TrialState.COMPLETE]
    lost = lost_trials(output)
    assert len(counted) == count and len(made) == len(counted) + len(lost)
    retries = [trial.user_attrs[RETRY_OF] for trial in made if RETRY_OF in trial.user_attrs]
    assert sorted(retries) == [trial.number for trial in lost]
    for trial in counted:
        record = read_record(output / trial.user_attrs[FOLDER])
        assert record is not None and record["status"] == FINISHED
        assert trial.value == record["result"]["student"]["miou"]
    folder = killed.relative_to(output).as_posix()
    first, *_ = [trial for trial in lost if trial.user_attrs.get(FOLDER) == folder]
    again = _last_retry(made, first.number)
    assert [trial.number for trial in counted if trial.user_attrs[FOLDER] == folder] == [again.number]
    record = read_record(killed)
    assert record is not None and record["resumed_at"] > 0


def _last_retry(made: list[FrozenTrial], number: int) -> FrozenTrial:
    """Of a lost trial; a retry can be lost as well, when the command is killed."""
    (retry,) = [trial for trial in made if trial.user_attrs.get(RETRY_OF) == number]
    return _last_retry(made, retry.number) if retry.user_attrs.get(OUTCOME) == LOST else retry
