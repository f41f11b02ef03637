"""What a step does for all weights at once: casts, and means of gradients over processes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from tiny_trainer import tiny_steps, tiny_trainer
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.engine.distributed import average_gradients


class Casts(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.of: Counter[int] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._to_copy.default:
            self.of[id(args[0])] += 1
        return func(*args, **(kwargs or {}))


def test_autocast_casts_a_weight_once_a_step(small_config: Callable[..., CfgNode]) -> None:
    trainer = tiny_trainer(small_config, "dacs+mrm", {"SOLVER.PRECISION": "bf16"})
    with Casts() as casts:
        tiny_steps(trainer, 1)
    times = {casts.of[id(weight)] for weight in trainer.student.parameters()}
    assert times == {0, 1}  # norms are computed in float32


def test_gradients_become_the_mean_of_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process has twice this one's gradients."""
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    monkeypatch.setattr("torch.distributed.all_reduce", lambda flat: flat.mul_(3))
    weights = [nn.Parameter(torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)), nn.Parameter(torch.rand(5))]
    for weight in weights:
        weight.grad = torch.rand_like(weight)
    before = [weight.grad.clone() for weight in weights if weight.grad is not None]
    average_gradients([*weights, nn.Parameter(torch.rand(1))])
    for weight, gradient in zip(weights, before, strict=True):
        assert weight.grad is not None and torch.equal(weight.grad, gradient * 3 / 2)


def test_a_step_walks_through_no_network(small_config: Callable[..., CfgNode], monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes milliseconds of the host for parameters that are the same in each step."""
    trainer = tiny_trainer(small_config, "daformer+mic+mrm", {"TERMS.MIC.TEACHER": "own"})
    tiny_steps(trainer, 1)

    def walked(*_: Any, **__: Any) -> Any:
        raise AssertionError("a network's parameters or buffers are listed")

    monkeypatch.setattr(nn.Module, "_named_members", walked)
    tiny_steps(trainer, 1)
