"""Published figures, which stand beside measured ones of the same method, network, protocol and class set alone."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from results.files.errors import ResultsError

FILE = Path(__file__).parents[1] / "published.csv"
CLASSES_FILE = FILE.with_name("published_classes.csv")
COLUMNS = {
    "method": "canonical recipe, e.g. dacs+mrm",
    "network": "name of the network",
    "protocol": "name of the benchmark protocol",
    "classes": "size of the class set that miou averages over",
    "miou": "mIoU on the target's validation set in percent, or as the source says",
    "iterations": "training iterations, where the source states them",
    "batch": "images a step of each domain, likewise",
    "crop": "width x height of training crops, likewise",
    "precision": "fp32, tf32, bf16 or fp16, likewise",
    "source": "where it was published",
}
SETTING = {
    "iterations": "SOLVER.ITERS",
    "batch": "SOLVER.BATCH",
    "crop": "INPUT.CROP",
    "precision": "SOLVER.PRECISION",
}
"""Columns of the published training, and the config key of each."""
NAMES = ("method", "network", "protocol", "classes")
"""Columns of what a figure is of."""


class Names(NamedTuple):
    """What a figure is of."""

    method: str
    network: str
    protocol: str
    classes: int


class Figure(NamedTuple):
    """A published mIoU in percent, where it was published, and what is stated of the training, by `SETTING`'s names."""

    miou: float
    source: str
    setting: Mapping[str, str] = {}


class ClassFigures(NamedTuple):
    """Published IoU in percent by class, of those that were published, and where they were read."""

    iou: Mapping[str, float]
    source: str


def read_published(path: Path = FILE) -> Mapping[Names, Figure]:
    """All figures of the file, whose columns are ``COLUMNS``.

    Raises:
        ResultsError: a file that is not there, lacks a column or a value (not of `SETTING`), or has a run twice.
    """
    figures: dict[Names, Figure] = {}
    for names, line, where in _lines(path, [name for name in COLUMNS if name not in SETTING], COLUMNS):
        if names in figures:
            raise _twice(names, where)
        setting = {name: value for name in SETTING if (value := line.get(name))}
        figures[names] = Figure(_percent("miou", line["miou"], where), line["source"], setting)
    return figures


def read_published_classes(path: Path = CLASSES_FILE) -> Mapping[Names, ClassFigures]:
    """IoU by class of all runs of the file: columns are `NAMES`, source, and one a class, empty where none is known.

    Raises:
        ResultsError: a file that is not there, lacks a column or a value, has a run twice, or a run without a class.
    """
    figures: dict[Names, ClassFigures] = {}
    for names, line, where in _lines(path, [*NAMES, "source"]):
        if names in figures:
            raise _twice(names, where)
        classes = {name: value for name, value in line.items() if name not in COLUMNS and value}
        if not 1 <= len(classes) <= names.classes:
            raise ResultsError(f"{where}: IoU of {len(classes)} classes, expected 1 to {names.classes}")
        iou = {name: _percent(name, value, where) for name, value in classes.items()}
        figures[names] = ClassFigures(iou, line["source"])
    return figures


def _lines(
    path: Path, needed: Collection[str], allowed: Collection[str] | None = None
) -> Iterator[tuple[Names, dict[str, str], str]]:
    """What each line is of, its values by column, and where it is; ``allowed``: all columns that there may be."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file)
            heads = list(lines.fieldnames or ())
            found = set(heads)
            if not set(needed) <= found or (allowed is not None and not found <= set(allowed)):
                known = ", ".join(allowed or [*needed, "one a class"])
                raise ResultsError(f"{path}: columns are {', '.join(sorted(found))}, expected {known}")
            if len(found) < len(heads):
                raise ResultsError(f"{path}: columns are {', '.join(heads)}, expected each once")
            for line in lines:
                where = f"{path}: line {lines.line_num}"
                if None in line:
                    raise ResultsError(f"{where}: more values than columns, expected {len(heads)}")
                values = {column: value or "" for column, value in line.items()}
                for column in needed:
                    if not values[column]:
                        raise ResultsError(f"{where}: {column} is empty, expected {COLUMNS[column]}")
                yield _names(values, where), values, where
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ResultsError(f"{path}: expected a CSV file of published figures ({error})") from None


def _names(values: Mapping[str, str], where: str) -> Names:
    text = values["classes"]
    if not (text.isascii() and text.isdigit() and int(text)):
        raise ResultsError(f"{where}: classes is {text!r}, expected a number of classes")
    return Names(values["method"], values["network"], values["protocol"], int(text))


def _percent(column: str, text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise ResultsError(f"{where}: {column} is {text!r}, expected a percentage")
    return value


def _twice(names: Names, where: str) -> ResultsError:
    return ResultsError(f"{where}: a second figure of {', '.join(map(str, names))}, expected one")
