"""Jobs in SLURM's queue."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.core.utils import JobPaths

from slurm.base.outcome import Lost, error_of_another_task, read_outcome, remove_files
from slurm.base.pool import Pool, R, T
from slurm.jobs.scheduler import GONE, PENDING, JobState, Scheduler, SchedulerSilent
from slurm.jobs.submission import Submitter

POLL_SECONDS = 5.0
# From the moment that a job has left the queue until its missing result is believed, where nobody says that it failed:
# what a node wrote reaches other machines late over NFS, by up to a minute with its usual caching.
SETTLE_SECONDS = 60.0


@dataclass
class _Job:
    """A job that has not ended; its state is that of the last look, None before the first."""

    files: JobPaths
    state: JobState | None = None
    running: bool = False  # also where it has left the queue, until its result is there
    gone_since: float | None = None
    cancelled: bool = False

    @property
    def id(self) -> str:
        return str(self.files.job_id)


class SlurmPool(Pool[T, R]):
    """Jobs that were submitted, or that an earlier command left in the queue. Use as a context manager.

    Its end leaves the jobs alone: they do not need the command that submitted them.

    Attributes:
        silent: why the scheduler did not answer at the last look, "" where it did.
    """

    def __init__(self, function: Callable[[T], R], parallel: int, submitter: Submitter, scheduler: Scheduler) -> None:
        """Make a pool; nothing is submitted yet.

        Args:
            function: of a module, so that a job can import it.
            parallel: jobs at a time that `free` counts down from; how many run is SLURM's affair.
            submitter: what the jobs ask for.
            scheduler: the cluster.
        """
        super().__init__(parallel)
        self._function, self.submitter, self.scheduler = function, submitter, scheduler
        self._jobs: dict[int, _Job] = {}
        self.silent = ""

    @property
    def left(self) -> int:
        return len(self._jobs)

    @property
    def states(self) -> dict[int, JobState]:
        """What the queue said at the last look, by index."""
        return {index: job.state for index, job in self._jobs.items() if job.state}

    @property
    def running(self) -> set[int]:
        return {index for index, job in self._jobs.items() if job.running}

    @property
    def waits_for(self) -> str:
        if self.silent:
            return f"the scheduler does not answer ({self.silent})"
        pending = [state.reason for state in self.states.values() if state.state == PENDING]
        reasons = ", ".join(sorted({reason for reason in pending if reason}))
        return (f"{len(pending)} pending" + (f" ({reasons})" if reasons else "")) if pending else ""

    def submit_all(self, jobs: Mapping[int, T]) -> None:
        """Submit jobs as arrays. Raises LauncherError; those that were submitted before stay."""
        indices = iter(jobs)
        for ids in self.submitter.submit(self._function, list(jobs.values()), self.scheduler):
            members = dict(zip(ids, indices, strict=False))
            for job_id, index in members.items():
                self.adopt(index, job_id)
            self.submitted({job_id: jobs[index] for job_id, index in members.items()})

    def submitted(self, jobs: Mapping[str, T]) -> None:
        """Called when jobs are in the queue, with their ids."""

    def adopt(self, index: int, job_id: str, folder: Path | None = None) -> None:
        """Watch a job that is in the queue already; ``folder``: of submitit's files of it, else the submitter's."""
        self._jobs[index] = _Job(JobPaths(folder or self.submitter.folder, job_id))

    def job_id(self, index: int) -> str:
        """The id of a job that has not ended, ``123`` or ``123_4``."""
        return self._jobs[index].id

    def cancel(self, index: int) -> None:
        self._jobs[index].cancelled = True
        try:
            self.scheduler.cancel([self.job_id(index)])
        except SchedulerSilent as error:  # it runs on to its end, and is not asked for
            self.silent = str(error)

    def ended(self) -> list[tuple[int, R | Lost]]:
        """Index and outcome of the jobs that ended since the last call; waits ``POLL_SECONDS``, but for no job.

        While the scheduler does not answer, none has.
        """
        time.sleep(POLL_SECONDS)
        try:
            states = self.scheduler.states(job.id for job in self._jobs.values())
        except SchedulerSilent as error:
            self.silent = str(error)
            return []
        self.silent, over = "", []
        for index, job in list(self._jobs.items()):
            job.state = states[job.id]
            job.running = job.state.state != PENDING and (job.running or job.state.is_alive)
            if job.state.state != GONE:
                job.gone_since = None
            elif (outcome := self._outcome(job)) is not _UNKNOWN:
                over.append((index, outcome))
                del self._jobs[index]
        return over

    def _outcome(self, job: _Job) -> Any:
        try:
            outcome = read_outcome(job.files)
        except Exception:  # nothing there, or not yet whole: a pickle can fail in any way
            job.gone_since = job.gone_since or time.monotonic()
            how = self.scheduler.how_ended(job.id)
            may_come = how in ("", "COMPLETED") and not job.cancelled
            if may_come and time.monotonic() - job.gone_since < SETTLE_SECONDS:
                return _UNKNOWN
            said = error_of_another_task(job.files) or how
            outcome = Lost(f"job {job.id} ended without a result" + (f": {said}" if said else ""), job.files.stdout)
        if job.cancelled or not isinstance(outcome, Lost):
            remove_files(job.files, result=False)
        return outcome


_UNKNOWN = object()
