"""A segmentor of two resolutions: context of the whole crop, detail of a window (HRDA: Hoyer et al., ECCV 2022).

B = batch, K = classes, H x W = image size in pixels, s = stride of the decoder's logits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.base.errors import MethodError
from methods.base.ranges import share, within
from methods.networks.attention import scale_attention
from methods.networks.segmentor import LEAST_SIDE, Prediction, Segmentor, Window


@dataclass(frozen=True)
class MultiResolution:
    """What can be set of it: config keys ``HRDA.<FIELD>``. Defaults are the published ones (lhoyer/HRDA)."""

    enabled: bool = False  # whether there are two resolutions; the recipe hrda sets it
    context_scale: float = within(  # ratio of the context's resolution to the image's
        0.5, "one over a whole number, as 0.5 or 0.25", lambda scale: 0 < scale <= 1 and not (1 / scale) % 1
    )
    detail_size: float = within(  # ratio of the detail window's sides to the crop's
        0.5, "a share of the crop, above 0, below 1", lambda size: 0 < size < 1
    )
    detail_weight: float = share(0.1)  # lambda_d: share of the detail's own loss


class MultiResolutionSegmentor(Segmentor):
    """One encoder and one decoder for both resolutions, and an attention that weighs their logits (section 3).

    In training the context is the whole crop at `context_scale`, the detail a random window at the crop's own
    resolution. Features are a flat list, the context's first. At inference the detail is everywhere, by windows of the
    same size that overlap by half and whose logits are averaged.

    Windows and crops lie on the grid of the context's logits, so that no logit is moved in the fusion: their sides, and
    the window's corner, are multiples of `step` = s / context_scale pixels, 8 for DAFormer's decoder as published. For
    DeepLabV2's that is 16; the authors' code keeps 8 and there cuts the attention up to 8 pixels off the window.
    """

    def __init__(self, segmentor: Segmentor, settings: MultiResolution, crop: tuple[int, int]) -> None:
        """Take over the segmentor's encoder and decoder; the attention is new, drawn from torch's global generator.

        `crop` is the (height, width) of training crops: the detail window is `detail_size` of it, in inference too.
        Raises MethodError for a crop or window that is off the grid, and a decoder that has no attention.
        """
        super().__init__(segmentor.name, segmentor.encoder, segmentor.decoder)
        self.attention = scale_attention(segmentor)
        self.detail_weight = settings.detail_weight
        self.stride = segmentor.encoder.strides[0]
        self.shrink = round(1 / settings.context_scale)
        self.step = self.stride * self.shrink
        self.detail_size = (round(crop[0] * settings.detail_size), round(crop[1] * settings.detail_size))
        context = (crop[0] // self.shrink, crop[1] // self.shrink)
        if min(*context, *self.detail_size) < LEAST_SIDE:
            raise MethodError(
                f"HRDA: INPUT.CROP is {_size(crop)}, so that its context is {_size(context)} and its detail "
                f"{_size(self.detail_size)}: networks expect sides of at least {LEAST_SIDE} pixels in both"
            )
        if any(side % self.step or side < self.step for side in (*crop, *self.detail_size)):
            raise MethodError(
                f"HRDA: INPUT.CROP is {_size(crop)}, its detail window {_size(self.detail_size)}: "
                f"{segmentor.name} with HRDA.CONTEXT_SCALE {settings.context_scale} "
                f"expects sides of both that are multiples of {self.step} pixels"
            )

    def window(self, size: tuple[int, int], generator: torch.Generator) -> Window:
        """A detail window anywhere on the grid, up to all four borders, the same for the whole batch.

        The authors' draw ends one step short of the right and the lower border.
        """
        top, left = (
            self.step * int(torch.randint((side - detail) // self.step + 1, (), generator=generator))
            for side, detail in zip(size, self.detail_size, strict=True)
        )
        return Window(top, left, *self.detail_size)

    def encode(self, images: Tensor, window: Window | None = None) -> list[Tensor]:
        """Images (B, 3, H, W), RGB in [0, 1] -> features of the context, then those of the detail in `window`."""
        window = _needed(window)
        return [*self.encoder(self._context(images)), *self.encoder(window.of(images))]

    def scales(self, features: list[Tensor]) -> list[list[Tensor]]:
        """[context, detail]."""
        count = len(self.encoder.channels)
        return [features[:count], features[count:]]

    def scale_sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """[context, detail]."""
        return [(size[0] // self.shrink, size[1] // self.shrink), self.detail_size]

    def predict(self, features: list[Tensor], size: tuple[int, int], window: Window | None = None) -> Prediction:
        """All of `encode`'s features -> fused logits at `size`, and the detail's own at the size of `window`."""
        window = _needed(window)
        context, detail = self.scales(features)
        # The context first, as the authors have it: the last pass counts most in the decoder's running statistics.
        context_logits, detail_logits = self.decode(context).float(), self.decode(detail).float()
        attention = self._attention(context)
        on_context, on_detail = _on_grid(window, self.step), _on_grid(window, self.stride)
        fused = fuse(
            context_logits,
            # Outside the window there is no detail to attend to.
            insert(on_context.of(attention), on_context, (attention.shape[-2], attention.shape[-1])),
            insert(detail_logits, on_detail, (size[0] // self.stride, size[1] // self.stride)),
        )
        return Prediction(self.upsample(fused, size), self.upsample(detail_logits, (window.height, window.width)))

    def infer(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), RGB in [0, 1] -> fused logits (B, K, ceil(H / s), ceil(W / s)), float32.

        Any size of which the encoder takes the context (at 1/2, images from 64 pixels): the right and the lower border
        are repeated up to the next multiple of `step`, and an image smaller than a window is a window itself. All
        windows are one batch, as in the authors' code: in a teacher, whose batch norms are in train mode, they are
        normalised together.
        """
        height, width = images.shape[-2:]
        missing = (-height % self.step, -width % self.step)
        if any(missing):
            images = F.pad(images, (0, missing[1], 0, missing[0]), mode="replicate")
        context = self.encoder(self._context(images))
        fused = fuse(self.decode(context).float(), self._attention(context), self._detail(images))
        return fused[..., : -(-height // self.stride), : -(-width // self.stride)]

    def _context(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, H / shrink, W / shrink), bilinear; with gradient, as images may have learned parts."""
        size = (images.shape[-2] // self.shrink, images.shape[-1] // self.shrink)
        return F.interpolate(images, size, mode="bilinear", align_corners=False)

    def _attention(self, context: list[Tensor]) -> Tensor:
        """The context's features -> (B, K, h, w) float32 in [0, 1], at the size of the context's logits."""
        return torch.sigmoid(self.attention(context).float())

    def _detail(self, images: Tensor) -> Tensor:
        """Images with sides on the grid -> logits (B, K, H / s, W / s) float32, the mean of overlapping windows."""
        size = (images.shape[-2], images.shape[-1])
        height, width = self.detail_size
        half = (self._half(height), self._half(width))
        windows = overlapping_windows(size, self.detail_size, half)
        logits = self.decode(self.encoder(torch.cat([window.of(images) for window in windows]))).float()
        by_window = logits.unflatten(0, (len(windows), images.shape[0]))
        parts = zip((_on_grid(window, self.stride) for window in windows), by_window, strict=True)
        return mean_of_windows(parts, (size[0] // self.stride, size[1] // self.stride))

    def _half(self, side: int) -> int:
        """Half of a window's side, on the grid of the detail's logits."""
        return max(1, side // 2 // self.stride) * self.stride


def fuse(context: Tensor, attention: Tensor, detail: Tensor) -> Tensor:
    """up(a) * detail + up((1 - a) * context): weighed first, upsampled then, in the order of the authors' code.

    So the attention of a window fades out over one pixel of the context's logits at the window's border.

    Args:
        context: (B, K, h, w) logits.
        attention: a, (B, K, h, w) in [0, 1], 0 where there is no detail.
        detail: (B, K, H, W) logits at the finer size, which the others are upsampled to, bilinearly.

    Returns:
        (B, K, H, W).
    """
    size = (detail.shape[-2], detail.shape[-1])
    weighed = F.interpolate((1 - attention) * context, size, mode="bilinear", align_corners=False)
    return F.interpolate(attention, size, mode="bilinear", align_corners=False) * detail + weighed


def insert(part: Tensor, window: Window, size: tuple[int, int]) -> Tensor:
    """(B, K, h, w) maps of a window -> (B, K, *size) maps that are 0 outside it."""
    right, bottom = size[1] - window.left - window.width, size[0] - window.top - window.height
    return F.pad(part, (window.left, right, window.top, bottom))


def overlapping_windows(size: tuple[int, int], window: tuple[int, int], stride: tuple[int, int]) -> list[Window]:
    """All windows of an image, row by row, `stride` apart; the last of a row or column is moved to end at the border.

    All are (height, width). An image smaller than a window along a side is covered by one of its own length there.
    """
    height, width = min(window[0], size[0]), min(window[1], size[1])
    return [
        Window(top, left, height, width)
        for top in _starts(size[0], height, stride[0])
        for left in _starts(size[1], width, stride[1])
    ]


def mean_of_windows(parts: Iterable[tuple[Window, Tensor]], size: tuple[int, int]) -> Tensor:
    """Maps (B, K, h, w) of windows that together cover `size` -> (B, K, *size), their mean where they overlap."""
    total: Tensor | None = None
    for window, maps in parts:
        if total is None:
            total, count = maps.new_zeros((*maps.shape[:2], *size)), maps.new_zeros(size)
        window.of(total).add_(maps)
        window.of(count).add_(1)
    if total is None:
        raise ValueError("expected at least one window")
    return total / count


def _starts(length: int, window: int, stride: int) -> list[int]:
    last = length - window
    return [*range(0, last, stride), last]


def _on_grid(window: Window, stride: int) -> Window:
    return Window(*(value // stride for value in window))


def _needed(window: Window | None) -> Window:
    if window is None:
        raise ValueError("a segmentor of two resolutions expects the window that it sees in detail, found None")
    return window


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}x{size[0]}"
