"""Published figures, which stand beside measured ones of the same method, network, protocol and class set alone."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from results.files.errors import ResultsError

FILE = Path(__file__).with_name("published.csv")
COLUMNS = {
    "method": "canonical recipe, e.g. dacs+mrm",
    "network": "name of the network",
    "protocol": "name of the benchmark protocol",
    "classes": "size of the class set that miou averages over",
    "miou": "mIoU on the target's validation set in percent, or as the source says",
    "source": "where it was published",
}


class Names(NamedTuple):
    """What a figure is of."""

    method: str
    network: str
    protocol: str
    classes: int


class Figure(NamedTuple):
    """A published mIoU in percent, and where it was published."""

    miou: float
    source: str


def read_published(path: Path = FILE) -> Mapping[Names, Figure]:
    """All figures of the file, whose columns are ``COLUMNS``.

    Raises:
        ResultsError: a file that is not there, lacks a column or a value, or has two figures of one run.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = csv.DictReader(file)
            found = set(lines.fieldnames or ())
            if found != set(COLUMNS):
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
        if not line[column]:
            raise ResultsError(f"{where}: {column} is empty, expected {COLUMNS[column]}")
    values = {column: str(line[column]) for column in COLUMNS}
    try:
        classes, miou = int(values["classes"]), float(values["miou"])
    except ValueError:
        classes, miou = 0, math.nan
    if classes < 1 or not 0 <= miou <= 100:
        numbers = f"{values['classes']!r} and {values['miou']!r}"
        raise ResultsError(f"{where}: classes and miou are {numbers}, expected a number of classes and a percentage")
    return Names(values["method"], values["network"], values["protocol"], classes), Figure(miou, values["source"])
