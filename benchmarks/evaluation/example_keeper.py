"""Small copies of a few validation images and of what is predicted on them, kept while they are scored."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from detectron2.utils import comm
from PIL import Image

from datasets.classes.label_space import LabelSpace
from results.records.examples import LONGEST_SIDE, MOST_IMAGES, Example, Examples
from results.records.scores import STUDENT

Each = Callable[[dict[str, Any], torch.Tensor], None]
"""Told of an item, with its "index" in the data set, and of the prediction on it, uint8 (H, W), on any device."""


class ExampleKeeper:
    """Keeps MOST_IMAGES of a data set, evenly spaced, or all where there are fewer."""

    def __init__(self, images: int) -> None:
        """Choose among so many ``images``."""
        count = min(images, MOST_IMAGES)
        self._wanted = {number * images // count for number in range(count)}
        self._kept: dict[int, dict[str, Any]] = {}

    def of(self, model: str) -> Each:
        """What is to be told of each prediction of this model; the student's come first."""
        return partial(self._keep, model)

    def gathered(self, space: LabelSpace) -> Examples:
        """All that was kept, in every process, which all have to call it."""
        kept = {index: dict(parts) for of_rank in comm.all_gather(self._kept) for index, parts in of_rank.items()}
        images = [
            Example(parts.pop("name"), index, parts.pop("image"), parts.pop("label"), parts)
            for index, parts in sorted(kept.items())
        ]
        return Examples(list(space.names), list(space.colours), images)

    def _keep(self, model: str, item: dict[str, Any], prediction: torch.Tensor) -> None:
        index = item["index"]
        if index not in self._wanted:
            return
        if model == STUDENT:
            image = Image.fromarray(item["image"].permute(1, 2, 0).cpu().numpy())
            size = _small_size(*item["label"].shape)
            self._kept[index] = {
                "name": item["image_id"],
                "image": np.asarray(image.resize(size, Image.Resampling.BOX)),
                "label": _small(item["label"]),
            }
        self._kept[index][model] = _small(prediction)


def _small(train_ids: torch.Tensor) -> np.ndarray:
    """Train ids, uint8 (H, W), at the size of an example, by nearest neighbour."""
    size = _small_size(*train_ids.shape)
    return np.asarray(Image.fromarray(train_ids.cpu().numpy()).resize(size, Image.Resampling.NEAREST))


def _small_size(height: int, width: int) -> tuple[int, int]:
    """(width, height) of an example."""
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))
