"""Inference on an image of any size: the whole of it at once, or by overlapping windows whose logits are averaged."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from detectron2.config import CfgNode

from benchmarks.errors import ConfigError
from methods.networks import Segmentor, Window
from methods.networks.multi_resolution import mean_of_windows, overlapping_windows


@dataclass(frozen=True)
class Sliding:
    """Windows of ``window`` (width, height) pixels, ``stride`` apart; the last of a row or column ends at the border.

    As the published methods test at full resolution (HRDA: windows of 1024, stride 512).
    """

    window: tuple[int, int]
    stride: tuple[int, int]

    def __post_init__(self) -> None:
        """Raises ConfigError where windows would leave pixels out."""
        if any(stride > window for stride, window in zip(self.stride, self.window, strict=True)):
            raise ConfigError(f"TEST.STRIDE is {self.stride}, expected at most the window, {self.window}")

    def windows(self, height: int, width: int) -> list[Window]:
        """All windows of an image, row by row; an image smaller than one is a window itself."""
        return overlapping_windows((height, width), self.window[::-1], self.stride[::-1])


def sliding(cfg: CfgNode) -> Sliding | None:
    """The windows that TEST.SLIDING asks for; None where images are taken whole. Raises ConfigError."""
    if not cfg.TEST.SLIDING:
        if cfg.TEST.WINDOW or cfg.TEST.STRIDE:
            raise ConfigError("TEST.WINDOW and TEST.STRIDE are of sliding inference: expected TEST.SLIDING True too")
        return None
    width, height = cfg.TEST.WINDOW or cfg.INPUT.CROP
    stride = cfg.TEST.STRIDE or (max(1, width // 2), max(1, height // 2))
    return Sliding((width, height), (stride[0], stride[1]))


@torch.no_grad()
def predict_logits(
    segmentor: Segmentor, images: torch.Tensor, size: tuple[int, int], windows: Sliding | None
) -> torch.Tensor:
    """Logits of images at ``size``.

    As the published methods are tested (mmsegmentation's whole and slide inference), logits first come to the size of
    the images, where windows are averaged, and then to ``size``. Windows are predicted one after another, so that
    memory does not grow with the image.

    Args:
        segmentor: in eval mode.
        images: (B, 3, h, w), RGB in [0, 1].
        size: (height, width) that the logits are brought to, bilinearly.
        windows: None for the whole image.

    Returns:
        (B, K, *size) float32.
    """
    if windows is None:
        return segmentor.upsample(segmentor(images), size)
    height, width = images.shape[-2:]
    parts = ((window, segmentor(window.of(images))) for window in windows.windows(height, width))
    return segmentor.upsample(mean_of_windows(parts, (height, width)), size)


def predict_image(
    segmentor: Segmentor, image: torch.Tensor, size: tuple[int, int], device: torch.device, windows: Sliding | None
) -> torch.Tensor:
    """One image (3, h, w), RGB, uint8 0..255 -> logits (K, *size), float32, on ``device``, where the segmentor is."""
    images = (image[None].to(device).float() / 255).contiguous(memory_format=torch.channels_last)
    return predict_logits(segmentor, images, size, windows)[0]
