"""Registering a data set on disk with detectron2's catalogs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from datasets.errors import unknown_name
from datasets.labels import CLASS_COLOURS, CLASS_NAMES, IGNORE
from datasets.layouts import LAYOUTS


def register(name: str, layout: str, folder: Path, split: str, labelled: bool = True) -> str:
    """Register `split` of the data set in `folder` as `name`, replacing what had that name, and return `name`.

    `layout` is a key of `layouts.LAYOUTS`; another raises `DataError`. The folder is read when
    `DatasetCatalog.get(name)` asks for it, and what is wrong with it is raised then (`layouts.Layout.scan`).
    The metadata is what detectron2's Visualizer and its evaluators of semantic segmentation read.
    """
    if layout not in LAYOUTS:
        raise unknown_name("data set layout", layout, LAYOUTS)
    if name in DatasetCatalog:
        DatasetCatalog.remove(name)
    if name in MetadataCatalog:  # metadata cannot be changed once set
        MetadataCatalog.remove(name)
    DatasetCatalog.register(name, partial(LAYOUTS[layout].scan, Path(folder), split, labelled))
    MetadataCatalog.get(name).set(
        stuff_classes=list(CLASS_NAMES),
        stuff_colors=[list(colour) for colour in CLASS_COLOURS],
        ignore_label=IGNORE,
        evaluator_type="sem_seg",
    )
    return name
