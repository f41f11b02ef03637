"""One function of many files, in several processes where that is the sooner."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

_T = TypeVar("_T")
_R = TypeVar("_R")
MANY = 500  # files: they take longer than starting processes
_AT_ONCE = 100  # of them that a process is handed
_MOST = 8  # processes: more would wait for the one that takes what they found


def mapped(function: Callable[[_T], _R], items: Sequence[_T]) -> Iterator[_R]:
    """What ``function`` gives of each item, in their order; of MANY begun at once, in a process for each core.

    Args:
        function: of a module; it raises nothing, and what it gives can be pickled.
        items: likewise.
    """
    cores = min(len(os.sched_getaffinity(0)), _MOST)
    if len(items) < MANY or cores < 2 or multiprocessing.current_process().daemon:
        return map(function, items)
    # By fork nothing has to be imported again; they read files, and need no thread or lock of this process.
    pool = ProcessPoolExecutor(cores, multiprocessing.get_context("fork"), _leave_interrupts_to_others)
    try:
        return _taken(pool, pool.map(function, items, chunksize=_AT_ONCE), function, items)
    except OSError:  # no process can be started
        return map(function, items)


def _taken(
    pool: ProcessPoolExecutor, found: Iterator[_R], function: Callable[[_T], _R], items: Sequence[_T]
) -> Iterator[_R]:
    done = 0
    try:
        for each in found:
            yield each
            done += 1
    except BrokenProcessPool:  # killed, as for want of memory
        yield from map(function, islice(items, done, None))
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_others() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
