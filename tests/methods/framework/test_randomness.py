"""Seeds of network passes: torch's generators draw what they would after `torch.manual_seed`."""

from __future__ import annotations

import pytest
import torch

from methods.base.randomness import key_seed, seed_pass

KEY = ("student/source", 7)


def test_draws_on_the_cpu_are_those_after_torch_manual_seed() -> None:
    torch.manual_seed(key_seed(*KEY))
    expected = torch.rand(5)
    torch.rand(3)
    seed_pass(*KEY)
    assert torch.equal(torch.rand(5), expected)


def test_gpus_are_seeded_where_the_process_uses_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two generators stand in for those of two GPUs."""
    gpus, used = (torch.Generator().manual_seed(1), torch.Generator().manual_seed(2)), [False]
    monkeypatch.setattr(torch.cuda, "default_generators", gpus)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: used[0])
    monkeypatch.setattr("torch.cuda.random.device_count", lambda: len(gpus))
    seed_pass(*KEY)
    assert [each.initial_seed() for each in gpus] == [1, 2]
    used[0] = True
    seed_pass(*KEY)
    assert [each.initial_seed() for each in gpus] == [key_seed(*KEY)] * 2


def test_an_accelerator_of_another_kind_is_seeded_as_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("mps"))
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    seed_pass(*KEY)
    assert seeds == [key_seed(*KEY)]
