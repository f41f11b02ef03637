"""Operators without values that are remembered make and cost what those make and cost that run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from conftest import NETWORK
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ablations.profiling.call_recorder import META, meta_trainer, new_shapes, record_step
from ablations.profiling.known_shapes import CountedShapes, KnownShapes
from benchmarks.config.spec import RunSpec


def empty(*sizes: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(sizes, dtype=dtype, device=META)


def seen(tensor: torch.Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype, tensor.device


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The operators that were run to see what they make."""
    names: list[str] = []
    counted = KnownShapes._counted

    def noting(known: KnownShapes, operator: torch._ops.OpOverload, *given: object) -> object:
        names.append(operator._opname)
        return counted(known, operator, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(KnownShapes, "_counted", noting)
    return names


@pytest.mark.parametrize(
    "make",
    [
        lambda: empty(2, 4, 5, 6).to(memory_format=torch.channels_last) * 2,
        lambda: empty(3, 4) @ empty(4, 5),
        lambda: nn.functional.batch_norm(empty(2, 4, 5, 6), empty(4), empty(4), empty(4), empty(4), training=True),
        lambda: nn.functional.interpolate(empty(1, 2, 3, 4), (7, 9), mode="bilinear"),
        lambda: empty(2, 3).transpose(0, 1),
        lambda: empty(2, 3).t_(),
        lambda: torch.arange(5, device=META) + 1,
        lambda: torch.arange(5, device=META) + 1.0,
        lambda: torch.arange(5, device=META) + True,
        lambda: torch.zeros(3) + 1,
    ],
)
def test_what_is_remembered_is_what_is_made(make: Callable[[], torch.Tensor]) -> None:
    with FlopCounterMode(display=False) as counter:
        expected = make()
    known = KnownShapes({})
    for _ in range(2):
        with CountedShapes(known) as counted:
            made = make()
        assert (seen(made), counted.flops) == (seen(expected), counter.get_total_flops())


def test_each_is_run_once_and_others_are_told_apart(ran: list[str]) -> None:
    numbers = torch.arange(5, device=META)
    with CountedShapes(KnownShapes({})):
        for _ in range(2):
            assert [(numbers + one).dtype for one in (1, 1.0)] == [torch.int64, torch.float32]
    assert ran == ["add", "add"]


def test_what_is_written_to_is_the_same_tensor_and_values_stay_values(ran: list[str]) -> None:
    tensor, one = empty(2, 3), torch.ones(2)
    with CountedShapes(KnownShapes({})):
        for _ in range(2):
            assert tensor.add_(1) is tensor
            assert (one + 1).tolist() == [2, 2]
    assert ran == ["add_", "add", "add"]


def test_a_second_step_is_counted_without_running_it(ran: list[str]) -> None:
    small = {"NETWORK": NETWORK, "INPUT.CROP": (64, 64), "SOLVER.BATCH": 2}
    cfg = RunSpec("streets", "dacs", overrides=small).resolve()
    known = new_shapes()
    first = record_step(meta_trainer(cfg), known)
    layers = {"convolution", "convolution_backward", "native_batch_norm", "native_batch_norm_backward"}
    assert layers <= set(ran)
    ran.clear()
    second = record_step(meta_trainer(cfg), known)
    assert first[1] == second[1] > 0 and not layers & set(ran)
    assert [call.part for call in first[0]] == [call.part for call in second[0]]
