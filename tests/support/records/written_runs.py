"""Run folders that were written and never made, for the tables of runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from record_files import write_record


def write_run(folder: Path, method: str, seed: int, miou: float | None, ratio: float | None, **changes: Any) -> None:
    folder.mkdir(parents=True)
    record: dict[str, Any] = {
        "id": folder.name,
        "spec": {"protocol": "streets", "method": method, "network": "daformer-lite0", "seed": seed},
        "oracle": False,
        "classes": 19,
        "iterations": 350,
        "max_iterations": 350,
        "precision": "fp32",
        "hardware": {"name": "CPU"},
        "reason": "",
        "status": "finished",
        "seconds_per_iteration": 0.5,
        "peak_memory_mib": 700.4,
        "result": {"student": {"miou": miou}, "teacher": {"miou": miou}},
    }
    write_record(folder, record | changes)
    if ratio is not None:
        config = {"SOLVER": {"ITERS": 350}, "TERMS": {"MRM": {"RATIO": ratio}}, "INPUT": {"CROP": [9, 9]}}
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
