"""A user's own data as registered with detectron2."""

from __future__ import annotations

from numbers import Integral
from pathlib import Path
from typing import Any

from detectron2.data import DatasetCatalog, MetadataCatalog

from datasets.base.errors import DataError, unknown_name
from datasets.base.user_code import error_line
from datasets.classes.labels import LabelEncoding


def scan_registered(name: str, encoding: LabelEncoding | None, key: str) -> list[dict[str, Any]]:
    """The images that are registered as `name`, in the form and order that they are registered in.

    Items are those of `layouts.Layout.scan`, from "file_name" and, where `encoding`, that of the labels, is not None,
    "sem_seg_file_name". `key` is the section of the config, for errors.
    Raises `DataError` for an unknown name, no images, or an item without what is needed.
    """
    if name not in DatasetCatalog:
        own = _own_names()
        if not own:
            raise DataError(f"{key}.NAME: unknown registered data set {name!r}: DATA.MODULE has registered none")
        raise DataError(f"{key}.NAME: {unknown_name('registered data set', name, own)}")
    try:
        registered = list(DatasetCatalog.get(name))
    except (Exception, SystemExit) as error:  # a user's code may raise anything
        raise DataError(f"{key}.NAME: reading the data set {name!r} failed ({error_line(error)})") from error
    if not registered:
        raise DataError(f"{key}.NAME: data set {name!r} has no images")
    items = []
    for i, entry in enumerate(registered):
        path = _text(entry, "file_name", f"{key}.NAME: item {i} of {name!r}")
        image_id, relative = str(entry.get("image_id", Path(path).stem)), Path(path).name
        item: dict[str, Any] = {"file_name": path, "image_id": image_id, "relative": relative}
        if encoding is not None:
            item["sem_seg_file_name"] = _text(entry, "sem_seg_file_name", path)
            item["label_encoding"] = encoding
        items.append(item)
    return items


def registered_classes(name: str, key: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Class names and ignored ids in the metadata of a registered data set: empty where it says none.

    ``ignore_label`` can be an id, several, or None. Ids that labels of 8 bits cannot hold, such as -1 or 65535, are
    left out. Raises `DataError`, beginning with the config's `key`, for anything else.
    """
    metadata = MetadataCatalog.get(name)
    classes, ignored = metadata.get("stuff_classes") or (), metadata.get("ignore_label")
    several = ignored if isinstance(ignored, (list, tuple, set, frozenset)) else () if ignored is None else (ignored,)
    if any(isinstance(each, bool) or not isinstance(each, Integral) for each in several):
        raise DataError(f"{key}: ignore_label of data set {name!r} is {ignored!r:.80}, expected an id, ids, or None")
    if isinstance(classes, str) or not all(isinstance(each, str) for each in classes):
        raise DataError(f"{key}: stuff_classes of data set {name!r} are {classes!r:.80}, expected names of classes")
    return tuple(classes), tuple(sorted(int(each) for each in several if 0 <= int(each) <= 255))


def _text(entry: Any, field: str, where: str) -> str:
    found = entry.get(field) if isinstance(entry, dict) else None
    if not isinstance(found, (str, Path)):
        raise DataError(f"{where}: has no {field!r}, expected the path of a file")
    return str(found)


def _own_names() -> list[str]:
    """What the user has registered: neither detectron2's data sets nor the scans of this suite."""
    builtin = ("coco_", "lvis_", "cityscapes_fine_", "voc_", "ade20k_", "keypoints_", "segshift_")
    return [name for name in DatasetCatalog if not name.startswith(builtin)]
