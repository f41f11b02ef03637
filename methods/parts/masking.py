"""Random masks for images and features, and the fusion of masked features. 1 means masked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from methods.base.draws import Draws


def bernoulli_mask(batch: int, height: int, width: int, ratio: float, draws: Draws) -> torch.Tensor:
    """(B, 1, H, W) float mask, each cell masked independently with probability ``ratio`` in [0, 1]."""
    return (draws.rand((batch, 1, height, width)) < ratio).float()


def block_mask(batch: int, height: int, width: int, block: int, ratio: float, draws: Draws) -> torch.Tensor:
    """(B, 1, H, W) float mask of square blocks of ``block`` cells, each masked with probability ``ratio``.

    Blocks at the right and lower border are cut off where the side is not a multiple of ``block``
    (MIC, Eq. 4: Hoyer et al., 2023).
    """
    rows, columns = -(-height // block), -(-width // block)
    cells = bernoulli_mask(batch, rows, columns, ratio, draws)
    return cells.repeat_interleave(block, 2).repeat_interleave(block, 3)[:, :, :height, :width]


def resize_mask(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize a (B, 1, h, w) mask to (B, 1, *size) by nearest neighbour, so that it stays 0 or 1."""
    return F.interpolate(mask, size, mode="nearest")


def fuse(features: Sequence[torch.Tensor], others: Sequence[torch.Tensor], mask: torch.Tensor) -> list[torch.Tensor]:
    """f_r = M * f_o + (1 - M) * f_t at every stage (MRM, arXiv 2509.13801 v2, Eq. 8).

    Args:
        features: f_t, (B, C_i, h_i, w_i), kept where visible.
        others: f_o, in the same shapes, taken where masked.
        mask: M, (B, 1, H', W'), 1 where masked; resized to each stage by nearest neighbour.
    """
    return [
        torch.where(resize_mask(mask, (kept.shape[-2], kept.shape[-1])).bool(), new.to(kept.dtype), kept)
        for kept, new in zip(features, others, strict=True)
    ]
