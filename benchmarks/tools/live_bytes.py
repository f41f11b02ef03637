"""How many bytes of tensors are alive at once, counted by shapes: a step at its real size, on any machine."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._pytree import tree_iter
from torch.utils.weak import WeakIdKeyDictionary

from benchmarks.tools.device_calls import DeviceCalls


class LiveBytes(DeviceCalls):
    """Counts the storages that operations make, from their birth until they are freed; each once, views included.

    Attributes:
        live: bytes alive now. peak: the most there were.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = self.peak = 0
        self._known = WeakIdKeyDictionary()

    def add(self, tensors: Iterable[torch.Tensor]) -> None:
        """Count the storages of ``tensors`` that are not counted yet."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage in self._known:
                continue
            size = storage.nbytes()
            self._known[storage] = size
            self.live += size
            self.peak = max(self.peak, self.live)
            weakref.finalize(storage, self._free, size)

    def heard(self, operator: Any, made: Any) -> None:
        self.add(leaf for leaf in tree_iter(made) if isinstance(leaf, torch.Tensor))

    def _free(self, size: int) -> None:
        self.live -= size
