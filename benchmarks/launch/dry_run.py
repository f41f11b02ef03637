"""What a command would run: the runs, what is finished, and how long the rest takes by the pace of finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.cli.run_options import SLURM
from benchmarks.cli.time_left import clock
from benchmarks.config.run import Run
from benchmarks.launch.estimate import FinishedRuns
from benchmarks.launch.here import miou_text
from benchmarks.launch.launcher import Launcher
from benchmarks.state.fingerprint import Listings
from benchmarks.state.submissions import SubmittedRun
from results.forms.cells import table_of
from results.records.record import DIVERGED, FINISHED, RUNNING, record_or_none
from slurm.jobs.profile import Profile
from slurm.jobs.scheduler import USUAL_ARRAY_SIZE, Scheduler, SchedulerSilent


def dry_run(runs: Sequence[tuple[str, Run]], output: Path, launcher: Launcher) -> str:
    """A line a run (with its label), with its id and state below ``output``, and the time that those to be made take.

    The time of a run is the median of seconds an iteration, evaluation included, of finished runs of its settings, or
    else of its protocol, method and network, times its iterations; "unknown" where there is none. Of ``slurm`` it also
    gives what sbatch would be given; nothing is written.
    """
    on_slurm = launcher.kind == SLURM
    queue, array_size, note = _asked(output) if on_slurm else ({}, 0, "")
    lines, ended, times = [], 0, list[float | None]()
    finished, known, listings = FinishedRuns(output), set[Path](), Listings()
    for label, run in runs:
        cfg, folder = run.cfg, run.folder
        listings.check(run)
        state, is_over = _state(folder)
        shown = ""
        if folder in known:
            state = f"{state}, as above"
        elif is_over:
            ended += 1
        elif folder in queue:
            state = f"in the queue as job {queue[folder].job}"
        else:
            times.append(finished.seconds(cfg))
            shown = "unknown" if times[-1] is None else clock(times[-1])
        known.add(folder)
        lines.append((label, cfg.METHOD, cfg.NETWORK, cfg.SEED, folder.name, state, shown))
    head = ("setting", "method", "network", "seed", "run", "state", "time")
    waiting = f", {len(known) - ended - len(times)} in the queue" if queue else ""
    parallel = (launcher.profile.array_parallelism or len(times)) if on_slurm else launcher.parallel
    summary = f"{len(known)} runs, {ended} done{waiting}, {len(times)} to make; time: {_total(times, parallel)}"
    script = f"{note}\n\n{_script(output, launcher.profile, len(times), array_size)}" if on_slurm and times else ""
    return f"{table_of(head, lines)}\n\n{summary}{script}"


def _asked(output: Path) -> tuple[dict[Path, SubmittedRun], int, str]:
    """The runs that have a job in the queue, and the elements of an array at most; or why neither is known."""
    from benchmarks.launch.on_slurm import queued
    from slurm.jobs.submission import NO_SLURM, is_slurm_here

    if not is_slurm_here():
        return {}, USUAL_ARRAY_SIZE, f"\nno SLURM was asked: {NO_SLURM}"
    try:
        return queued(output, scheduler := Scheduler()), scheduler.array_size, ""
    except SchedulerSilent as error:
        return {}, USUAL_ARRAY_SIZE, f"\nthe scheduler does not answer: {error}"


def _script(output: Path, profile: Profile, runs: int, array_size: int) -> str:
    from benchmarks.launch.on_slurm import dry_submitter

    calls = -(-runs // array_size)
    head = f"what sbatch is given{f' the first of {calls} times' if calls > 1 else ''}:"
    return f"{head}\n\n{dry_submitter(output, profile).script(min(runs, array_size))}"


def _state(folder: Path) -> tuple[str, bool]:
    """The state in words, and whether the run is over: made again neither by this command nor by another."""
    record = record_or_none(folder)
    if record is None:
        return "to do", False
    if record.status == FINISHED:
        return f"{FINISHED}, mIoU {miou_text(record)}", True
    return "begun" if record.status == RUNNING else str(record.status), record.status == DIVERGED


def _total(times: Sequence[float | None], parallel: int) -> str:
    if not times:
        return "none"
    known = [seconds for seconds in times if seconds is not None]
    if not known:
        return "unknown, no run of these methods and this network is finished"
    # Workers end together only where runs are many: no run is shorter for having company.
    total = clock(max(max(known), sum(known) / parallel))
    shared = f" with {parallel} at a time" if parallel > 1 else ""
    missing = len(times) - len(known)
    return f"about {total}{shared}" + (f", and {missing} runs of unknown time" if missing else "")
