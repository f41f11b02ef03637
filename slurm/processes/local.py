"""Run jobs in processes of this machine, several at a time, through submitit's local executor."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from submitit.core.core import Job
from submitit.core.utils import environment_variables
from submitit.local.local import LocalExecutor

from slurm.base.outcome import Lost, read_outcome, remove_files
from slurm.base.pool import Pool, R, T
from slurm.base.private import make_private, private_name

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.2
_FOR_EVER = 60 * 24 * 3650  # minutes: submitit's default would end a job after two
_STOP_SECONDS = 3.0
_CPU_WORKERS = 4  # at most, where nobody said how many: each needs memory of its own


@dataclass(frozen=True)
class _Call:
    """A function and its job, unpickled only after the worker's environment is set: imports may look at it."""

    payload: bytes
    environment: Mapping[str, str]

    def __call__(self) -> Any:
        os.environ.update(self.environment)
        function, job = pickle.loads(self.payload)
        return function(job)


class LocalPool(Pool[T, R]):
    """Processes that each do one job, at most ``parallel`` at a time; the others wait. Its end stops them.

    Cores are shared fairly: each worker has OMP_NUM_THREADS = cores / ``parallel``, unless that is set already. GPUs go
    round. Workers of a command that was killed go on with the job they have.
    """

    def __init__(self, function: Callable[[T], R], parallel: int, folder: Path, gpus: int = 1) -> None:
        """Make a pool; nothing is started yet.

        Args:
            function: of a module, so that a worker can import it.
            parallel: at least 1.
            folder: of this user's below it, a new one, are the files between the processes; the logs of lost workers
                stay there.
            gpus: of each job, where this machine has as many.
        """
        super().__init__(parallel)
        self._function, self._parent = function, folder
        # One that nobody could know of before: submitit executes what is found under the names of its files.
        self._folder = folder = folder / private_name()
        make_private(folder)
        self._executor = LocalExecutor(folder.absolute())
        self._executor.update_parameters(timeout_min=_FOR_EVER, stderr_to_stdout=True)
        self._gpus = _groups(_gpus(), gpus)
        self._waiting: dict[int, T] = {}
        self._started: dict[int, tuple[int, Job[Any] | Lost]] = {}  # slot, and process or why it could not be started
        self._cancelled: set[int] = set()

    def __exit__(self, *_: object) -> None:
        _stop([job for _, job in self._started.values() if not isinstance(job, Lost)])
        for folder in (self._folder, self._parent):
            with suppress(OSError):  # it is not empty: logs stay, and other commands have theirs
                folder.rmdir()

    @property
    def left(self) -> int:
        return len(self._waiting) + len(self._started)

    @property
    def running(self) -> set[int]:
        return set(self._started)

    def submit_all(self, jobs: Mapping[int, T]) -> None:
        """Start a process for each job as soon as there is room for it.

        Where one cannot be started, because the disk is full for instance, it is among the ended ones, as Lost.
        """
        self._waiting |= jobs
        while self._waiting and len(self._started) < self.parallel:
            index = next(iter(self._waiting))
            slot = min(set(range(self.parallel)) - {slot for slot, _ in self._started.values()})
            self._started[index] = (slot, self._start(slot, self._waiting.pop(index)))

    def _start(self, slot: int, job: T) -> Job[Any] | Lost:
        environment = {"CUDA_VISIBLE_DEVICES": self._gpus[slot % len(self._gpus)]} if self._gpus else {}
        call = _Call(pickle.dumps((self._function, job)), environment)
        try:
            with environment_variables(**_environment(self.parallel)), _stderr_nowhere(), _interruptible():
                return self._executor.submit(call)
        except OSError as error:
            return Lost(f"its process could not be started ({error.strerror or error})", None)

    def cancel(self, index: int) -> None:
        _, job = self._started.get(index, (0, None))
        if isinstance(job, Job):
            job.cancel()
            self._cancelled.add(index)

    def ended(self) -> list[tuple[int, R | Lost]]:
        """Index and outcome of the jobs that ended since the last call; waits ``POLL_SECONDS``, but for no job."""
        time.sleep(POLL_SECONDS)
        over = {index: job for index, (_, job) in self._started.items() if isinstance(job, Lost) or job.done()}
        for index in over:
            del self._started[index]
        self.submit_all({})
        return [(index, self._outcome(index, job)) for index, job in over.items()]

    def _outcome(self, index: int, job: Job[Any] | Lost) -> Any:
        if isinstance(job, Lost):
            return job
        try:
            outcome = read_outcome(job.paths)
        except FileNotFoundError:
            outcome = Lost("its process died without a result: killed, or out of memory", job.paths.stdout)
        except (EOFError, pickle.UnpicklingError) as error:
            outcome = Lost(f"its result cannot be read ({error})", job.paths.stdout)
        if index in self._cancelled or not isinstance(outcome, Lost):  # nothing of it is wanted, or needed
            remove_files(job.paths)
        return outcome


def usual_parallel(gpus: int = 1) -> int:
    """The number of workers where nobody said: one for each ``gpus`` GPUs; without any, one a core and at most 4."""
    return len(_groups(_gpus(), gpus)) or max(1, min(_CPU_WORKERS, _cores()) // gpus)


def _groups(gpus: Sequence[str], size: int) -> list[str]:
    """GPUs by jobs, as CUDA_VISIBLE_DEVICES names them; one group of all where there are fewer than ``size``."""
    whole = [",".join(gpus[first : first + size]) for first in range(0, len(gpus) - size + 1, size)]
    return whole or ([",".join(gpus)] if gpus else [])


def _environment(parallel: int) -> dict[str, str]:
    """The environment of each worker from its first instruction on."""
    return {
        "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(max(1, _cores() // parallel)),
        # The checkout comes first in the worker, too, and the folder it was started in is not searched.
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        "PYTHONSAFEPATH": "1",
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _gpus() -> list[str]:
    """The GPUs as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [gpu.strip() for gpu in named.split(",") if gpu.strip() not in ("", "-1")]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let processes that are started here heed SIGINT, by which they are stopped.

    A command in the background of a script ("nohup ... &") has it ignored, and what it starts would inherit that.
    """
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: None)  # a handler, unlike an ignored signal, is not inherited
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def _stderr_nowhere() -> Iterator[None]:
    """Silence the process that submitit puts between: when it is told to stop it prints a traceback of its own.

    What a worker itself prints goes to its log.
    """
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _stop(jobs: Sequence[Job[Any]]) -> None:
    # An interrupt from the keyboard has reached them too: a second one would cut short how they end their workers.
    _wait(jobs, _STOP_SECONDS)
    for job in jobs:
        if not job.done():
            job.cancel()
    _wait(jobs, 2 * _STOP_SECONDS)


def _wait(jobs: Sequence[Job[Any]], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and not all(job.done() for job in jobs):
        time.sleep(POLL_SECONDS)
