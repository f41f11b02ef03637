"""The canvas: colour, label, material and depth of every pixel, drawn together so that they cannot disagree."""

from collections.abc import Sequence
from math import ceil, floor

import cv2
import numpy as np
import numpy.typing as npt
from cityscapesscripts.helpers.labels import labels as cityscapes_labels

cv2.setNumThreads(0)  # images are drawn by many processes at once

# (N, 2) pixels; a list where there are few: arithmetic on so few numbers takes numpy five times as long
Points = npt.NDArray[np.float64] | list[tuple[float, float]]
Colour = tuple[float, float, float]

LICENSE_PLATE = 34  # its id in GTA's labels; Cityscapes has no id for it (-1) and labels plates as what is behind them
LABEL_IDS: dict[str, int] = {label.name: label.id for label in cityscapes_labels if label.id >= 0}
LABEL_IDS["license plate"] = LICENSE_PLATE

MATERIALS = (
    "plain", "sky", "asphalt", "paving", "plaster", "brick", "roof", "wood", "metal", "foliage", "grass", "cloth",
)  # fmt: skip
MATERIAL_IDS = {name: index for index, name in enumerate(MATERIALS)}

FAR = 600.0  # metres; the depth of the sky
_SUBPIXEL_BITS = 4


def darker(colour: Colour, factor: float) -> Colour:
    """`colour` times `factor` (above 1: lighter), kept within 0..255."""
    red, green, blue = (min(255.0, max(0.0, value * factor)) for value in colour)
    return red, green, blue


class Canvas:
    """Four aligned pictures of one scene, painted from back to front.

    colour: uint8 (H, W, 3) RGB, without light or texture.
    label: uint8 (H, W), Cityscapes label ids (and `LICENSE_PLATE`).
    material: uint8 (H, W), index into `MATERIALS`.
    depth: float32 (H, W), metres along the optical axis.
    Points are (N, 2) pixel coordinates (x right, y down); nothing is antialiased.
    """

    def __init__(self, width: int, height: int) -> None:
        self.colour = np.zeros((height, width, 3), np.uint8)
        self.label = np.full((height, width), LABEL_IDS["unlabeled"], np.uint8)
        self.material = np.zeros((height, width), np.uint8)
        self.depth = np.full((height, width), FAR, np.float32)

    @property
    def width(self) -> int:
        """Pixels across."""
        return self.label.shape[1]

    @property
    def height(self) -> int:
        """Pixels down."""
        return self.label.shape[0]

    def fill(
        self, points: Points, label: str | None, colour: Colour | None, material: str | None, depth: float | None
    ) -> None:
        """Fills a polygon. What is None stays: a wire fence, say, has a label between its wires but no colour."""
        fixed = _fixed(points)
        if colour is not None:
            cv2.fillPoly(self.colour, fixed, colour, shift=_SUBPIXEL_BITS)
        if label is not None:
            cv2.fillPoly(self.label, fixed, LABEL_IDS[label], shift=_SUBPIXEL_BITS)
        if material is not None:
            cv2.fillPoly(self.material, fixed, MATERIAL_IDS[material], shift=_SUBPIXEL_BITS)
        if depth is not None:
            cv2.fillPoly(self.depth, fixed, depth, shift=_SUBPIXEL_BITS)

    def tint(self, polygons: Sequence[Points], colour: Colour, alpha: float) -> None:
        """Mixes `alpha` (0..1) of `colour` into the union of polygons: shadows, reflections, wire. Labels stay."""
        corners = [corner for points in polygons for corner in points]
        (left, right), (top, bottom) = (
            (min(max(floor(min(along)), 0), size), min(max(ceil(max(along)) + 1, 0), size))
            for along, size in zip(zip(*corners, strict=True), (self.width, self.height), strict=True)
        )
        if alpha <= 0 or right <= left or bottom <= top:
            return
        mask = np.zeros((bottom - top, right - left), np.uint8)
        for points in polygons:
            cv2.fillPoly(mask, _fixed([(x - left, y - top) for x, y in points]), 1, shift=_SUBPIXEL_BITS)
        patch = self.colour[top:bottom, left:right]
        hit = mask.astype(bool)
        mixed = patch[hit] * np.float32(1 - alpha) + np.asarray(colour, np.float32) * np.float32(alpha)
        patch[hit] = mixed.astype(np.uint8)

    def reduced(self, factor: int) -> "Canvas":
        """The canvas at 1/factor of its size: colours are averaged, the rest is sampled, so that labels stay labels."""
        small = Canvas(self.width // factor, self.height // factor)
        small.colour[:] = cv2.resize(self.colour, (small.width, small.height), interpolation=cv2.INTER_AREA)
        small.label[:] = self.label[::factor, ::factor]
        small.material[:] = self.material[::factor, ::factor]
        small.depth[:] = self.depth[::factor, ::factor]
        return small


def _fixed(points: Points) -> list[npt.NDArray[np.int32]]:
    """A polygon in cv2's fixed-point form."""
    scale = 1 << _SUBPIXEL_BITS
    if isinstance(points, list):
        return [np.array([(round(x * scale), round(y * scale)) for x, y in points], np.int32)]
    return [np.rint(points * scale).astype(np.int32)]
