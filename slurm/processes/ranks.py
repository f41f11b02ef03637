"""Processes that do one job together, one a GPU: how they are started, meet, and end when one of them fails.

On SLURM they are the tasks of a job step, which srun starts on all nodes and kills when one of them fails. On this
machine a process starts and watches them itself. They talk through torch.distributed: NCCL on GPUs, gloo on the CPU.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from submitit.core.utils import environment_variables

from slurm.base.errors import LauncherError

T = TypeVar("T")
R = TypeVar("R")

MEET_SECONDS = 300.0  # that ranks wait for the last one to start
SILENT_SECONDS = 1800.0  # that one waits for the others in a collective; evaluations of slow disks are in between
_LAST_WORDS = 10.0  # seconds that the others have to write down what they can when one has failed
_STOP_SECONDS = 3.0
_PORTS = (15_000, 32_000)  # below those that systems give to clients
_FAILED, _MET = "failed", "met"  # what the processes tell each other


class RanksFailed(RuntimeError):
    """A process of several that do a job together ended before it was done; one line that says which, and how."""


@dataclass(frozen=True)
class Rank:
    """Which of the processes this one is.

    Attributes:
        rank: from 0 to ``ranks`` - 1.
        ranks: processes.
        local: rank among those of this machine: the index of its GPU.
        host, port: where rank 0, or the process that started all, keeps what they share.
        keeper: whether rank 0 keeps it.
    """

    rank: int
    ranks: int
    local: int
    host: str
    port: int
    keeper: bool = True


def slurm_rank() -> Rank:
    """The rank of this task of a job step that sbatch's script started by srun.

    Raises:
        LauncherError: MASTER_PORT is set, but no port.
    """
    environment = os.environ
    job = int(environment.get("SLURM_JOB_ID", "0"))
    given = environment.get("MASTER_PORT", "")
    if given and not given.isdigit():
        raise LauncherError(f"MASTER_PORT is {given!r}, expected the number of a port")
    return Rank(
        rank=int(environment.get("SLURM_PROCID", "0")),
        ranks=int(environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS", "1")),
        local=int(environment.get("SLURM_LOCALID", "0")),
        # The machine of the script, on which rank 0 is, by number: names of nodes need not resolve.
        host=environment.get("MASTER_ADDR") or environment.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1"),
        port=int(given) if given else _PORTS[0] + job % (_PORTS[1] - _PORTS[0]),
    )


_store: dist.Store | None = None


@contextmanager
def joined(rank: Rank, cuda: bool) -> Iterator[None]:
    """Make this process a member of torch.distributed's default group within; its GPU is the current device.

    Raises:
        LauncherError: the others did not come, the port is taken, or there are fewer GPUs than processes.
    """
    global _store
    if cuda:
        torch.cuda.set_device(_gpu(rank))
    try:
        _store = _meet(rank)
        dist.init_process_group(
            "nccl" if cuda else "gloo",
            store=dist.PrefixStore("group", _store),
            rank=rank.rank,
            world_size=rank.ranks,
            timeout=timedelta(seconds=SILENT_SECONDS),
        )
        dist.barrier()
    except (RuntimeError, ValueError) as error:  # torch's DistError is a RuntimeError
        said = str(error).splitlines()[0]
        raise LauncherError(
            f"rank {rank.rank} of {rank.ranks} on {socket.gethostname()} cannot meet the others at "
            f"{rank.host}:{rank.port}: {said} (MASTER_ADDR and MASTER_PORT choose another place)"
        ) from error
    try:
        yield
        dist.barrier()  # who is done first does not leave the others without a partner
    except Exception as error:
        if not is_loss_of_another(error):
            with suppress(RuntimeError):
                line = f"rank {rank.rank} of {rank.ranks} on {socket.gethostname()}: {type(error).__name__}: {error}"
                _store.compare_set(_FAILED, "", line)
        raise  # the group is left as it is: to take it down would be to wait for the others
    dist.destroy_process_group()
    _store = None


def _meet(rank: Rank) -> dist.TCPStore:
    """What all share, when all are there."""
    keeps = rank.keeper and rank.rank == 0
    patience = timedelta(seconds=MEET_SECONDS)
    store = dist.TCPStore(rank.host, rank.port, rank.ranks, keeps, patience, wait_for_workers=False)
    store.add(_MET, 1)
    until = time.monotonic() + MEET_SECONDS
    while (there := store.add(_MET, 0)) < rank.ranks:
        if time.monotonic() > until:
            raise RuntimeError(f"after {MEET_SECONDS:.0f} s {there} of {rank.ranks} processes have come")
        time.sleep(0.1)
    return store


def _gpu(rank: Rank) -> int:
    count = torch.cuda.device_count()
    if count == 1:  # the one that was bound to this task
        return 0
    if rank.local >= count:
        raise LauncherError(
            f"rank {rank.rank} of {rank.ranks} on {socket.gethostname()} is number {rank.local} there, but it has "
            f"{count} GPUs, expected one for each process"
        )
    return rank.local


def failure_of_another() -> str:
    """What the first process that failed said of itself; "" where none did, or this one is alone."""
    with suppress(RuntimeError):
        if _store is not None and _store.check([_FAILED]):
            return _store.get(_FAILED).decode()
    return ""


def is_loss_of_another(error: BaseException) -> bool:
    """Whether an error says no more than that another process is gone, or silent."""
    if not dist.is_initialized():
        return False
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())


def run_ranks(function: Callable[[T, Rank], R], job: T, ranks: int) -> R:
    """Call ``function(job, rank)`` in ``ranks`` processes, which are to call `joined`; returns rank 0's result.

    When one fails the others have a moment to write down what they can, and are then ended. They do not outlive this
    process.

    Args:
        function: of a module.
        job: what can be pickled.
        ranks: at least 2.

    Raises:
        RanksFailed: which one, and how.
    """
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    # A fork of this process is of no use where it has used CUDA, or threads: a new one, which has done nothing but to
    # import what all need, is forked for each rank. Torch is loaded once then, and not once a rank.
    context = get_context("forkserver")
    context.set_forkserver_preload([function.__module__])
    call = _Call(pickle.dumps((function, job)), dict(os.environ), max(1, torch.get_num_threads() // ranks))
    receive, send = context.Pipe(duplex=False)
    processes = [
        context.Process(
            target=_one, args=(call, Rank(k, ranks, k, "127.0.0.1", store.port, False), send), name=f"rank {k}"
        )
        for k in range(ranks)
    ]
    try:
        with environment_variables(PYTHONPATH=os.pathsep.join(filter(None, sys.path))):  # Python 3.11 hands none over
            for process in processes:
                process.start()
        result: R = _watched(processes, receive, store)
        return result
    finally:
        _end(processes)


@dataclass(frozen=True)
class _Call:
    """A function and its job, and what of the process that asks for it holds in a rank: variables, threads of each."""

    payload: bytes
    environment: dict[str, str]
    threads: int


def _one(call: _Call, rank: Rank, send: connection.Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.clear()  # those of the first call, with which the process began that is forked
    os.environ.update(call.environment)
    if sys.platform == "linux":  # names of laptops often lead to no address
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.set_num_threads(call.threads)
    store = dist.TCPStore(rank.host, rank.port, is_master=False, wait_for_workers=False)
    function, job = pickle.loads(call.payload)
    try:
        result = function(job, rank)
    except Exception as error:
        if not is_loss_of_another(error):
            said = str(error) if isinstance(error, LauncherError) else f"{type(error).__name__}: {error}"
            store.compare_set(_FAILED, "", f"rank {rank.rank} of {rank.ranks}: {said}")
        raise
    if rank.rank == 0:
        send.send_bytes(pickle.dumps(result))


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _watched(processes: Sequence[BaseProcess], receive: connection.Connection, store: dist.Store) -> Any:
    """Rank 0's result, when all have ended well; RanksFailed else."""
    result: Any = None
    while True:
        if receive.poll():
            result = pickle.loads(receive.recv_bytes())
        ended = {index: process.exitcode for index, process in enumerate(processes) if process.exitcode is not None}
        if any(ended.values()):
            break
        if len(ended) == len(processes):
            return result
        # By the same look: whose exit code came since then has a sentinel that is ready.
        going = [process.sentinel for index, process in enumerate(processes) if index not in ended]
        connection.wait([receive, *going])
    # The one that was killed, where it is: others may have noticed that before this process looked.
    index, code = min(((index, code) for index, code in ended.items() if code), key=lambda one: one[1])
    until = time.monotonic() + _LAST_WORDS
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
    if code < 0:
        raise RanksFailed(f"rank {index} of {len(processes)} was ended by {signal.Signals(-code).name}")
    said = store.get(_FAILED).decode() if store.check([_FAILED]) else ""
    raise RanksFailed(said or f"rank {index} of {len(processes)} ended with exit code {code}")


def _end(processes: Sequence[BaseProcess]) -> None:
    alive = [process for process in processes if process.is_alive()]
    for process in alive:
        process.terminate()
    until = time.monotonic() + _STOP_SECONDS
    for process in alive:
        process.join(max(0.0, until - time.monotonic()))
        if process.is_alive():
            process.kill()


