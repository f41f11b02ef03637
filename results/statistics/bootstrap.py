"""How far a difference depends on which images and which seeds there happen to be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from results.statistics.paired import LEVEL, Interval

if TYPE_CHECKING:
    import numpy as np
    from scipy.sparse import csr_array

RESAMPLES = 2000
_BATCH = 50  # resamples at a time: memory stays at some tens of megabytes for 500 images and 19 classes


def bootstrap_interval(
    method: Mapping[int, csr_array],
    baseline: Mapping[int, csr_array],
    classes: Sequence[int],
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Interval | None:
    """The percentile interval of the mIoU difference in percent points, images and seeds drawn anew together.

    Each resample draws images and seeds with replacement (Efron 1979), the same ones for both methods: the difference
    is paired in both. mIoU is over the sum of the drawn images' counts, then averaged over the drawn seeds. A class
    that has no labelled pixel in the drawn images has no place in either mean of that resample.

    Args:
        method: of each seed the counts by image, (N, K²), as `results.records.image_counts` reads them.
        baseline: likewise, of the same images in the same order.
        classes: indices of the classes that the mean is over.
        resamples: how many are drawn.
        seed: of the draws: the same counts have the same interval.

    Returns:
        None where no seed is in both.

    Raises:
        ValueError: counts of different numbers of images or classes.
    """
    import numpy as np

    seeds = sorted(method.keys() & baseline.keys())
    if not seeds:
        return None
    both = [[sides(counts[each])[:, list(classes)] for each in seeds] for counts in (method, baseline)]
    if len({part.shape for side in both for part in side}) > 1:
        raise ValueError("counts of different numbers of images: expected the same images of all runs")
    stacked = np.array(both, dtype=np.float64)  # (2, S, N, C, 3)
    images, random = stacked.shape[2], np.random.default_rng(seed)
    differences = []
    for begin in range(0, resamples, _BATCH):
        drawn = min(_BATCH, resamples - begin)
        weights = random.multinomial(images, np.full(images, 1 / images), size=drawn)
        # As one matrix product, (R, N) with (N, 2 S C 3).
        totals = weights @ np.moveaxis(stacked, 2, 0).reshape(images, -1)
        mean = miou(totals.reshape(drawn, 2, len(seeds), len(classes), 3))  # (R, 2, S)
        chosen = random.integers(len(seeds), size=(drawn, len(seeds)))
        differences.append(np.take_along_axis(mean[:, 0] - mean[:, 1], chosen, axis=1).mean(axis=1))
    low, high = np.nanpercentile(np.concatenate(differences), [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Interval(float(low), float(high))


def sides(counts: csr_array) -> np.ndarray:
    """The hits, labelled and predicted pixels of each class, (N, K, 3) int64, in confusion counts (N, K²)."""
    import numpy as np

    classes = math.isqrt(counts.shape[1])
    cells = counts.tocoo()
    image, cell = cells.coords
    label, prediction = np.divmod(cell, classes)
    found = np.zeros((counts.shape[0], classes, 3), dtype=np.int64)
    right = label == prediction
    np.add.at(found, (image[right], label[right], 0), cells.data[right])
    np.add.at(found, (image, label, 1), cells.data)
    np.add.at(found, (image, prediction, 2), cells.data)
    return found


def miou(totals: np.ndarray) -> np.ndarray:
    """mIoU in percent over the classes with labelled pixels, of hits, labelled and predicted (..., C, 3)."""
    import numpy as np

    hits, labelled, predicted = np.moveaxis(totals, -1, 0)
    union = labelled + predicted - hits
    there = labelled > 0
    iou = np.divide(hits, union, out=np.zeros_like(hits, dtype=np.float64), where=there)
    count = there.sum(axis=-1)
    return 100 * np.divide(iou.sum(axis=-1), count, out=np.full(count.shape, np.nan), where=count > 0)
