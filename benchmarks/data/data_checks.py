"""What a run opens, looked at before it is trained: headers of files, classes of labels, one image of each set."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from detectron2.config import CfgNode

from benchmarks.config.few_labels import check_few_labels
from benchmarks.config.keys import SOURCES
from benchmarks.config.label_space import label_space, labelled_classes, reported, roles_of
from benchmarks.data.data_sets import Items, items
from benchmarks.data.from_config import (
    cache_folder,
    confidence_set,
    data_root,
    held_out_set,
    labelled_target,
    labelled_view,
    learned_items,
    learned_roles,
    target_view,
    training_set,
    validation_set,
)
from datasets.base.errors import DataError
from datasets.base.framing import Framing
from datasets.checks.class_pixels import Shown, quiet
from datasets.checks.class_presence import absent_classes, ids_found
from datasets.checks.file_checks import header_problems
from methods.framework.recipes import Recipe

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class UsedSet:
    """Images that a run opens: of DATA.<role>, with labels where it reads them.

    Attributes:
        view: that of training, if any.
        few: whether labels of other images show the same classes, so that these need not show all.
    """

    role: str
    items: Items
    view: Framing | None
    few: bool = False


def used_roles(recipe: Recipe) -> tuple[bool, bool, bool]:
    """What of a recipe decides which images a run opens: labels of the target alone, target images, labels of some."""
    return recipe.oracle, recipe.host.teacher, recipe.few_labels


def used_sets(cfg: CfgNode, recipe: Recipe, root: Path) -> list[UsedSet]:
    """What a recipe learns from, and what it is scored on. Raises DataError for a folder or a label that is missing."""
    check_few_labels(cfg)
    found = [
        UsedSet(role, learned_items(cfg, recipe, role, root), labelled_view(cfg, role))
        for role in learned_roles(cfg, recipe)
    ]
    if recipe.few_labels:
        few = labelled_target(cfg, recipe, root)
        found.append(UsedSet("TARGET", few, labelled_view(cfg, "TARGET"), few=True))
    if recipe.host.teacher:
        targets = roles_of(cfg, "TARGET")
        found += [UsedSet(role, items(cfg, role, root, labelled=False), target_view(cfg, role)) for role in targets]
    return [*found, UsedSet("VAL", items(cfg, "VAL", root, labelled=True), None)]


def check_files(cfg: CfgNode, recipe: Recipe, shown: Shown = quiet) -> None:
    """Look at the header of each file that the run opens, and whether there is anything to learn from and to score on.

    A class that no label has is a warning; so are source labels of another size than their image, which are skipped.

    Raises:
        DataError: the first file that cannot be used, and how many more there are; or a data set of which no pixel is
            labelled, with the ids that it has.
    """
    for used in used_sets(cfg, recipe, data_root(cfg)):
        _check_headers(used)
        if "sem_seg_file_name" in used.items[0]:
            _check_classes(cfg, used, shown)


def expected_classes(cfg: CfgNode, role: str) -> list[int]:
    """The train ids that labels of a data set should have: those that are scored, without what others alone label."""
    space = label_space(cfg)
    scored = {train_id for number in reported(cfg) for train_id in space.class_sets[number]}
    if role in SOURCES:
        by_others = {train_id for each in roles_of(cfg, "SOURCE") for train_id in labelled_classes(cfg, each)}
        scored -= by_others - set(labelled_classes(cfg, role))
    return sorted(scored)


def _check_headers(used: UsedSet) -> None:
    problems = header_problems(used.items, used.view)
    skipped = [problem for problem in problems if problem.mismatch and used.view is not None]
    if len(skipped) == len(used.items):
        skipped = []
    if faults := [problem for problem in problems if problem not in skipped]:
        more = f" ({len(faults) - 1} more: benchmarks/check_data.py lists all)" if len(faults) > 1 else ""
        raise DataError(f"{faults[0].text}{more}")
    if skipped:
        _LOGGER.warning("DATA.%s: %d of %d skipped in training: %s", used.role, len(skipped), len(used.items),
                        f"{skipped[0].text}{', ...' if len(skipped) > 1 else ''}")


def _check_classes(cfg: CfgNode, used: UsedSet, shown: Shown) -> None:
    space, key, wanted = label_space(cfg), f"DATA.{used.role}", expected_classes(cfg, used.role)
    absent = absent_classes(used.items, wanted, len(space.names), cache=cache_folder(), shown=shown)
    if wanted and not absent:
        return
    found = ids_found(used.items)
    if len(absent) == len(wanted):
        raise DataError(
            f"{key}: no pixel of {len(used.items)} labels is of a class (ids {found}), expected labels of "
            f"{', '.join(space.names)}: {key}.IDS says which id is which class"
        )
    if used.few:
        return
    several = len(roles_of(cfg, used.role.partition("_")[0])) > 1
    what = "no mean counts them" if used.role == "VAL" else "they cannot be learned" + " from it" * several
    names = ", ".join(space.names[train_id] for train_id in absent)
    _LOGGER.warning("%s: no label has a pixel of %s (ids %s): %s", key, names, found, what)


def check_data(cfg: CfgNode, recipe: Recipe, shown: Shown = quiet) -> None:
    """Find what is missing before anything is trained, and count class pixels where needed. Raises DataError."""
    root = data_root(cfg)
    # One of each is read: a crop larger than the images, or unknown ids in labels, would else end a run in the middle.
    training_set(cfg, recipe, root, shown)[0]
    for scored in (validation_set(cfg, root), held_out_set(cfg, root), confidence_set(cfg, root)):
        if scored is not None:
            scored[0]
