"""Random masks for masked image consistency and masked representation modeling. 1 means masked."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def bernoulli_mask(batch: int, height: int, width: int, ratio: float, generator: torch.Generator) -> torch.Tensor:
    """(B, 1, H, W) float mask, each cell masked independently with probability ``ratio`` in [0, 1]; on the CPU."""
    return (torch.rand(batch, 1, height, width, generator=generator) < ratio).float()


def block_mask(
    batch: int, height: int, width: int, block: int, ratio: float, generator: torch.Generator
) -> torch.Tensor:
    """(B, 1, H, W) float mask of square blocks of ``block`` pixels, each masked with probability ``ratio``.

    Blocks at the right and lower border are cut off where the side is not a multiple of ``block``
    (MIC, Eq. 4: Hoyer et al., 2023).
    """
    rows, columns = -(-height // block), -(-width // block)
    cells = bernoulli_mask(batch, rows, columns, ratio, generator)
    return cells.repeat_interleave(block, 2).repeat_interleave(block, 3)[:, :, :height, :width]


def resize_mask(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize a (B, 1, h, w) mask to (B, 1, *size) by nearest neighbour, so that it stays 0 or 1."""
    return F.interpolate(mask, size, mode="nearest")
