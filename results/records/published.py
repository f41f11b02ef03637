"""Published figures, which stand beside measured ones of the same method, network, protocol and class set alone."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from results.files.errors import ResultsError

FILE = Path(__file__).parents[1] / "published.csv"
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


def read_published(path: Path = FILE) -> Mapping[Names, Figure]:
    """All figures of the file, whose columns are ``COLUMNS``.

    Raises:
        ResultsError: a file that is not there, lacks a column or a value (not of `SETTING`), or has a run twice.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file)
            found = set(lines.fieldnames or ())
            if not set(COLUMNS) - set(SETTING) <= found <= set(COLUMNS):
                raise ResultsError(f"{path}: columns are {', '.join(sorted(found))}, expected {', '.join(COLUMNS)}")
            figures: dict[Names, Figure] = {}
            for line in lines:
                where = f"{path}: line {lines.line_num}"
                names, figure = _read(line, where)
                if names in figures:
                    raise ResultsError(f"{where}: a second figure of {', '.join(map(str, names))}, expected one")
                figures[names] = figure
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ResultsError(f"{path}: expected a CSV file of published figures ({error})") from None
    return figures


def _read(line: Mapping[str, str | None], where: str) -> tuple[Names, Figure]:
    for column in COLUMNS:
        if column not in SETTING and not line[column]:
            raise ResultsError(f"{where}: {column} is empty, expected {COLUMNS[column]}")
    values = {column: str(line.get(column) or "") for column in COLUMNS}
    try:
        classes, miou = int(values["classes"]), float(values["miou"])
    except ValueError:
        classes, miou = 0, math.nan
    if classes < 1 or not 0 <= miou <= 100:
        numbers = f"{values['classes']!r} and {values['miou']!r}"
        raise ResultsError(f"{where}: classes and miou are {numbers}, expected a number of classes and a percentage")
    setting = {name: values[name] for name in SETTING if values[name]}
    names = Names(values["method"], values["network"], values["protocol"], classes)
    return names, Figure(miou, values["source"], setting)
