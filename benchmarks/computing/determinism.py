"""Kernels that sum in one order, so that a run on a GPU repeats its numbers (docs/resume.md)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_ERROR = 2  # of torch.set_deterministic_debug_mode: what has no deterministic kernel raises


@contextmanager
def deterministic(wanted: bool, compiled: bool = False) -> Iterator[None]:
    """Use torch's deterministic kernels within, if ``wanted``; an operation that has none raises and names itself.

    On the CPU all kernels used here are deterministic anyway, for one number of threads. ``compiled``: whether torch's
    compiler is used within, which is told then, too.
    """
    if not wanted:
        yield
        return
    # cuBLAS reads it when a process first uses it; one that has done so without raises at its next matrix product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cudnn: Any = torch.backends.cudnn
    filling: Any = torch.utils.deterministic
    before = torch.get_deterministic_debug_mode(), cudnn.benchmark, filling.fill_uninitialized_memory
    _choose(_ERROR, compiled)
    cudnn.benchmark = filling.fill_uninitialized_memory = False  # no other kernel by chance; no memory filled for tests
    try:
        yield
    finally:
        _choose(before[0], compiled)
        cudnn.benchmark, filling.fill_uninitialized_memory = before[1:]


def _choose(mode: int, compiled: bool) -> None:
    if compiled:  # this imports the compiler: two seconds, which other runs need not wait
        torch.use_deterministic_algorithms(mode > 0)
    torch.set_deterministic_debug_mode(mode)
