"""Which classes a data set's labels have at all, and which ids its files hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets.checks.class_pixels import Shown, class_pixels, quiet
from datasets.checks.file_checks import stored_pixels
from datasets.files.reading import read_label

_LOOKED_AT = 256  # labels, before all are counted


def spread(items: Sequence[Any], most: int) -> list[Any]:
    """Choose at most ``most`` of the items, evenly spaced."""
    count = min(len(items), most)
    return [items[i * len(items) // count] for i in range(count)]


def absent_classes(
    items: Sequence[dict[str, Any]], wanted: Sequence[int], classes: int, *, cache: Path, shown: Shown = quiet
) -> list[int]:
    """The ``wanted`` train ids of which no label has a pixel, of `classes` in all.

    Some labels, spread over the list, show all classes of most data sets; where they do not, the pixels of all labels
    are counted (and the counts kept, `class_pixels.class_pixels`).
    Raises `DataError` for a label that cannot be read.
    """
    missing = set(wanted)
    for item in spread(items, _LOOKED_AT):
        missing -= set(np.unique(read_label(item["sem_seg_file_name"], item["label_encoding"])).tolist())
        if not missing:
            return []
    if len(items) > _LOOKED_AT:
        counted = class_pixels(items, classes, cache=cache, shown=shown).sum(axis=0)
        missing = {train_id for train_id in missing if not counted[train_id]}
    return sorted(missing)


def ids_found(items: Sequence[dict[str, Any]]) -> str:
    """The ids in some of the files, spread over the list, as text for a message."""
    seen = spread(items, _LOOKED_AT)
    ids = sorted({i for item in seen for i in stored_pixels(item["sem_seg_file_name"], item["label_encoding"])})
    return f"{', '.join(map(str, ids))} in {len(seen)} of {len(items)} labels"
