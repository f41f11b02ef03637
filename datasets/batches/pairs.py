"""Training batches: labelled source images paired with unlabelled target images, each batch a function of (seed, t)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.utils.data import Dataset

from datasets.base.errors import DataError, SizeMismatch
from datasets.base.framing import Framing, too_small
from datasets.base.randomness import keyed_rng
from datasets.batches.augmentation import Wanted, crop_and_flip, resizing
from datasets.batches.cache import ArrayCache
from datasets.batches.loading import in_order
from datasets.batches.pools import Pool, PoolOrder
from datasets.files.reading import read_image, read_pair

_LOGGER = logging.getLogger(__name__)

Batch = dict[str, dict[str, torch.Tensor]]
Skipped = dict[str, str]

DRAWS = 20
"""Samples drawn for one place in a batch before sizes that disagree are an error."""


class LabelledTarget(NamedTuple):
    """Target images with their labels, and how many of them a batch has."""

    pools: Sequence[Pool]
    batch_size: int


class PairedBatches(Dataset):
    """Source and target images, batch by batch: item t is all of iteration t's, whatever was asked for before.

        {"source": {"images": uint8 (B, 3, H, W), RGB 0..255; "labels": uint8 (B, H, W), train ids or 255},
         "target": {"images": uint8 (B, 3, H, W); "valid": bool (B, H, W), False in the margins of the target's view},
         "labelled": as "source", of the target and with a B of its own}

    without "target" or "labelled" where there is none, and without "valid" where no view has margins. A domain is one
    data set or several (`pools.Pool`), out of which the place in a batch is drawn by weight. Within an epoch of a data
    set each of its images comes once, in an order drawn per epoch; epochs run on across batches.
    With rare classes a source image is drawn for a class instead (`rare_classes.RareClassSampler`), and its crop is
    drawn again while it shows too little of it. Each domain draws from generators of its own, keyed by (seed, what is
    drawn, iteration, index), so that changing one leaves the others' samples as they are.

    A labelled image whose label has another size is skipped with one warning a file, and another sample takes its
    place; where almost every one disagrees, that is a `DataError`. Labels of `target` are never opened.
    """

    def __init__(
        self,
        source: Sequence[Pool],
        target: Sequence[Pool],
        *,
        batch_size: int,
        seed: int,
        cache_bytes: int = 512 * 2**20,
        rank: int = 0,
        ranks: int = 1,
        labelled: LabelledTarget | None = None,
    ) -> None:
        """`source` and `target` are of one data set or several; no `target`: none. `batch_size` is of each of them.

        Of `ranks` processes that have a batch together the `rank`-th gets its images alone, in the batch's order.

        `cache_bytes` bounds the decoded and resized images kept in memory, over all workers.
        Raises `DataError` for an empty pool, a labelled image without label, rare classes of another number of images,
        pools of a domain with crops of several sizes, or a batch that is no multiple of `ranks`.
        """
        places = _Places.of(batch_size, rank, ranks)
        for domain, pools in (("source", source), ("labelled target", labelled.pools if labelled else [])):
            for item in (item for pool in pools for item in pool.items):
                if "sem_seg_file_name" not in item:
                    raise DataError(f"{item['file_name']}: expected a label, as of every {domain} image, found none")
        for pool in source:
            if (rare := pool.rare_classes) is not None and rare.images != len(pool.items):
                raise DataError(f"rare_classes: expected one of {len(pool.items)} source images, found {rare.images}")
        cache = ArrayCache(cache_bytes)
        self._source = _Domain("source", source, places, seed, cache, labelled=True)
        self._target = _Domain("target", target, places, seed, cache, labelled=False) if target else None
        self._labelled = None
        if labelled is not None:
            of_it = _Places.of(labelled.batch_size, rank, ranks)
            self._labelled = _Domain("labelled", labelled.pools, of_it, seed, cache, labelled=True)
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

    def target_labels(self, items: Sequence[Sequence[dict[str, Any]]]) -> Callable[[int], torch.Tensor | None]:
        """What gives the labels of an iteration's target images, uint8 (B, H, W), to be looked at: no batch has them.

        `items` are the target's own, with labels, by pool. None where the labels would make other crops of other
        images: one that does not fit its image.
        """
        assert self._target is not None
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
        pools: Sequence[Pool],
        places: _Places,
        seed: int,
        cache: ArrayCache,
        labelled: bool,
    ) -> None:
        self._name, self.pools, self._places = name, tuple(pools), places
        self._seed, self._cache, self._labelled = seed, cache, labelled
        self._order = PoolOrder(seed, name, [len(pool.items) for pool in pools], [pool.weight for pool in pools])
        self._crop, *others = {pool.view.crop for pool in pools}
        if others:
            raise DataError(f"{name}: expected crops of one size, found {self._crop} and {others[0]}")
        self._margins = not labelled and any(any(pool.view.margins) for pool in pools)
        self._mismatched: Skipped = {}

    def labelled(self, items: Sequence[Sequence[dict[str, Any]]]) -> _Domain:
        """The same images in the same crops, with labels; nothing is kept in memory."""
        pools = [Pool(found, pool.view, pool.weight) for found, pool in zip(items, self.pools, strict=True)]
        assert [len(pool.items) for pool in pools] == [len(pool.items) for pool in self.pools]
        return _Domain(self._name, pools, self._places, self._seed, ArrayCache(0), labelled=True)

    def batch(self, iteration: int, skipped: Skipped) -> dict[str, torch.Tensor]:
        width, height = self._crop
        images = np.empty((self._places.mine, 3, height, width), np.uint8)
        labels = np.empty((self._places.mine, height, width), np.uint8)
        for row, i in enumerate(range(self._places.first, self._places.first + self._places.mine)):
            number = self._order.pool(iteration * self._places.batch + i)
            view = self.pools[number].view
            image, label, wanted = self._sample(number, iteration, i, skipped)
            if self._margins:
                # The margins go through crop and flip as a label does; what is drawn is the same without them.
                label = view.inside_margins(*image.shape[:2])
            rng = keyed_rng(self._seed, f"{self._name}-view", iteration, i)
            image, label = crop_and_flip(view, image, label, rng, wanted)
            images[row] = image.transpose(2, 0, 1)
            if label is not None:
                labels[row] = label
        batch = {"images": torch.from_numpy(images)}
        if self._labelled:
            batch["labels"] = torch.from_numpy(labels)
        elif self._margins:
            batch["valid"] = torch.from_numpy(labels.astype(bool))
        return batch

    def _sample(
        self, number: int, iteration: int, i: int, skipped: Skipped
    ) -> tuple[np.ndarray, np.ndarray | None, Wanted | None]:
        items = self.pools[number].items
        for attempt in range(DRAWS):
            index, wanted = self._drawn(number, iteration, i, attempt)
            file_name = items[index]["file_name"]
            if file_name not in self._mismatched:
                try:
                    return *self._fitted(number, index), wanted
                except SizeMismatch as mismatch:
                    self._mismatched[file_name] = str(mismatch)
            skipped[file_name] = self._mismatched[file_name]
        raise DataError(f"{skipped[file_name]}, and {DRAWS} {self._name} samples drawn in a row disagree in size")

    def _drawn(self, number: int, iteration: int, i: int, attempt: int) -> tuple[int, Wanted | None]:
        """The image for a place in a batch, in the `attempt`-th draw, and what its crop should show."""
        pool = self.pools[number]
        if pool.rare_classes is not None:
            return pool.rare_classes.draw(self._seed, iteration, i, attempt)
        if attempt == 0:
            return self._order.image(iteration * self._places.batch + i), None
        rng = keyed_rng(self._seed, f"{self._name}-redraw", iteration, i, attempt - 1)
        return int(rng.integers(len(pool.items))), None

    def _fitted(self, number: int, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        return self._cache.get((self._name, number, index), lambda: self._kept(self.pools[number], index))

    def _kept(self, pool: Pool, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        item = pool.items[index]
        if pool.resized is None:
            return self._read(item, pool.view)
        return pool.resized.get(item, self._labelled, lambda: self._read(item, pool.view))

    def _read(self, item: dict[str, Any], view: Framing) -> tuple[np.ndarray, np.ndarray | None]:
        def size(width: int, height: int) -> tuple[int, int]:
            if reason := too_small(view, width, height):
                raise DataError(f"{item['file_name']}: {reason}")
            return view.seen(width, height)

        if not self._labelled:
            return read_image(item["file_name"], resize=size), None
        image, label = read_pair(item, size)
        if label.shape != image.shape[:2]:
            (height, width), (new_height, new_width) = label.shape, image.shape[:2]
            label = resizing(width, height, new_width, new_height).apply_segmentation(label)
        return image, label
