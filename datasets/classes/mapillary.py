"""Mapillary Vistas' classes in those of Cityscapes, by the names that the download's own JSON gives to its ids.

Neuhold et al., ICCV 2017. Of version 1.2 the classes are those that papers on generalisation score (as in
tue-mps/benchmark-vfm-ss): curbs are sidewalk, lane markings and manholes are road; zebra crossings, backs of signs and
guard rails count for nothing. Version 2.0 splits some of them; their parts go where the whole went.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from datasets.base.errors import DataError
from datasets.classes.label_space import CITYSCAPES
from datasets.classes.labels import GREY, IGNORE, LabelEncoding

_NAMES = {
    "road": ("construction--flat--road", "marking--general", "marking--continuous--*", "marking--discrete--*",
             "object--manhole"),
    "sidewalk": ("construction--flat--sidewalk", "construction--barrier--curb"),
    "building": ("construction--structure--building",),
    "wall": ("construction--barrier--wall",),
    "fence": ("construction--barrier--fence",),
    "pole": ("object--support--pole", "object--support--pole-group", "object--support--utility-pole"),
    "traffic light": ("object--traffic-light", "object--traffic-light--*"),
    "traffic sign": ("object--traffic-sign--*front", "object--traffic-sign--information-parking"),
    "vegetation": ("nature--vegetation",),
    "terrain": ("nature--terrain",),
    "sky": ("nature--sky",),
    "person": ("human--person", "human--person--*"),
    "rider": ("human--rider--*",),
    "car": ("object--vehicle--car",),
    "truck": ("object--vehicle--truck",),
    "bus": ("object--vehicle--bus",),
    "train": ("object--vehicle--on-rails",),
    "motorcycle": ("object--vehicle--motorcycle",),
    "bicycle": ("object--vehicle--bicycle",),
}  # fmt: skip
_NOTHING = "*--crosswalk-zebra"


def encoding_by_names(files: Sequence[Path], name: str) -> LabelEncoding:
    """The encoding called ``name`` by the first of the ``files`` that is there: an id is a class's place in its list.

    Raises:
        DataError: none is there, or it does not name the classes.
    """
    file = next((file for file in files if file.is_file()), files[0])
    expected = "the JSON of Mapillary Vistas that names its classes"
    try:
        names = [str(label["name"]) for label in json.loads(file.read_text(encoding="utf-8"))["labels"]]
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}), expected {expected}") from None
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DataError(f"{file}: damaged ({type(error).__name__}: {str(error)[:80]}), expected {expected}") from None
    train_ids = [_train_id(label) for label in names]
    absent = [known for index, known in enumerate(CITYSCAPES.names) if index not in train_ids]
    if absent or len(names) > IGNORE:
        which = f"none of them {', '.join(absent)}" if absent else f"more than the {IGNORE} of a byte"
        raise DataError(f"{file}: {len(names)} classes, {which}: expected {expected}")
    return LabelEncoding.of(GREY, dict(enumerate(train_ids)) | {IGNORE: IGNORE}, name=name)


def _train_id(label: str) -> int:
    if not fnmatchcase(label, _NOTHING):
        for train_id, known in enumerate(CITYSCAPES.names):
            if any(fnmatchcase(label, pattern) for pattern in _NAMES[known]):
                return train_id
    return IGNORE
