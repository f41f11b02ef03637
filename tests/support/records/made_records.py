"""Records of runs that were never made, the table of runs of them, and what a table of methods has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
from record_files import write_record

from results.forms.cells import tabulated
from results.tables.frame import from_folders
from results.tables.methods_table import MethodsTable


def record(method: str = "dacs", seed: int = 0, miou: float | None = 50.0, **changes: Any) -> dict[str, Any]:
    """A record as benchmarks/engine/runner.py writes it; one without mIoU has failed."""
    done = miou is not None
    whole: dict[str, Any] = {
        "id": f"{method}-{seed}",
        "spec": {"protocol": "streets", "method": method, "network": "daformer-lite0", "seed": seed},
        "oracle": method == "target-only",
        "classes": 19,
        "iterations": 500 if done else 40,
        "max_iterations": 500,
        "precision": "fp32",
        "hardware": {"name": "CPU of a laptop", "device": "cpu", "threads": 2},
        "reason": "" if done else "RuntimeError: disk full",
        "status": "finished" if done else "failed",
        "parameters": {"encoder": 3, "decoder": 4, "inference": 7, "training_only": 5},
        "seconds_per_iteration": 0.25,
        "peak_memory_mib": 900.5,
        "wall_seconds": 125.0,
    }
    if done:
        whole["result"] = {"student": {"miou": miou, "iou": {"road": 90.0, "train": None}}, "teacher": {"miou": miou}}
    return whole | changes


def runs_of(tmp_path: Path, *records: dict[str, Any]) -> pd.DataFrame:
    """The records, written and read back, in this order."""
    folders = []
    for number, content in enumerate(records):
        folders.append(tmp_path / f"run{number}")
        folders[-1].mkdir()
        write_record(folders[-1], content)
    return from_folders(folders)


def row(comparison: MethodsTable, method: str) -> pd.Series:
    return comparison.frame.set_index("method").loc[method]


def render(comparison: MethodsTable, form: str) -> str:
    return tabulated(comparison.columns, form)
