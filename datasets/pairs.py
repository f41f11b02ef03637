"""Training batches: labelled source images paired with unlabelled target images, each batch a function of (seed, t)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from datasets.augmentation import Framing, Wanted, crop_and_flip, resizing, too_small
from datasets.cache import ArrayCache
from datasets.errors import DataError, SizeMismatch
from datasets.loading import in_order
from datasets.randomness import keyed_rng
from datasets.rare_classes import RareClassSampler
from datasets.reading import read_image, read_pair
from datasets.resized_files import ResizedFiles

_LOGGER = logging.getLogger(__name__)

Batch = dict[str, dict[str, torch.Tensor]]
Skipped = dict[str, str]

DRAWS = 20
"""Samples drawn for one place in a batch before sizes that disagree are an error."""


class LabelledTarget(NamedTuple):
    """Target images with their labels, and how many of them a batch has; `resized` as `PairedBatches` takes it."""

    items: Sequence[dict[str, Any]]
    view: Framing
    batch_size: int
    resized: ResizedFiles | None = None


class PairedBatches(Dataset):
    """Source and target images, batch by batch: item t is all of iteration t's, whatever was asked for before.

        {"source": {"images": uint8 (B, 3, H, W), RGB 0..255; "labels": uint8 (B, H, W), train ids or 255},
         "target": {"images": uint8 (B, 3, H, W); "valid": bool (B, H, W), False in the margins of the target's view},
         "labelled": as "source", of the target and with a B of its own}

    without "target" or "labelled" where `target` or `labelled` is None, and without "valid" where the view has no
    margins. Within an epoch of a domain each of its images comes once, in an order drawn per epoch; epochs run on
    across batches. With `rare_classes` a source image is drawn for a class instead (`rare_classes.RareClassSampler`),
    and its crop is drawn again while it shows too little of it. Each domain draws from generators of its own, keyed by
    (seed, what is drawn, iteration, index), so that changing one leaves the others' samples as they are.

    A labelled image whose label has another size is skipped with one warning a file, and another sample takes its
    place; where almost every one disagrees, that is a `DataError`. Labels of `target` are never opened.
    """

    def __init__(
        self,
        source: Sequence[dict[str, Any]],
        target: Sequence[dict[str, Any]] | None,
        *,
        source_view: Framing,
        target_view: Framing | None,
        batch_size: int,
        seed: int,
        rare_classes: RareClassSampler | None = None,
        cache_bytes: int = 512 * 2**20,
        rank: int = 0,
        ranks: int = 1,
        resized: tuple[ResizedFiles | None, ResizedFiles | None] = (None, None),
        labelled: LabelledTarget | None = None,
    ) -> None:
        """`source` and `target` are in detectron2's form (`layouts.Layout.scan`), `batch_size` is that of each of them.

        Of `ranks` processes that have a batch together the `rank`-th gets its images alone, in the batch's order.

        `cache_bytes` bounds the decoded and resized images kept in memory, over all workers; `resized` keeps those of
        source and target on disk, where it is given.
        Raises `DataError` for an empty domain, a labelled image without label, a target without view, `rare_classes` of
        another number of images, or a batch that is no multiple of `ranks`.
        """
        places = _Places.of(batch_size, rank, ranks)
        for domain, items in (("source", source), ("labelled target", labelled.items if labelled else [])):
            for item in items:
                if "sem_seg_file_name" not in item:
                    raise DataError(f"{item['file_name']}: expected a label, as of every {domain} image, found none")
        if (target is None) != (target_view is None):
            raise DataError("target and target_view: expected both or neither")
        if rare_classes is not None and rare_classes.images != len(source):
            raise DataError(f"rare_classes: expected one of {len(source)} source images, found {rare_classes.images}")
        cache = ArrayCache(cache_bytes)
        self._source = _Domain(
            "source", source, source_view, places, seed, cache, True, rare_classes=rare_classes, resized=resized[0]
        )
        self._target = None
        if target is not None and target_view is not None:
            self._target = _Domain("target", target, target_view, places, seed, cache, False, resized=resized[1])
        self._labelled = None
        if labelled is not None:
            of_it = _Places.of(labelled.batch_size, rank, ranks)
            self._labelled = _Domain(
                "labelled", labelled.items, labelled.view, of_it, seed, cache, True, resized=labelled.resized
            )
        self._reported: set[str] = set()

    def __getitem__(self, iteration: int) -> Batch:
        """The batch of iteration `iteration`, from 0. Raises `DataError` for files that cannot be used."""
        batch, skipped = self.load(iteration)
        self.report(skipped)
        return batch

    def load(self, iteration: int) -> tuple[Batch, Skipped]:
        """The batch, and the files skipped on the way with the reason, so that a worker's go to the main process."""
        if iteration < 0:
            raise IndexError(f"iterations count from 0, found {iteration}")
        skipped: Skipped = {}
        batch = {"source": self._source.batch(iteration, skipped)}
        if self._target is not None:
            batch["target"] = self._target.batch(iteration, skipped)
        if self._labelled is not None:
            batch["labelled"] = self._labelled.batch(iteration, skipped)
        return batch, skipped

    def target_labels(self, items: Sequence[dict[str, Any]]) -> Callable[[int], torch.Tensor | None]:
        """What gives the labels of an iteration's target images, uint8 (B, H, W), to be looked at: no batch has them.

        `items` are the target's own, with labels. None where the labels would make other crops of other images: one
        that does not fit its image.
        """
        assert self._target is not None and len(items) == len(self._target)
        labelled = self._target.labelled(items)

        def labels(iteration: int) -> torch.Tensor | None:
            skipped: Skipped = {}
            found = labelled.batch(iteration, skipped)
            return None if skipped else found["labels"]

        return labels

    def report(self, skipped: Skipped) -> None:
        """Warn of the skipped files that this data set has not yet warned of."""
        for file_name, reason in skipped.items():
            if file_name not in self._reported:
                self._reported.add(file_name)
                _LOGGER.warning("skipped %s", reason)


def batches(dataset: PairedBatches, start: int, stop: int, workers: int, pin_memory: bool) -> Iterator[Batch]:
    """The batches of iterations `start` to `stop` - 1 in order, the same ones for any number of workers.

    With 0 workers this process makes them. Workers use one thread each. A `DataError` of a worker is raised here.
    """
    for batch, skipped in in_order(dataset.load, range(start, stop), workers, pin_memory):
        dataset.report(skipped)
        yield batch


class _Places(NamedTuple):
    """The places of the `mine` images from `first` on, in a batch of `batch`."""

    batch: int
    first: int
    mine: int

    @classmethod
    def of(cls, batch_size: int, rank: int, ranks: int) -> _Places:
        """Return those of the `rank`-th of `ranks` processes. Raises `DataError` for a batch that they cannot share."""
        if batch_size < 1:
            raise DataError(f"batch_size: expected at least 1 image, found {batch_size}")
        if batch_size % ranks:
            raise DataError(f"batch_size: expected a multiple of the {ranks} processes, found {batch_size}")
        return cls(batch_size, rank * batch_size // ranks, batch_size // ranks)


class _Domain:
    """The images of one domain: which come when, and how they are seen."""

    def __init__(
        self,
        name: str,
        items: Sequence[dict[str, Any]],
        view: Framing,
        places: _Places,
        seed: int,
        cache: ArrayCache,
        labelled: bool,
        rare_classes: RareClassSampler | None = None,
        resized: ResizedFiles | None = None,
    ) -> None:
        if not items:
            raise DataError(f"{name}: expected at least one image, found none")
        self._name, self._items, self._view, self._places = name, items, view, places
        self._seed, self._cache, self._labelled, self._rare_classes = seed, cache, labelled, rare_classes
        self._resized = resized
        self._epoch, self._order = -1, np.empty(0, np.int64)
        self._mismatched: Skipped = {}

    def __len__(self) -> int:
        return len(self._items)

    def labelled(self, items: Sequence[dict[str, Any]]) -> _Domain:
        """The same images in the same crops, with labels; nothing is kept in memory."""
        return _Domain(self._name, items, self._view, self._places, self._seed, ArrayCache(0), labelled=True)

    def batch(self, iteration: int, skipped: Skipped) -> dict[str, torch.Tensor]:
        width, height = self._view.crop
        images = np.empty((self._places.mine, 3, height, width), np.uint8)
        labels = np.empty((self._places.mine, height, width), np.uint8)
        for row, i in enumerate(range(self._places.first, self._places.first + self._places.mine)):
            image, label, wanted = self._sample(iteration, i, skipped)
            if not self._labelled and any(self._view.margins):
                # The margins go through crop and flip as a label does; what is drawn is the same without them.
                label = self._view.inside_margins(*image.shape[:2])
            rng = keyed_rng(self._seed, f"{self._name}-view", iteration, i)
            image, label = crop_and_flip(self._view, image, label, rng, wanted)
            images[row] = image.transpose(2, 0, 1)
            if label is not None:
                labels[row] = label
        batch = {"images": torch.from_numpy(images)}
        if self._labelled:
            batch["labels"] = torch.from_numpy(labels)
        elif any(self._view.margins):
            batch["valid"] = torch.from_numpy(labels.astype(bool))
        return batch

    def _sample(self, iteration: int, i: int, skipped: Skipped) -> tuple[np.ndarray, np.ndarray | None, Wanted | None]:
        for attempt in range(DRAWS):
            index, wanted = self._drawn(iteration, i, attempt)
            file_name = self._items[index]["file_name"]
            if file_name not in self._mismatched:
                try:
                    return *self._fitted(index), wanted
                except SizeMismatch as mismatch:
                    self._mismatched[file_name] = str(mismatch)
            skipped[file_name] = self._mismatched[file_name]
        raise DataError(f"{skipped[file_name]}, and {DRAWS} {self._name} samples drawn in a row disagree in size")

    def _drawn(self, iteration: int, i: int, attempt: int) -> tuple[int, Wanted | None]:
        """The image for a place in a batch, in the `attempt`-th draw, and what its crop should show."""
        if self._rare_classes is not None:
            return self._rare_classes.draw(self._seed, iteration, i, attempt)
        if attempt == 0:
            return self._index(iteration * self._places.batch + i), None
        rng = keyed_rng(self._seed, f"{self._name}-redraw", iteration, i, attempt - 1)
        return int(rng.integers(len(self._items))), None

    def _index(self, position: int) -> int:
        epoch, place = divmod(position, len(self._items))
        if epoch != self._epoch:
            self._epoch = epoch
            self._order = keyed_rng(self._seed, f"{self._name}-order", epoch).permutation(len(self._items))
        return int(self._order[place])

    def _fitted(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        return self._cache.get((self._name, index), lambda: self._kept(self._items[index]))

    def _kept(self, item: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
        if self._resized is None:
            return self._read(item)
        return self._resized.get(item, self._labelled, lambda: self._read(item))

    def _read(self, item: dict[str, Any]) -> tuple[np.ndarray, np.ndarray | None]:
        def size(width: int, height: int) -> tuple[int, int]:
            if reason := too_small(self._view, width, height):
                raise DataError(f"{item['file_name']}: {reason}")
            return self._view.seen(width, height)

        if not self._labelled:
            return read_image(item["file_name"], resize=size), None
        image, label = read_pair(item, size)
        if label.shape != image.shape[:2]:
            (height, width), (new_height, new_width) = label.shape, image.shape[:2]
            label = resizing(width, height, new_width, new_height).apply_segmentation(label)
        return image, label
