"""What is said of a run's memory on a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.computing.memory import peak_mib

MIB = 2**20


def test_what_graphs_keep_is_of_the_peak(monkeypatch: pytest.MonkeyPatch) -> None:
    def segment(total: int, allocated: int, pool: tuple[int, int]) -> dict[str, Any]:
        return {"total_size": total * MIB, "allocated_size": allocated * MIB, "segment_pool_id": pool}

    segments = [segment(100, 10, (0, 0)), segment(20, 5, (0, 1)), segment(40, 40, (0, 2))]
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 60 * MIB)
    monkeypatch.setattr(torch.cuda, "memory_snapshot", lambda: segments)
    gpu = torch.device("cuda")
    assert (peak_mib(gpu), peak_mib(gpu, captured=True)) == (60, 75)
