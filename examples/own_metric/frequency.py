"""A metric of one's own: IoU weighted by how many pixels of each class the labels have."""

from collections.abc import Sequence

import numpy as np

from benchmarks.config.metrics import intersection_over_union, metric


@metric("fwIoU")
def frequency_weighted_iou(counts: np.ndarray, classes: Sequence[int]) -> float:
    """In percent, of int64 counts (K, K), rows label, columns prediction; ``classes``: ids of those in the set."""
    labelled = counts.sum(axis=1)[list(classes)]
    iou = np.nan_to_num(intersection_over_union(counts)[list(classes)])
    return float(100 * (labelled * iou).sum() / labelled.sum()) if labelled.any() else float("nan")
