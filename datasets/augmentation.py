"""A view of an image: scaled to a size, cropped and flipped, as the UDA methods compared here train on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from detectron2.data.transforms import ResizeTransform
from fvcore.transforms.transform import CropTransform, HFlipTransform, Transform, TransformList
from PIL import Image

from datasets.errors import DataError
from datasets.labels import IGNORE

CROP_REDRAWS = 10


@dataclass(frozen=True)
class View:
    """What is seen of an image. Sizes are (width, height) in pixels.

    `resize`: box that the image is scaled to fit, aspect kept (None: left as it is). `crop`: size of the random crop.
    `flip`: probability of mirroring left to right. `max_class_share`: a crop is drawn again, up to 10 times, while one
    class covers more than this share of its labelled pixels (0.75 in DACS's and DAFormer's public settings for the
    source; 1: never), or nothing in it is labelled.
    Raises `DataError` naming the value that is out of range.
    """

    resize: tuple[int, int] | None
    crop: tuple[int, int]
    flip: float = 0.5
    max_class_share: float = 1.0

    def __post_init__(self) -> None:
        for key, size in (("resize", self.resize), ("crop", self.crop)):
            if size is not None and (len(size) != 2 or min(size) < 1):
                raise DataError(f"{key}: expected a width and a height of at least 1 pixel, found {size}")
        if not 0 <= self.flip <= 1:
            raise DataError(f"flip: expected a probability from 0 to 1, found {self.flip}")
        if not 0 < self.max_class_share <= 1:
            raise DataError(f"max_class_share: expected a share above 0, up to 1, found {self.max_class_share}")


def apply(
    view: View, image: np.ndarray, label: np.ndarray | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """One random view of an image, uint8 (H, W, 3), and of its label, uint8 (H, W) train ids, if it has one.

    Both come back at the size of `view.crop`. Images are resized bilinearly, over the area that a pixel covers when
    they shrink, labels to the nearest pixel.
    Raises `DataError` naming the sizes if the resized image is smaller than the crop, or the label is not its size.
    """
    return crop_and_flip(view, *fit(view, image, label), rng)


def fit(view: View, image: np.ndarray, label: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The part of `apply` that nothing random decides: scaled to fit `view.resize`."""
    height, width = image.shape[:2]
    if label is not None and label.shape != (height, width):
        raise DataError(f"label is {label.shape[1]}x{label.shape[0]}, expected its image's size {width}x{height}")
    if view.resize is not None:
        image, label = _transformed(resizing(width, height, *fitted(width, height, *view.resize)), image, label)
    if image.shape[1] < view.crop[0] or image.shape[0] < view.crop[1]:
        raise DataError(
            f"image is {image.shape[1]}x{image.shape[0]} (read as {width}x{height}), expected at least the crop, "
            f"{view.crop[0]}x{view.crop[1]}"
        )
    return image, label


def crop_and_flip(
    view: View, image: np.ndarray, label: np.ndarray | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """The random part of `apply`, of an image that `fit` gave.

    All draws are made whatever the label says, so that equal generators stay equal.
    """
    corners = rng.random((1 + CROP_REDRAWS, 2))
    flipped = rng.random() < view.flip
    height, width = image.shape[:2]
    free = (width - view.crop[0] + 1, height - view.crop[1] + 1)
    for u, v in corners:
        crop = CropTransform(int(u * free[0]), int(v * free[1]), *view.crop)
        if label is None or view.max_class_share == 1:
            break
        if largest_share(crop.apply_segmentation(label)) <= view.max_class_share:
            break
    steps = [crop, HFlipTransform(view.crop[0])] if flipped else [crop]
    return _transformed(TransformList(steps), image, label)


def largest_share(label: np.ndarray) -> float:
    """Share of the labelled pixels that the most frequent class covers, 0..1; 1 if nothing is labelled."""
    counts = np.bincount(label.reshape(-1), minlength=256)
    labelled = label.size - counts[IGNORE]
    return float(counts[:IGNORE].max() / labelled) if labelled else 1.0


def fitted(width: int, height: int, box_width: int, box_height: int) -> tuple[int, int]:
    """The largest (width, height), of the aspect given, that fits the box."""
    scale = min(box_width / width, box_height / height)
    return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))


def resizing(width: int, height: int, new_width: int, new_height: int) -> Transform:
    """detectron2's resize, bilinear for images and nearest for labels."""
    return ResizeTransform(height, width, new_height, new_width, Image.Resampling.BILINEAR)


def _transformed(
    transform: Transform, image: np.ndarray, label: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray | None]:
    return transform.apply_image(image), None if label is None else transform.apply_segmentation(label)
