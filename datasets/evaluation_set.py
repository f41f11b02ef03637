"""The images that a run is scored on, with labels at their own resolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from datasets.augmentation import resizing
from datasets.errors import DataError
from datasets.reading import read_pair


class EvaluationSet(Dataset):
    """Labelled images as detectron2's evaluators take them.

    Item i (which a loader of batch size 1 hands over in a list) is

        {"file_name": str, "image_id": str, "image": uint8 (3, h, w), RGB 0..255,
         "label": uint8 (H, W), train ids 0..K-1 or 255}

    The image is resized bilinearly to exactly `resize`, (width, height), or left as it is with None; the label never,
    since scores are of the label's own resolution (prediction upsampled, as published).
    """

    def __init__(self, items: Sequence[dict[str, Any]], resize: tuple[int, int] | None) -> None:
        """`items` are labelled, in detectron2's form. Raises `DataError` if there are none or one lacks its label."""
        if not items:
            raise DataError("evaluation set: expected at least one image, found none")
        for item in items:
            if "sem_seg_file_name" not in item:
                raise DataError(f"{item['file_name']}: expected a label to score against, found none")
        if resize is not None and min(resize) < 1:
            raise DataError(f"resize: expected a width and a height of at least 1 pixel, found {resize}")
        self._items, self._resize = items, resize

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Raises `DataError`, also where label and image disagree in size: a score must not skip images."""
        item = self._items[index]
        image, label = read_pair(item)
        if self._resize is not None:
            height, width = label.shape
            image = resizing(width, height, *self._resize).apply_image(image)
        return {
            "file_name": item["file_name"],
            "image_id": item["image_id"],
            "image": torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))),
            "label": torch.from_numpy(label),
        }
