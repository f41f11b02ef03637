"""Decoded images kept in memory."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
from torch.utils.data import get_worker_info

Decoded = tuple[np.ndarray, np.ndarray | None]
"""An image, and its label if it has one."""


class ArrayCache:
    """Keeps what fits its budget of bytes, and what is in it stays.

    Nothing is evicted: training visits images in shuffled epochs, where of a set larger than the budget the first ones
    kept are hit as often as they come, and a least-recently-used order would throw most out before their next visit.
    In a loader's worker the budget is the worker's part. A pickled cache is empty, so that workers start light.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._used = 0
        self._kept: dict[Hashable, Decoded] = {}

    def get(self, key: Hashable, load: Callable[[], Decoded]) -> Decoded:
        """What was kept for `key`, else what `load()` returns, kept if it fits. The arrays become read-only."""
        if key in self._kept:
            return self._kept[key]
        arrays = load()
        for array in arrays:
            if array is not None:
                array.flags.writeable = False
        size = sum(array.nbytes for array in arrays if array is not None)
        worker = get_worker_info()
        if self._used + size <= self._budget // (worker.num_workers if worker else 1):
            self._kept[key] = arrays
            self._used += size
        return arrays

    def __getstate__(self) -> dict[str, Any]:
        return {"_budget": self._budget, "_used": 0, "_kept": {}}
