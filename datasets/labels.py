"""How data sets store classes: tables from the ids in their files to train ids.

Source of the ids: `cityscapesscripts` for Cityscapes and GTA, the README of SYNTHIA-RAND-CITYSCAPES for SYNTHIA.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from cityscapesscripts.helpers.labels import labels as cityscapes_labels

from datasets.errors import unknown_name
from datasets.label_space import CITYSCAPES

IGNORE = 255
"""Train id of pixels that neither teach nor count."""

UNKNOWN = 254
"""Entry of a look-up table for an id that its data set does not define."""

GREY, SYNTHIA = "grey", "synthia"
"""How a file stores ids: in 8 bits a pixel, or in the first of three channels of 16 bits."""


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
        | {stored: CITYSCAPES.names.index(name) for name, stored in _SYNTHIA_CLASSES.items()}
    ),
    "train-ids": _table({IGNORE: IGNORE} | {train_id: train_id for train_id in range(len(CITYSCAPES.names))}),
}
"""Name of a label encoding -> uint8 table of 256 entries: stored id -> train id 0..18, `IGNORE`, or `UNKNOWN`.

`label-ids`: Cityscapes ids (Cityscapes, GTA). `synthia`: SYNTHIA-RAND-CITYSCAPES. `train-ids`: ACDC, Dark Zurich.
"""


def own_encoding(storage: str, train_ids: Mapping[int, int], others: int = UNKNOWN) -> str:
    """The encoding of labels whose ids a user maps, in text, so that the items of a data set stay plain.

    `storage`: `GREY` or `SYNTHIA`. `train_ids`: stored id, 0..255, -> train id or `IGNORE`. `others`: what all ids that
    are not in it become; `UNKNOWN`: an error where one is read. The same mapping gives the same text.
    """
    words = [f"{stored}={train_id}" for stored, train_id in sorted(train_ids.items())]
    return " ".join((storage, *words, f"*={others}"))


@lru_cache
def train_id_table(encoding: str) -> np.ndarray:
    """The look-up table, uint8 (256,), of an encoding: a name in `TRAIN_ID_TABLES`, or what `own_encoding` gave.

    Raises `DataError` for another name.
    """
    if encoding in TRAIN_ID_TABLES:
        return TRAIN_ID_TABLES[encoding]
    storage, _, words = encoding.partition(" ")
    if storage not in (GREY, SYNTHIA) or not words:
        raise unknown_name("label encoding", encoding, TRAIN_ID_TABLES)
    entries = dict(word.split("=") for word in words.split())
    others = int(entries.pop("*"))
    return _table(dict.fromkeys(range(256), others) | {int(stored): int(to) for stored, to in entries.items()})


def storage_of(encoding: str) -> str:
    """How the files of an encoding store ids: `GREY` or `SYNTHIA`."""
    return SYNTHIA if encoding.partition(" ")[0] == SYNTHIA else GREY
