"""Rare class sampling: labelled images are drawn by class, rare classes more often (DAFormer, section 3.3).

Hoyer et al., CVPR 2022. Where the paper leaves a choice, this is what the authors' public code and settings do:

- f_c counts labelled pixels only, at the labels' own resolution, and the softmax is over the classes that occur at all.
- A file is one of class c with strictly more than 3000 pixels of it at the label's own resolution; the crop is judged
  after resizing, by strictly more than half as many (HRDA: twice as many, for crops of four times the area).
- An occurring class without such a file ends the authors' program. Here it is left out with a warning and the others
  share its probability, so that own data with a few stray pixels can be used; in GTA and SYNTHIA there is none.
- Of several data sets (`union_shares`) the data set of an image is drawn first, by weight, then the class out of those
  that its labels show, by the probabilities of the union. This is our choice (VFM-UDA++ counts in each data set alone).
- The published numbers are of GTA's labels and of crops of 512x512: `of_label` and `of_crop` scale them to other sizes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from datasets.base.errors import DataError
from datasets.base.randomness import keyed_rng
from datasets.batches.augmentation import Wanted

_LOGGER = logging.getLogger(__name__)

PUBLISHED_LABEL, PUBLISHED_CROP = (1914, 1052), (512, 512)
"""Sizes that the published thresholds, 3000 and 1500 pixels, are of: GTA's labels, and the crop."""


def of_label(pixels: int, area: float) -> int:
    """A threshold for labels of GTA's size, scaled to labels of ``area`` pixels."""
    return round(pixels * area / math.prod(PUBLISHED_LABEL))


def of_crop(pixels: int, crop: tuple[int, int]) -> int:
    """A threshold for crops of 512x512, scaled to others."""
    return round(pixels * math.prod(crop) / math.prod(PUBLISHED_CROP))


@dataclass(frozen=True)
class RareClasses:
    """Settings; the defaults are the published ones of DAFormer (HRDA: `min_crop_pixels` 6000).

    `temperature`: T of the softmax, above 0; the smaller, the more the rarest class is preferred. `min_pixels`: an
    image is drawn for a class of which its label has more pixels than this. `min_crop_pixels`: crops are drawn again
    while they have no more pixels of the class than this. Raises `DataError` naming the value that is out of range.
    """

    temperature: float = 0.01
    min_pixels: int = 3000
    min_crop_pixels: int = 1500

    def __post_init__(self) -> None:
        if not 0 < self.temperature < math.inf:
            raise DataError(f"SAMPLING.TEMPERATURE is {self.temperature}, expected a number above 0")
        for key in ("min_pixels", "min_crop_pixels"):
            if getattr(self, key) < 0:
                raise DataError(f"SAMPLING.{key.upper()} is {getattr(self, key)}, expected at least 0 pixels")


def class_probabilities(shares: np.ndarray, temperature: float, drawn: np.ndarray) -> np.ndarray:
    """P(c) = softmax((1 - f_c) / T) over the classes that are `drawn`.

    `shares` (K,): f_c, the share of each class in all pixels. `drawn` (K,): bool, at least one class, each of which
    occurs. Returns float64 (K,), sum 1, 0 for the classes that are not drawn.
    """
    exponent = np.where(drawn, (1 - shares) / temperature, -np.inf)
    weight = np.exp(exponent - exponent.max())
    return weight / weight.sum()


def union_shares(
    pixels: Sequence[np.ndarray], labelled: Sequence[Sequence[int]], weights: Sequence[float]
) -> np.ndarray:
    """f_c in the union of data sets that are drawn from by weight: the mean of a class's shares in them, so weighted.

    A data set that does not label a class says nothing of how rare it is: the mean is over those that do, or that show
    it all the same.

    `pixels`: (N, K) of each data set's labels. `labelled`: the train ids that it labels. `weights`: above 0.
    Returns float64 (K,), 0 for a class that none labels.
    """
    shares, counted = np.zeros((2, len(pixels), pixels[0].shape[1]))
    for number, (counts, classes, weight) in enumerate(zip(pixels, labelled, weights, strict=True)):
        totals = counts.sum(axis=0)
        shares[number] = totals / max(totals.sum(), 1)
        counted[number, [*classes, *np.flatnonzero(totals)]] = weight
    return (counted * shares).sum(axis=0) / np.maximum(counted.sum(axis=0), np.finfo(float).tiny)


class RareClassSampler:
    """Draws an image for a class, the class by `class_probabilities`, the image uniformly among those that show it.

    `probabilities`: float64 (K,), of the classes as they are drawn. `images`: the number of images drawn from.
    """

    def __init__(
        self,
        settings: RareClasses,
        pixels: np.ndarray,
        names: Sequence[str] = (),
        area: float | None = None,
        shares: np.ndarray | None = None,
    ) -> None:
        """`pixels`: int64 (N, K) of the labels (`class_pixels.class_pixels`).

        `shares`: f_c of each class where it is not that of these labels alone (`union_shares`).
        For messages: the `names` of the classes (else their train ids), and the `area` of a label in pixels.
        Raises `DataError` if no label has more than `min_pixels` of any class.
        """
        self._min_crop_pixels = settings.min_crop_pixels
        self.images = len(pixels)
        self._showing = [np.flatnonzero(of_class > settings.min_pixels) for of_class in pixels.T]
        shown = np.array([len(images) > 0 for images in self._showing])
        if not shown.any():
            raise DataError(
                f"SAMPLING.MIN_PIXELS is {settings.min_pixels}, expected a number that some class exceeds in some "
                f"label; the largest of {self.images} labels is {int(pixels.max(initial=0))} pixels of one class"
                f"{_share(settings.min_pixels, area)}"
            )
        totals = pixels.sum(axis=0)
        left_out = np.flatnonzero((totals > 0) & ~shown).tolist()
        if left_out:
            largest = pixels.max(axis=0)
            _LOGGER.warning(
                "rare class sampling leaves out %s: no label has more than SAMPLING.MIN_PIXELS = %d pixels of it%s",
                ", ".join(f"{names[i] if names else f'train id {i}'} (at most {largest[i]})" for i in left_out),
                settings.min_pixels,
                _share(settings.min_pixels, area),
            )
        own = totals / totals.sum() if shares is None else shares
        self.probabilities = class_probabilities(own, settings.temperature, shown)

    def draw(self, seed: int, iteration: int, index: int, attempt: int = 0) -> tuple[int, Wanted]:
        """The image of place `index` in the batch of `iteration`, and what its crop should show, by the key alone.

        `attempt` counts the draws for one place: files that cannot be used are replaced by another class's or file.
        """
        rng = keyed_rng(seed, "rare-class", iteration, index, attempt)
        train_id = int(rng.choice(len(self.probabilities), p=self.probabilities))
        showing = self._showing[train_id]
        return int(showing[rng.integers(len(showing))]), Wanted(train_id, self._min_crop_pixels)


def _share(min_pixels: int, area: float | None) -> str:
    """What share of a label the threshold is, and what the published share of it would be, where that is less."""
    if area is None or (fitting := of_label(RareClasses.min_pixels, area)) >= min_pixels:
        return ""
    share = RareClasses.min_pixels / math.prod(PUBLISHED_LABEL)
    return f", {min_pixels / area:.1%} of these labels; the published share of {share:.2%} would be {fitting}"
