"""Cancelling runs that SLURM has, and submitting again what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from benchmarks.core.errors import ConfigError
from benchmarks.state.outcome import mark_stopped
from benchmarks.state.run_states import LOST, UNKNOWN, RunState
from benchmarks.state.submissions import submitted_runs
from results.records import record as records
from slurm.jobs.profile import Profile, read_profile
from slurm.jobs.scheduler import Scheduler

_CANCEL_SECONDS = 60.0  # that a job may take to end; SLURM kills what is there after KillWait, 30 s by default


def selected(states: Sequence[RunState], names: Sequence[str]) -> list[RunState]:
    """The runs that are named: by id or its beginning, folder, or job id (``123`` is all of an array).

    Raises:
        ConfigError: nothing has a name, or several runs begin with it.
    """
    found: dict[Path, RunState] = {}
    for name in names:
        exact = [s for s in states if name in (s.folder.name, s.job) or Path(name).absolute() == s.folder.absolute()]
        of_array = [s for s in states if s.job.split("_")[0] == name]
        begun = [s for s in states if len(name) >= 4 and s.folder.name.startswith(name)]
        matching = exact or of_array or begun
        if not matching or (not exact and not of_array and len(begun) > 1):
            raise ConfigError(f"{name}: {len(begun) or 'no'} runs of this name, expected a run's id, folder or job")
        found |= {state.folder: state for state in matching}
    return list(found.values())


def cancel(states: Sequence[RunState], scheduler: Scheduler, say: Callable[[str], None]) -> None:
    """End the jobs of these runs that wait or run; their records say stopped, and they can be submitted again.

    Raises:
        SchedulerSilent: nothing was cancelled.
    """
    alive = {state.job: state for state in states if state.in_queue}
    if not alive:
        scheduler.states([state.job for state in states if state.status == UNKNOWN])  # raises where that is why
        say("nothing to cancel: none of these runs has a job in the queue")
        return
    scheduler.cancel(alive)
    until = time.monotonic() + _CANCEL_SECONDS
    while alive:
        now = scheduler.states(alive)
        for job in [job for job in alive if not now[job].is_alive]:
            state = alive.pop(job)
            mark_stopped(state.folder, "cancelled")
            say(f"{state.label} ({state.folder.name}): job {job} cancelled, at iteration {state.iteration}")
        if alive and time.monotonic() > until:
            say(f"{len(alive)} jobs have not ended yet: {', '.join(alive)}")
            return
        time.sleep(1 if alive else 0)


def resubmit(
    states: Sequence[RunState],
    output: Path,
    profile_of: Callable[[Profile], Profile],
    say: Callable[[str], None],
    confirmed: Callable[[str], bool] = lambda _: False,
    modules: Sequence[str] = (),
) -> None:
    """Submit runs again, with the code as it is now; they go on from their last checkpoint.

    The output folder may come from anybody: of the profile that is written down there, what jobs would execute (setup,
    python, any option of sbatch) is taken only where it is confirmed; and code that a run's config names is imported
    only where the user named it.

    Args:
        states: the runs; those that are finished, diverged, waiting or running are left alone.
        output: the folder that they are below.
        profile_of: from the profile that a run was submitted with to that of now.
        say: given lines.
        confirmed: given a question, whether the user says yes.
        modules: that the user named (`benchmarks.trained.opened_run.open_run`).

    Raises:
        ConfigError: a run's config cannot be read, or what its jobs would execute was not confirmed; DataError: nor was
            the code that its config names; LauncherError: sbatch refused.
    """
    from benchmarks.config.run_id import run_folder
    from benchmarks.data.data_sets import check_module
    from benchmarks.launch.on_slurm import SlurmRuns
    from benchmarks.launch.workers import WorkerJob
    from benchmarks.state.fingerprint import Listings
    from benchmarks.trained.opened_run import open_run

    again = [state for state in states if state.status in (records.FAILED, records.STOPPED, LOST)]
    if not again:
        say("nothing to submit: none of these runs has failed, was lost or stopped")
        return
    submitted = submitted_runs(output)
    groups: dict[str, tuple[Profile, dict[int, WorkerJob]]] = {}
    listings, confirmed = Listings(), cache(confirmed)  # each question once
    for index, state in enumerate(again):
        sent = submitted.get(state.folder)
        before = read_profile(dict(sent.profile), "profile") if sent else Profile()
        profile = profile_of(before)
        executed = _executed(before, profile, profile_of)
        if executed and not confirmed(f"runs were submitted with {executed}: have their jobs execute that?"):
            raise ConfigError(
                f"{state.folder} was submitted with {executed}, which its job would execute: expected --profile "
                "with what is to be executed, or a yes at a terminal"
            )
        run = open_run(str(state.folder), output, modules)
        check_module(run.cfg)
        if run_folder(output, run.cfg).with_name(run.known_as) != state.folder:
            raise ConfigError(
                f"{state.folder}: its config.yaml is of another run now ({run.known_as}), expected the "
                "code, the data and the weights that it was made with"
            )
        listings.check(run)
        _, jobs = groups.setdefault(str(profile.dump()), (profile, {}))
        jobs[index] = WorkerJob(state.label, run, gpus=profile.gpus)
    for profile, jobs in groups.values():
        runs = SlurmRuns(output, profile)
        runs.submit_all(jobs)
        ids = dict.fromkeys(runs.job_id(index).split("_")[0] for index in jobs)
        names = ", ".join(job.run.folder.name for job in jobs.values())
        say(f"submitted {len(jobs)} runs as {', '.join(ids)}: {names}")


def _executed(before: Profile, profile: Profile, profile_of: Callable[[Profile], Profile]) -> str:
    """What jobs would execute that is only written down in the output folder, in one line; "" for nothing."""
    said = profile_of(replace(before, setup=(), python=None, sbatch={}))
    values = {"setup": profile.setup, "python": profile.python, "sbatch": dict(profile.sbatch)}
    return ", ".join(f"{key} {value!r}" for key, value in values.items() if value != getattr(said, key))
