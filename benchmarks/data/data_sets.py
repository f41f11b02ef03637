"""The data sets that a config names, registered with detectron2 and read from its catalog."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog

from benchmarks.config.label_space import FOLDERS, REGISTERED, encoding, label_space
from datasets.base.errors import DataError
from datasets.base.user_code import import_user_code
from datasets.classes.labels import GREY, IGNORE, LabelEncoding
from datasets.sets.catalog import register
from datasets.sets.folders import scan_folders
from datasets.sets.layouts import LAYOUTS
from datasets.sets.registered import registered_classes, scan_registered

Items = list[dict[str, Any]]

# DATA.MODULE and PROTOCOL_FILE of configs that run folders held, and the config's file, where nobody named the module.
_withheld: dict[tuple[str, str], Path] = {}


def withhold_module(cfg: CfgNode, file: Path, named: Sequence[str]) -> None:
    """Keep this process from importing the DATA.MODULE of a config that a run folder held, unless it is in ``named``.

    A run folder may come from anybody, and to import is to run code. ``named``: what the user gave, paths of files or
    names of modules.
    """
    allow_module(cfg)
    if cfg.DATA.MODULE and not any(_module_path(each, Path()) == _module_of(cfg) for each in named):
        _withheld[cfg.DATA.MODULE, cfg.PROTOCOL_FILE] = file


def allow_module(cfg: CfgNode) -> None:
    """Let this process import the DATA.MODULE of a config whose protocol the user named."""
    _withheld.pop((cfg.DATA.MODULE, cfg.PROTOCOL_FILE), None)


def check_module(cfg: CfgNode) -> None:
    """Raise DataError where the DATA.MODULE of a config is withheld; the line says how to name it."""
    file = _withheld.get((cfg.DATA.MODULE, cfg.PROTOCOL_FILE))
    if file is not None:
        module = _module_of(cfg)
        raise DataError(
            f"{file}: DATA.MODULE is {module}, code that runs when its data sets are read: if you trust it, name it by "
            f"--module {module}"
        )


def _module_of(cfg: CfgNode) -> str:
    return _module_path(cfg.DATA.MODULE, Path(cfg.PROTOCOL_FILE).parent)


def _module_path(text: str, folder: Path) -> str:
    """A file as a whole path; the name of a module as it is."""
    return str((folder / text).resolve()) if text.endswith(".py") else text


def items(cfg: CfgNode, role: str, root: Path, labelled: bool, split: str | None = None) -> Items:
    """The images of DATA.<role>, in detectron2's form, with their labels where ``labelled``.

    ``root``: the folder that FOLDER is below. ``split``: in place of the role's own SPLIT.

    Raises:
        DataError: one line naming the file, folder or key that is wrong.
    """
    node = cfg.DATA[role]
    own = node.LAYOUT in (FOLDERS, REGISTERED)
    if own and split is not None:
        raise DataError(f"DATA.{role}: layout {node.LAYOUT} has no split {split!r}, expected a published data set")
    if node.LAYOUT == FOLDERS and labelled and not node.LABELS:
        raise DataError(f"DATA.{role}.LABELS is empty, expected the folder or pattern of the labels")
    scan = _scan(cfg, role, root, labelled, split or node.SPLIT)
    name = f"segshift_{cfg.PROTOCOL}_{role.lower()}_{split or node.SPLIT}" + ("" if labelled else "_unlabelled")
    return DatasetCatalog.get(register(name, scan, label_space(cfg)))


def _scan(cfg: CfgNode, role: str, root: Path, labelled: bool, split: str) -> Callable[[], Items]:
    node, key = cfg.DATA[role], f"DATA.{role}"
    folder = root / node.FOLDER
    if node.LAYOUT == FOLDERS:
        labels = encoding(cfg, role) if labelled else None
        return partial(scan_folders, folder, node.IMAGES, node.LABELS, labels, key)
    if node.LAYOUT == REGISTERED:
        if cfg.DATA.MODULE:
            check_module(cfg)
            import_user_code(cfg.DATA.MODULE, Path(cfg.PROTOCOL_FILE).parent, "DATA.MODULE", "data sets")
        return partial(scan_registered, node.NAME, _registered_encoding(cfg, role) if labelled else None, key)
    return partial(LAYOUTS[node.LAYOUT].scan, folder, split, labelled, node.CONDITIONS, encoding(cfg, role))


def _registered_encoding(cfg: CfgNode, role: str) -> LabelEncoding:
    """The encoding by IDS, or by the metadata: ids are places in stuff_classes, ignore_label is ignored."""
    node, names = cfg.DATA[role], label_space(cfg).names
    if node.IDS:
        return encoding(cfg, role)
    classes, ignored = registered_classes(node.NAME, f"DATA.{role}.NAME")
    if classes and classes != names:
        raise DataError(
            f"DATA.{role}.NAME: the classes of data set {node.NAME!r} are {', '.join(classes)}, expected "
            f"{', '.join(names)}, or DATA.{role}.IDS to say which is which"
        )
    table = {index: index for index in range(len(names))} | {IGNORE: IGNORE}
    return LabelEncoding.of(GREY, table | dict.fromkeys(ignored, IGNORE))
