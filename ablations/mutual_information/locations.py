"""What is at the places of an encoder's feature map: features, the pixels under them, and labels.

Places are those of one stage, of stride s: place (i, j) stands for the s x s pixels from (i s, j s) on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from torch import Tensor

from ablations.mutual_information.parts import part_of_images
from benchmarks.data import from_config as data
from methods.base.randomness import key_seed

CELLS = 8
"""Sides of the grid of mean colours that stands for the pixels of a place, at most; a divisor of its stride."""
LEAST_IMAGES = 3  # one of each part


@dataclass(frozen=True, eq=False)
class Picture:
    """One image: pixels float (1, 3, h, w) in [0, 1], label uint8 (H, W), train ids or 255; its part and number."""

    image: Tensor
    label: Tensor
    part: int
    number: int


class Pictures:
    """Labelled validation images of the target, spread over the list, in three parts; iterated over one by one."""

    def __init__(self, cfg: CfgNode, root: Path, wanted: int, multiple: int, seed: int) -> None:
        """Take ``wanted`` images below ``root``, or all if there are fewer; sides are cut to multiples of ``multiple``.

        Raises:
            DataError: the images are not there.
        """
        self._set = data.validation_set(cfg, root)
        self._multiple = multiple
        there = len(self._set)
        self._indices = [i * there // wanted for i in range(wanted)] if wanted < there else list(range(there))
        self._parts = part_of_images(len(self._indices), np.random.default_rng(key_seed(seed, "bottleneck/parts")))

    def __len__(self) -> int:
        return len(self._indices)

    def __iter__(self) -> Iterator[Picture]:
        for number, index in enumerate(self._indices):
            item = self._set[index]
            image, label = item["image"], item["label"]
            full = image.shape[-2:]
            height, width = (side - side % self._multiple for side in full)
            # The label, which may be larger, is cut to the same share of its sides.
            rows, columns = (
                length * part // side for length, part, side in zip(label.shape, (height, width), full, strict=True)
            )
            pixels = image[None, :, :height, :width].float() / 255
            yield Picture(pixels, label[:rows, :columns], int(self._parts[number]), number)


@dataclass(frozen=True, eq=False)
class Places:
    """N places: features (N, C), pixels (N, D), labels (N,) with 255 for none, and the part of each."""

    z: np.ndarray
    x: np.ndarray
    y: np.ndarray
    part: np.ndarray

    @classmethod
    def joined(cls, several: list[Places]) -> Places:
        """All places of several."""
        return cls(*(np.concatenate([getattr(each, name) for each in several]) for name in ("z", "x", "y", "part")))

    def labelled(self) -> Places:
        """The places that have a label."""
        known = self.y < 255
        return Places(self.z[known], self.x[known], self.y[known], self.part[known])


def rows(feature: Tensor) -> np.ndarray:
    """A feature (1, C, h, w) -> (h w, C) float32, row by row."""
    return feature[0].flatten(1).T.float().cpu().numpy()


def pixels_under(image: Tensor, stride: int) -> np.ndarray:
    """Mean colours of a grid over each place of an image (1, 3, h, w), (h w / s^2, 3 cells^2)."""
    cells = max(side for side in range(1, CELLS + 1) if stride % side == 0)
    means = F.avg_pool2d(image, stride // cells)
    return F.unfold(means, cells, stride=cells)[0].T.numpy()


def labels_at(label: Tensor, size: tuple[int, int]) -> np.ndarray:
    """The label (H, W) at the centre of each place of a map of that (height, width), (h w,): 255 where there is none.

    So classes have the share of their area, which a vote would take from thin ones.
    """
    down, across = (
        (2 * torch.arange(places) + 1) * length // (2 * places)
        for places, length in zip(size, label.shape, strict=True)
    )
    return label[down][:, across].flatten().numpy()


def chosen(places: int, wanted: int, *key: int | str) -> np.ndarray:
    """Up to ``wanted`` of so many places, without replacement, the same ones for a key; sorted."""
    random = np.random.default_rng(key_seed(*key))
    return np.sort(random.choice(places, min(wanted, places), replace=False))
