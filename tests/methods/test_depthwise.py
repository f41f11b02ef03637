"""The dilated depthwise convolution on the CPU: the sum of its taps is the convolution, and so are its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.tools.replaced import replaced
from methods.networks.depthwise import DilatedDepthwiseConv2d


def layer_and_map(dilation: int, size: tuple[int, int] = (9, 13)) -> tuple[DilatedDepthwiseConv2d, Tensor]:
    torch.manual_seed(0)
    layer = DilatedDepthwiseConv2d(5, dilation).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return layer, torch.randn(2, 5, *size).to(memory_format=torch.channels_last).requires_grad_()


def double(layer: DilatedDepthwiseConv2d, x: Tensor) -> Tensor:
    """The same in float64 by torch's convolution."""
    return F.conv2d(x.double(), layer.weight.double(), padding=layer.padding, dilation=layer.dilation, groups=5)


@pytest.mark.parametrize("dilation", [1, 2, 6, 8, 9, 13, 40])
def test_it_is_the_convolution_with_its_gradients(dilation: int) -> None:
    """Also where some taps, all but the middle one, or a side's, see nothing of the map."""
    layer, x = layer_and_map(dilation)
    made, right = layer(x), double(layer, x)
    assert made.dtype == torch.float32 and made.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(made.double(), right, rtol=0, atol=1e-6)
    weigh = torch.randn_like(made)
    found = torch.autograd.grad(made, (x, layer.weight), weigh)
    for one, other in zip(found, torch.autograd.grad(right, (x, layer.weight), weigh.double()), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    assert found[0].is_contiguous(memory_format=torch.channels_last)


def test_taps_are_summed_only_where_they_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not under autocast, whose precision it would lose, nor where it is recorded as a convolution."""
    layer, x = layer_and_map(2)
    used: list[int] = []
    monkeypatch.setattr("methods.networks.depthwise._Taps.apply", lambda x, *given: used.append(1) or x)
    layer(x)
    assert used == [1]
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert "aten::_convolution" in str(torch.jit.trace(layer, x, check_trace=False).inlined_graph)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # as while it is exported
    layer(x)
    monkeypatch.undo()
    with replaced(DilatedDepthwiseConv2d, "by_taps", False):
        torch.testing.assert_close(layer(x).double(), double(layer, x), rtol=0, atol=1e-6)
    assert used == [1]


def test_without_a_gradient_nothing_is_kept() -> None:
    layer, x = layer_and_map(6)
    with torch.no_grad():
        made = layer(x)
    assert not made.requires_grad
    torch.testing.assert_close(made.double(), double(layer, x).detach(), rtol=0, atol=1e-6)
