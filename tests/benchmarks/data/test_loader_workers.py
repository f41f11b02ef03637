"""How many processes load images where nobody says so."""

from __future__ import annotations

import pytest
import torch

from benchmarks.config.keys import get_config
from benchmarks.data import loader_workers as module
from benchmarks.data.loader_workers import loader_workers, own_cores

ROOM = 2**36


@pytest.mark.parametrize(
    ("device", "cores", "free", "expected"),
    [
        ("cpu", 1, ROOM, 1),
        ("cpu", 2, ROOM, 2),
        ("cpu", 64, ROOM, 2),  # the network needs them
        ("cuda", 1, ROOM, 1),
        ("cuda", 2, ROOM, 2),  # as many as ever
        ("cuda", 4, ROOM, 3),
        ("cuda", 16, ROOM, 8),
        ("cuda", 16, 2**26, 2),  # the 64 MiB of a container
        ("cuda", 16, 2**28, 4),
    ],
)
def test_workers_are_chosen_from_cores_and_shared_memory(
    monkeypatch: pytest.MonkeyPatch, device: str, cores: int, free: int, expected: int
) -> None:
    monkeypatch.setattr(module, "own_cores", lambda: cores)
    monkeypatch.setattr(module, "_free_shared_memory", lambda: free)
    cfg = get_config()
    assert loader_workers(cfg, torch.device(device)) == expected
    for number in (0, 5):
        cfg.NUM_WORKERS = number
        assert loader_workers(cfg, torch.device(device)) == number


def test_large_batches_have_fewer_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "own_cores", lambda: 16)
    monkeypatch.setattr(module, "_free_shared_memory", lambda: 2**30)
    cfg = get_config()
    assert loader_workers(cfg, torch.device("cuda")) == 8
    cfg.INPUT.CROP, cfg.SOLVER.BATCH = (1024, 1024), 8
    assert loader_workers(cfg, torch.device("cuda")) == 4


def test_cores_are_those_of_the_task_or_this_processs_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cpus", lambda: 16)
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    assert own_cores() == 16
    monkeypatch.setattr(module.comm, "get_world_size", lambda: 4)
    assert own_cores() == 4
    for given, expected in (("6", 6), ("32", 16)):  # of a task of several ranks it is each one's
        monkeypatch.setenv("SLURM_CPUS_PER_TASK", given)
        assert own_cores() == expected
