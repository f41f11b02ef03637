"""A run that two processes make together, with a fault in one of them or without."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from conftest import SMALL
from detectron2.config import CfgNode
from record_files import read_record

from benchmarks.config.run import Run
from benchmarks.config.spec import RunSpec
from benchmarks.launch.workers import WorkerJob, make_run


def config(method: str = "dacs", **more: Any) -> CfgNode:
    sizes = {"SOLVER.ITERS": 5, "TEST.PERIOD": 3, "CHECKPOINT_PERIOD": 2, "NUM_WORKERS": 0}
    return RunSpec("streets", method, None, 0, SMALL | sizes | more).resolve()


def made(folder: Path) -> dict[str, Any]:
    """The record of the run, made by two processes of one thread each: sums in one order, wherever they are."""
    threads = torch.get_num_threads()  # which the processes share
    torch.set_num_threads(1)
    try:
        assert make_run(WorkerJob("run", Run.at(folder, config()), False, 2)) is None
    finally:
        torch.set_num_threads(threads)
    record = read_record(folder)
    assert record is not None
    return record


@functools.cache
def whole() -> Path:
    """A run that was never stopped."""
    folder = Path(tempfile.mkdtemp(prefix="segshift-ranks-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    assert made(folder)["status"] == "finished"
    return folder
