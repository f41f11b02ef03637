"""Pseudo-labels and their weight, from the teacher's logits (DACS, section 3.1; DAFormer, Eq. 3 and 4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch


class PseudoLabels(NamedTuple):
    """The teacher's verdict on the plain target images.

    labels: (B, H, W) int64 train ids. weights: (B, H, W) in [0, 1]. probability: (B, H, W), the largest softmax
    probability of each pixel. confidence: the scalar q, taken over all pixels.
    """

    labels: torch.Tensor
    weights: torch.Tensor
    probability: torch.Tensor
    confidence: torch.Tensor


def pseudo_labels(
    logits: torch.Tensor,
    threshold: float,
    valid: torch.Tensor | None = None,
    mean: Callable[[torch.Tensor], torch.Tensor] = torch.mean,
) -> PseudoLabels:
    """Label every pixel by the teacher's arg max and weigh all of them by one share of confident pixels.

    Args:
        logits: (B, K, H, W) of the teacher on the plain target images.
        threshold: a pixel is confident where the largest softmax probability is at least this (0.968 published).
        valid: (B, H, W) bool, False where a pixel gets weight 0 (rectification artefacts and the ego vehicle at the
            borders of Cityscapes' images); None: True everywhere. The share q is taken over the whole batch before
            that, as published.
        mean: over all pixels of the batch.
    """
    probability, labels = logits.softmax(dim=1).max(dim=1)
    confidence = mean((probability >= threshold).float())
    weights = confidence.expand(labels.shape)
    if valid is not None:
        weights = weights * valid
    return PseudoLabels(labels, weights, probability, confidence)
