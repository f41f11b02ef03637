"""The segmentation loss that every term shares."""

from __future__ import annotations

import torch
import torch.nn.functional as F

IGNORE = 255


def pixel_cross_entropy(
    logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Weighted cross-entropy, averaged over ALL pixels, ignored ones included, as the published methods do.

    Args:
        logits: (B, K, H, W), already at the labels' size.
        labels: (B, H, W) int64, train ids or 255 (ignored: contributes 0, but is counted in the mean).
        weights: (B, H, W) float in [0, 1], or None for 1 everywhere.

    Returns:
        A scalar.
    """
    loss = F.cross_entropy(logits, labels, ignore_index=IGNORE, reduction="none")
    return (loss if weights is None else loss * weights).mean()
