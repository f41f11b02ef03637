"""What a run wrote while it trained, metrics.json: a line of JSON every few iterations."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from results.files.errors import ResultsError
from results.files.plain_file import read_plain_text

FILE = "metrics.json"
GRADIENT_NORM = "gradient_norm/"
"""Begins the names of L2 norms of gradients: ``gradient_norm/student``, ``gradient_norm/mrm``."""


def read_metrics(folder: Path, *prefixes: str) -> dict[str, dict[int, float]]:
    """The values by iteration, from 0, of each name that begins with a prefix; none where there is no such file.

    Of an iteration that was made twice, as a killed run goes on from its checkpoint, the last counts. A line that is
    cut, as the last may be, is left out.

    Raises:
        ResultsError: it is no plain file of text.
    """
    found: dict[str, dict[int, float]] = {}
    for values in _lines(folder, prefixes):  # most have losses and rates alone
        iteration = values.get("iteration")
        if isinstance(iteration, int):
            for name, value in values.items():
                if name.startswith(prefixes) and isinstance(value, (int, float)) and math.isfinite(value):
                    found.setdefault(name, {})[iteration] = float(value)
    return found


def numbers_alone(folder: Path) -> str:
    """The file's text with what is no number left out of each line, as it is published; "" where there is no such file.

    Raises:
        ResultsError: it is no plain file of text.
    """
    lines = (
        {name: value for name, value in values.items() if isinstance(value, (int, float))} for values in _lines(folder)
    )
    return "".join(f"{json.dumps(values)}\n" for values in lines)


def _lines(folder: Path, prefixes: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """The lines that are whole, of those that have a name with one of the prefixes, where some are given."""
    path = folder / FILE
    try:
        text = read_plain_text(path)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: expected lines of JSON ({error})") from None
    for line in text.split("\n"):
        if prefixes and not any(f'"{prefix}' in line for prefix in prefixes):
            continue
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(values, dict):
            yield values
