"""A view of an image: scaled to a size, cropped and flipped, as the UDA methods compared here train on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from detectron2.data.transforms import ResizeTransform
from fvcore.transforms.transform import CropTransform, HFlipTransform, Transform, TransformList
from PIL import Image

from datasets.base.framing import Framing
from datasets.classes.labels import IGNORE

CROP_REDRAWS = 10


@dataclass(frozen=True)
class Wanted:
    """What a crop should show: more than `pixels` pixels of the class `train_id` (rare class sampling)."""

    train_id: int
    pixels: int

    def shown_by(self, label: np.ndarray) -> bool:
        """Whether `label`, (H, W) train ids, has enough pixels of the class."""
        return int(np.count_nonzero(label == self.train_id)) > self.pixels


def crop_and_flip(
    view: Framing,
    image: np.ndarray,
    label: np.ndarray | None,
    rng: np.random.Generator,
    wanted: Wanted | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """One random view of an image of the size that `view.seen` gives, uint8 (H, W, 3), and of its label, if it has one.

    Both come back at the size of `view.crop`; a label is uint8 (H, W), train ids.
    Up to 10 more crops are drawn while the crop does not show what is `wanted`, the last one is taken as it is. Each of
    them is drawn again by itself for `view.max_class_share`, and both as in DAFormer's public code, which repeats its
    whole pipeline for another crop. Without `wanted` all draws are made whatever the label says, so that equal
    generators stay equal; with it, the first crop and the flip are those that are drawn without.
    """
    crop = _random_crop(view, image, label, rng)
    flipped = rng.random() < view.flip
    if label is not None and wanted is not None:
        for _ in range(CROP_REDRAWS):
            if wanted.shown_by(crop.apply_segmentation(label)):
                break
            crop = _random_crop(view, image, label, rng)
    steps = [crop, HFlipTransform(view.crop[0])] if flipped else [crop]
    return _transformed(TransformList(steps), image, label)


def _random_crop(view: Framing, image: np.ndarray, label: np.ndarray | None, rng: np.random.Generator) -> Transform:
    """The first of 11 random crops in which no class covers too much, the last if there is none."""
    height, width = image.shape[:2]
    free = (width - view.crop[0] + 1, height - view.crop[1] + 1)
    for u, v in rng.random((1 + CROP_REDRAWS, 2)):
        crop = CropTransform(int(u * free[0]), int(v * free[1]), *view.crop)
        if label is None or view.max_class_share == 1:
            break
        if not exceeds(crop.apply_segmentation(label), view.max_class_share):
            break
    return crop


def exceeds(label: np.ndarray, share: float) -> bool:
    """Whether `largest_share` of a label is above `share`: all is counted only where few pixels do not tell already."""
    labelled = label.size - int(np.count_nonzero(label == IGNORE))
    few = np.bincount(label[::8, ::8].reshape(-1), minlength=256)
    likely = int(np.count_nonzero(label == few[:IGNORE].argmax()))
    if not labelled or likely / labelled > share:
        return share < 1
    return (labelled - likely) / labelled > share and largest_share(label) > share


def largest_share(label: np.ndarray) -> float:
    """Share of the labelled pixels that the most frequent class covers, 0..1; 1 if nothing is labelled."""
    counts = np.bincount(label.reshape(-1), minlength=256)
    labelled = label.size - counts[IGNORE]
    return float(counts[:IGNORE].max() / labelled) if labelled else 1.0


def resizing(width: int, height: int, new_width: int, new_height: int) -> Transform:
    """detectron2's resize, bilinear for images and nearest for labels."""
    return ResizeTransform(height, width, new_height, new_width, Image.Resampling.BILINEAR)


def _transformed(
    transform: Transform, image: np.ndarray, label: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    return transform.apply_image(image), None if label is None else transform.apply_segmentation(label)
