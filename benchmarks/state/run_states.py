"""How the runs below an output folder stand, by their records, their locks and the scheduler together."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.state import again
from benchmarks.state.lock import held_by
from benchmarks.state.outcome import iteration, mark_lost
from benchmarks.state.submissions import SubmittedRun, submitted_runs
from results.files.errors import ResultsError
from results.files.text import one_line
from results.records import record as records
from results.records.folders import run_folders
from results.records.record import Record
from slurm.jobs import scheduler as queue
from slurm.jobs.scheduler import JobState, Scheduler, SchedulerSilent

LOST, UNKNOWN = "lost", "unknown"
ORDER = (
    records.RUNNING, records.PENDING, UNKNOWN, records.FINISHED, records.STOPPED, records.DIVERGED, records.FAILED,
    LOST,
)  # fmt: skip
_GONE = "its process is gone"
_LATE = 120.0  # seconds, after which what a node wrote has reached other machines over NFS


@dataclass(frozen=True)
class RunState:
    """One run.

    Attributes:
        folder: the run's.
        label: what it is called; method and seed.
        status: a record's, or ``lost`` (its process or job is gone) or ``unknown`` (the scheduler does not answer).
        job: id of its newest job, "" where it was never submitted.
        iteration, iterations: done and planned.
        miou: of the student at the last evaluation, in percent; None before the first.
        seconds_left: of a running run, by its pace in this session; None where that is not known.
        reason: why it waits, failed, or was lost.
        in_queue: whether its job waits or runs on the cluster that was asked.
    """

    folder: Path
    label: str
    status: str
    job: str
    iteration: int
    iterations: int
    miou: float | None
    seconds_left: float | None
    reason: str
    in_queue: bool

    @property
    def is_over(self) -> bool:
        """Whether nothing is to be waited for."""
        return self.status not in (records.RUNNING, records.PENDING, UNKNOWN)


def run_states(output: Path, scheduler: Scheduler) -> tuple[list[RunState], str]:
    """The state of every run below ``output`` that has a record, and why the scheduler could not be asked, or "".

    The records of runs that are found lost say so afterwards. Nobody is asked where nothing was submitted.
    """
    submitted = submitted_runs(output)
    jobs, silent = dict[str, JobState](), ""
    if submitted:
        try:
            mine = [run.job for run in submitted.values() if run.cluster == scheduler.cluster]
            jobs = scheduler.states(mine)
        except SchedulerSilent as error:
            silent = str(error)
    # Records after the queue: a run that ends in between is found ended, not lost.
    folders = dict.fromkeys([*submitted, *run_folders(output).folders])
    states = [_state(folder, submitted.get(folder), jobs, scheduler) for folder in folders]
    return sorted(states, key=lambda state: (ORDER.index(state.status), str(state.folder))), silent


def _state(
    folder: Path, run: SubmittedRun | None, jobs: Mapping[str, JobState], scheduler: Scheduler
) -> RunState:
    try:
        record = records.read_record(folder) or Record.of({"status": records.PENDING})
    except ResultsError as error:
        record = Record.of({"status": records.FAILED, "reason": str(error)})
    job = jobs.get(run.job) if run else None
    place, anew = folder, again.newest_record(folder)
    if anew and again.newest(folder) != folder and ((job is not None and job.is_alive) or _holder(folder)):
        place, record = again.newest(folder), anew  # by --force, beside the one that is kept until it is over
    status, reason = _status(folder, record, run, job, scheduler)
    planned, spec = record.max_iterations or (run.iterations if run else 0), record.spec
    done = min(planned, max(iteration(place), record.iterations))
    return RunState(
        folder,
        one_line(f"{spec.method} seed {spec.seed}" if spec.method else str(run.label) if run else folder.name),
        status,
        run.job if run else "",
        done,
        planned,
        record.curve[-1].miou if record.curve else None,
        _seconds_left(place, record, done) if status == records.RUNNING else None,
        one_line(reason),
        job is not None and job.is_alive,
    )


def _status(
    folder: Path, record: Record, run: SubmittedRun | None, job: JobState | None, scheduler: Scheduler
) -> tuple[str, str]:
    """Status and reason."""
    status, reason = record.status, record.reason
    if record.is_over:
        return status, reason
    if job is not None and job.is_alive:
        if job.state == queue.PENDING:
            return records.PENDING, job.reason
        started = status == records.RUNNING
        return records.RUNNING, "" if started else "starting"
    if not folder.is_dir():
        return LOST, "its folder is gone"
    if status not in (records.RUNNING, records.PENDING):
        return (LOST, reason.removeprefix(records.LOST)) if record.is_lost else (status, reason)
    if holder := _holder(folder):
        return records.RUNNING, holder
    if run is not None and job is None:
        return UNKNOWN, f"job {run.job}: the scheduler does not say"
    return _gone(folder, status, run, scheduler)


def _gone(folder: Path, status: str, run: SubmittedRun | None, scheduler: Scheduler) -> tuple[str, str]:
    """The state of a run that no process has, and that no job will go on with."""
    if run is None:
        reason = _GONE
    else:
        how = scheduler.how_ended(run.job)
        if how in ("COMPLETED", "") and _age(folder) < _LATE:
            return status, "its job has ended, its record has not yet arrived"
        reason = f"job {run.job} ended without a result" + (f": {how}" if how else "")
    with suppress(OSError):  # runs of others can be looked at
        mark_lost(folder, reason)
    return LOST, reason


def _age(folder: Path) -> float:
    """Seconds since anything was written; endless where nothing is."""
    return time.time() - max((path.lstat().st_mtime for path in folder.iterdir()), default=-math.inf)


def _holder(folder: Path) -> str:
    """Who has the run, in words; "" for nobody, and for one whose lock this user may not try."""
    try:
        _, _, holder = held_by(folder).partition(f"{folder} is being run by ")
        return holder
    except OSError:
        return ""


def _seconds_left(folder: Path, record: Record, done: int) -> float | None:
    """Seconds to the end by the pace of this session until the last line; None where that is not known."""
    first, began = record.resumed_at, record.session_began
    with suppress(OSError):
        last = (folder / "metrics.json").stat().st_mtime
        if first is not None and began is not None and record.max_iterations and done > first and last > began:
            left = (record.max_iterations - done) * (last - began) / (done - first)
            return max(0.0, left - (time.time() - last))
    return None
