"""Loader workers whose errors arrive as the one line they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset

from datasets.errors import DataError

T = TypeVar("T")


class _ErrorsAsItems(Dataset, Generic[T]):
    """Hands a `DataError` over as an item: a loader would wrap one raised in a worker into that worker's traceback."""

    def __init__(self, fetch: Callable[[int], T]) -> None:
        self._fetch = fetch

    def __getitem__(self, index: int) -> T | DataError:
        try:
            return self._fetch(index)
        except DataError as error:
            return error


def in_order(fetch: Callable[[int], T], indices: Iterable[int], workers: int, pin_memory: bool) -> Iterator[T]:
    """`fetch(i)` for the indices, in their order, from `workers` processes of one thread each (0: this process).

    `fetch` is picklable where processes are spawned. A `DataError` of a worker is raised here as it was raised there.
    """
    loader: DataLoader[Any] = DataLoader(
        _ErrorsAsItems(fetch),
        batch_size=None,
        sampler=indices,
        num_workers=workers,
        pin_memory=pin_memory,
        # a loader draws the base of its workers' seeds, by default from torch's global generator
        generator=torch.Generator().manual_seed(0),
    )
    for item in loader:
        if isinstance(item, DataError):
            raise item
        yield item
