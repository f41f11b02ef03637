"""Over which classes a mean IoU is, and means of several runs over the same ones.

A class that no validation pixel is labelled with has no place in a mean: its IoU is 0 for a method that predicts it
somewhere, and none for one that does not. Records say which those are. Records of before averaged over the classes that
had an IoU, so that of such a class the 0 counted: two of them may be of different classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from results.records.record import FINISHED, Record, read_record
from results.records.scores import CLASS_IOU

if TYPE_CHECKING:
    import pandas as pd

SEPARATOR = "; "
"""Between the names of classes in a column."""
_OF_CLASSES = ("miou", "counted", "left_out")  # columns that say what a mean is over


def left_out(record: Record, size: int) -> list[str] | None:
    """The classes of a class set of ``size`` classes that its mean does not count, by name.

    None where a record of before does not say: of a set that is not all of its classes.
    """
    if record.validation is not None:
        return record.validation.left_out.get(size)
    iou = record.result.student.by_class.get(CLASS_IOU, {})
    return [name for name, value in iou.items() if value is None] if len(iou) == size else None


def over_the_same_classes(runs: pd.DataFrame, among: pd.DataFrame | None = None) -> pd.DataFrame:
    """The runs, with ``miou`` of each finished one over the classes that all ``among`` (None: themselves) count.

    Where some count others, it is computed again from the IoU in their records; where that cannot be (the class set is
    not all classes), it is missing. Both are rows of ``results.tables.frame``, of one validation set.
    """
    known = [names for names in _left_out(runs if among is None else among) if names is not None]
    union = set().union(*known)
    if all(set(names) == union for names in known):
        return runs
    folders, classes, *changed = (runs[name].tolist() for name in ("folder", "classes", *_OF_CLASSES))
    miou, counted, texts = changed
    for place, names in enumerate(_left_out(runs)):
        if names is not None:
            if set(names) != union:
                miou[place] = _mean_without(Path(folders[place]), union)
            counted[place] = classes[place] - len(union)
            texts[place] = SEPARATOR.join(_in_order([*names, *sorted(union)]))
    return runs.assign(**dict(zip(_OF_CLASSES, changed, strict=True)))


def said(runs: pd.DataFrame) -> str:
    """The sentence of a caption on the classes that the means of these runs do not count; empty where all count."""
    known = [names for names in _left_out(runs) if names is not None]
    names = _in_order(name for each in known for name in each)
    if not names:
        return ""
    text = f"Means leave out {', '.join(names)}: no validation pixel is labelled so"
    if all(set(each) == set(names) for each in known):
        return text
    again = over_the_same_classes(runs)
    if again.loc[again["status"] == FINISHED, "miou"].isna().any():
        return f"{text}. Records of before count them where predicted: they cannot be compared, and have no mean here"
    return f"{text}. Records of before count them where they are predicted: their means are computed again without"


def _left_out(runs: pd.DataFrame) -> list[list[str] | None]:
    """The classes left out of each run; None of one that is not finished, or does not say."""
    return [
        [name for name in text.split(SEPARATOR) if name] if isinstance(text, str) and done else None
        for text, done in zip(runs["left_out"], runs["status"] == FINISHED, strict=True)
    ]


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _mean_without(folder: Path, names: set[str]) -> float:
    record = read_record(folder)
    assert record is not None
    iou = record.result.student.by_class.get(CLASS_IOU, {})
    kept = [value for name, value in iou.items() if name not in names]
    known = [value for value in kept if value is not None]
    if len(iou) != record.classes or not kept or len(known) < len(kept):
        return math.nan
    return float(sum(known) / len(known))
