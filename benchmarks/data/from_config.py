"""From a config to the images of a run."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Callable, Sequence
from itertools import repeat
from os.path import expanduser
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

import datasets.streets
from benchmarks.config.few_labels import KEY, check_few_labels, labelled_batch
from benchmarks.config.keys import SOURCES
from benchmarks.config.label_space import label_space, labelled_classes, roles_of
from benchmarks.config.ranges import scaled
from benchmarks.data.data_sets import Items, items
from datasets.base.errors import DataError
from datasets.base.framing import Framing, fitted
from datasets.batches.evaluation_set import EvaluationSet, JoinedSet, UnlabelledSet
from datasets.batches.pairs import LabelledTarget, PairedBatches
from datasets.batches.pools import Pool
from datasets.batches.rare_classes import RareClasses, RareClassSampler, of_label, union_shares
from datasets.batches.resized_files import Bytes, ResizedFiles
from datasets.checks.class_pixels import Shown, class_pixels, quiet
from datasets.checks.class_presence import spread
from datasets.files.reading import label_header
from datasets.sets.labelled_images import labelled_images
from methods.framework.recipes import Recipe

_LOGGER = logging.getLogger(__name__)


def data_root(cfg: CfgNode, progress: Callable[[int, int], None] | None = None) -> Path:
    """The folder that the protocol's data sets lie in; the embedded benchmark is drawn into a cache first if absent.

    Raises:
        DataError: the protocol ships, and neither --data-root nor $DETECTRON2_DATASETS says where to look.
    """
    streets = cfg.DATA.STREETS
    if streets.SOURCE_IMAGES:
        return datasets.streets.cached(
            cache_folder(),
            size=tuple(streets.SIZE),
            source_images=streets.SOURCE_IMAGES,
            target_images=streets.TARGET_IMAGES,
            val_images=streets.VAL_IMAGES,
            seed=streets.SEED,
            condition=streets.CONDITION,
            synthia_images=streets.SYNTHIA_IMAGES,
            progress=progress,
        )
    beside = str(Path(cfg.PROTOCOL_FILE).parent) if cfg.PROTOCOL_FILE else _environment("DETECTRON2_DATASETS")
    root = cfg.DATA.ROOT or beside
    if not root:
        raise DataError(f"protocol {cfg.PROTOCOL} reads data from disk: give --data-root or set $DETECTRON2_DATASETS")
    return Path(root)


def cache_folder() -> Path:
    """$SEGSHIFT_CACHE, else segshift/ in the user's cache folder."""
    if own := _environment("SEGSHIFT_CACHE"):
        return Path(own)
    return Path(_environment("XDG_CACHE_HOME") or Path.home() / ".cache") / "segshift"


def _environment(variable: str) -> str:
    """The path that an environment variable holds, "" for none. "~" is the home folder: shells leave it in quotes."""
    return expanduser(os.environ.get(variable, ""))  # noqa: PTH111 (pathlib's raises where there is no such user)


def training_set(cfg: CfgNode, recipe: Recipe, root: Path, shown: Shown = quiet) -> PairedBatches:
    """The batches of a recipe: labelled images, target images where it has a teacher, labelled ones where it has semi.

    ``shown`` tells how the counting of class pixels goes, where rare class sampling needs it and it was not yet done.
    """
    check_few_labels(cfg)
    few = None
    if recipe.few_labels:
        images, view = labelled_target(cfg, recipe, root), labelled_view(cfg, "TARGET")
        pool = Pool(images, view, resized=_kept_resized(cfg, images, view, 4))
        few = LabelledTarget([pool], labelled_batch(cfg))
    return PairedBatches(
        _source_pools(cfg, recipe, root, shown),
        _target_pools(cfg, root) if recipe.host.teacher else [],
        batch_size=cfg.SOLVER.BATCH,
        seed=cfg.SEED,
        rank=comm.get_rank(),
        ranks=comm.get_world_size(),
        labelled=few,
    )


def learned_roles(cfg: CfgNode, recipe: Recipe) -> list[str]:
    """The data sets that take the source's place: the sources, or the targets of the oracle.

    Where few target images are labelled, those of the first target are.
    """
    if not recipe.oracle:
        return roles_of(cfg, "SOURCE")
    return ["TARGET"] if cfg.DATA.LABELLED_TARGET else roles_of(cfg, "TARGET")


def labelled_target(cfg: CfgNode, recipe: Recipe, root: Path, role: str = "TARGET") -> Items:
    """The target images that a recipe learns from with their labels: those of DATA.LABELLED_TARGET, or all.

    Raises:
        DataError: a label that is not there, or a data set without labels; or more images wanted than there are.
    """
    try:
        found = items(cfg, role, root, labelled=True)
    except DataError as error:
        raise DataError(f"{recipe.name} learns from target labels, but {error}") from error
    amount = cfg.DATA.LABELLED_TARGET
    return labelled_images(found, amount, cfg.DATA.LABELLED_SEED, KEY) if amount else found


