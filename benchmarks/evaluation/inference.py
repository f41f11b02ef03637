"""Inference on an image of any size: the whole of it at once, or by overlapping windows whose logits are averaged."""

from __future__ import annotations

from itertools import groupby
from math import gcd

import torch
from torch.nn import functional as F

from benchmarks.config.sliding_window import SlidingWindow
from methods.networks import Segmentor
from methods.networks.multi_resolution import MultiResolutionSegmentor, mean_of_windows
from methods.networks.segmentor import LEAST_SIDE

_HELD = 2**28
"""Values of logits that are held at once, 1 GiB: of larger pictures logits come and go in parts."""

_STRIPE = 2**22
"""Values that logits are brought to at a time, 16 MiB, where that changes none of them."""


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
    height, width = images.shape[-2:]
    if windows is None:
        logits = segmentor(images)
    else:
        parts = ((window, segmentor(window.of(images))) for window in windows.windows(height, width))
        logits = mean_of_windows(parts, (height, width))
    return logits if (height, width) == size else segmentor.upsample(logits, size)


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
    if min(height, width) >= least:
        return predict_logits(segmentor, _floats(image[None], device), size, windows)[0]
    missing = (0, max(0, least - width), 0, max(0, least - height))
    images = F.pad(_floats(image[None], device), missing, mode="replicate")
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
    """The classes of one image: the argmax of `predict_image`'s logits, which are not held at ``size`` as a whole.

    Where the image has this size, windows are predicted a row of windows at a time, and what no later window covers is
    decided before the next. Logits that are brought to a larger size are so in stripes (`upsampled_classes`). The
    classes are those of `predict_image`'s logits but for rounding in images of more than 2**28 logits.

    Args:
        segmentor: in eval mode.
        image: (3, h, w), RGB, uint8 0..255.
        size: (height, width) of the classes.
        device: where the segmentor is.
        windows: None for the whole image.

    Returns:
        uint8 ``size``, on ``device``.
    """
    height, width = image.shape[-2:]
    if (height, width) == size and min(size) >= smallest_side(segmentor):
        if windows is not None:
            return _classes_of_windows(segmentor, image, device, windows)
        return upsampled_classes(segmentor.infer(_floats(image[None], device))[0].float(), size)
    return upsampled_classes(predict_image(segmentor, image, (height, width), device, windows), size)


def upsampled_classes(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Logits (K, h, w), brought to ``size`` bilinearly -> their argmax, uint8 ``size``, on their device.

    In stripes that have the very values of all at once, where the ratio of the heights is one that float32 has exactly
    (a half, a quarter), as of the published sizes; else at once up to 2**28 logits, and in stripes that differ by
    rounding beyond.
    """
    classes, height, width = logits.shape
    if (height, width) == size:
        return _argmax(logits)
    common = gcd(height, size[0])
    step, place = height // common, size[0] // common  # so many rows of logits become so many rows of classes
    # Outputs of at most 128 rows and columns together have a kernel of their own on the CPU, which rounds otherwise.
    exact = place & (place - 1) == 0 and place <= 2**6 and size[1] > 2**7
    rows = (_STRIPE if exact else _HELD) // (classes * size[1])
    if rows >= size[0]:
        return _argmax(_bilinear(logits, size))
    found = torch.empty(size, dtype=torch.uint8, device=logits.device)
    if not exact:
        return _rounded_classes(logits, found, max(1, rows))
    for first in range(0, common, max(1, rows // place)):
        end = min(first + max(1, rows // place), common)
        before, after = max(0, first - 1), min(end + 1, common)  # beside it, since rows are made of their neighbours
        stripe = _bilinear(logits[:, before * step : after * step], ((after - before) * place, size[1]))
        found[first * place : end * place] = _argmax(stripe[:, (first - before) * place :][:, : (end - first) * place])
    return found


def _rounded_classes(logits: torch.Tensor, found: torch.Tensor, rows: int) -> torch.Tensor:
    """Fill ``found``, ``rows`` rows at a time, with what `upsampled_classes` gives but for rounding, and return it."""
    height, (tall, wide) = logits.shape[1], found.shape
    for top in range(0, tall, rows):
        centres = torch.arange(top, min(top + rows, tall), device=logits.device, dtype=torch.float64) + 0.5
        places = (centres * height / tall - 0.5).clamp(min=0)
        upper = places.long()
        lower = (upper + 1).clamp(max=height - 1)
        stripe = torch.lerp(logits[:, upper], logits[:, lower], (places - upper).to(logits.dtype)[:, None])
        found[top : top + len(upper)] = _argmax(_bilinear(stripe, (len(upper), wide)))
    return found


def _classes_of_windows(
    segmentor: Segmentor, image: torch.Tensor, device: torch.device, windows: SlidingWindow
) -> torch.Tensor:
    """The argmax of the windows' mean: sums are held of one row of windows, in the order of `mean_of_windows`."""
    height, width = image.shape[-2:]
    found = torch.empty((height, width), dtype=torch.uint8, device=device)
    total = count = torch.empty(0)
    before = 0
    for top, row in groupby(windows.windows(height, width), key=lambda window: window.top):
        if before < top:  # what lies above no window of this row or a later one covers
            done = top - before
            found[before:top] = _argmax(total[:, :done] / count[:done])
            total, count = _moved_up(total, done), _moved_up(count, done)
            before = top
        for window in row:
            logits = segmentor(_floats(window.of(image)[None], device))[0]
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
    for row in range(0, rows.shape[-2] - by, by):  # by pieces that do not overlap what they replace
        piece = rows[..., row + by : row + 2 * by, :]
        rows[..., row : row + piece.shape[-2], :] = piece
    rows[..., max(0, rows.shape[-2] - by) :, :] = 0
    return rows


def _floats(images: torch.Tensor, device: torch.device) -> torch.Tensor:
    """uint8 images (B, 3, h, w) -> float ones in [0, 1] on the device, channels last."""
    return (images.to(device, non_blocking=True).float() / 255).contiguous(memory_format=torch.channels_last)


def _bilinear(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(K, h, w) -> (K, *size)."""
    # A batch whose strides say channels last where they are: without, it takes five times as long on the CPU.
    batch = logits.permute(1, 2, 0)[None].permute(0, 3, 1, 2)
    return F.interpolate(batch, size, mode="bilinear", align_corners=False)[0]


def _argmax(logits: torch.Tensor) -> torch.Tensor:
    """(K, h, w) -> uint8 (h, w), by ``max``: the indices of ``argmax`` in a fifth of its time on the CPU."""
    return logits.max(dim=0).indices.to(torch.uint8)
