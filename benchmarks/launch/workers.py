"""Runs made by several processes of this machine at a time: what a worker does, and what is told meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from benchmarks.cli.progress import Progress
from benchmarks.cli.time_left import Work
from benchmarks.config.plugins import import_plugins
from benchmarks.config.run import Run
from benchmarks.core.checkout import check_checkout
from benchmarks.core.command import quiet_libraries
from benchmarks.core.errors import RunLeftOut, RunLocked, RunRefused
from benchmarks.engine.device import pick_device
from benchmarks.engine.memory import keep_freed_memory
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.state.again import newest
from benchmarks.state.outcome import iteration, mark_lost
from results.records.record import PENDING, RUNNING, Record, record_or_none
from slurm.base.outcome import Lost
from slurm.processes.local import LocalPool, LocalWatcher, run_local
from slurm.processes.ranks import Rank, RanksFailed, is_loss_of_another, joined, run_ranks, slurm_rank

STATE_SECONDS = 30.0  # between lines that say how far the runs are
_SRUN_SECONDS = 30.0  # that srun may take to end a job step in which a process has failed
_NAMED = 4  # of the runs that are under way, in such a line

REFUSED = "refused"
Outcome = str | dict[str, str] | None
"""What a worker returns, plain values: None where the run has an end, the line of the process that has the run, or
{REFUSED: why it is not gone on with, in one line}."""


class WorkerJob(NamedTuple):
    """One run for a worker; ``force`` and ``begun`` are those of `benchmarks.engine.runner.run_one`."""

    label: str
    run: Run
    force: bool = False
    gpus: int = 1
    begun: bool = False

    @property
    def place(self) -> Path:
        """The folder of its newer making where it is forced, else the run's."""
        return newest(self.run.folder) if self.force else self.run.folder

    @property
    def iteration(self) -> int:
        """Iterations that are done, of the one that is made anew where it is forced."""
        of_before = self.force and not self.begun and self.place == self.run.folder
        return 0 if of_before else iteration(self.place)


def make_in_workers(
    jobs: Sequence[WorkerJob],
    parallel: int,
    files: Path,
    say: Callable[[str], None],
    ended: Callable[[int], None],
    gpus: int = 1,
) -> list[RunLeftOut]:
    """Make the runs, ``parallel`` at a time; returns the errors of those that were not made, and left as they were.

    Each has ``gpus`` GPUs. A run whose worker died is recorded as failed, so that no table takes it for one that is
    going on. ``files`` is a folder for what the processes exchange; ``say`` is given lines; ``ended`` the index of each
    run that has an end.
    """
    progress = WorkerProgress(jobs, say, ended)
    run_local(make_run, jobs, parallel, files, progress, gpus)
    return progress.left_out


class RunPool(Protocol):
    """Starts one run after the other, so many at a time, on this machine or on SLURM."""

    def __enter__(self) -> RunPool: ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def free(self) -> int:
        """How many more runs can be started now."""

    def submit(self, index: int, job: WorkerJob) -> None:
        """Start a run; ``index`` is what it is called by until it ended."""

    def cancel(self, index: int) -> None:
        """Tell a run to stop; it is among the ended ones when it did."""

    def ended(self) -> list[tuple[int, Outcome | Lost]]:
        """What ended since the last call: by the worker's own account, or how it was lost."""

    def busy(self, folder: Path) -> bool:
        """Whether the run is in a queue or under way, though no process may have its lock."""


class LocalRuns(LocalPool["WorkerJob", "Outcome"]):
    """Runs made by processes of this machine."""

    def __init__(self, parallel: int, folder: Path, gpus: int = 1) -> None:
        super().__init__(make_run, parallel, folder, gpus)

    def __enter__(self) -> LocalRuns:
        return self

    def busy(self, folder: Path) -> bool:
        return False  # a worker has the lock of its run


def make_run(job: WorkerJob) -> Outcome:
    """What a worker does, in its process.

    A run on several GPUs has a process for each, which this one watches.
    """
    if job.gpus == 1:
        return _make(job)
    try:
        return run_ranks(make_shared_run, job, job.gpus)
    except RanksFailed as error:
        if not mark_lost(job.run.folder, str(error), job.force) and job.force:
            raise  # rank 0 has written down what happened, or what is there is the run of before
        return None


