"""record.json: one a run. Tables are made of it; of a run folder they read config.yaml besides, for its keys alone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results.files.errors import ResultsError
from results.files.plain_file import read_plain_text, replacing
from results.files.text import clean

SCHEMA = 1
FILE = "record.json"

PENDING, RUNNING, FINISHED = "pending", "running", "finished"
FAILED, DIVERGED, STOPPED = "failed", "diverged", "stopped"
STATUSES = (PENDING, RUNNING, FINISHED, FAILED, DIVERGED, STOPPED)
"""A pending run was submitted to a queue and has not begun, or not yet gone on. A stopped run was ended on purpose
before its last iterate, as a search prunes runs; it can be taken up again."""

DATA = "data"  # key of the fingerprints of what a run was made of: {"SOURCE": {"count", "images", "labels"}, ...}

LOST = "lost: "  # begins the reason of a failed run whose process is gone

_TEXT, _WHOLE, _NUMBER, _FLAG = "text", "a whole number", "a number", "true or false"
_ANY = "*"  # stands for every key
_SCORES = {"miou": _NUMBER, "miou_by_classes": {_ANY: _NUMBER}, "iou": {_ANY: _NUMBER}}
# What tables and states make use of, where a record has it.
_FIELDS: Mapping[str, Any] = {
    "id": _TEXT,
    "spec": {"protocol": _TEXT, "method": _TEXT, "network": _TEXT, "seed": _WHOLE},
    "reason": _TEXT,
    "oracle": _FLAG,
    "classes": _WHOLE,
    "iterations": _WHOLE,
    "max_iterations": _WHOLE,
    "resumed_at": _WHOLE,
    "session_began": _NUMBER,
    "seconds_per_iteration": _NUMBER,
    "peak_memory_mib": _NUMBER,
    "wall_seconds": _NUMBER,
    "precision": _TEXT,
    "hardware": {"name": _TEXT},
    "parameters": {"inference": _WHOLE},
    "curve": [{"iteration": _WHOLE, "miou": _NUMBER}],
    "result": {
        "student": _SCORES,
        "teacher": _SCORES,
        "criteria": {"source_miou": _NUMBER, "confidence": _NUMBER},
    },
}
_DEEPEST = 50  # levels
_LARGEST = 2**53  # of a whole number that a float still tells from the next
_HUGE = 1e300  # beyond it sums of numbers are infinite


def write_text(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a whole file or nothing: to a temporary name beside it, then renamed.

    A link of either name is replaced, not followed. ``mode``: of the file, less what the user's umask takes.
    """
    with replacing(path, mode) as file:
        file.write(text.encode())


def as_json(value: Any) -> str:
    """A value as JSON that every reader takes: null for a number that is none, or infinite. Ends with a line feed."""
    return json.dumps(_finite(value), indent=1, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write ``record`` as the run folder's record.json; the schema version is added, and NaN becomes null."""
    write_text(folder / FILE, as_json({"schema": SCHEMA, **record}))


def record_or_none(folder: Path) -> dict[str, Any] | None:
    """Read as `read_record`, with None for a damaged record too: it counts as none where nobody is told of it."""
    try:
        return read_record(folder)
    except ResultsError:
        return None


def is_over(record: Mapping[str, Any] | None) -> bool:
    """Whether a run is made by no command again: it is finished, or has diverged."""
    return record is not None and record["status"] in (FINISHED, DIVERGED)


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a run folder, or None where there is none yet.

    Its texts have no characters that steer a terminal, and NaN, which older versions wrote, is None.

    Raises:
        ResultsError: the file is no plain file, no record, of a schema that this version does not know, or has a field
            of another kind than tables take.
    """
    path = folder / FILE
    try:
        record = _cleaned(json.loads(read_plain_text(path), parse_constant=lambda _: None), 0)
    except FileNotFoundError:
        return None
    except RecursionError:
        raise ResultsError(f"{path}: expected a JSON record (it is too deep)") from None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: expected a JSON record ({error})") from None
    found = record.pop("schema", None) if isinstance(record, dict) else type(record).__name__
    if found != SCHEMA:
        raise ResultsError(f"{path}: expected a record of schema {SCHEMA}, found {_short(found)}")
    if record.get("status") not in STATUSES:
        raise ResultsError(f"{path}: status is {_short(record.get('status'))}, expected one of {', '.join(STATUSES)}")
    _check(record, _FIELDS, "", path)
    return record


def _cleaned(value: Any, depth: int) -> Any:
    if depth > _DEEPEST:
        raise ValueError(f"it is more than {_DEEPEST} levels deep")
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {clean(key): _cleaned(each, depth + 1) for key, each in value.items()}
    return [_cleaned(each, depth + 1) for each in value] if isinstance(value, list) else value


def _check(value: Any, kind: Any, name: str, path: Path) -> None:
    """Raise ResultsError for a field, or one in it, that is not of its kind; null stands for one that is not known."""
    if isinstance(kind, str):
        fits, expected = (value is None and kind != _WHOLE) or _is(value, kind), kind
    elif isinstance(kind, list):
        fits, expected = value is None or isinstance(value, list), "a list"
    else:
        fits, expected = value is None or isinstance(value, dict), "an object"
    if not fits:
        raise ResultsError(f"{path}: {name} is {_short(value)}, expected {expected}")
    if isinstance(value, list):
        for number, each in enumerate(value):
            if each is None:
                raise ResultsError(f"{path}: {name}[{number}] is null, expected an object")
            _check(each, kind[0], f"{name}[{number}]", path)
    elif isinstance(value, dict):
        for key in value if _ANY in kind else kind.keys() & value.keys():
            _check(value[key], kind.get(key, kind.get(_ANY)), f"{name}.{key}".lstrip("."), path)
        for size in value if name.endswith("miou_by_classes") else ():
            if not (size.isascii() and size.isdigit() and len(size) < 9):
                raise ResultsError(f"{path}: {name} has {_short(size)}, expected a number of classes")


def _is(value: Any, kind: str) -> bool:
    if kind in (_TEXT, _FLAG):
        return isinstance(value, str if kind == _TEXT else bool)
    if isinstance(value, bool) or not isinstance(value, int if kind == _WHOLE else (int, float)):
        return False
    return 0 <= value < _LARGEST if kind == _WHOLE else -_HUGE < value < _HUGE


def _short(value: Any) -> str:
    return f"{value!r:.60}"
