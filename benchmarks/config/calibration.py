"""Expected calibration error: how far the confidence in a class is from how often it is right."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.config.metrics import metric
from datasets.classes.labels import IGNORE

BINS = 15
UNIT = 2**24
"""Of sums of confidences: whole numbers have one sum, in whatever order images and processes come."""


def confidence_counts(label: torch.Tensor, logits: torch.Tensor, number: int) -> np.ndarray:
    """Counts of an image, int64 (K, BINS, 3) by label and bin of confidence, which the calibration error sums.

    Pixels, those that are right, and the confidences of all, the largest softmax probabilities, in parts of UNIT. Bin b
    has those above b / BINS, up to (b + 1) / BINS.

    Args:
        label: uint8 (H, W), IGNORE where no class is.
        logits: float32 (K, H, W).
        number: K.
    """
    likely, predicted = logits.softmax(dim=0).max(dim=0)
    known = label != IGNORE
    of_class, right = (each[known].cpu().numpy() for each in (label, predicted == label))
    confidence = np.rint(likely[known].cpu().numpy().astype(np.float64) * UNIT).astype(np.int64)
    cells = of_class.astype(np.int64) * BINS + np.maximum(-(-confidence * BINS // UNIT) - 1, 0)
    # Sums of whole numbers below 2^53 are exact in float64.
    sums = (np.bincount(cells, weights, minlength=number * BINS) for weights in (None, right, confidence))
    return np.stack([each.astype(np.int64) for each in sums], axis=-1).reshape(number, BINS, 3)


@metric("ECE", counted=confidence_counts, logits=True, optional=True, lower_is_better=True)
def expected_calibration_error(counts: np.ndarray, classes: Sequence[int]) -> float:
    """Σ_b (n_b / n) |accuracy_b - confidence_b| in percent, of the pixels that are labelled with one of ``classes``.

    Naeini et al., AAAI 2015, and Guo et al., ICML 2017 (equation 3), with 15 bins of equal width, over all pixels of
    the data set at once.
    """
    pixels, right, confidence = counts[list(classes)].sum(axis=0).T
    return float(100 * abs(right - confidence / UNIT).sum() / pixels.sum()) if pixels.any() else float("nan")
