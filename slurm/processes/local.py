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
from typing import Any, Generic, TypeVar

from submitit.core.core import Job
from submitit.core.utils import environment_variables
from submitit.local.local import LocalExecutor

from slurm.base.outcome import Lost, read_outcome, remove_files
from slurm.base.private import make_private, private_name

T = TypeVar("T")
R = TypeVar("R")

ROOT = Path(__file__).resolve().parents[2]
POLL_SECONDS = 0.2
_FOR_EVER = 60 * 24 * 3650  # minutes: submitit's default would end a job after two
_STOP_SECONDS = 3.0
_CPU_WORKERS = 4  # at most, where nobody said how many: each needs memory of its own


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


class LocalPool(Generic[T, R]):
    """Processes that each do one job, at most ``parallel`` at a time. Use as a context manager: its end stops them.

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
        self._function, self._parallel, self._parent = function, parallel, folder
        # One that nobody could know of before: submitit executes what is found under the names of its files.
        self._folder = folder = folder / private_name()
        make_private(folder)
        self._executor = LocalExecutor(folder.absolute())
        self._executor.update_parameters(timeout_min=_FOR_EVER, stderr_to_stdout=True)
        self._gpus = _groups(_gpus(), gpus)
        self._running: dict[int, tuple[int, Job[Any]]] = {}  # slot and process
        self._cancelled: set[int] = set()
        self._not_started: dict[int, Lost] = {}

    def __enter__(self) -> LocalPool[T, R]:
        return self

    def __exit__(self, *_: object) -> None:
        _stop([job for _, job in self._running.values()])
        for folder in (self._folder, self._parent):
            with suppress(OSError):  # it is not empty: logs stay, and other commands have theirs
                folder.rmdir()

    @property
    def free(self) -> int:
        """How many more jobs can be submitted now."""
        return self._parallel - len(self._running) - len(self._not_started)

    def submit(self, index: int, job: T) -> None:
        """Start a process for ``job``, which can be pickled; ``index`` is what it is called by until it ended.

        Where it cannot be started, because the disk is full for instance, it is among the ended ones, as Lost.
        """
        slot = min(set(range(self._parallel)) - {slot for slot, _ in self._running.values()})
        environment = {"CUDA_VISIBLE_DEVICES": self._gpus[slot % len(self._gpus)]} if self._gpus else {}
        call = _Call(pickle.dumps((self._function, job)), environment)
        try:
            with environment_variables(**_environment(self._parallel)), _stderr_nowhere(), _interruptible():
                self._running[index] = (slot, self._executor.submit(call))
        except OSError as error:
            self._not_started[index] = Lost(f"its process could not be started ({error.strerror or error})", None)

    def cancel(self, index: int) -> None:
        """Tell a process to stop; it is among the ended ones when it did."""
        if index in self._running:
            self._running[index][1].cancel()
            self._cancelled.add(index)

    def ended(self) -> list[tuple[int, R | Lost]]:
        """Index and outcome of the jobs that ended since the last call; waits ``POLL_SECONDS``, but for no job."""
        time.sleep(POLL_SECONDS)
        not_started: list[tuple[int, R | Lost]] = list(self._not_started.items())
        self._not_started.clear()
        over = [index for index, (_, job) in self._running.items() if job.done()]
        return not_started + [(index, self._outcome(index)) for index in over]

    def _outcome(self, index: int) -> R | Lost:
        _, job = self._running.pop(index)
        outcome: R | Lost = _outcome(job)
        if index in self._cancelled:  # nothing of it is wanted
            remove_files(job.paths)
        return outcome


def run_local(
    function: Callable[[T], R],
    jobs: Sequence[T],
    parallel: int,
    folder: Path,
    watcher: LocalWatcher[R] | None = None,
    gpus: int = 1,
) -> list[R | Lost]:
    """Call ``function`` on each job in a `LocalPool`; returns outcomes in order.

    A worker that dies is an outcome, too, and the others go on. An interrupt ends all workers.
    """
    watcher = watcher or LocalWatcher()
    outcomes: dict[int, R | Lost] = {}
    waiting = list(range(len(jobs)))
    with LocalPool(function, parallel, folder, gpus) as pool:
        while len(outcomes) < len(jobs):
            while waiting and pool.free:
                index = waiting.pop(0)
                pool.submit(index, jobs[index])
                watcher.started(index)
            for index, outcome in pool.ended():
                outcomes[index] = outcome
                watcher.ended(index, outcome)
            watcher.waiting()
    return [outcomes[index] for index in range(len(jobs))]


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


def _outcome(job: Job[Any]) -> Any:
    try:
        outcome = read_outcome(job.paths)
    except FileNotFoundError:
        return Lost("its process died without a result: killed, or out of memory", job.paths.stdout)
    except (EOFError, pickle.UnpicklingError) as error:
        return Lost(f"its result cannot be read ({error})", job.paths.stdout)
    if not isinstance(outcome, Lost):
        remove_files(job.paths)
    return outcome


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
