"""How data sets store classes: from the ids in their files to train ids.

Source of the ids: `cityscapesscripts` for Cityscapes and GTA, the README of SYNTHIA-RAND-CITYSCAPES for SYNTHIA.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from cityscapesscripts.helpers.labels import labels as cityscapes_labels
from PIL import Image

from datasets.classes.label_space import CITYSCAPES

IGNORE = 255
"""Train id of pixels that neither teach nor count."""

UNKNOWN = 254
"""Entry of a look-up table for an id that its data set does not define."""

GREY, SYNTHIA = "grey", "synthia"
"""How a file stores ids: in 8 bits a pixel, or in the first of three channels of 16 bits."""


@dataclass(frozen=True)
class LabelEncoding:
    """How labels store classes: which id in a file is which train id.

    Equal where it is the same mapping, and hashed: labels of one encoding share a look-up table.

    Attributes:
        storage: `GREY` or `SYNTHIA`.
        train_ids: pairs of a stored id, 0..255, and its train id or `IGNORE`, by stored id.
        others: what all ids that are not in it become; `UNKNOWN`: an error where one is read.
        name: of one that ships; "" for a user's own mapping.
    """

    storage: str
    train_ids: tuple[tuple[int, int], ...]
    others: int = UNKNOWN
    name: str = ""

    @classmethod
    def of(cls, storage: str, train_ids: Mapping[int, int], others: int = UNKNOWN, name: str = "") -> LabelEncoding:
        """The encoding of a mapping in any order."""
        return cls(storage, tuple(sorted(train_ids.items())), others, name)

    def __str__(self) -> str:
        """The name, or the mapping in words: ``grey 7=0 8=1 *=254``."""
        words = [f"{stored}={train_id}" for stored, train_id in self.train_ids]
        return self.name or " ".join((self.storage, *words, f"*={self.others}"))

    @property
    def table(self) -> np.ndarray:
        """The look-up table, uint8 (256,): stored id -> train id, `IGNORE`, or `UNKNOWN`."""
        return _table(self)


@lru_cache
def _table(encoding: LabelEncoding) -> np.ndarray:
    table = np.full(256, encoding.others, dtype=np.uint8)
    for stored, train_id in encoding.train_ids:
        table[stored] = train_id
    table.flags.writeable = False
    return table


def ids_in(label: np.ndarray) -> list[int]:
    """The train ids in a label, uint8 (H, W), in order, 255 included: a fifth of the time of sorting all pixels."""
    return [train_id for train_id, count in enumerate(Image.fromarray(label).histogram()) if count]


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

LABEL_IDS = LabelEncoding.of(GREY, _label_ids(), name="label-ids")
"""Cityscapes ids: Cityscapes, GTA, Synscapes."""

SYNTHIA_IDS = LabelEncoding.of(
    SYNTHIA,
    dict.fromkeys(_SYNTHIA_VOID, IGNORE)
    | {stored: CITYSCAPES.names.index(name) for name, stored in _SYNTHIA_CLASSES.items()},
    name="synthia",
)
"""SYNTHIA-RAND-CITYSCAPES."""

TRAIN_IDS = LabelEncoding.of(
    GREY, {IGNORE: IGNORE} | {train_id: train_id for train_id in range(len(CITYSCAPES.names))}, name="train-ids"
)
"""ACDC, Dark Zurich, BDD100K, MUSES."""

URBANSYN_IDS = LabelEncoding.of(GREY, dict(TRAIN_IDS.train_ids) | {19: IGNORE}, name="urbansyn")
"""UrbanSyn: train ids, and 19 for what has none (its README; tue-mps/vfm-uda-plusplus reads it so, too)."""

WILDDASH_IDS = LabelEncoding.of(GREY, _label_ids(), others=IGNORE, name="wilddash-2")
"""WildDash 2: Cityscapes ids, and further ones from 34 on (pickup, van, billboard, street light, road marking), which
count for nothing, as in VFM-UDA's scores (tue-mps/vfm-uda)."""
