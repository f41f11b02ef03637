"""Pseudo-labels and their weight, from the teacher's logits (DACS, section 3.1; DAFormer, Eq. 3 and 4)."""

from __future__ import annotations

from typing import NamedTuple

import torch


class PseudoLabels(NamedTuple):
    """labels: (B, H, W) int64 train ids. weights: (B, H, W) in [0, 1]. confidence: the scalar q, without margins."""

    labels: torch.Tensor
    weights: torch.Tensor
    confidence: torch.Tensor


def pseudo_labels(logits: torch.Tensor, threshold: float, ignore_top: int, ignore_bottom: int) -> PseudoLabels:
    """Label every pixel by the teacher's arg max and weigh all of them by one share of confident pixels.

    Args:
        logits: (B, K, H, W) of the teacher on the plain target images.
        threshold: a pixel is confident where the largest softmax probability is at least this (0.968 published).
        ignore_top: rows in pixels that get weight 0 (rectification artefacts). The share q is taken over the whole
            batch before rows are ignored, as published.
        ignore_bottom: the same at the lower border (the ego vehicle).
    """
    probability, labels = logits.softmax(dim=1).max(dim=1)
    confidence = (probability >= threshold).float().mean()
    weights = confidence.expand(labels.shape).clone()
    if ignore_top:
        weights[:, :ignore_top] = 0
    if ignore_bottom:
        weights[:, -ignore_bottom:] = 0
    return PseudoLabels(labels, weights, confidence)
