"""A scheduler that says what it was told to, and runs as commands leave them behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from record_files import write_record

from benchmarks.state.run_states import RunState, run_states
from benchmarks.state.submissions import note_submission
from slurm.jobs.scheduler import GONE, JobState, Scheduler, SchedulerSilent


class Queue(Scheduler):
    """``jobs``: by id, state and reason of those in the queue; ``how`` all others ended."""

    cluster = "here"

    def __init__(self, jobs: dict[str, str] | None = None, how: str = "", silent: str = "") -> None:
        self.jobs, self.how, self.silent = jobs or {}, how, silent
        self.asked, self.cancelled = list[str](), list[str]()
        self.meanwhile: Callable[[], None] = lambda: None

    def states(self, ids: Iterable[str]) -> dict[str, JobState]:
        if self.silent:
            raise SchedulerSilent(self.silent)
        self.asked += (wanted := list(ids))
        found = {job: JobState(*self.jobs.get(job, GONE).split(" ")) for job in wanted}
        self.meanwhile()
        return found

    def how_ended(self, job: str) -> str:
        return self.how

    def cancel(self, jobs: Iterable[str]) -> None:
        for job in jobs:
            self.cancelled.append(job)
            self.jobs.pop(job, None)


def make(output: Path, name: str = "abcdef012345", job: str = "", status: str = "", **more: Any) -> Path:
    """A run: submitted as ``job`` if that is given, with a record if ``status`` is."""
    folder = output / "streets" / "dacs" / "net" / name
    folder.mkdir(parents=True, exist_ok=True)
    if job:
        profile = more.pop("profile", {})
        note_submission(output, {job: (folder, f"label {name}", 8)}, more.pop("cluster", "here"), profile, "code")
    if status:
        spec = {"method": "dacs", "seed": 0}
        write_record(folder, {"spec": spec, "max_iterations": 8, "reason": "", "status": status} | more)
    return folder


def one(output: Path, queue: Queue) -> RunState:
    (state,) = run_states(output, queue)[0]
    return state
