"""What a config says about classes: the label space, how labels store it, and the class sets that are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from detectron2.config import CfgNode

from benchmarks.config.keys import SOURCES, TARGETS, flatten, get_config
from benchmarks.core.errors import ConfigError
from datasets.base.errors import DataError, unknown_name
from datasets.classes.label_space import CITYSCAPES, LabelSpace, own_space
from datasets.classes.labels import GREY, IGNORE, UNKNOWN, LabelEncoding
from datasets.sets.layouts import LAYOUTS

FOLDERS, REGISTERED = "folders", "registered"
KINDS = (*LAYOUTS, FOLDERS, REGISTERED)
"""What LAYOUT can be."""

SCORED = tuple(name for name, layout in LAYOUTS.items() if layout.scored in layout.splits)
"""Published data sets that methods are scored on."""

_MEANING = {
    "SOURCE": "the labelled images to train on",
    "TARGET": "the images to adapt to",
    "VAL": "the labelled images that are scored",
}


@dataclass(frozen=True)
class Scoring:
    """What a prediction is scored in.

    Attributes:
        space: its classes.
        class_sets: the sizes of the class sets reported, the headline's first.
        metrics: names of optional ones that are had.
    """

    space: LabelSpace
    class_sets: tuple[int, ...]
    metrics: tuple[str, ...] = ()

    def names(self, size: int) -> list[str]:
        """The classes of a class set."""
        return [self.space.names[train_id] for train_id in self.space.class_sets[size]]


def label_space(cfg: CfgNode) -> LabelSpace:
    """The classes of DATA.CLASSES, or those of Cityscapes where it is empty. Raises DataError naming the key."""
    data = cfg.DATA
    if data.CLASSES:
        return own_space(data.CLASSES, data.COLOURS, data.THINGS)
    for key in ("COLOURS", "THINGS"):
        if data[key]:
            raise DataError(f"DATA.{key} is given without DATA.CLASSES, which it belongs to")
    return CITYSCAPES


def roles_of(cfg: CfgNode, role: str) -> list[str]:
    """The sections of DATA that are used of SOURCE, of TARGET, or of VAL: the first, and others with a data set."""
    family = {"SOURCE": SOURCES, "TARGET": TARGETS}.get(role, (role,))
    return [each for each in family if each == role or cfg.DATA[each].LAYOUT]


def reported(cfg: CfgNode) -> tuple[int, ...]:
    """The class sets of a benchmark, the usual one first: all of own classes; of Cityscapes', those the source labels.

    So GTA is scored on 19 classes and never on fewer, SYNTHIA on 16 and 13, as published: numbers over other sets could
    not be compared with those of papers. Of several sources they are those of the one that labels most: each has the
    classes of those that label fewer.
    """
    if cfg.DATA.CLASSES:
        return tuple(label_space(cfg).class_sets)
    return max((_class_sets(cfg, role) for role in roles_of(cfg, "SOURCE")), key=lambda sizes: sizes[0])


def _class_sets(cfg: CfgNode, role: str) -> tuple[int, ...]:
    layout = LAYOUTS.get(cfg.DATA[role].LAYOUT)
    return layout.class_sets if layout else (len(CITYSCAPES.names),)


def labelled_classes(cfg: CfgNode, role: str) -> tuple[int, ...]:
    """The train ids that labels of DATA.<role> can hold: by IDS, else all that its data set labels."""
    space = label_space(cfg)
    if cfg.DATA[role].IDS:
        known = encoding(cfg, role)
        found = {known.others, *(train_id for _, train_id in known.train_ids)}
        return tuple(sorted(train_id for train_id in found if train_id < len(space.names)))
    return space.class_sets[len(space.names) if cfg.DATA.CLASSES else _class_sets(cfg, role)[0]]


def scoring(cfg: CfgNode) -> Scoring:
    """The label space and the class sets of a resolved config, TEST.CLASSES first."""
    headline = cfg.TEST.CLASSES
    others = (number for number in reported(cfg) if number != headline)
    return Scoring(label_space(cfg), (headline, *others), tuple(dict.fromkeys(cfg.TEST.METRICS)))


def encoding(cfg: CfgNode, role: str) -> LabelEncoding:
    """How the labels of DATA.<role> store the classes of `label_space` (`datasets.classes.labels`).

    By IDS; without them as the data set's layout does, or by the place of a class in DATA.CLASSES, 255 for ignored.

    Raises:
        DataError: naming the key, for ids or names that are none, or own classes in labels of another data set.
    """
    node, space, key = cfg.DATA[role], label_space(cfg), f"DATA.{role}.IDS"
    layout = LAYOUTS.get(node.LAYOUT)
    if layout and not node.IDS:
        if cfg.DATA.CLASSES:
            raise DataError(f"{key}: {layout.title} does not store DATA.CLASSES, expected each id with its class")
        return layout.label_encoding
    storage = layout.label_encoding.storage if layout else GREY
    # 255 is ignored by convention; in 16 bits it is an id as any other.
    table = {IGNORE: IGNORE} if storage == GREY else {}
    if not node.IDS:
        return LabelEncoding.of(storage, {index: index for index in range(len(space.names))} | table)
    others = UNKNOWN
    for entry in node.IDS:
        stored, _, name = entry.partition("=")
        train_id = IGNORE if name == "ignore" else space.index(name, key)
        if stored == "others":
            others = train_id
        elif stored.isdecimal() and int(stored) <= 255:
            table[int(stored)] = train_id
        else:
            raise DataError(f"{key}: {entry!r}: expected an id from 0 to 255, or others, and its class")
    return LabelEncoding.of(storage, table, others)


def check_also(cfg: CfgNode, protocols: Sequence[str]) -> None:
    """Check that TEST.ALSO names data sets that ship, ``protocols``, or YAML files, each once. Raises ConfigError."""
    names, known = list(cfg.TEST.ALSO), (*SCORED, *protocols)
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"TEST.ALSO: {name} is named twice, expected each set once")
        if name in SCORED and cfg.DATA.CLASSES:
            raise ConfigError(f"TEST.ALSO: {LAYOUTS[name].title} does not store DATA.CLASSES, expected a YAML of yours")
        if name not in known and not name.endswith((".yaml", ".yml")):
            raise ConfigError(f"TEST.ALSO: {unknown_name('data set', name, known)}, or a YAML file")


def check_classes(cfg: CfgNode) -> None:
    """Find what is wrong with the classes and the data sets of a config before any file is looked for.

    Raises:
        ConfigError or DataError: one line naming the key.
    """
    label_space(cfg)
    _check_further(cfg)
    for role in (*roles_of(cfg, "SOURCE"), *roles_of(cfg, "TARGET"), "VAL"):
        node = cfg.DATA[role]
        if not node.LAYOUT:
            kinds = ", ".join(sorted(KINDS))
            raise ConfigError(f"DATA.{role} has no LAYOUT, expected {_MEANING[role]}, as one of {kinds}")
        if node.LAYOUT not in KINDS:
            raise ConfigError(f"DATA.{role}.LAYOUT: {unknown_name('layout', node.LAYOUT, KINDS)}")
        for layout, key in ((FOLDERS, "IMAGES"), (REGISTERED, "NAME")):
            if (layout == node.LAYOUT) != bool(node[key]):
                raise ConfigError(
                    f"DATA.{role}.{key} is {node[key]!r}, which LAYOUT {layout} needs and no other takes "
                    f"(LAYOUT is {node.LAYOUT})"
                )
        encoding(cfg, role)
    if cfg.TEST.CLASSES not in reported(cfg):
        layout = " and ".join(cfg.DATA[role].LAYOUT for role in roles_of(cfg, "SOURCE"))
        numbers = " or ".join(map(str, reported(cfg)))
        what = "as many as DATA.CLASSES" if cfg.DATA.CLASSES else f"the classes that a source of layout {layout} labels"
        raise ConfigError(f"TEST.CLASSES is {cfg.TEST.CLASSES}, expected {numbers}: {what}")


def _check_further(cfg: CfgNode) -> None:
    """Find keys of a further source or target that has no data set. Raises ConfigError."""
    for role in (*SOURCES[1:], *TARGETS[1:]):
        if cfg.DATA[role].LAYOUT:
            continue
        for key, value in cfg.DATA[role].items():
            if value != _defaults()[f"{role}.{key}"]:
                kinds = ", ".join(sorted(KINDS))
                raise ConfigError(
                    f"DATA.{role}.{key} is {value!r}, and DATA.{role} has no LAYOUT: expected one of {kinds}, or none "
                    "of its keys"
                )


@cache
def _defaults() -> dict[str, Any]:
    return flatten(get_config().DATA)
