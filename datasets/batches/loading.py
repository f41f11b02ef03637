"""Loader workers whose errors arrive as the one line they are, and whose end ends the loading."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset, get_worker_info

from datasets.base.end_with_parent import end_with_parent
from datasets.base.errors import DataError

T = TypeVar("T")

_SHARED_MEMORY = Path("/dev/shm")


class _ErrorsAsItems(Dataset, Generic[T]):
    """Hands a `DataError` over as an item: a loader would wrap one raised in a worker into that worker's traceback."""

    def __init__(self, fetch: Callable[[int], T]) -> None:
        self._fetch = fetch

    def __getitem__(self, index: int) -> T | DataError:
        try:
            item = self._fetch(index)
            if get_worker_info() is not None:
                _share(item)
            return item
        except DataError as error:
            return error


def in_order(fetch: Callable[[int], T], indices: Iterable[int], workers: int, pin_memory: bool) -> Iterator[T]:
    """`fetch(i)` for the indices, in their order, from `workers` processes of one thread each (0: this process).

    `fetch` is picklable where processes are spawned. A `DataError` of a worker is raised here as it was raised there.
    A worker that dies, or that has no room for what it hands over, is a `DataError`, too.
    """
    loader: DataLoader[Any] = DataLoader(
        _ErrorsAsItems(fetch),
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        pin_memory=pin_memory,
        worker_init_fn=_begin,
        # a loader draws the base of its workers' seeds, by default from torch's global generator
        generator=torch.Generator().manual_seed(0),
    )
    with _ends_of_children_unheard():
        items = iter(loader)
    processes = list(getattr(items, "_workers", []))
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except (RuntimeError, OSError, EOFError) as error:
            for process in processes:
                process.join(1)  # one that is dying has closed its pipes before it is known to be dead
            dead = [process for process in processes if process.exitcode]
            if not dead:
                raise
            raise DataError(
                f"a loader worker (process {dead[0].pid}) {_end(dead[0].exitcode)}: expected memory for the "
                f"{workers} of NUM_WORKERS; {_ways_out()}"
            ) from error
        if isinstance(item, DataError):
            raise item
        yield item


def _begin(worker: int) -> None:
    end_with_parent()


def _share(item: Any) -> None:
    """Move the item's tensors to shared memory while an error can still be told.

    The loader would move them in a thread that hands items over; what fails there is dropped and waited for for ever.
    """
    if isinstance(item, torch.Tensor):
        try:
            item.share_memory_()
        except (RuntimeError, OSError) as error:
            raise DataError(
                f"a loader worker could not hand over {item.nbytes / 2**20:.1f} MiB ({str(error).splitlines()[0]}); "
                f"{_ways_out()}"
            ) from error
    elif isinstance(item, dict):
        for value in item.values():
            _share(value)
    elif isinstance(item, list | tuple):
        for value in item:
            _share(value)


def _end(code: int) -> str:
    if code < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _ways_out() -> str:
    """What can be done, with the size of the shared memory where there is such a folder."""
    with suppress(OSError):
        room = shutil.disk_usage(_SHARED_MEMORY)
        return (
            f"{_SHARED_MEMORY} has {room.free / 2**20:.0f} of {room.total / 2**20:.0f} MiB free: set NUM_WORKERS 0 or "
            f"fewer, or give the container a larger {_SHARED_MEMORY} (docker run --shm-size 8g)"
        )
    return "set NUM_WORKERS 0 or fewer"


@contextmanager
def _ends_of_children_unheard() -> Iterator[None]:
    """Keeps the handler of SIGCHLD that is set.

    A loader sets one that raises a dead worker's error in whatever this process is about: a step, or the writing of a
    checkpoint. Its end is seen all the same, within seconds, where its item is waited for.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        yield
        return
    before = signal.getsignal(signal.SIGCHLD)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGCHLD, before)
