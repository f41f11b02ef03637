"""Runs that other processes make, on this machine or as jobs of SLURM: handed over and waited for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.cli.progress import Progress
from benchmarks.cli.run_options import LOCAL, SLURM
from benchmarks.core.errors import RunLeftOut
from benchmarks.launch.last_runs import longest_last_ones_first
from benchmarks.launch.launcher import Launcher
from benchmarks.launch.worker_progress import WorkerProgress
from benchmarks.launch.workers import Outcome, WorkerJob, make_run
from slurm.base.pool import Pool
from slurm.processes.local import LocalPool

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
    progress: Progress,
    ended: Callable[[WorkerJob], None],
) -> list[RunLeftOut]:
    """Have the runs made; returns the errors of those that were not made, and left as they were.

    A run whose worker died is recorded as failed, so that no table takes it for one that is going on. An interrupt ends
    processes of this machine, and leaves jobs of SLURM alone. ``progress`` shows how far they are, ``ended`` is given
    each run that has an end.

    Raises:
        LauncherError: sbatch refused, or the scheduler does not answer at the start.
    """
    on_slurm = launcher.kind == SLURM
    jobs = [job._replace(begun=on_slurm) for job in jobs]  # by its submission
    if launcher.kind == LOCAL and launcher.parallel > 1:
        jobs = longest_last_ones_first(jobs, output, launcher.parallel)
    shown = WorkerProgress(jobs, progress, ended)
    with run_pool(launcher, output) as pool:
        for index, line in pool.take(dict(enumerate(jobs)), progress.say).items():
            shown.ended(index, line)
        if not launcher.wait:
            return shown.left_out
        if on_slurm:
            progress.say(f"waiting; Ctrl-C leaves the jobs alone (python benchmarks/status.py --output {output})")
        while pool.left:
            shown.look(pool.running, pool.waits_for)
            for index, outcome in pool.ended():
                shown.ended(index, outcome)
    return shown.left_out
