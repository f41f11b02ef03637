"""What is seen of an image, and in which size: arithmetic alone, so that who checks files loads no torch for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datasets.base.errors import DataError


@dataclass(frozen=True)
class Framing:
    """What is seen of an image. Sizes are (width, height) in pixels.

    `resize`: box that the image is scaled to fit, aspect kept (None: left as it is). `crop`: size of the random crop.
    `flip`: probability of mirroring left to right. `max_class_share`: a crop is drawn again, up to 10 times, while one
    class covers more than this share of its labelled pixels (0.75 in DACS's and DAFormer's public settings for the
    source; 1: never), or nothing in it is labelled. `margins`: pixels at the top, the bottom and both sides of the
    resized image whose pseudo-labels count for nothing (rectification artefacts and the car itself, in Cityscapes).
    Raises `DataError` naming the value that is out of range.
    """

    resize: tuple[int, int] | None
    crop: tuple[int, int]
    flip: float = 0.5
    max_class_share: float = 1.0
    margins: tuple[int, int, int] = (0, 0, 0)

    def __post_init__(self) -> None:
        for key, size in (("resize", self.resize), ("crop", self.crop)):
            if size is not None and (len(size) != 2 or min(size) < 1):
                raise DataError(f"{key}: expected a width and a height of at least 1 pixel, found {size}")
        if not 0 <= self.flip <= 1:
            raise DataError(f"flip: expected a probability from 0 to 1, found {self.flip}")
        if not 0 < self.max_class_share <= 1:
            raise DataError(f"max_class_share: expected a share above 0, up to 1, found {self.max_class_share}")

    def seen(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) that an image is cropped at."""
        return (width, height) if self.resize is None else fitted(width, height, *self.resize)

    def inside_margins(self, height: int, width: int) -> np.ndarray:
        """uint8 (height, width) of a resized image: 1 inside the margins, 0 in them."""
        top, bottom, side = self.margins
        inside = np.zeros((height, width), np.uint8)
        inside[top : max(top, height - bottom), side : max(side, width - side)] = 1
        return inside


def too_small(view: Framing, width: int, height: int) -> str:
    """Why an image of this size has no room for the view's crop, once it is resized; empty where it has."""
    seen = view.seen(width, height)
    if seen[0] >= view.crop[0] and seen[1] >= view.crop[1]:
        return ""
    return (
        f"image is {seen[0]}x{seen[1]} (read as {width}x{height}), expected at least the crop, "
        f"{view.crop[0]}x{view.crop[1]}"
    )


def fitted(width: int, height: int, box_width: int, box_height: int) -> tuple[int, int]:
    """The largest (width, height), of the aspect given, that fits the box."""
    scale = min(box_width / width, box_height / height)
    return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))


def by_short_side(width: int, height: int, box_width: int, box_height: int) -> tuple[int, int]:
    """The (width, height), of the aspect given, whose short side is the box's."""
    scale = min(box_width, box_height) / min(width, height)
    return max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))
