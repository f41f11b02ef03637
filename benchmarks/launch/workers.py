"""What a worker does: a process of this machine, or a task of a job, that makes a run for a command."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.cli.time_left import Work
from benchmarks.computing.device import pick_device
from benchmarks.computing.memory import keep_freed_memory
from benchmarks.config.plugins import import_plugins
from benchmarks.config.run import Run
from benchmarks.core.checkout import check_checkout
from benchmarks.core.command import quiet_libraries
from benchmarks.core.errors import RunLocked, RunRefused
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.state.again import newest
from benchmarks.state.outcome import iteration, mark_lost
from slurm.processes.ranks import Rank, RanksFailed, is_loss_of_another, joined, run_ranks, slurm_rank

_SRUN_SECONDS = 30.0  # that srun may take to end a job step in which a process has failed

REFUSED = "refused"
Outcome = str | dict[str, str] | None
"""What a worker returns, plain values: None where the run has an end, the line of the process that has the run, or
{REFUSED: why it is not gone on with, in one line}."""


class WorkerJob(NamedTuple):
    """One run for a worker; ``force`` and ``begun`` are those of `benchmarks.engine.runner.run_one`."""

    label: str
    run: Run
    force: bool = False
    gpus: int = 1
    begun: bool = False

    @property
    def place(self) -> Path:
        """The folder of its newer making where it is forced, else the run's."""
        return newest(self.run.folder) if self.force else self.run.folder

    @property
    def iteration(self) -> int:
        """Iterations that are done, of the one that is made anew where it is forced."""
        of_before = self.force and not self.begun and self.place == self.run.folder
        return 0 if of_before else iteration(self.place)

    def work(self) -> Work:
        """The run as something whose end is waited for."""
        cfg = self.run.cfg
        return Work(cfg.SOLVER.ITERS, self.label, f"{cfg.PROTOCOL} {cfg.METHOD} {cfg.NETWORK}")


def make_run(job: WorkerJob) -> Outcome:
    """What a worker does, in its process.

    A run on several GPUs has a process for each, which this one watches.
    """
    if job.gpus == 1:
        return _make(job)
    try:
        return run_ranks(make_shared_run, job, job.gpus)
    except RanksFailed as error:
        if not mark_lost(job.run.folder, str(error), job.force) and job.force:
            raise  # rank 0 has written down what happened, or what is there is the run of before
        return None


def make_run_in_job(job: WorkerJob) -> Outcome:
    """Make a run as `make_run`, in a task of a SLURM job, which has one for each GPU."""
    rank = slurm_rank()
    if rank.ranks == 1:
        return _make(job)
    try:
        return make_shared_run(job, rank)
    except Exception as error:
        if is_loss_of_another(error):  # srun is about to end this process, too, and SLURM's reason says more
            time.sleep(_SRUN_SECONDS)
        raise


def make_shared_run(job: WorkerJob, rank: Rank) -> Outcome:
    """What each of the processes does that make a run together."""
    with joined(rank, pick_device(job.run.cfg).type == "cuda"):
        return _make(job)


def _make(job: WorkerJob) -> Outcome:
    check_checkout()
    keep_freed_memory()
    import_plugins()  # those of the command, by the environment that it handed over
    quiet_libraries()
    try:
        run_one(job.run, RunWatcher(), job.force, begun=job.begun)
    except RunLocked as error:
        return str(error)
    except RunRefused as error:
        return {REFUSED: str(error)}
    return None
