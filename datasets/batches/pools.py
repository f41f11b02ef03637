"""One domain's images out of several data sets: which data set, and which image of it, comes at which position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from datasets.base.errors import DataError
from datasets.base.framing import Framing
from datasets.base.randomness import keyed_rng
from datasets.batches.rare_classes import RareClassSampler
from datasets.batches.resized_files import ResizedFiles

_BLOCK = 512  # positions whose data sets one generator draws


@dataclass(frozen=True, eq=False)
class Pool:
    """The images of one data set in training.

    Attributes:
        items: in detectron2's form (`layouts.Layout.scan`).
        view: what is seen of each.
        weight: above 0; beside those of the domain's other pools, how often an image is of this one.
        rare_classes: of these images, where they are drawn for a class.
        resized: keeps images on disk as they are after resizing, where it is given.
    """

    items: Sequence[dict[str, Any]]
    view: Framing
    weight: float = 1.0
    rare_classes: RareClassSampler | None = None
    resized: ResizedFiles | None = None


class PoolOrder:
    """Which image of which pool comes at a position, counted from 0 over all batches: a function of the key alone.

    The pool is drawn by weight. Within an epoch of a pool each of its images comes once, in an order drawn per epoch;
    epochs of a pool run on over the positions that are its own.
    """

    def __init__(self, seed: int, name: str, sizes: Sequence[int], weights: Sequence[float]) -> None:
        """Take the domain's ``name``, which is in all keys. Raises `DataError` for an empty pool or a bad weight."""
        for size, weight in zip(sizes, weights, strict=True):
            if size < 1:
                raise DataError(f"{name}: expected at least one image, found none")
            if not 0 < weight < np.inf:
                raise DataError(f"{name}: weight is {weight}, expected a number above 0")
        self._seed, self._name, self._sizes = seed, name, list(sizes)
        self._shares = np.array(weights) / sum(weights)
        self._blocks: list[np.ndarray] = []  # pools of the positions of each block
        self._before = [np.zeros(len(sizes), np.int64)]  # positions of each pool before each block
        self._orders: dict[int, tuple[int, np.ndarray]] = {}  # by pool, of the epoch that was last asked for

    def pool(self, position: int) -> int:
        """The pool of a position."""
        return self._pool_and_place(position)[0]

    def image(self, position: int) -> int:
        """The place of a position's image in its pool."""
        pool, place = self._pool_and_place(position)
        epoch, within = divmod(place, self._sizes[pool])
        known = self._orders.get(pool)
        if known is None or known[0] != epoch:
            # The first pool's key is that of a domain with one.
            rng = keyed_rng(self._seed, f"{self._name}-order", epoch, *([pool] if pool else []))
            known = self._orders[pool] = epoch, rng.permutation(self._sizes[pool])
        return int(known[1][within])

    def _pool_and_place(self, position: int) -> tuple[int, int]:
        """The pool of a position, and how many positions before it are of that pool."""
        if len(self._sizes) == 1:
            return 0, position
        number, within = divmod(position, _BLOCK)
        while len(self._blocks) <= number:  # some 30 microseconds each, in each process
            rng = keyed_rng(self._seed, f"{self._name}-pool", len(self._blocks))
            block = rng.choice(len(self._shares), size=_BLOCK, p=self._shares)
            self._blocks.append(block.astype(np.uint8))
            self._before.append(self._before[-1] + np.bincount(block, minlength=len(self._sizes)))
        block = self._blocks[number]
        pool = int(block[within])
        return pool, int(self._before[number][pool] + np.count_nonzero(block[:within] == pool))
