"""Label spaces: the classes that a benchmark tells apart, and which of them a score averages over.

Source of the Cityscapes classes: Cordts et al., The Cityscapes Dataset (CVPR 2016), by way of `cityscapesscripts`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cityscapesscripts.helpers.labels import labels as _cityscapes_labels

from datasets.base.errors import DataError, unknown_name

Colour = tuple[int, int, int]

MOST_CLASSES = 254
"""Classes that fit in a byte beside the values for ignored and for undefined pixels."""

RESERVED = ("ignore", "others")
"""Words with a meaning of their own where stored ids are mapped to classes."""


@dataclass(frozen=True)
class LabelSpace:
    """The classes of a benchmark; a class is known by its train id, its place in `names`.

    `names`: one a class, each once. `colours`: RGB, 0..255, one a class. `class_sets`: the train ids that an mIoU
    averages over, by their number; the largest first. `things`: train ids of countable objects (DAFormer's feature
    distance looks at them alone).
    Raises `DataError` naming the key of a protocol, DATA.CLASSES or DATA.COLOURS, that is wrong.
    """

    names: tuple[str, ...]
    colours: tuple[Colour, ...]
    class_sets: Mapping[int, tuple[int, ...]]
    things: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 2 <= len(self.names) <= MOST_CLASSES:
            raise DataError(f"DATA.CLASSES: expected 2 to {MOST_CLASSES} class names, found {len(self.names)}")
        for name in self.names:
            if not name.strip() or name in RESERVED:
                raise DataError(f"DATA.CLASSES: {name!r} cannot be the name of a class, expected another word")
            if self.names.count(name) > 1:
                raise DataError(f"DATA.CLASSES: {name!r} is named twice, expected each class once")
        if len(self.colours) != len(self.names):
            raise DataError(f"DATA.COLOURS: expected {len(self.names)} colours, one a class, found {len(self.colours)}")

    def index(self, name: str, key: str) -> int:
        """The train id of a class; an unknown name raises `DataError` that begins with the config's `key`."""
        if name not in self.names:
            raise DataError(f"{key}: {unknown_name('class', name, self.names)}")
        return self.names.index(name)


def own_space(names: Sequence[str], colours: Sequence[str], things: Sequence[str]) -> LabelSpace:
    """The label space of a user's own data, scored over all its classes.

    `colours`: "#rrggbb" or "rrggbb", one a class; none: those of `palette`. `things`: names out of `names`.
    Raises `DataError` naming DATA.CLASSES, DATA.COLOURS or DATA.THINGS and what was expected.
    """
    rgb = tuple(_rgb(text) for text in colours) if colours else palette(len(names))
    space = LabelSpace(tuple(names), rgb, {len(names): tuple(range(len(names)))})
    indices = {space.index(name, "DATA.THINGS") for name in things}
    return LabelSpace(space.names, space.colours, space.class_sets, tuple(sorted(indices)))


def palette(classes: int) -> tuple[Colour, ...]:
    """Distinct colours for so many classes: PASCAL VOC's (its devkit's colour map) without its black background."""

    def channel(index: int, first: int) -> int:
        """Every third bit of the index, from `first`, the lowest becoming the highest of the colour."""
        return sum(((index >> (first + 3 * bit)) & 1) << (7 - bit) for bit in range(3))

    return tuple((channel(index, 0), channel(index, 1), channel(index, 2)) for index in range(1, classes + 1))


def _rgb(text: str) -> Colour:
    if not re.fullmatch(r"#?[0-9a-fA-F]{6}", text):
        raise DataError(f"DATA.COLOURS: {text!r} is no colour, expected one such as '#804080'")
    value = int(text.lstrip("#"), 16)
    return value >> 16, (value >> 8) & 255, value & 255


def _cityscapes() -> LabelSpace:
    scored = [label for label in _cityscapes_labels if 0 <= label.trainId < 255]
    scored.sort(key=lambda label: label.trainId)
    names = tuple(label.name for label in scored)

    def without(*left_out: str) -> tuple[int, ...]:
        return tuple(train_id for train_id, name in enumerate(names) if name not in left_out)

    sets = {
        19: without(),
        16: without("terrain", "truck", "train"),
        13: without("terrain", "truck", "train", "wall", "fence", "pole"),
    }
    things = ("traffic light", "traffic sign")
    countable = tuple(label.trainId for label in scored if label.hasInstances or label.name in things)
    return LabelSpace(names, tuple(tuple(label.color) for label in scored), sets, countable)


CITYSCAPES = _cityscapes()
"""The 19 classes. Class sets: 19; from SYNTHIA, which lacks three, 16 or, without the thin and rare ones as in earlier
papers, 13. Things: traffic light and sign, person, rider and vehicles, as DAFormer's feature distance has them (ids 6,
7 and 11 to 18; Hoyer et al., CVPR 2022, section 3.3; Cityscapes itself counts no lights and signs)."""
