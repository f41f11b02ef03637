"""From a config to the images of a run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog

import datasets.streets
from datasets.augmentation import View
from datasets.catalog import register
from datasets.errors import DataError
from datasets.evaluation_set import EvaluationSet
from datasets.pairs import PairedBatches
from methods.recipes import Recipe


def data_root(cfg: CfgNode, progress: Callable[[int, int], None] | None = None) -> Path:
    """The folder that the protocol's data sets lie in; the embedded benchmark is drawn into a cache first if absent.

    Raises:
        DataError: neither --data-root nor $DETECTRON2_DATASETS says where to look.
    """
    streets = cfg.DATA.STREETS
    if streets.SOURCE_IMAGES:
        return datasets.streets.cached(
            _cache(),
            size=tuple(streets.SIZE),
            source_images=streets.SOURCE_IMAGES,
            target_images=streets.TARGET_IMAGES,
            val_images=streets.VAL_IMAGES,
            seed=streets.SEED,
            progress=progress,
        )
    root = cfg.DATA.ROOT or os.environ.get("DETECTRON2_DATASETS", "")
    if not root:
        raise DataError(f"protocol {cfg.PROTOCOL} reads data from disk: give --data-root or set $DETECTRON2_DATASETS")
    return Path(root)


def _cache() -> Path:
    """$SEGSHIFT_CACHE, else segshift/ in the user's cache folder."""
    if own := os.environ.get("SEGSHIFT_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "segshift"


def training_set(cfg: CfgNode, recipe: Recipe, root: Path) -> PairedBatches:
    """The batches of a recipe: labelled images, and target images where the recipe has a teacher."""
    crop, flip = tuple(cfg.INPUT.CROP), cfg.INPUT.FLIP
    source_view = View(_size(cfg.INPUT.SOURCE_RESIZE), crop, flip, cfg.INPUT.MAX_CLASS_SHARE)
    target_view = View(_size(cfg.INPUT.TARGET_RESIZE), crop, flip)
    if recipe.oracle:  # the target's labelled images take the source's place, at the target's own size
        labelled, source_view = cfg.DATA.TARGET, View(target_view.resize, crop, flip, cfg.INPUT.MAX_CLASS_SHARE)
    else:
        labelled = cfg.DATA.SOURCE
    return PairedBatches(
        _records(cfg, labelled, root, labelled=True),
        _records(cfg, cfg.DATA.TARGET, root, labelled=False) if recipe.host.teacher else None,
        source_view=source_view,
        target_view=target_view if recipe.host.teacher else None,
        batch_size=cfg.SOLVER.BATCH,
        seed=cfg.SEED,
    )


def validation_set(cfg: CfgNode, root: Path) -> EvaluationSet:
    """The target's validation images with their labels."""
    return EvaluationSet(_records(cfg, cfg.DATA.VAL, root, labelled=True), _size(cfg.TEST.RESIZE))


def check_data(cfg: CfgNode, recipe: Recipe) -> None:
    """Find what is missing before anything is trained. Raises DataError."""
    root = data_root(cfg)
    training_set(cfg, recipe, root)
    validation_set(cfg, root)


def _records(cfg: CfgNode, node: CfgNode, root: Path, labelled: bool) -> list[dict[str, Any]]:
    name = f"{cfg.PROTOCOL}_{node.FOLDER}_{node.SPLIT}" + ("" if labelled else "_unlabelled")
    return DatasetCatalog.get(register(name, node.LAYOUT, root / node.FOLDER, node.SPLIT, labelled))


def _size(size: tuple[int, ...]) -> tuple[int, int] | None:
    return (size[0], size[1]) if size else None
