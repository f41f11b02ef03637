"""Run jobs in processes of this machine, several at a time, through submitit's local executor."""

from __future__ import annotations

import os
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from submitit.core.core import Job
from submitit.core.utils import environment_variables
from submitit.local.local import LocalExecutor

T = TypeVar("T")
R = TypeVar("R")

ROOT = Path(__file__).resolve().parents[1]
POLL_SECONDS = 0.2
_FOR_EVER = 60 * 24 * 3650  # minutes: submitit's default would end a job after two
_CPU_WORKERS = 4  # at most, where nobody said how many: each needs memory of its own


@dataclass(frozen=True)
class Lost:
    """A worker that ended without a result: killed, out of memory, or by an exception that its job let pass."""

    reason: str
    log: Path


class LocalWatcher(Generic[R]):
    """Told how jobs go; this one is told nothing in particular."""

    def started(self, index: int) -> None:
        """The process of job ``index`` was started."""

    def ended(self, index: int, outcome: R | Lost) -> None:
        """Job ``index`` has a result, or its process was lost."""

    def waiting(self) -> None:
        """Called every ``POLL_SECONDS`` while jobs run."""


@dataclass(frozen=True)
class _Call:
    """A function and its job, unpickled only after the worker's environment is set: imports may look at it."""

    payload: bytes
    environment: Mapping[str, str]

    def __call__(self) -> Any:
        os.environ.update(self.environment)
        function, job = pickle.loads(self.payload)
        return function(job)


def run_local(
    function: Callable[[T], R], jobs: Sequence[T], parallel: int, folder: Path, watcher: LocalWatcher[R] | None = None
) -> list[R | Lost]:
    """``function`` of each job, each in a process of its own, at most ``parallel`` at a time; outcomes in order.

    Cores are shared fairly: each worker has OMP_NUM_THREADS = cores / ``parallel``, unless that is set already. GPUs go
    round. A worker that dies is an outcome, too, and the others go on. An interrupt ends all workers; those of a
    command that was killed go on with the job they have.

    Args:
        function: of a module, so that a worker can import it.
        jobs: what can be pickled.
        parallel: at least 1.
        folder: for the files between the processes; the logs of lost workers stay there.
        watcher: told of each start and end.
    """
    watcher = watcher or LocalWatcher()
    outcomes: dict[int, R | Lost] = {}
    folder.mkdir(parents=True, exist_ok=True)
    executor = LocalExecutor(folder.absolute())
    executor.update_parameters(timeout_min=_FOR_EVER, stderr_to_stdout=True)
    gpus = _gpus()
    waiting, running = list(range(len(jobs))), dict[int, tuple[int, Job[Any]]]()
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                index = waiting.pop(0)
                slot = min(set(range(parallel)) - {slot for slot, _ in running.values()})
                environment = {"CUDA_VISIBLE_DEVICES": gpus[slot % len(gpus)]} if gpus else {}
                call = _Call(pickle.dumps((function, jobs[index])), environment)
                with environment_variables(**_environment(parallel)):
                    running[index] = (slot, executor.submit(call))
                watcher.started(index)
            time.sleep(POLL_SECONDS)
            for index, (_, job) in list(running.items()):
                if job.done():
                    del running[index]
                    outcomes[index] = _outcome(job)
                    watcher.ended(index, outcomes[index])
            watcher.waiting()
    finally:
        _stop([job for _, job in running.values()])
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    return [outcomes[index] for index in range(len(jobs))]


def usual_parallel() -> int:
    """How many workers where nobody said: one a GPU; without one, one a core and at most 4."""
    return len(_gpus()) or min(_CPU_WORKERS, _cores())


def _environment(parallel: int) -> dict[str, str]:
    """Of each worker from its first instruction on."""
    return {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, _cores() // parallel)),
        # The checkout comes first in the worker, too, and the folder it was started in is not searched.
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "PYTHONSAFEPATH": "1",
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> list[str]:
    """As CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu.strip() for gpu in named.split(",") if gpu.strip() not in ("", "-1")]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def _outcome(job: Job[Any]) -> Any:
    # submitit waits for a file of a result, and its exit code is that of the process between: look for ourselves.
    if not job.paths.result_pickle.exists():
        return Lost("its process died without a result: killed, or out of memory", job.paths.stdout)
    ended, result = pickle.loads(job.paths.result_pickle.read_bytes())
    if ended == "error":  # the result is the traceback
        return Lost(result.strip().splitlines()[-1], job.paths.stdout)
    for path in job.paths.folder.glob(f"{job.job_id}_*"):
        path.unlink()
    return result


def _stop(jobs: Sequence[Job[Any]]) -> None:
    for job in jobs:
        job.cancel()
    end = time.monotonic() + 5
    while time.monotonic() < end and not all(job.done() for job in jobs):
        time.sleep(POLL_SECONDS)