def learned_items(cfg: CfgNode, recipe: Recipe, role: str, root: Path) -> Items:
    """The images of one of `learned_roles` with their labels."""
    return labelled_target(cfg, recipe, root, role) if recipe.oracle else items(cfg, role, root, labelled=True)


def _source_pools(cfg: CfgNode, recipe: Recipe, root: Path, shown: Shown) -> list[Pool]:
    """The labelled images; of the oracle those of the target, at the target's own size."""
    roles = learned_roles(cfg, recipe)
    found = [_held_out(cfg, role, learned_items(cfg, recipe, role, root))[0] for role in roles]
    rare = _rare_classes(cfg, roles, found, shown) if cfg.SAMPLING.RARE_CLASSES else repeat(None)
    pools = []
    for role, images, sampler in zip(roles, found, rare, strict=False):
        view = labelled_view(cfg, role)
        pools.append(Pool(images, view, cfg.DATA[role].WEIGHT, sampler, _kept_resized(cfg, images, view, 4)))
    return pools


def _target_pools(cfg: CfgNode, root: Path) -> list[Pool]:
    pools = []
    for role in roles_of(cfg, "TARGET"):
        images, view = items(cfg, role, root, labelled=False), target_view(cfg, role)
        pools.append(Pool(images, view, cfg.DATA[role].WEIGHT, resized=_kept_resized(cfg, images, view, 3)))
    return pools


def _kept_resized(cfg: CfgNode, images: Items, view: Framing, channels: int) -> ResizedFiles | None:
    """The files of training images with so many ``channels``, the label's included; None where none are kept."""
    box = view.resize

    def size(width: int, height: int) -> int:
        return channels * math.prod((width, height) if box is None else fitted(width, height, *box))

    return _resized_files(cfg, images, f"fit {_sides(box)}", size)


def _resized_files(cfg: CfgNode, images: Items, rule: str, size: Bytes) -> ResizedFiles | None:
    """The files of resized images; None where none are kept. Raises DataError where there is no room for them."""
    if not cfg.DATA.CACHE_RESIZED:
        return None
    above = os.path.commonpath([Path(item["file_name"]).parent.absolute() for item in images])
    digest = hashlib.sha256(f"{above} {rule}".encode("utf-8", "surrogateescape")).hexdigest()[:8]
    kept = ResizedFiles(cache_folder() / "resized" / f"{Path(above).name}-{rule.replace(' ', '-')}-{digest}", rule)
    _LOGGER.info("%s", kept.told(images, size, f"resized images of {above}"))
    return kept


def _sides(size: tuple[int, int] | None) -> str:
    return "x".join(map(str, size)) if size else "as they are"


def target_labels(cfg: CfgNode, train: PairedBatches, root: Path) -> Callable[[int], torch.Tensor | None]:
    """What gives the labels (B, H, W) of an iteration's target images, None where they are not at hand or damaged.

    For LOG.IMAGES alone, which shows what pseudo-labels are worth: no training step sees them.
    """
    try:
        labels = train.target_labels([items(cfg, role, root, labelled=True) for role in roles_of(cfg, "TARGET")])
    except DataError:
        return lambda iteration: None

    def found(iteration: int) -> torch.Tensor | None:
        try:
            return labels(iteration)
        except DataError as error:
            _LOGGER.warning("LOG.IMAGES: %s", error)
            return None

    return found


def labelled_view(cfg: CfgNode, role: str) -> Framing:
    """How images are seen whose labels are learned from: of a source, or of a target by the oracle."""
    resize = cfg.INPUT.SOURCE_RESIZE if role in SOURCES else cfg.INPUT.TARGET_RESIZE
    size = scaled(tuple(resize), cfg.DATA[role].SCALE)
    return Framing(size, tuple(cfg.INPUT.CROP), cfg.INPUT.FLIP, cfg.INPUT.MAX_CLASS_SHARE)


def target_view(cfg: CfgNode, role: str) -> Framing:
    """How images of a target are seen without their labels."""
    node = cfg.DATA[role]
    margins = tuple(cfg.INPUT.TARGET_MARGINS) if node.MARGINS else (0, 0, 0)
    size = scaled(tuple(cfg.INPUT.TARGET_RESIZE), node.SCALE)
    return Framing(size, tuple(cfg.INPUT.CROP), cfg.INPUT.FLIP, margins=margins)


