"""What a run wrote while it trained, metrics.json: a line of JSON every few iterations."""

from __future__ import annotations

import json
import math
from pathlib import Path

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
    path = folder / FILE
    try:
        text = read_plain_text(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: expected lines of JSON ({error})") from None
    found: dict[str, dict[int, float]] = {}
    for line in text.split("\n"):
        if not any(f'"{prefix}' in line for prefix in prefixes):
            continue  # most have losses and rates alone
        try:
            values = json.loads(line)
        except (ValueError, RecursionError):
            continue
        iteration = values.get("iteration") if isinstance(values, dict) else None
        if isinstance(iteration, int):
            for name, value in values.items():
                if name.startswith(prefixes) and isinstance(value, (int, float)) and math.isfinite(value):
                    found.setdefault(name, {})[iteration] = float(value)
    return found
