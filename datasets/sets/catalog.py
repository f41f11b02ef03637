"""Registering the data sets of a run with detectron2's catalogs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from datasets.classes.label_space import LabelSpace
from datasets.classes.labels import IGNORE


def register(name: str, scan: Callable[[], list[dict[str, Any]]], space: LabelSpace) -> str:
    """Register a data set as `name`, replacing what had that name, and return `name`.

    `scan` gives its items (`layouts.Layout.scan` and its like); it is called when `DatasetCatalog.get(name)` asks for
    them, and what is wrong with the files is raised then.
    The metadata is what detectron2's Visualizer and its evaluators of semantic segmentation read.
    """
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
    if name in MetadataCatalog:  # metadata cannot be changed once set
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, scan)
    MetadataCatalog.get(name).set(
        stuff_classes=list(space.names),
        stuff_colors=[list(colour) for colour in space.colours],
        ignore_label=IGNORE,
        evaluator_type="sem_seg",
    )
    return name
