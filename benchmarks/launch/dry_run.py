"""What a command would run: the runs, what is finished, and how long the rest takes by the pace of finished runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmarks.cli.run_options import SLURM
from benchmarks.cli.time_left import clock
from benchmarks.config.run import Run
from benchmarks.launch.launcher import Launcher
from benchmarks.state.fingerprint import Listings
from benchmarks.state.submissions import SubmittedRun
from results.records.record import DIVERGED, FINISHED, RUNNING, record_or_none
from results.tables.cells import table_of
from results.tables.frame import collect
from slurm.jobs.profile import Profile
from slurm.jobs.scheduler import Scheduler, SchedulerSilent


def dry_run(runs: Sequence[tuple[str, Run]], output: Path, launcher: Launcher) -> str:
    """A line a run (with its label), with its id and state below ``output``, and the time that those to be made take.

    The time of a run is the median of seconds an iteration, evaluation included, of finished runs of its protocol,
    method and network, times its iterations; "unknown" where there is none. Of ``slurm`` it also gives what sbatch
    would be given; nothing is written.
    """
    paces, queue, note = _paces(output), dict[Path, SubmittedRun](), ""
    if launcher.kind == SLURM:
        queue, note = _in_queue(output)
    lines, ended, times = [], 0, list[float | None]()
    known, listings = set[Path](), Listings()
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
            times.append(_seconds(run, paces))
            shown = "unknown" if times[-1] is None else clock(times[-1])
        known.add(folder)
        lines.append((label, cfg.METHOD, cfg.NETWORK, cfg.SEED, folder.name, state, shown))
    head = ("setting", "method", "network", "seed", "run", "state", "time")
    waiting = f", {len(known) - ended - len(times)} in the queue" if queue else ""
    parallel = (launcher.profile.array_parallelism or len(times)) if launcher.kind == SLURM else launcher.parallel
    summary = f"{len(known)} runs, {ended} done{waiting}, {len(times)} to make; time: {_total(times, parallel)}"
    text = f"{table_of(head, lines)}\n\n{summary}"
    if launcher.kind == SLURM and times:
        text += f"{note}\n\n{_script(output, launcher.profile, len(times), known_size=not note)}"
    return text


def _in_queue(output: Path) -> tuple[dict[Path, SubmittedRun], str]:
    """The runs that have a job in the queue; or none, and why that is not known."""
    from benchmarks.launch.on_slurm import queued
    from slurm.jobs.submission import NO_SLURM, is_slurm_here

    if not is_slurm_here():
        return {}, f"\nno SLURM was asked: {NO_SLURM}"
    try:
        return queued(output, Scheduler()), ""
    except SchedulerSilent as error:
        return {}, f"\nthe queue is not known: {error}"


def _script(output: Path, profile: Profile, runs: int, known_size: bool) -> str:
    from benchmarks.launch.on_slurm import dry_submitter

    try:
        size = Scheduler().array_size if known_size else _USUAL_ARRAY
    except SchedulerSilent:
        size = _USUAL_ARRAY
    calls = -(-runs // size)
    head = f"what sbatch is given{f' the first of {calls} times' if calls > 1 else ''}:"
    return f"{head}\n\n{dry_submitter(output, profile).script(min(runs, size))}"


_USUAL_ARRAY = 1001  # SLURM's own MaxArraySize


def _state(folder: Path) -> tuple[str, bool]:
    """The state in words, and whether the run is over: made again neither by this command nor by another."""
    record = record_or_none(folder)
    if record is None:
        return "to do", False
    if record.status == FINISHED:
        miou = record.result.student.headline
        return f"{FINISHED}, mIoU {'-' if miou is None else f'{miou:.1f}'}", True
    return "begun" if record.status == RUNNING else str(record.status), record.status == DIVERGED


def _paces(output: Path) -> pd.Series:
    """Median seconds an iteration of finished runs, by protocol, method and network."""
    if not output.is_dir():
        return pd.Series(dtype=float)
    runs = collect(output)
    runs = runs[(runs["status"] == FINISHED) & (runs["iterations"] > 0)]
    seconds = (runs["wall_seconds"].astype(float) / runs["iterations"].astype(float)).dropna()
    return seconds.groupby([runs["protocol"], runs["method"], runs["network"]]).median()


def _seconds(run: Run, paces: pd.Series) -> float | None:
    cfg = run.cfg
    names = (cfg.PROTOCOL, cfg.METHOD, cfg.NETWORK)
    return float(paces[names]) * cfg.SOLVER.ITERS if names in paces.index else None


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
