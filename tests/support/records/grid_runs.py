"""Rows of grids, and records of their runs, written in place of trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from record_files import write_record

from ablations.sweep.expand import Row, expand
from ablations.sweep.grid import read_grid
from benchmarks.config.run_id import run_id

Scores = Mapping[str, Sequence[float | str]]  # of a row's label, one a seed; words are the status of a run without one


def rows_of(name: str, protocol: str = "streets", **given: Any) -> list[Row]:
    options = {"network": None, "host": None, "seeds": [0, 1, 2], "overrides": {}, "output": Path("runs")} | given
    return expand(read_grid(name), protocol, **options)


def write_runs(rows: Sequence[Row], scores: Scores) -> None:
    for row in rows:
        for run, score in zip(row.runs, scores.get(row.label, ()), strict=False):
            write_run(run.cfg, run.folder, score)


def write_run(cfg: Any, folder: Path, score: float | str) -> None:
    record: dict[str, Any] = {
        "id": run_id(cfg),
        "spec": {"protocol": cfg.PROTOCOL, "method": cfg.METHOD, "network": cfg.NETWORK, "seed": cfg.SEED},
        "oracle": False,
        "classes": cfg.TEST.CLASSES,
        "iterations": cfg.SOLVER.ITERS,
        "max_iterations": cfg.SOLVER.ITERS,
        "precision": "fp32",
        "hardware": {"name": "CPU"},
        "reason": "",
        "seconds_per_iteration": 0.5,
        "peak_memory_mib": 700.0,
        "wall_seconds": 0.6 * cfg.SOLVER.ITERS,
        "status": score if isinstance(score, str) else "finished",
        "result": None if isinstance(score, str) else {"student": {"miou": score}},
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_record(folder, record)
