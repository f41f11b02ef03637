"""Jobs in SLURM's queue, with the interface of `slurm.processes.local.LocalPool`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

from submitit.core.utils import JobPaths

from slurm.base.outcome import Lost, error_of_another_task, read_outcome, remove_files
from slurm.jobs.scheduler import GONE, JobState, Scheduler, SchedulerSilent
from slurm.jobs.submission import Submitter

T = TypeVar("T")
R = TypeVar("R")

POLL_SECONDS = 5.0
# From the moment that a job has left the queue until its missing result is believed, where nobody says that it failed:
# what a node wrote reaches other machines late over NFS, by up to a minute with its usual caching.
SETTLE_SECONDS = 60.0


class SlurmPool(Generic[T, R]):
    """Jobs that were submitted, or that an earlier command left in the queue. Use as a context manager.

    Its end leaves the jobs alone: they do not need the command that submitted them.

    Attributes:
        states: by index, what the queue said of each job at the last look.
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
        self._function, self._parallel = function, parallel
        self.submitter, self.scheduler = submitter, scheduler
        self._jobs: dict[int, str] = {}  # index: job id
        self._folders: dict[int, Path] = {}  # of submitit's files, where another command submitted the job
        self._gone: dict[int, float] = {}  # since when
        self._cancelled: set[int] = set()
        self.states: dict[int, JobState] = {}
        self.silent = ""

    def __enter__(self) -> SlurmPool[T, R]:
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def free(self) -> int:
        """How many more jobs can be submitted now."""
        return self._parallel - len(self._jobs)

    def submit(self, index: int, job: T) -> None:
        """Submit ``job``; ``index`` is what it is called by until it ended. Raises LauncherError."""
        self.submit_all({index: job})

    def submit_all(self, jobs: Mapping[int, T]) -> None:
        """Submit jobs as arrays. Raises LauncherError; those that were submitted before stay."""
        indices = list(jobs)

        def submitted(first: int, ids: Sequence[str]) -> None:
            members = indices[first : first + len(ids)]
            self._jobs |= dict(zip(members, ids, strict=True))
            self.submitted({ids[place]: jobs[index] for place, index in enumerate(members)})

        self.submitter.submit(self._function, [jobs[index] for index in indices], submitted, self.scheduler)

    def submitted(self, jobs: Mapping[str, T]) -> None:
        """Called when jobs are in the queue, with their ids."""

    def adopt(self, index: int, job_id: str, folder: Path | None = None) -> None:
        """Watch a job that is in the queue already; ``folder``: of submitit's files of it, else the submitter's."""
        self._jobs[index] = job_id
        if folder is not None:
            self._folders[index] = folder

    def job_id(self, index: int) -> str:
        """The id of a job that has not ended, ``123`` or ``123_4``."""
        return self._jobs[index]

    def cancel(self, index: int) -> None:
        """Tell a job to stop; it is among the ended ones when it did."""
        self._cancelled.add(index)
        try:
            self.scheduler.cancel([self._jobs[index]])
        except SchedulerSilent as error:  # it runs on to its end, and is not asked for
            self.silent = str(error)

    def ended(self) -> list[tuple[int, R | Lost]]:
        """Index and outcome of the jobs that ended since the last call; waits ``POLL_SECONDS``, but for no job.

        While the scheduler does not answer, none has.
        """
        time.sleep(POLL_SECONDS)
        try:
            by_id = self.scheduler.states(self._jobs.values())
        except SchedulerSilent as error:
            self.silent = str(error)
            return []
        self.silent = ""
        self.states = {index: by_id[name] for index, name in self._jobs.items()}
        over = []
        for index, state in self.states.items():
            if state.state != GONE:
                self._gone.pop(index, None)
            elif (outcome := self._outcome(index)) is not _UNKNOWN:
                over.append((index, outcome))
        for index, _ in over:
            del self._jobs[index], self.states[index]
            self._gone.pop(index, None)
            self._cancelled.discard(index)
        return over

    def _outcome(self, index: int) -> Any:
        job = self._jobs[index]
        paths = JobPaths(self._folders.get(index, self.submitter.folder), job)
        try:
            outcome = read_outcome(paths)
        except Exception:  # nothing there, or not yet whole: a pickle can fail in any way
            since = self._gone.setdefault(index, time.monotonic())
            how = self.scheduler.how_ended(job)
            may_come = how in ("", "COMPLETED") and index not in self._cancelled
            if may_come and time.monotonic() - since < SETTLE_SECONDS:
                return _UNKNOWN
            said = error_of_another_task(paths) or how
            outcome = Lost(f"job {job} ended without a result" + (f": {said}" if said else ""), paths.stdout)
        if index in self._cancelled or not isinstance(outcome, Lost):
            remove_files(paths, result=False)
        return outcome


_UNKNOWN = object()
