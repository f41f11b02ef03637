"""Inference on an image of any size: the whole of it at once, or by overlapping windows whose logits are averaged."""

from __future__ import annotations

from itertools import groupby

import torch
from torch.nn import functional as F

from benchmarks.config.sliding_window import SlidingWindow
from methods.networks import Segmentor
from methods.networks.multi_resolution import MultiResolutionSegmentor, mean_of_windows
from methods.networks.segmentor import LEAST_SIDE

_HELD = 2**28
"""Values of logits that are held at once, 1 GiB: of larger pictures logits come and go in parts."""


@torch.no_grad()
def predict_logits(
    segmentor: Segmentor, images: torch.Tensor, size: tuple[int, int], windows: SlidingWindow | None
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
    segmentor: Segmentor,
    image: torch.Tensor,
    size: tuple[int, int],
    device: torch.device,
    windows: SlidingWindow | None,
) -> torch.Tensor:
    """One image (3, h, w), RGB, uint8 0..255 -> logits (K, *size), float32, on ``device``, where the segmentor is.

    Of an image that is smaller than the network takes (`smallest_side`) the right and the lower border are repeated.
    """
    height, width = image.shape[-2:]
    least = smallest_side(segmentor)
    images = image[None].to(device).float() / 255
    if min(height, width) >= least:
        return predict_logits(segmentor, images.contiguous(memory_format=torch.channels_last), size, windows)[0]
    images = F.pad(images, (0, max(0, least - width), 0, max(0, least - height)), mode="replicate")
    images = images.contiguous(memory_format=torch.channels_last)
    padded = (images.shape[-2], images.shape[-1])
    logits = predict_logits(segmentor, images, padded, windows)[..., :height, :width]
    return F.interpolate(logits, size, mode="bilinear", align_corners=False)[0]


def smallest_side(segmentor: Segmentor) -> int:
    """Pixels along a side that the network takes; kernels of some do not fit the coarsest feature of less."""
    return LEAST_SIDE * (segmentor.shrink if isinstance(segmentor, MultiResolutionSegmentor) else 1)


@torch.no_grad()
def predict_classes(
    segmentor: Segmentor,
    image: torch.Tensor,
    size: tuple[int, int],
    device: torch.device,
    windows: SlidingWindow | None,
) -> torch.Tensor:
    """The classes of one image: the argmax of `predict_image`'s logits, whose memory does not grow with the image.

    Where the logits are large, windows are predicted a row of windows at a time, and what no later window covers is
    decided before the next; logits that are brought to a larger ``size`` are so in stripes. By windows at the image's
    own size the sums are those of `predict_image` to the bit; in stripes they differ by rounding.

    Args:
        segmentor: in eval mode.
        image: (3, h, w), RGB, uint8 0..255.
        size: (height, width) of the classes.
        device: where the segmentor is.
        windows: None for the whole image.

    Returns:
        uint8 ``size``, on the CPU.
    """
    height, width = image.shape[-2:]
    if windows is not None and (height, width) == size:
        return _classes_of_windows(segmentor, image, device, windows)
    return upsampled_classes(predict_image(segmentor, image, (height, width), device, windows), size)


def upsampled_classes(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Logits (K, h, w), brought to ``size`` bilinearly -> their argmax, uint8 ``size``, on the CPU."""
    classes, height = logits.shape[:2]
    rows = max(1, _HELD // (classes * size[1]))
    if rows >= size[0]:
        return _argmax(F.interpolate(logits[None], size, mode="bilinear", align_corners=False)[0])
    found = torch.empty(size, dtype=torch.uint8)
    for top in range(0, size[0], rows):
        centres = torch.arange(top, min(top + rows, size[0]), device=logits.device, dtype=torch.float64) + 0.5
        places = (centres * height / size[0] - 0.5).clamp(min=0)
        upper = places.long()
        lower = (upper + 1).clamp(max=height - 1)
        stripe = torch.lerp(logits[:, upper], logits[:, lower], (places - upper).to(logits.dtype)[:, None])
        wide = F.interpolate(stripe[None], (len(upper), size[1]), mode="bilinear", align_corners=False)
        found[top : top + len(upper)] = _argmax(wide[0])
    return found


def _classes_of_windows(
    segmentor: Segmentor, image: torch.Tensor, device: torch.device, windows: SlidingWindow
) -> torch.Tensor:
    """The argmax of the windows' mean: sums are held of one row of windows, in the order of `mean_of_windows`."""
    height, width = image.shape[-2:]
    found = torch.empty((height, width), dtype=torch.uint8)
    total = count = torch.empty(0)
    before = 0
    for top, row in groupby(windows.windows(height, width), key=lambda window: window.top):
        if before < top:  # what lies above no window of this row or a later one covers
            done = top - before
            found[before:top] = _argmax(total[:, :done] / count[:done])
            total, count = _moved_up(total, done), _moved_up(count, done)
            before = top
        for window in row:
            pixels = (window.of(image)[None].to(device).float() / 255).contiguous(memory_format=torch.channels_last)
            logits = segmentor(pixels)[0]
            if not total.numel():
                total = logits.new_zeros(len(logits), window.height, width)
                count = logits.new_zeros(window.height, width)
            columns = slice(window.left, window.left + window.width)
            total[:, :, columns] += logits
            count[:, columns] += 1
    found[before:] = _argmax(total / count)
    return found


def _moved_up(rows: torch.Tensor, by: int) -> torch.Tensor:
    """(..., h, w) without its first ``by`` rows, and as many of zeros at its end; in place, for it is large."""
    for row in range(rows.shape[-2] - by):
        rows[..., row, :] = rows[..., row + by, :]
    rows[..., max(0, rows.shape[-2] - by) :, :] = 0
    return rows


def _argmax(logits: torch.Tensor) -> torch.Tensor:
    """(K, h, w) -> uint8 (h, w) on the CPU."""
    return logits.argmax(dim=0).to(torch.uint8).cpu()
