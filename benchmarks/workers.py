"""Runs made by several processes of this machine at a time: what a worker does, and what is told meanwhile."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detectron2.config import CfgNode

from benchmarks.checkout import check_checkout
from benchmarks.errors import RunLocked
from benchmarks.lock import locked
from benchmarks.memory import keep_freed_memory
from benchmarks.progress import clock
from benchmarks.runner import RunWatcher, run_one
from results.errors import ResultsError
from results.record import FAILED, LOST, RUNNING, STOPPED, read_record, write_record
from slurm.local import LocalWatcher, Lost, run_local

STATE_SECONDS = 30.0  # between lines that say how far the runs are


class WorkerJob(NamedTuple):
    """One run for a worker."""

    label: str
    cfg: CfgNode
    folder: Path
    force: bool


def make_in_workers(
    jobs: Sequence[WorkerJob], parallel: int, files: Path, say: Callable[[str], None], ended: Callable[[int], None]
) -> list[RunLocked]:
    """Make the runs, ``parallel`` at a time; returns the errors of those that other processes have.

    A run whose worker died is recorded as failed, so that no table takes it for one that is going on. ``files`` is a
    folder for what the processes exchange; ``say`` is given lines; ``ended`` the index of each run that has an end.
    """
    progress = _Progress(jobs, say, ended)
    run_local(make_run, jobs, parallel, files, progress)
    return progress.left_out


def make_run(job: WorkerJob) -> str | None:
    """What a worker does, in its process; the line of the error where another process has the run."""
    check_checkout()
    keep_freed_memory()
    warnings.filterwarnings("ignore", module=r"(detectron2|fvcore|torch|iopath)\b.*")
    try:
        run_one(job.cfg, job.folder, RunWatcher(), job.force)
    except RunLocked as error:
        return str(error)
    return None


class _Progress(LocalWatcher["str | None"]):
    def __init__(
        self, jobs: Sequence[WorkerJob], say: Callable[[str], None], ended: Callable[[int], None]
    ) -> None:
        self._jobs, self._say, self._ended = jobs, say, ended
        self.left_out: list[RunLocked] = []
        self._running: dict[int, int] = {}  # index: the iteration it began at
        self._over = self._worked = 0  # runs, and their iterations since the start
        self._begun = self._last_line = time.monotonic()

    def started(self, index: int) -> None:
        job = self._jobs[index]
        self._running[index] = 0 if job.force else iteration(job.folder)
        self._say(f"{job.label}: started ({index + 1} of {len(self._jobs)})")

    def ended(self, index: int, outcome: str | Lost | None) -> None:
        job = self._jobs[index]
        self._worked += max(0, iteration(job.folder) - self._running.pop(index))
        self._over += 1
        if outcome is None:
            self._ended(index)
        elif isinstance(outcome, Lost):
            self._say(f"{job.label}: lost, {outcome.reason} (see {outcome.log})")
            mark_lost(job.folder, outcome.reason)
        else:
            self.left_out.append(RunLocked(outcome))
            self._say(f"{job.label}: left out, {outcome}")

    def waiting(self) -> None:
        now = time.monotonic()
        if not self._running or now - self._last_line < STATE_SECONDS:
            return
        self._last_line = now
        done = {index: iteration(self._jobs[index].folder) for index in self._running}
        states = ", ".join(
            f"{self._jobs[index].label} {done[index]}/{self._jobs[index].cfg.SOLVER.ITERS}" for index in done
        )
        self._say(f"{self._over} of {len(self._jobs)} over; running: {states}; {self._time_left(done, now)}")

    def _time_left(self, done: dict[int, int], now: float) -> str:
        worked = self._worked + sum(done[index] - first for index, first in self._running.items())
        if worked <= 0:
            return "time left -"
        begun = len(self._running) + self._over
        left = sum(job.cfg.SOLVER.ITERS for job in self._jobs[begun:])
        left += sum(self._jobs[index].cfg.SOLVER.ITERS - done[index] for index in done)
        return f"time left {clock(left * (now - self._begun) / worked)}"


def iteration(folder: Path) -> int:
    """Of a run that is going on, from its metrics.json; 0 before the first line."""
    try:
        last = (folder / "metrics.json").read_text(encoding="utf-8").splitlines()[-1]
        return int(json.loads(last)["iteration"]) + 1
    except (OSError, ValueError, KeyError, IndexError):
        return 0


def mark_lost(folder: Path, reason: str) -> None:
    """Let the record of a run whose process is gone say so; a run that a process has is left alone."""
    _mark(folder, (RUNNING,), FAILED, f"{LOST}{reason}")


def mark_stopped(folder: Path, reason: str) -> bool:
    """Let the record of a run whose process was ended on purpose say by what; returns whether it does now.

    Left alone are a run that a process still has (the caller can try again when that is gone), and one that is over or
    was never begun. The next command that wants the run takes it up from its last checkpoint.
    """
    return _mark(folder, (RUNNING,), STOPPED, reason)


def mark_begun(folder: Path) -> None:
    """Let the record of a run that is taken up again say that it goes on: an end of before is not the new one's."""
    _mark(folder, (FAILED, STOPPED), RUNNING, "")


def _mark(folder: Path, found: Sequence[str], status: str, reason: str) -> bool:
    try:
        with locked(folder):
            record: dict[str, Any] | None = read_record(folder)
            if record is None or record["status"] not in found:
                return False
            write_record(folder, record | {"status": status, "reason": reason})
            return True
    except (RunLocked, ResultsError):
        return False
