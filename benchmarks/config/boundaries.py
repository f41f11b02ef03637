"""Boundary IoU: IoU of what lies near the contours of classes, where large regions hide errors from IoU."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.config.metrics import metric
from datasets.classes.labels import IGNORE

WIDTH = 0.005
"""How far from a contour is near, as a share of the image's diagonal: 11 pixels of Cityscapes' 2048 x 1024."""


def boundary_counts(label: torch.Tensor, prediction: torch.Tensor, number: int) -> np.ndarray:
    """What `boundary_iou` sums over images, int64 (K, 3): pixels of each class that are near its contour.

    In label and prediction alike, in the label, and in the prediction. Where the label has no class, the prediction has
    none either, before contours are looked for: one that is right wherever there is a label is right here.

    Args:
        label: uint8 (H, W), IGNORE where no class is.
        prediction: uint8 (H, W).
        number: K.
    """
    prediction = torch.where(label == IGNORE, label, prediction)
    distance = max(1, round(WIDTH * math.hypot(*label.shape)))
    near = [torch.where(_near_contour(ids, distance), ids, IGNORE) for ids in (label, prediction)]
    both = torch.where(near[0] == near[1], near[0], IGNORE)
    counts = [np.bincount(ids.flatten().cpu().numpy(), minlength=IGNORE + 1) for ids in (both, *near)]
    return np.stack(counts, axis=-1)[:number]


def _near_contour(ids: torch.Tensor, distance: int) -> torch.Tensor:
    """Whether each pixel has another class, or the image's edge, within a square of 2 ``distance`` + 1, bool (H, W)."""
    around = F.pad(ids[None, None].float(), [distance] * 4, value=-1.0)
    return (_highest(around, distance) != -_highest(-around, distance))[0, 0]


def _highest(values: torch.Tensor, distance: int) -> torch.Tensor:
    side = 2 * distance + 1
    return F.max_pool2d(F.max_pool2d(values, (side, 1), stride=1), (1, side), stride=1)


@metric("BIoU", by_class=True, counted=boundary_counts, optional=True)
def boundary_iou(counts: np.ndarray) -> np.ndarray:
    """(K,) in percent: |G_d ∩ P_d| / |G_d ∪ P_d| of the pixels of a class that are within d of its contour.

    G in the label, P in the prediction. Cheng et al., CVPR 2021 (arXiv 2103.16562), with the counts of a class summed
    over the data set, as those of IoU are; d is WIDTH of the diagonal, as in the authors' evaluation of Cityscapes. NaN
    where a class has none.
    """
    both, labelled, predicted = counts.T
    union = labelled + predicted - both
    return np.divide(100.0 * both, union, out=np.full(len(counts), np.nan), where=union > 0)


@metric("mBIoU", counted=boundary_counts, optional=True)
def mean_boundary_iou(counts: np.ndarray, classes: Sequence[int]) -> float:
    """The mean of `boundary_iou` over the classes of a set that the labels have, as of mIoU."""
    labelled = [train_id for train_id in classes if counts[train_id, 1]]
    return float(np.mean(boundary_iou(counts)[labelled])) if labelled else float("nan")
