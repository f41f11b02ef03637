"""The segmentation loss that every term shares."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from methods.networks import Prediction, Window

IGNORE = 255


def mean_over(total: torch.Tensor | int, count: torch.Tensor) -> torch.Tensor:
    """The mean ``total / count``, 0 where nothing is counted; `TrainingStep.mean_over` counts over the whole batch."""
    return total / count.clamp_min(1)


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


def segmentation_loss(
    prediction: Prediction,
    labels: torch.Tensor,
    weights: torch.Tensor | None,
    window: Window | None,
    detail_weight: float,
) -> torch.Tensor:
    """The loss of a prediction: cross-entropy, and a share for the detail window where there is one.

    (1 - w) * L(fused logits, whole crop) + w * L(detail logits, labels and weights in the window), as in HRDA (Hoyer et
    al., ECCV 2022).

    Args:
        prediction: of the whole crop, with or without detail.
        labels: (B, H, W) int64, train ids or 255.
        weights: (B, H, W) float in [0, 1], or None for 1 everywhere.
        window: of the detail, in pixels of the crop.
        detail_weight: w in [0, 1].
    """
    loss = pixel_cross_entropy(prediction.logits, labels, weights)
    if prediction.detail is None or window is None:
        return loss
    detail = pixel_cross_entropy(
        prediction.detail, window.of(labels), None if weights is None else window.of(weights)
    )
    return (1 - detail_weight) * loss + detail_weight * detail
