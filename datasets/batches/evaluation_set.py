"""The images that a run is measured on: scored against labels at their own resolution, or without labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Dataset

from datasets.base.errors import DataError
from datasets.base.framing import Framing
from datasets.batches.cache import Decoded
from datasets.batches.resized_files import ResizedFiles
from datasets.files.reading import read_image, read_pair

Fit = Callable[[int, int, int, int], tuple[int, int]]
"""Width and height of an image and of a box -> (width, height) that it is resized to: `framing.fitted`."""


class EvaluationSet(Dataset):
    """Labelled images as detectron2's evaluators take them.

    Item i (which a loader of batch size 1 hands over in a list) is

        {"file_name": str, "image_id": str, "image": uint8 (3, h, w), RGB 0..255,
         "label": uint8 (H, W), train ids 0..K-1 or 255}

    The image is resized bilinearly to exactly `resize`, (width, height), to the size that `fit` makes of it (`fitted`,
    as training images are, or `by_short_side`), or left as it is with None; the label never, since scores are of the
    label's own resolution (prediction upsampled, as published).
    """

    def __init__(
        self,
        items: Sequence[dict[str, Any]],
        resize: tuple[int, int] | None,
        fit: Fit | None = None,
        resized: ResizedFiles | None = None,
    ) -> None:
        """`items` are labelled, in detectron2's form; `resized` keeps resized images on disk, where it is given.

        Raises `DataError` if there are none or one lacks its label.
        """
        if not items:
            raise DataError("evaluation set: expected at least one image, found none")
        for item in items:
            if "sem_seg_file_name" not in item:
                raise DataError(f"{item['file_name']}: expected a label to score against, found none")
        if resize is not None and min(resize) < 1:
            raise DataError(f"resize: expected a width and a height of at least 1 pixel, found {resize}")
        self._items, self._resize, self._fit, self._resized = items, resize, fit, resized

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read an item. Raises `DataError`, also where label and image differ in size: scores must not skip images."""
        item = self._items[index]
        if self._resized is None:
            image, label = self._read(item)
        else:
            image, label = self._resized.get(item, True, lambda: self._read(item))
        assert label is not None
        return {
            "file_name": item["file_name"],
            "image_id": item["image_id"],
            "image": _tensor(image),
            "label": torch.from_numpy(label),
        }

    def _read(self, item: dict[str, Any]) -> Decoded:
        return read_pair(item, self._size)

    def _size(self, width: int, height: int) -> tuple[int, int]:
        if self._resize is None:
            return width, height
        return self._resize if self._fit is None else self._fit(width, height, *self._resize)


class JoinedSet(EvaluationSet):
    """Several sets as one, in their order: each scales its images in its own way."""

    def __init__(self, parts: Sequence[EvaluationSet]) -> None:
        """`parts`: at least one."""
        self._joined: ConcatDataset[dict[str, Any]] = ConcatDataset(parts)

    def __len__(self) -> int:
        return len(self._joined)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read an item, as its set does."""
        return self._joined[index]


class UnlabelledSet(Dataset):
    """Whole images as training on the target scales them, without their labels, which are never opened.

    Item i is

        {"file_name": str, "image_id": str, "image": uint8 (3, h, w), RGB 0..255,
         "inside": bool (h, w), False in the margins of the view}
    """

    def __init__(self, items: Sequence[tuple[dict[str, Any], Framing]]) -> None:
        """`items` are in detectron2's form, each with its view, of which size and margins count, not the crop."""
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Read an image. Raises `DataError` where it cannot be read."""
        item, view = self._items[index]
        image = read_image(item["file_name"], resize=view.seen)
        return {
            "file_name": item["file_name"],
            "image_id": item["image_id"],
            "image": _tensor(image),
            "inside": torch.from_numpy(view.inside_margins(*image.shape[:2]).astype(bool)),
        }


def _tensor(image: np.ndarray) -> torch.Tensor:
    """(H, W, 3) -> (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
