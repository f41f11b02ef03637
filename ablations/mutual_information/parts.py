"""Samples in three parts that have no image in common: to fit on, to choose by, and to measure on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")
S = TypeVar("S")

FIT, TUNE, HELD_OUT = range(3)


@dataclass(frozen=True, eq=False)
class Parts(Generic[T]):
    """One thing of each part. Nothing that is measured is of what was fitted or chosen by."""

    fit: T
    tune: T
    held_out: T

    def map(self, make: Callable[[T], S]) -> Parts[S]:
        """What ``make`` makes of each part."""
        return Parts(make(self.fit), make(self.tune), make(self.held_out))


def part_of_images(images: int, random: np.random.Generator) -> np.ndarray:
    """(images,) of FIT, TUNE and HELD_OUT in random order: half is held out, a quarter of the rest to choose by."""
    held_out = images // 2
    tune = max(1, (images - held_out) // 4)
    parts = np.repeat([FIT, TUNE, HELD_OUT], [images - held_out - tune, tune, held_out])
    return random.permutation(parts)


def split(samples: np.ndarray, parts: np.ndarray) -> Parts[np.ndarray]:
    """The samples (N, ...) whose part (N,) is each of the three."""
    return Parts(*(samples[parts == part] for part in (FIT, TUNE, HELD_OUT)))
