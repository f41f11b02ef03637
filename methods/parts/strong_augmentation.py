"""The strong augmentation of self-training: colour jitter and Gaussian blur on images in [0, 1].

Follows the settings of DACS and DAFormer (colour jitter with probability 0.8, brightness, contrast, saturation and hue
each 0.2; blur with probability 0.5 and sigma from U(0.15, 1.15)): one decision a batch, parameters for each image.
The blur is separable, which is exact and cheaper than the dense kernel.

Two draws differ in kind from the authors' code. It draws the order of the four jitters for each mixed image, and one
sigma of blur for the batch in MIC; here the order is one for the batch, and sigma is drawn for each image, everywhere.
What an image gets has the same distribution either way; only how the images of one batch go together differs. So every
image of a batch goes through the same operations, and runs measured before keep their numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from methods.base.draws import Draws


@dataclass(frozen=True)
class StrongAugmentation:
    """Colour jitter and blur; apply it with the draws of a step."""

    jitter_probability: float = 0.8
    jitter_strength: float = 0.2
    blur_probability: float = 0.5

    def __call__(self, images: torch.Tensor, draws: Draws) -> torch.Tensor:
        """(B, 3, H, W) in [0, 1] -> the same shape and range."""
        decide_jitter, decide_blur = torch.rand(2, generator=draws.generator).tolist()
        factors = 1 + self.jitter_strength * (2 * draws.rand((4, len(images)), dim=1) - 1)
        order = torch.randperm(4, generator=draws.generator).tolist()
        sigma = 0.15 + draws.rand((len(images),))
        if decide_jitter < self.jitter_probability:
            images = colour_jitter(images, factors, order)
        if decide_blur < self.blur_probability:
            images = gaussian_blur(images, sigma)
        return images


def colour_jitter(images: torch.Tensor, factors: torch.Tensor, order: list[int]) -> torch.Tensor:
    """Brightness (additive), contrast, saturation and hue, in the given order.

    Args:
        images: (B, 3, H, W) in [0, 1].
        factors: (4, B), one row for brightness, contrast, saturation, hue; 1 leaves the image as it is. Hue is turned
            by (factor - 1) of a full circle.
        order: a permutation of 0..3.
    """
    for which in order:
        factor = factors[which].view(-1, 1, 1, 1)
        if which == 0:
            images = (images + factor - 1).clamp(0, 1)
        elif which == 1:
            images = (images * factor).clamp(0, 1)
        elif which == 2:
            images = _saturate(images, factor)
        else:
            images = _turn_hue(images, factor - 1)
    return images


def _saturate(images: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Scale HSV saturation at fixed value and hue: every channel moves towards or away from the pixel's maximum."""
    value = images.amax(1, keepdim=True)
    spread = value - images.amin(1, keepdim=True)
    saturation = spread / value.clamp_min(1e-8)
    scale = (saturation * factor).clamp_max(1) / saturation.clamp_min(1e-8)
    return value - (value - images) * scale


def _turn_hue(images: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Turn HSV hue by ``turn`` of a full circle at fixed saturation and value."""
    value = images.amax(1, keepdim=True)
    spread = value - images.amin(1, keepdim=True)
    red, green, blue = images.split(1, dim=1)
    safe = spread.clamp_min(1e-8)
    sector = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, 2 + (blue - red) / safe, 4 + (red - green) / safe),
    )
    # 5, 3, 1, made on the device: torch.tensor would copy them there and make the host wait.
    offset = torch.arange(5.0, 0.0, -2.0, device=images.device).view(1, 3, 1, 1)
    position = torch.remainder(offset + sector + 6 * turn, 6)
    return value - spread * torch.minimum(position, 4 - position).clamp(0, 1)


def gaussian_blur(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    """Separable Gaussian blur, one sigma an image, kernels of about 10% of each side, reflected border.

    Args:
        images: (B, 3, H, W).
        sigma: (B,), positive.
    """
    batch, channels, height, width = images.shape
    flat = images.reshape(1, batch * channels, height, width)
    for side, axis in ((height, 2), (width, 3)):
        size = _kernel_size(side)
        distance = torch.arange(size, device=images.device) - size // 2
        kernel = torch.exp(-(distance**2) / (2 * sigma[:, None] ** 2))
        kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)[:, None]
        kernel = kernel.unsqueeze(3 if axis == 2 else 2).to(flat.dtype)
        padding = (0, 0, size // 2, size // 2) if axis == 2 else (size // 2, size // 2, 0, 0)
        flat = F.conv2d(F.pad(flat, padding, mode="reflect"), kernel, groups=batch * channels)
    return flat.view_as(images)


def _kernel_size(side: int) -> int:
    """51 at 512 and 25 at 256 pixels: the odd size next to 10% of the side, at most what reflection allows."""
    tenth = math.ceil(0.1 * side)
    odd = math.floor(tenth - 0.5 + tenth % 2)
    return max(1, min(odd, 2 * (side // 2) - 1))