def make_run_in_job(job: WorkerJob) -> Outcome:
    """Make a run as `make_run`, in a task of a SLURM job, which has one for each GPU."""
    rank = slurm_rank()
    if rank.ranks == 1:
        return _make(job)
    try:
        return make_shared_run(job, rank)
    except Exception as error:
        if is_loss_of_another(error):  # srun is about to end this process, too, and SLURM's reason says more
            time.sleep(_SRUN_SECONDS)
        raise


def make_shared_run(job: WorkerJob, rank: Rank) -> Outcome:
    """What each of the processes does that make a run together."""
    with joined(rank, pick_device(job.run.cfg).type == "cuda"):
        return _make(job)


def _make(job: WorkerJob) -> Outcome:
    check_checkout()
    keep_freed_memory()
    import_plugins()  # those of the command, by the environment that it handed over
    quiet_libraries()
    try:
        run_one(job.run, RunWatcher(), job.force, begun=job.begun)
    except RunLocked as error:
        return str(error)
    except RunRefused as error:
        return {REFUSED: str(error)}
    return None


class WorkerProgress(LocalWatcher["Outcome"]):
    """Tells how runs go that other processes make, in lines, and has the records of lost ones say so.

    Attributes:
        left_out: the errors of runs that processes of others have, that were refused, or that were to be made anew and
            were lost before they began.
    """

    def __init__(self, jobs: Sequence[WorkerJob], say: Callable[[str], None], ended: Callable[[int], None]) -> None:
        self._jobs, self._say, self._ended = jobs, say, ended
        self.left_out: list[RunLeftOut] = []
        self._before: dict[int, Record | None] = {}  # records of runs that workers make anew, as they were
        self._over = 0
        self._progress = Progress()
        self._works = self._progress.works = [Work(job.run.cfg.SOLVER.ITERS, job.label) for job in jobs]

    def started(self, index: int) -> None:
        job = self._jobs[index]
        self._works[index].begin(job.iteration)
        if job.force and not job.begun:
            self._before[index] = record_or_none(job.run.folder)
        self._say(f"{job.label}: started ({index + 1} of {len(self._jobs)})")

    def back_in_queue(self, index: int) -> None:
        """The job of a run was ended by the scheduler, which will start it again."""
        job = self._jobs[index]
        self._works[index].reach(job.iteration)
        self._works[index].pause()
        self._say(f"{job.label}: back in the queue, at iteration {self._works[index].done:.0f}")

    def ended(self, index: int, outcome: Outcome | Lost) -> None:
        job = self._jobs[index]
        if self._works[index].running:
            self._works[index].reach(iteration(job.run.folder))
        self._works[index].end()
        self._over += 1
        if outcome is None:
            self._ended(index)
        elif isinstance(outcome, Lost):
            folder = job.run.folder
            place = job.place
            see = f" (see {outcome.log})" if outcome.log else ""
            before = self._before.get(index)
            if place == folder and _has_end(before) and record_or_none(place) == before:  # it has not even begun
                line = f"{outcome.reason}{see}; what was there before is kept"
                self.left_out.append(RunLeftOut(f"{folder}: lost, {line}"))
                self._say(f"{job.label}: lost, {line}")
            elif (
                mark_lost(folder, outcome.reason, job.force)
                or outcome.log is None  # what is over is so from before
                or not _has_end(record_or_none(place))
            ):
                self._say(f"{job.label}: lost, {outcome.reason}{see}")
            else:  # it could write down what happened
                self._ended(index)
        else:
            error = RunLocked(outcome) if isinstance(outcome, str) else RunRefused(outcome[REFUSED])
            self.left_out.append(error)
            self._say(f"{job.label}: left out, {error}")

    def waiting(self, queue: str = "") -> None:
        """Now and then a line; ``queue`` says what else is waited for."""
        running = [(job, work) for job, work in zip(self._jobs, self._works, strict=True) if work.running]
        if not (running or queue) or not self._progress.due(STATE_SECONDS):
            return
        for job, work in running:
            work.reach(min(job.iteration, job.run.cfg.SOLVER.ITERS))  # the line of a last evaluation counts one more
        states = [f"{work.label} {work.done:.0f}/{work.total:.0f}" for _, work in running]
        if len(states) > _NAMED:
            states[_NAMED:] = [f"{len(states) - _NAMED} more"]
        told = f"running: {', '.join(states)}" if states else ""
        parts = (f"{self._over} of {len(self._jobs)} over", told, queue, self._progress.time_left())
        self._say("; ".join(filter(None, parts)))


def _has_end(record: Record | None) -> bool:
    return record is not None and record.status not in (PENDING, RUNNING)
