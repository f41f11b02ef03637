"""Runs that other processes make, on this machine or as jobs of SLURM: handed over, waited for, and told of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cli.progress import Progress
from benchmarks.cli.run_options import LOCAL, SLURM
from benchmarks.core.errors import RunLeftOut, RunLocked, RunRefused
from benchmarks.launch.last_runs import longest_last_ones_first
from benchmarks.launch.launcher import Launcher
from benchmarks.launch.workers import REFUSED, Outcome, WorkerJob, make_run
from benchmarks.state.outcome import iteration, mark_lost
from results.records.record import PENDING, RUNNING, Record, record_or_none
from slurm.base.outcome import Lost
from slurm.base.pool import Pool
from slurm.processes.local import LocalPool

STATE_SECONDS = 30.0  # between lines that say how far the runs are
_NAMED = 4  # of the runs that are under way, in such a line

RunPool = Pool[WorkerJob, Outcome]


def run_pool(launcher: Launcher, output: Path) -> RunPool:
    """The pool of processes or jobs that make runs below ``output``. Raises LauncherError."""
    if launcher.kind == SLURM:
        from benchmarks.launch.on_slurm import SlurmRuns

        return SlurmRuns(output, launcher.profile, launcher.parallel)
    return LocalPool(make_run, launcher.parallel, output / ".workers", launcher.gpus)


def make_elsewhere(
    jobs: Sequence[WorkerJob],
    output: Path,
    launcher: Launcher,
    say: Callable[[str], None],
    ended: Callable[[WorkerJob], None],
) -> list[RunLeftOut]:
    """Have the runs made; returns the errors of those that were not made, and left as they were.

    A run whose worker died is recorded as failed, so that no table takes it for one that is going on. An interrupt ends
    processes of this machine, and leaves jobs of SLURM alone. ``say`` is given lines, ``ended`` each run that has an
    end.

    Raises:
        LauncherError: sbatch refused, or the scheduler does not answer at the start.
    """
    on_slurm = launcher.kind == SLURM
    jobs = [job._replace(begun=on_slurm) for job in jobs]  # by its submission
    if launcher.kind == LOCAL and launcher.parallel > 1:
        jobs = longest_last_ones_first(jobs, output, launcher.parallel)
    progress = WorkerProgress(jobs, say, ended)
    with run_pool(launcher, output) as pool:
        for index, line in pool.take(dict(enumerate(jobs)), say).items():
            progress.ended(index, line)
        if not launcher.wait:
            return progress.left_out
        if on_slurm:
            say(f"waiting; Ctrl-C leaves the jobs alone (python benchmarks/status.py --output {output})")
        while pool.left:
            progress.look(pool.running, pool.waits_for)
            for index, outcome in pool.ended():
                progress.ended(index, outcome)
    return progress.left_out


class WorkerProgress:
    """Tells how runs go that other processes make, in lines, and has the records of lost ones say so.

    Attributes:
        left_out: the errors of runs that processes of others have, that were refused, or that were to be made anew and
            were lost before they began.
    """

    def __init__(
        self, jobs: Sequence[WorkerJob], say: Callable[[str], None], ended: Callable[[WorkerJob], None]
    ) -> None:
        self._jobs, self._say, self._ended = jobs, say, ended
        self.left_out: list[RunLeftOut] = []
        self._before: dict[int, Record | None] = {}  # records of runs that workers make anew, as they were
        self._over = 0
        self._progress = Progress()
        self._works = self._progress.works = [job.work() for job in jobs]

    def look(self, running: set[int], waits_for: str = "") -> None:
        """Tell which runs have started, or went back to a queue; and now and then how far they are."""
        for index, work in enumerate(self._works):
            if index in running and not work.running:
                self.started(index)
            elif work.running and index not in running:
                self._back_in_queue(index)
        if (running or waits_for) and self._progress.due(STATE_SECONDS):
            self._tell_states(waits_for)

    def started(self, index: int) -> None:
        """Note that a process has begun with the run, or goes on with it."""
        job = self._jobs[index]
        self._works[index].begin(job.iteration)
        if job.force and not job.begun:
            self._before[index] = record_or_none(job.run.folder)
        self._say(f"{job.label}: started ({index + 1} of {len(self._jobs)})")

    def _back_in_queue(self, index: int) -> None:
        job, work = self._jobs[index], self._works[index]
        work.reach(job.iteration)
        work.pause()
        self._say(f"{job.label}: back in the queue, at iteration {work.done:.0f}")

    def ended(self, index: int, outcome: Outcome | Lost) -> None:
        """Tell what came of a run."""
        job, work = self._jobs[index], self._works[index]
        if work.running:
            work.reach(iteration(job.run.folder))
        work.end()
        self._over += 1
        if isinstance(outcome, Lost):
            self._lost(index, outcome)
        elif outcome is None:
            self._ended(job)
        else:
            self._leave_out(job, RunLocked(outcome) if isinstance(outcome, str) else RunRefused(outcome[REFUSED]))

    def _lost(self, index: int, lost: Lost) -> None:
        job, folder, place = self._jobs[index], self._jobs[index].run.folder, self._jobs[index].place
        line = f"lost, {lost.reason}" + (f" (see {lost.log})" if lost.log else "")
        before = self._before.get(index)
        if place == folder and _has_end(before) and record_or_none(place) == before:  # it has not even begun
            line += "; what was there before is kept"
            self.left_out.append(RunLeftOut(f"{folder}: {line}"))
        elif (
            not mark_lost(folder, lost.reason, job.force)
            and lost.log is not None  # else what is over is so from before
            and _has_end(record_or_none(place))
        ):
            self._ended(job)  # it could write down what happened
            return
        self._say(f"{job.label}: {line}")

    def _leave_out(self, job: WorkerJob, error: RunLeftOut) -> None:
        self.left_out.append(error)
        self._say(f"{job.label}: left out, {error}")

    def _tell_states(self, waits_for: str) -> None:
        running = [(job, work) for job, work in zip(self._jobs, self._works, strict=True) if work.running]
        for job, work in running:
            work.reach(min(job.iteration, job.run.cfg.SOLVER.ITERS))  # the line of a last evaluation counts one more
        states = [f"{work.label} {work.done:.0f}/{work.total:.0f}" for _, work in running]
        if len(states) > _NAMED:
            states[_NAMED:] = [f"{len(states) - _NAMED} more"]
        told = f"running: {', '.join(states)}" if states else ""
        parts = (f"{self._over} of {len(self._jobs)} over", told, waits_for, self._progress.time_left())
        self._say("; ".join(filter(None, parts)))


def _has_end(record: Record | None) -> bool:
    return record is not None and record.status not in (PENDING, RUNNING)
