"""Kernels that sum in one order, so that a run on a GPU repeats its numbers (docs/resume.md)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Use torch's deterministic kernels within, if ``wanted``; an operation that has none raises and names itself.

    On the CPU all kernels used here are deterministic anyway, for one number of threads.
    """
    if not wanted:
        yield
        return
    # cuBLAS reads it when a process first uses it; one that has done so without raises at its next matrix product.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cudnn: Any = torch.backends.cudnn
    filling: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), cudnn.benchmark, filling.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    cudnn.benchmark = filling.fill_uninitialized_memory = False  # no other kernel by chance; no memory filled for tests
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.benchmark, filling.fill_uninitialized_memory = before[1:]
