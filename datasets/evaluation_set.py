"""The images that a run is measured on: scored against labels at their own resolution, or without labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from datasets.augmentation import Framing, fitted, resizing
from datasets.errors import DataError
from datasets.reading import read_image, read_pair


class EvaluationSet(Dataset):
    """Labelled images as detectron2's evaluators take them.

    Item i (which a loader of batch size 1 hands over in a list) is

        {"file_name": str, "image_id": str, "image": uint8 (3, h, w), RGB 0..255,
         "label": uint8 (H, W), train ids 0..K-1 or 255}

    The image is resized bilinearly to exactly `resize`, (width, height), with `keep_aspect` to the largest size of its
    aspect that fits (as training images are, `augmentation.View`), or left as it is with None; the label never, since
    scores are of the label's own resolution (prediction upsampled, as published).
    """

    def __init__(
        self, items: Sequence[dict[str, Any]], resize: tuple[int, int] | None, keep_aspect: bool = False
    ) -> None:
        """`items` are labelled, in detectron2's form. Raises `DataError` if there are none or one lacks its label."""
        if not items:
            raise DataError("evaluation set: expected at least one image, found none")
        for item in items:
            if "sem_seg_file_name" not in item:
                raise DataError(f"{item['file_name']}: expected a label to score against, found none")
        if resize is not None and min(resize) < 1:
            raise DataError(f"resize: expected a width and a height of at least 1 pixel, found {resize}")
        self._items, self._resize, self._keep_aspect = items, resize, keep_aspect

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read an item. Raises `DataError`, also where label and image differ in size: scores must not skip images."""
        item = self._items[index]
        image, label = read_pair(item)
        return {
            "file_name": item["file_name"],
            "image_id": item["image_id"],
            "image": _tensor(_resized(image, self._resize, self._keep_aspect)),
            "label": torch.from_numpy(label),
        }


class UnlabelledSet(Dataset):
    """Whole images as training on the target scales them, without their labels, which are never opened.

    Item i is

        {"file_name": str, "image_id": str, "image": uint8 (3, h, w), RGB 0..255,
         "inside": bool (h, w), False in the margins of the view}
    """

    def __init__(self, items: Sequence[dict[str, Any]], view: Framing) -> None:
        """`items` are in detectron2's form; of `view` its size and margins count, not its crop."""
        self._items, self._view = items, view

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read an image. Raises `DataError` where it cannot be read."""
        item = self._items[index]
        image = _resized(read_image(item["file_name"]), self._view.resize, keep_aspect=True)
        return {
            "file_name": item["file_name"],
            "image_id": item["image_id"],
            "image": _tensor(image),
            "inside": torch.from_numpy(self._view.inside_margins(*image.shape[:2]).astype(bool)),
        }


def _resized(image: np.ndarray, resize: tuple[int, int] | None, keep_aspect: bool) -> np.ndarray:
    if resize is None:
        return image
    height, width = image.shape[:2]
    size = fitted(width, height, *resize) if keep_aspect else resize
    return resizing(width, height, *size).apply_image(image)


def _tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) -> (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
