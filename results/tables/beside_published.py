"""Published figures beside measured ones, wherever protocol, network, class set and method are the published ones."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from results.records.published import SETTING, Figure, Names, read_published, read_published_classes
from results.records.record import Record
from results.tables.rows import OF_NO_ROW, Row

# Where keys of these sections are set, a method is another than the published one.
METHOD_KEYS = ("TERMS.", "SELF_TRAINING.", "HRDA.", "SAMPLING.")
UNSTATED = {"TERMS.MRM.VIEW": "mrm"}
"""Keys of a method's part whose published value nobody knows: figures stand beside any, and the value is told."""

_DATA_SET = re.compile(r"DATA\.\w+\.LAYOUT")  # of another data set; where one lies is no matter


@dataclass(frozen=True)
class Beside:
    """What was published of a row.

    Attributes:
        miou: in percent; None: nothing is known.
        difference: to what the row is compared with, in percent.
        note: in place of an mIoU, as "out of memory".
        source: where it was published.
        other: what of the measured runs is not as published, with the published value in brackets.
        iou: of classes, in percent, where they were asked for; empty: none is known.
    """

    miou: float | None = None
    difference: float | None = None
    note: str = ""
    source: str = ""
    other: str = ""
    iou: Mapping[str, float] = field(default_factory=dict)


def beside_published(rows: Sequence[Row], baselines: Sequence[Row | str] = ()) -> list[Beside]:
    """What was published of each row's method, network, protocol and class set, and against its baseline.

    A row whose runs set keys of the method, as TERMS.MRM.RATIO, or have other data sets than the protocol, has nothing
    beside it: what was published is of the defaults, but for `UNSTATED` keys, of which it may be of any value. Other
    settings (iterations, batch, crop, precision, whatever else was set) are told in `Beside.other`.
    """
    known = read_published()
    found = []
    for row, baseline in zip(rows, baselines or [""] * len(rows), strict=True):
        own = beside_names(row, _names(row), known)
        theirs = None if isinstance(baseline, str) else beside_names(baseline, _names(baseline), known).miou
        difference = None if own.miou is None or theirs is None else round(own.miou - theirs, 6)
        found.append(replace(own, difference=difference))
    return found


def classes_beside_published(rows: Sequence[Row]) -> list[Beside]:
    """The published IoU of classes of each row, with its own source, by the rules of `beside_published`."""
    known, classes, found = read_published(), read_published_classes(), []
    for row in rows:
        names = _names(row)
        own = beside_names(row, names, known)
        figure = classes.get(names) if names is not None and own.source else None
        found.append(replace(own, iou=figure.iou, source=figure.source) if figure else Beside())
    return found


def beside_names(row: Row, names: Names | None, known: Mapping[Names, Figure]) -> Beside:
    """What was published of ``names``, beside the runs of a row, which may have none yet."""
    records = list(row.records.values())
    figure = known.get(names) if names is not None else None
    changed = {key: value for each in records for key, value in (each.changed_settings or {}).items()}
    if figure is None or any(_of_another(key) for key in changed):
        return Beside()
    assert names is not None
    told = [*_other(row, records, changed, figure), *unstated(names.method, row)]
    return Beside(figure.miou, None, "", figure.source, ", ".join(told))


def _of_another(key: str) -> bool:
    """Whether one who sets a key has another method than the published one, or another data set."""
    return (key.startswith(METHOD_KEYS) and key not in UNSTATED) or _DATA_SET.fullmatch(key) is not None


def unstated(method: str, row: Row) -> list[str]:
    """The values that a row's runs have of `UNSTATED` keys of their method, as they are told."""
    parts, config = method.split("+"), row.config
    return [f"{key} {config[key]} (not stated)" for key, part in UNSTATED.items() if part in parts and key in config]


def not_as_published(published: Sequence[Beside]) -> list[str]:
    """What of measured runs is not as published; of rows with a figure, each text once: of one, the note has it."""
    return list(dict.fromkeys(each.other for each in published if each.source))


def _names(row: Row) -> Names | None:
    """What a row's finished runs are of, where that is one."""
    specs = {(each.spec, each.classes) for each in row.records.values()}
    names = {Names(spec.method, spec.network, spec.protocol, classes) for spec, classes in specs}
    return names.pop() if len(names) == 1 else None


def _other(row: Row, records: Sequence[Record], changed: Mapping[str, Any], figure: Figure) -> list[str]:
    told = []
    for name, key in SETTING.items():
        stated, measured = figure.setting.get(name), _text(row.config.get(key, "not known"))
        if stated is not None and measured != stated:
            told.append(f"{name} {measured} ({stated})")
    known = {*SETTING.values(), *OF_NO_ROW, *UNSTATED}
    told += [f"{key} {_text(value)}" for key, value in changed.items() if key not in known]
    if not figure.setting:
        told.append("training not stated there")
    if any(each.changed_settings is None for each in records):
        told.append("settings not in the records")
    return told


def _text(value: Any) -> str:
    return "x".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
