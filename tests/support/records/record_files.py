"""record.json as others see it: an object of keys."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from results.records import record as records


def read_record(folder: Path) -> dict[str, Any] | None:
    """What a run folder's record has, without the schema; as `results.records.record.read_record`."""
    record = records.read_record(folder)
    return None if record is None else record.content


def write_record(folder: Path, content: Mapping[str, Any]) -> None:
    """Write a record, whole or in part, whatever is in it."""
    records.write_text(folder / records.FILE, records.as_json({"schema": records.SCHEMA, **content}))
