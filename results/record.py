"""record.json: one a run, the only thing that tables read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from results.errors import ResultsError

SCHEMA = 1
FILE = "record.json"

PENDING, RUNNING, FINISHED = "pending", "running", "finished"
FAILED, DIVERGED, STOPPED = "failed", "diverged", "stopped"
STATUSES = (PENDING, RUNNING, FINISHED, FAILED, DIVERGED, STOPPED)
"""A pending run was submitted to a queue and has not begun, or not yet gone on. A stopped run was ended on purpose
before its last iterate, as a search prunes runs; it can be taken up again."""

LOST = "lost: "  # begins the reason of a failed run whose process is gone


def write_text(path: Path, text: str) -> None:
    """Write a whole file or nothing: to a temporary name beside it, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write ``record`` as the run folder's record.json; the schema version is added."""
    write_text(folder / FILE, json.dumps({"schema": SCHEMA, **record}, indent=1) + "\n")


def read_record(folder: Path) -> dict[str, Any] | None:
    """The record of a run folder, or None where there is none yet.

    Raises:
        ResultsError: the file is no record, or of a schema that this version does not know.
    """
    path = folder / FILE
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: expected a JSON record ({error})") from None
    found = record.pop("schema", None) if isinstance(record, dict) else type(record).__name__
    if found != SCHEMA:
        raise ResultsError(f"{path}: expected a record of schema {SCHEMA}, found {found!r}")
    if record.get("status") not in STATUSES:
        raise ResultsError(f"{path}: status is {record.get('status')!r}, expected one of {', '.join(STATUSES)}")
    return record
