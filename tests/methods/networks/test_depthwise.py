"""Depthwise convolutions on the CPU: what is computed in another way is the convolution, and so are its gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.tools.replaced import replaced
from methods.encoders.efficientnet import EfficientNetLite0
from methods.layers import depthwise
from methods.layers.depthwise import DepthwiseConv2d, DilatedDepthwiseConv2d


def layer_and_map(dilation: int, size: tuple[int, int] = (9, 13)) -> tuple[DilatedDepthwiseConv2d, Tensor]:
    torch.manual_seed(0)
    layer = DilatedDepthwiseConv2d(5, dilation).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return layer, torch.randn(2, 5, *size).to(memory_format=torch.channels_last).requires_grad_()


def double(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """The same in float64 by torch's convolution."""
    weight, stride, groups = layer.weight.double(), layer.stride, layer.groups
    return F.conv2d(x.double(), weight, None, stride, layer.padding, layer.dilation, groups)


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
    monkeypatch.setattr("methods.layers.depthwise._Taps.apply", lambda x, *given: used.append(1) or x)
    layer(x)
    assert used == [1]
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    assert "aten::_convolution" in str(torch.jit.trace(layer, x, check_trace=False).inlined_graph)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)  # as while it is exported
    layer(x)
    monkeypatch.undo()
    with replaced(DepthwiseConv2d, "own", False):
        torch.testing.assert_close(layer(x).double(), double(layer, x), rtol=0, atol=1e-6)
    assert used == [1]


def test_without_a_gradient_nothing_is_kept() -> None:
    layer, x = layer_and_map(6)
    with torch.no_grad():
        made = layer(x)
    assert not made.requires_grad
    torch.testing.assert_close(made.double(), double(layer, x).detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format], ids=["channels last", "contiguous"])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "by_gradient"),
    [
        ((4, 4), 5, 1, 2, True),
        ((7, 10), 5, 1, 2, True),
        ((6, 5), 5, 1, 0, True),
        ((11, 11), 5, 2, 0, True),
        ((12, 9), 5, 2, 1, True),  # of which the last row is seen by no kernel
        ((9, 8), 7, 3, 3, True),
        ((40, 33), 5, 1, 2, False),
        ((19, 35), 5, 2, 0, False),
        ((8, 8), 3, 1, 1, False),
    ],
)
def test_the_gradient_of_a_large_kernel_on_a_small_map(
    size: tuple[int, int],
    kernel: int,
    stride: int,
    padding: int,
    by_gradient: bool,
    layout: torch.memory_format,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(0)
    used: list[int] = []
    of_weight = depthwise._of_weight
    monkeypatch.setattr(depthwise, "_of_weight", lambda *given: used.append(1) or of_weight(*given))
    layer = DepthwiseConv2d(6, 6, kernel, stride, padding, groups=6, bias=False)
    x = torch.randn(3, 6, *size).to(memory_format=layout).requires_grad_()
    made, right = layer(x), double(layer, x)
    weigh = torch.randn_like(made)
    found = torch.autograd.grad(made, (x, layer.weight), weigh)
    for one, other in zip(found, torch.autograd.grad(right, (x, layer.weight), weigh.double()), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    assert used == [1] * by_gradient and found[0].is_contiguous(memory_format=layout)


def test_a_frozen_kernel_and_an_image_have_no_gradient() -> None:
    layer = DepthwiseConv2d(6, 6, 5, padding=2, groups=6, bias=False)
    x = torch.randn(1, 6, 4, 4)
    layer(x).sum().backward()
    assert layer.weight.grad is not None
    layer.requires_grad_(False)
    assert not layer(x).requires_grad
    layer(x.requires_grad_()).sum().backward()
    assert x.grad is not None


def test_an_encoder_has_the_layers_of_its_package_and_draws_as_many_numbers() -> None:
    """So that what decoders draw, and checkpoints, are those of before."""
    from efficientnet_lite_pytorch import EfficientNet

    torch.manual_seed(0)
    network = EfficientNet.from_name("efficientnet-lite0")
    next_draw = torch.rand(1)
    torch.manual_seed(0)
    encoder = EfficientNetLite0()
    assert torch.equal(torch.rand(1), next_draw)
    theirs = network._blocks.state_dict()
    assert list(encoder.blocks.state_dict()) == list(theirs)
    assert all(torch.equal(value, theirs[name]) for name, value in encoder.blocks.state_dict().items())
    x = torch.randn(2, 32, 32, 32)
    network.eval(), encoder.eval()
    ours = theirs_of_x = x
    for own, other in zip(encoder.blocks, network._blocks, strict=True):
        ours, theirs_of_x = own(ours), other(theirs_of_x)
    torch.testing.assert_close(ours, theirs_of_x)
