"""What is shown of runs that other processes make: lines, and a bar on a terminal; records of lost ones say so."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.cli.progress import Progress
from benchmarks.core.errors import RunLeftOut, RunLocked, RunRefused
from benchmarks.launch.workers import REFUSED, Outcome, WorkerJob
from benchmarks.state.outcome import iteration, mark_lost
from results.records.record import PENDING, RUNNING, Record, record_or_none
from slurm.base.outcome import Lost

STATE_SECONDS = 30.0  # between lines that say how far the runs are
_BAR_SECONDS = 2.0  # between looks at that where there is a terminal
_NAMED = 4  # of the runs that are under way, in such a line


class WorkerProgress:
    """Shows how runs go that other processes make, and has the records of lost ones say so.

    Attributes:
        left_out: the errors of runs that processes of others have, that were refused, or that were to be made anew and
            were lost before they began.
    """

    def __init__(
        self, jobs: Sequence[WorkerJob], progress: Progress, ended: Callable[[WorkerJob], None]
    ) -> None:
        """Show ``jobs`` by ``progress``, whose works they become; ``ended`` is given each that has an end."""
        self._jobs, self._progress, self._say, self._ended = jobs, progress, progress.say, ended
        self.left_out: list[RunLeftOut] = []
        self._before: dict[int, Record | None] = {}  # records of runs that workers make anew, as they were
        self._over = 0
        self._works = progress.works = [job.work() for job in jobs]

    def look(self, running: set[int], waits_for: str = "") -> None:
        """Tell which runs have started, or went back to a queue; and now and then how far they are."""
        for index, work in enumerate(self._works):
            if index in running and not work.running:
                self.started(index)
            elif work.running and index not in running:
                self._back_in_queue(index)
        seconds = _BAR_SECONDS if self._progress.console.is_terminal else STATE_SECONDS
        if (running or waits_for) and self._progress.due(seconds):
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
            work.reach(_capped(job, iteration(job.run.folder)))
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
            work.reach(_capped(job, job.iteration))
        states = [f"{work.label} {work.done:.0f}/{work.total:.0f}" for _, work in running]
        if len(states) > _NAMED:
            states[_NAMED:] = [f"{len(states) - _NAMED} more"]
        told = f"running: {', '.join(states)}" if states else ""
        over, parts = f"{self._over} of {len(self._jobs)} over", list(filter(None, (told, waits_for)))
        if self._progress.console.is_terminal:
            done, total = (sum(getattr(work, name) for work in self._works) for name in ("done", "total"))
            self._progress.show(over, done, total, "; ".join(parts), force=True)
        else:
            self._say("; ".join((over, *parts, self._progress.time_left())))


def _capped(job: WorkerJob, iterations: int) -> int:
    return min(iterations, job.run.cfg.SOLVER.ITERS)  # the line of a last evaluation counts one more


def _has_end(record: Record | None) -> bool:
    return record is not None and record.status not in (PENDING, RUNNING)
