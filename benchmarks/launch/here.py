"""Runs that this process makes, one after the other; and how the end of a run is told, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from benchmarks.cli.run_progress import RunProgress
from benchmarks.cli.time_left import clock
from benchmarks.computing.device import pick_device
from benchmarks.config.run import Run
from benchmarks.core.errors import RunLeftOut
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.launch.workers import WorkerJob
from results.files.errors import ResultsError
from results.records.record import FAILED, FINISHED, Record, read_record


class _Watcher(RunWatcher):
    """Passes what a run tells on to the command's progress."""

    def __init__(self, progress: RunProgress, index: int, run: Run) -> None:
        self._progress, self._index, self._run = progress, index, run

    def started(self, iteration: int, miou: float | None = None) -> None:
        threads = torch.get_num_threads() if pick_device(self._run.cfg).type == "cpu" else 1
        self._progress.start(self._index, iteration, miou, threads)

    def preparing(self, what: str) -> None:
        self._progress.preparing(what)

    def step(self, done: int, losses: Mapping[str, float]) -> None:
        self._progress.step(done, losses)

    def evaluating(self, done: int, images: int) -> None:
        self._progress.evaluating(done, images)

    def evaluated(self, miou: float) -> None:
        self._progress.evaluated(miou)


def miou_text(record: Record) -> str:
    """The student's mIoU in percent, as it is shown."""
    miou = record.result.student.headline
    return "-" if miou is None else f"{miou:.1f}"


def make_here(jobs: Sequence[WorkerJob], progress: RunProgress) -> list[RunLeftOut]:
    """Make the runs one after the other.

    Returns the errors of those that another process has, that are refused, or whose folders cannot be written.
    """
    left_out = list[RunLeftOut]()
    for index, job in enumerate(jobs):
        try:
            record = run_one(job.run, _Watcher(progress, index, job.run), job.force)
        except (RunLeftOut, OSError) as error:
            if isinstance(error, OSError):
                error = RunLeftOut(f"{job.run.folder}: {error.strerror or error}")
            left_out.append(error)
            progress.end(index)
            progress.say(f"{job.label}: left out, {error}")
        else:
            progress.end(index)
            tell(job, record, progress)
    return left_out


def tell_left(job: WorkerJob, progress: RunProgress) -> None:
    """Say how a run ended that another process made."""
    try:
        tell(job, read_record(job.place), progress)
    except ResultsError as error:
        tell(job, Record.of({"status": FAILED, "reason": str(error)}), progress)


def tell(job: WorkerJob, record: Record | None, progress: RunProgress) -> None:
    """Say how a run ended; without a record, which a full disk has no place for, that there is none."""
    if record is None:
        progress.say(f"{job.label}: left no record (see {job.run.folder / 'log.txt'})")
    elif record.status == FINISHED:
        for fault in record.result.student.faults.values():
            progress.say(f"{job.label}: {fault}")
        progress.say(f"{job.label}: mIoU {miou_text(record)} in {clock(record.wall_seconds or 0.0)}")
    else:
        kept = "" if job.place == job.run.folder else "; what was there before is kept"
        progress.say(f"{job.label}: {record.status}, {record.reason} (see {job.place / 'log.txt'}){kept}")
