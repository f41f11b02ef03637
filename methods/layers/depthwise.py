"""Depthwise convolutions, and how a CPU computes those for which oneDNN has no fast kernel."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class DepthwiseConv2d(nn.Conv2d):
    """Depthwise convolution without bias, of a square kernel with one stride and padding for both axes.

    On the CPU in float32 the gradient of a kernel larger than 3x3 is, for small maps, a convolution as well: of the
    map, by the output's gradient. oneDNN's own takes two to ten times as long (AVX2, docs/performance.md). Both are
    equal but for rounding.
    """

    own: ClassVar[bool] = True  # what follows, where it can be; a step that is counted for a GPU sets it to False

    def forward(self, x: Tensor) -> Tensor:
        if self.kernel_size[0] > 3 and self.weight.requires_grad and torch.is_grad_enabled() and self._own(x):
            made: Tensor = _ByGradient.apply(x, self.weight, self.stride[0], self.padding)
            return made
        return super().forward(x)

    def _own(self, x: Tensor) -> bool:
        """Whether it is computed in the way of this file: on a CPU, in float32, and not where it is recorded."""
        recorded = torch.jit.is_tracing() or torch.compiler.is_compiling()  # for other devices, or to be counted
        full = x.dtype == self.weight.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        return self.own and x.device.type == "cpu" and full and not recorded


class DilatedDepthwiseConv2d(DepthwiseConv2d):
    """Depthwise 3x3 convolution without bias that keeps the size.

    On the CPU in float32 it is the sum of its nine taps, which leaves out what lies outside of the map. oneDNN's kernel
    takes two to three times as long, forward and backward (AVX2, docs/performance.md). The sum was seen to be equal to
    oneDNN's to the bit, its gradients are so but for rounding.

    In bfloat16 oneDNN's gradient of a dilated depthwise weight is wrong in channels_last (seen with torch 2.13:
    relative error above 1, at times not finite; dilation 1 is right), and the contiguous kernel is also the faster one:
    on the CPU it is always used there.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__(channels, channels, 3, padding=dilation, dilation=dilation, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        if self._own(x):
            made: Tensor = _Taps.apply(x, self.weight, self.dilation[0])
            return made
        # (C, 1, 3, 3) in channels_last strides counts as contiguous too: only a detour over one axis resets them.
        weight = self.weight.flatten().view(self.weight.shape)
        return F.conv2d(x.contiguous(), weight, padding=self.padding, dilation=self.dilation, groups=self.groups)


_LARGEST = 1024
"""Pixels of an output up to which this was seen to be the faster way, at stride 1; at stride 2 it is a sixteenth."""


class _ByGradient(torch.autograd.Function):
    """x (B, C, H, W), weight (C, 1, K, K), stride, padding -> (B, C, H', W')."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding
        return F.conv2d(x, weight, None, stride, padding, groups=len(weight))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.geometry
        small = gradient.shape[-2] * gradient.shape[-1] <= _LARGEST // stride**4
        asked = [ctx.needs_input_grad[0], not small, False]
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            gradient, x, weight, None, [stride] * 2, padding, [1, 1], False, [0, 0], len(weight), asked
        )
        return of_x, _of_weight(x, gradient, weight.shape, stride, padding) if small else of_weight, None, None


def _of_weight(x: Tensor, gradient: Tensor, shape: torch.Size, stride: int, padding: tuple[int, int]) -> Tensor:
    """The gradient of the weight, of this shape (C, 1, K, K)."""
    # Each image's channels are channels of one image, and the gradient's steps over it are those of the stride.
    maps, by = _side_by_side(x)[None], _side_by_side(gradient)[:, None]
    taps = F.conv2d(maps, by, padding=padding, dilation=stride, groups=len(by))
    seen = taps[..., : shape[2], : shape[3]]  # of the last pixels of a map some are seen by no kernel
    return seen.reshape(len(x), *shape).sum(0)


def _side_by_side(maps: Tensor) -> Tensor:
    """(B, C, H, W) -> (B C, H, W), with the channels of a pixel in one piece."""
    return maps.permute(2, 3, 0, 1).reshape(*maps.shape[-2:], -1).permute(2, 0, 1)


class _Taps(torch.autograd.Function):
    """x (B, C, H, W), weight (C, 1, 3, 3), dilation -> (B, C, H, W): each tap times the map, moved by its offset."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        made = torch.zeros_like(x)
        for tap, to, of in zip(_by_tap(weight), *_places(x, dilation), strict=True):
            if x[of].numel():
                made[to].addcmul_(x[of], tap)
        return made

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        of_x, of_taps = torch.zeros_like(gradient), torch.zeros_like(_by_tap(weight))
        for tap, of_tap, to, of in zip(_by_tap(weight), of_taps, *_places(x, ctx.dilation), strict=True):
            if x[of].numel():
                of_x[of].addcmul_(gradient[to], tap)
                torch.sum(gradient[to] * x[of], (0, 2, 3), keepdim=True, out=of_tap)
        return of_x, of_taps.flatten(1).t().reshape(weight.shape), None


def _by_tap(weight: Tensor) -> Tensor:
    """(C, 1, 3, 3) -> (9, 1, C, 1, 1), each tap in one piece."""
    return weight.flatten(1).t().contiguous()[:, None, :, None, None]


def _places(x: Tensor, dilation: int) -> tuple[list[Any], list[Any]]:
    """The parts of the map that the taps add to, and those that they see, empty where they lie outside."""
    offsets = [dilation * step for step in (-1, 0, 1)]
    rows, columns = ([_moved(side, by) for by in offsets] for side in x.shape[-2:])
    pairs = [(row, column) for row in rows for column in columns]
    return tuple([(..., row[end], column[end]) for row, column in pairs] for end in (0, 1))  # type: ignore[return-value]


def _moved(side: int, by: int) -> tuple[slice, slice]:
    """The places of a side whose neighbour at the distance ``by`` lies on it, and these neighbours."""
    return slice(max(0, -by), max(0, side - max(0, by))), slice(max(0, by), max(0, side - max(0, -by)))
