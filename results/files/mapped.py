"""One function of many files, in several processes where that is the sooner."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

_T = TypeVar("_T")
_R = TypeVar("_R")
MANY = 500  # files: they take longer than starting processes
_AT_ONCE = 100  # of them that a process is handed
_MOST = 8  # processes: more would wait for the one that takes what they found
_SIGNAL_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG of Linux


def mapped(function: Callable[[_T], _R], items: Sequence[_T]) -> Iterator[_R]:
    """What ``function`` gives of each item, in their order; on Linux of MANY begun at once, in a process for each core.

    Args:
        function: of a module; it raises nothing, and what it gives can be pickled.
        items: likewise.
    """
    cores = min(len(os.sched_getaffinity(0)), _MOST) if hasattr(os, "sched_getaffinity") else 1
    if len(items) < MANY or cores < 2:
        return map(function, items)
    import ctypes  # here: a command that reads few files does not wait for them
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    if multiprocessing.current_process().daemon:
        return map(function, items)
    # By fork nothing has to be imported again; they read files, and need no thread or lock of this process.
    given = os.getpid(), ctypes.CDLL(None).prctl
    pool = ProcessPoolExecutor(cores, multiprocessing.get_context("fork"), _begin, given)
    try:
        return _taken(pool, pool.map(function, items, chunksize=_AT_ONCE), function, items)
    except OSError:  # no process can be started
        return map(function, items)


def _taken(
    pool: ProcessPoolExecutor, found: Iterator[_R], function: Callable[[_T], _R], items: Sequence[_T]
) -> Iterator[_R]:
    from concurrent.futures.process import BrokenProcessPool

    done = 0
    try:
        for each in found:
            yield each
            done += 1
    except BrokenProcessPool:  # killed, as for want of memory
        yield from map(function, islice(items, done, None))
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(parent: int, prctl: Any) -> None:
    """Leave interrupts to the process that started this one, and end with it: it would wait for work for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    prctl(_SIGNAL_OF_PARENTS_DEATH, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
