"""Runs without training, for the driver of a search: their scores are a function of λ and the mask ratio."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from record_files import read_record, write_record

from benchmarks.launch.workers import WorkerJob
from results.records.record import DIVERGED, FAILED, FINISHED, RUNNING
from slurm.base.outcome import Lost

EVALUATIONS = 5
Fate = Callable[[WorkerJob, int], "str | None"]
"""None, ``lost``, ``failed``, ``diverged`` or ``interrupt``."""


def score(cfg: CfgNode, share: float = 1.0) -> float:
    """Best at λ 2 and ratio 0.6; rises with the share of the iterations that are done."""
    mrm = cfg.TERMS.MRM
    return share * (50 - 5 * math.log10(mrm.WEIGHT / 2) ** 2 - 40 * (mrm.RATIO - 0.6) ** 2)


def write(folder: Path, cfg: CfgNode, evaluations: int, status: str, reason: str = "") -> None:
    iterations = cfg.SOLVER.ITERS
    folder.mkdir(parents=True, exist_ok=True)
    curve = [
        {"iteration": iterations * k // EVALUATIONS, "miou": score(cfg, k / EVALUATIONS)}
        for k in range(1, evaluations + 1)
    ]
    record: dict[str, Any] = {
        "id": folder.name,
        "spec": {"protocol": cfg.PROTOCOL, "method": cfg.METHOD, "network": cfg.NETWORK, "seed": cfg.SEED},
        "status": status,
        "reason": reason,
        "oracle": False,
        "classes": cfg.TEST.CLASSES,
        "iterations": iterations * evaluations // EVALUATIONS,
        "max_iterations": iterations,
        "hardware": {"name": "none"},
        "precision": "fp32",
        "curve": curve,
    }
    if status == FINISHED:
        record["result"] = {"student": {"miou": curve[-1]["miou"]}}
    write_record(folder, record)


class FakePool:
    """In place of processes: each look at it takes every run one evaluation further.

    Attributes:
        submitted: the folder of each run that was started, in order.
        cancelled: the folders of those that were told to stop.
    """

    def __init__(self, parallel: int = 2, fate: Fate = lambda job, done: None) -> None:
        """``fate(job, evaluations done)``, asked at each step, may end a run, or with ``interrupt`` the command."""
        self._parallel, self._fate = parallel, fate
        self._running: dict[int, tuple[WorkerJob, int]] = {}
        self._stopping: set[int] = set()
        self.submitted: list[Path] = []
        self.cancelled: list[Path] = []

    @property
    def free(self) -> int:
        return self._parallel - len(self._running)

    def submit(self, index: int, job: WorkerJob) -> str:
        assert self.free > 0 and index not in self._running
        known = read_record(job.run.folder) if job.run.folder.is_dir() else None
        done = len(known["curve"]) if known else 0  # from its checkpoint
        self._running[index] = (job, done)
        self.submitted.append(job.run.folder)
        write(job.run.folder, job.run.cfg, done, RUNNING)
        return ""

    def busy(self, folder: Path) -> bool:
        return False

    def cancel(self, index: int) -> None:
        self._stopping.add(index)
        self.cancelled.append(self._running[index][0].run.folder)

    def ended(self) -> list[tuple[int, str | Lost | None]]:
        over: list[tuple[int, str | Lost | None]] = []
        for index, (job, done) in list(self._running.items()):
            fate = self._fate(job, done)
            if fate == "interrupt":
                raise KeyboardInterrupt
            if fate == "lost" or index in self._stopping:
                over.append((index, Lost("its process died", job.run.folder)))
            elif fate in (FAILED, DIVERGED):
                write(job.run.folder, job.run.cfg, done, fate, f"{fate} as it was told to")
                over.append((index, None))
            else:
                done += 1
                write(job.run.folder, job.run.cfg, done, FINISHED if done == EVALUATIONS else RUNNING)
                self._running[index] = (job, done)
                if done == EVALUATIONS:
                    over.append((index, None))
        for index, _ in over:
            del self._running[index]
        return over
