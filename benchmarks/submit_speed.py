"""How long submitting takes: ``python benchmarks/submit_speed.py`` queues grids on a SLURM of this machine's own.

As ``ablations/run.py --launcher slurm --no-wait`` does once it knows the runs, beside the same runs one by one. The
jobs are held, so that nothing trains.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

# The checkout's root in place of this folder: our packages are found, and nothing here shadows a module of others.
if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks.core.command import exit_in_one_line
from benchmarks.core.errors import ConfigError

if TYPE_CHECKING:
    from benchmarks.launch.workers import WorkerJob
    from slurm.jobs.profile import Profile
    from slurm.local_cluster.cluster import LocalCluster


def parse_arguments(words: list[str]) -> argparse.Namespace:
    """The command line; argparse itself ends with exit code 2 and a line where it is not understood."""
    parser = argparse.ArgumentParser(
        prog="benchmarks/submit_speed.py", description="Seconds and sbatch calls that submitting grids takes."
    )
    parser.add_argument("--runs", default="100,1000", help="of each grid, comma-separated (default: 100,1000)")
    parser.add_argument("--singles", type=int, default=20, help="runs to submit one by one (default: 20)")
    return parser.parse_args(words)


def main() -> int:
    """The command; returns the exit code."""
    arguments = parse_arguments(sys.argv[1:])
    try:
        grids = [int(word) for word in arguments.runs.split(",")]
    except ValueError:
        raise ConfigError(f"--runs is {arguments.runs!r}, expected numbers such as 100,1000") from None
    if min([arguments.singles, *grids]) < 1:
        raise ConfigError("--runs and --singles: expected at least 1")
    from results.forms.cells import table_of
    from slurm.jobs.profile import Profile
    from slurm.local_cluster.cluster import ClusterError, LocalCluster

    profile = Profile(cpus=1, time="10", sbatch={"hold": True})
    print("starting a SLURM of this machine's own ...", flush=True)
    try:
        with tempfile.TemporaryDirectory() as name, LocalCluster() as cluster, counted(cluster, Path(name)) as calls:
            folder = Path(name)
            one = measure(1, folder / "first", profile, calls)[0]  # what a first submission loads is not counted
            single, single_calls = one_by_one(arguments.singles, folder / "singles", profile, calls)
            each = single / arguments.singles
            rows: list[tuple[Any, ...]] = [
                ("first of all", 1, f"{one:.2f}", 1, None),
                ("one by one", arguments.singles, f"{single:.2f}", single_calls, None),
            ]
            for runs in grids:
                seconds, number = measure(runs, folder / f"grid{runs}", profile, calls)
                rows.append(("grid", runs, f"{seconds:.2f}", number, f"{runs * each / seconds:.1f}"))
    except ClusterError as error:
        raise ConfigError(str(error)) from None
    heads = ["submitted", "runs", "seconds", "sbatch calls", "times as fast as one by one"]
    print(table_of(heads, rows, right=True))
    return 0


@contextmanager
def counted(cluster: LocalCluster, folder: Path) -> Iterator[Callable[[], int]]:
    """Let this process's commands go to ``cluster``; gives the number of sbatch's calls so far."""
    from slurm.local_cluster.cluster import is_slurm_variable

    before = dict(os.environ)
    for name in [name for name in os.environ if is_slurm_variable(name)]:
        del os.environ[name]
    os.environ.update(cluster.environment)
    calls = folder / "calls"
    calls.touch()
    (folder / "bin").mkdir()
    sbatch = folder / "bin" / "sbatch"
    sbatch.write_text(f'#!/bin/sh\necho call >> {calls}\nexec {shutil.which("sbatch")} "$@"\n')
    sbatch.chmod(0o755)
    os.environ["PATH"] = f"{sbatch.parent}{os.pathsep}{os.environ['PATH']}"
    try:
        yield lambda: len(calls.read_text().splitlines())
    finally:
        os.environ.clear()
        os.environ.update(before)


def measure(runs: int, output: Path, profile: Profile, calls: Callable[[], int]) -> tuple[float, int]:
    """Seconds and calls of sbatch that a grid of so many runs takes."""
    from rich.console import Console

    from benchmarks.cli.progress import Progress
    from benchmarks.launch.elsewhere import make_elsewhere
    from benchmarks.launch.launcher import Launcher

    jobs, launcher = made_up(runs, output), Launcher("slurm", profile=profile, wait=False)
    before, began = calls(), time.perf_counter()
    make_elsewhere(jobs, output, launcher, Progress(console=Console(quiet=True)), lambda index: None)
    return time.perf_counter() - began, calls() - before


def one_by_one(runs: int, output: Path, profile: Profile, calls: Callable[[], int]) -> tuple[float, int]:
    """The same of runs that are jobs of their own."""
    from benchmarks.launch.on_slurm import SlurmRuns

    jobs = made_up(runs, output)
    before, began = calls(), time.perf_counter()
    pool = SlurmRuns(output, profile)
    for index, job in enumerate(jobs):
        pool.submit_all({index: job})
    return time.perf_counter() - began, calls() - before


def made_up(runs: int, output: Path) -> Sequence[WorkerJob]:
    """Runs that differ in their seed."""
    from benchmarks.config.run import Run
    from benchmarks.config.spec import RunSpec
    from benchmarks.launch.workers import WorkerJob

    made = [Run.of(RunSpec("streets", "dacs+mrm", seed=seed), output) for seed in range(runs)]
    return [WorkerJob(run.label, run) for run in made]


if __name__ == "__main__":
    exit_in_one_line(main)
