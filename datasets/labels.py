"""Label spaces: the 19 Cityscapes classes, the subsets that are scored, and the id tables of the data sets.

Source of the classes: Cordts et al., The Cityscapes Dataset (CVPR 2016), by way of `cityscapesscripts`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from cityscapesscripts.helpers.labels import labels as cityscapes_labels

IGNORE = 255
"""Train id of pixels that neither teach nor count."""

UNKNOWN = 254
"""Entry of a look-up table for an id that its data set does not define."""

_SCORED = sorted((label for label in cityscapes_labels if 0 <= label.trainId < IGNORE), key=lambda label: label.trainId)

CLASS_NAMES: tuple[str, ...] = tuple(label.name for label in _SCORED)
"""Name of each train id, 0..18."""

CLASS_COLOURS: tuple[tuple[int, int, int], ...] = tuple(tuple(label.color) for label in _SCORED)
"""RGB colour of each train id, each value 0..255."""


def _train_ids_without(*names: str) -> tuple[int, ...]:
    return tuple(train_id for train_id, name in enumerate(CLASS_NAMES) if name not in names)


CLASS_SETS: Mapping[int, tuple[int, ...]] = {
    19: _train_ids_without(),
    16: _train_ids_without("terrain", "truck", "train"),
    13: _train_ids_without("terrain", "truck", "train", "wall", "fence", "pole"),
}
"""Train ids that a score averages over, by their number: 19 from GTA; from SYNTHIA, which lacks three, 16 or, without
the thin and rare ones as in earlier papers, 13."""


def _table(train_ids: Mapping[int, int]) -> np.ndarray:
    table = np.full(256, UNKNOWN, dtype=np.uint8)
    for stored, train_id in train_ids.items():
        table[stored] = train_id
    table.flags.writeable = False
    return table


def _label_ids() -> dict[int, int]:
    ids = {
        label.id: label.trainId if 0 <= label.trainId < IGNORE else IGNORE
        for label in cityscapes_labels
        if label.id >= 0
    }
    # Cityscapes gives the licence plate the id -1, which is 255 in a byte; GTA stores it as 34.
    return {**ids, 34: IGNORE, 255: IGNORE}


# Ids of SYNTHIA-RAND-CITYSCAPES (Ros et al., CVPR 2016; its README) in their Cityscapes classes, as in the published
# conversions. Terrain, truck and train are defined there although the pictures hold none of them.
_SYNTHIA_CLASSES = {
    "sky": 1, "building": 2, "road": 3, "sidewalk": 4, "fence": 5, "vegetation": 6, "pole": 7, "car": 8,
    "traffic sign": 9, "person": 10, "bicycle": 11, "motorcycle": 12, "traffic light": 15, "terrain": 16, "rider": 17,
    "truck": 18, "bus": 19, "train": 20, "wall": 21,
}  # fmt: skip
_SYNTHIA_VOID = (0, 13, 14, 22)  # void, parking slot, road work, lane marking

TRAIN_ID_TABLES: Mapping[str, np.ndarray] = {
    "label-ids": _table(_label_ids()),
    "synthia": _table(
        dict.fromkeys(_SYNTHIA_VOID, IGNORE)
        | {stored: CLASS_NAMES.index(name) for name, stored in _SYNTHIA_CLASSES.items()}
    ),
    "train-ids": _table({IGNORE: IGNORE} | {train_id: train_id for train_id in range(len(CLASS_NAMES))}),
}
"""Label encoding -> uint8 table of 256 entries: stored id -> train id 0..18, `IGNORE`, or `UNKNOWN`.

`label-ids`: Cityscapes ids (Cityscapes, GTA). `synthia`: SYNTHIA-RAND-CITYSCAPES. `train-ids`: ACDC, Dark Zurich.
"""