def _held_out(cfg: CfgNode, role: str, source: Items) -> tuple[Items, Items]:
    """The images that are trained on, and the last ones, which are not: of TEST.SOURCE_IMAGES those of this data set.

    The end of the list, not every n-th image: neighbouring frames of a drive would be on both sides. Of several data
    sets each has its part by weight.
    """
    roles, wanted = roles_of(cfg, "SOURCE"), cfg.TEST.SOURCE_IMAGES
    if wanted and role in roles:
        weights, place = [cfg.DATA[each].WEIGHT for each in roles], roles.index(role)
        before, after = (round(wanted * sum(weights[:count]) / sum(weights)) for count in (place, place + 1))
        wanted = after - before
    if wanted and wanted >= len(source):
        part = f", {wanted} of them of DATA.{role}" if len(roles) > 1 else ""
        raise DataError(
            f"TEST.SOURCE_IMAGES is {cfg.TEST.SOURCE_IMAGES}{part}, expected fewer than the {len(source)} images of "
            "the source, so that some are left to train on"
        )
    first = len(source) - wanted
    return source[:first], source[first:]


def _rare_classes(cfg: CfgNode, roles: Sequence[str], found: Sequence[Items], shown: Shown) -> list[RareClassSampler]:
    """A sampler for the images of each data set, by how rare classes are in all."""
    sampling, names = cfg.SAMPLING, label_space(cfg).names
    pixels = [class_pixels(images, len(names), cache=cache_folder(), shown=shown) for images in found]
    shares = None
    if len(roles) > 1:
        labelled = [labelled_classes(cfg, role) for role in roles]
        shares = union_shares(pixels, labelled, [cfg.DATA[role].WEIGHT for role in roles])
    samplers = []
    for images, counts in zip(found, pixels, strict=True):
        area = _label_area(images)
        least = of_label(sampling.MIN_PIXELS, area) if sampling.BY_AREA else sampling.MIN_PIXELS
        settings = RareClasses(sampling.TEMPERATURE, least, sampling.MIN_CROP_PIXELS)
        samplers.append(RareClassSampler(settings, counts, names, area, shares))
    return samplers


def _label_area(source: Items) -> float:
    """Pixels of a label: the median of some, spread over the list."""
    headers = [label_header(item["sem_seg_file_name"], item["label_encoding"]) for item in spread(source, 100)]
    return float(np.median([header.width * header.height for header in headers]))


def validation_set(cfg: CfgNode, root: Path) -> EvaluationSet:
    """The target's validation images with their labels."""
    images, exact = items(cfg, "VAL", root, labelled=True), _size(cfg.TEST.RESIZE)

    def size(width: int, height: int) -> int:
        return 3 * math.prod(exact or (width, height)) + width * height  # the label at its own size

    return EvaluationSet(images, exact, resized=_resized_files(cfg, images, f"exactly {_sides(exact)}", size))


def held_out_set(cfg: CfgNode, root: Path) -> EvaluationSet | None:
    """The source's images that are not trained on, scaled as in training, with labels; None: TEST.SOURCE_IMAGES is 0.

    Raises DataError where none is left to train on.
    """
    if not cfg.TEST.SOURCE_IMAGES:
        return None
    parts = []
    for role in roles_of(cfg, "SOURCE"):
        _, held_out = _held_out(cfg, role, items(cfg, role, root, labelled=True))
        if held_out:
            parts.append(EvaluationSet(held_out, labelled_view(cfg, role).resize, fitted))
    return parts[0] if len(parts) == 1 else JoinedSet(parts)


def confidence_set(cfg: CfgNode, root: Path) -> UnlabelledSet | None:
    """Images i * M // N of the target's M training images, i below N = TEST.CONFIDENCE_IMAGES; None where that is 0.

    Scaled as in training and without labels, which are not looked for. Raises DataError where there are fewer than N.
    """
    wanted = cfg.TEST.CONFIDENCE_IMAGES
    if not wanted:
        return None
    target = [
        (item, target_view(cfg, role))
        for role in roles_of(cfg, "TARGET")
        for item in items(cfg, role, root, labelled=False)
    ]
    if wanted > len(target):
        raise DataError(
            f"TEST.CONFIDENCE_IMAGES is {wanted}, expected at most the {len(target)} training images of the target"
        )
    return UnlabelledSet([target[i * len(target) // wanted] for i in range(wanted)])


def test_set(cfg: CfgNode, split: str) -> list[dict[str, Any]]:
    """The images of a split of the data set that is scored on, such as "test", whose labels only its server has.

    Items are ``{"file_name", "image_id", "relative"}``, the last the image's path below the folder of all images of the
    split. Raises DataError for a split or a folder that is not there.
    """
    return items(cfg, "VAL", data_root(cfg), labelled=False, split=split)


def _size(size: tuple[int, ...]) -> tuple[int, int] | None:
    return (size[0], size[1]) if size else None
