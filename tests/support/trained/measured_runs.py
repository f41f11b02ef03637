"""A small run with both criteria, shared by tests: made once a session, and what its record said meanwhile."""

from __future__ import annotations

import atexit
import functools
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from conftest import SMALL
from detectron2.config import CfgNode

from benchmarks.config.run import Run
from benchmarks.config.spec import RunSpec
from benchmarks.engine.runner import RunWatcher, run_one

MARGINS = (3, 5, 2)
# Sizes of another aspect than the images', which are 128x64. Rates are high, so that not all pixels are of one class.
MEASURED = SMALL | {
    "TEST.SOURCE_IMAGES": 2,
    "TEST.CONFIDENCE_IMAGES": 3,
    "INPUT.CROP": (32, 32),
    "INPUT.SOURCE_RESIZE": (96, 96),
    "INPUT.TARGET_RESIZE": (90, 45),
    "INPUT.TARGET_MARGINS": MARGINS,
    "SOLVER.ENCODER_LR": 0.01,
    "SOLVER.DECODER_LR": 0.05,
}


def config(method: str = "dacs", **overrides: Any) -> CfgNode:
    return RunSpec("streets", method, None, 0, MEASURED | overrides).resolve()


def on_disk(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "record.json").read_text())


class Reading(RunWatcher):
    """Reads the run's record whenever it is told something, as another process would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.begun: dict[str, Any] = {}
        self.seen: list[dict[str, Any]] = []
        self.images: list[tuple[int, int]] = []

    def started(self, iteration: int, miou: float | None = None) -> None:
        self.begun = on_disk(self.folder)

    def evaluating(self, done: int, images: int) -> None:
        self.images.append((done, images))

    def evaluated(self, miou: float) -> None:
        self.seen.append(on_disk(self.folder))


@functools.cache
def measured() -> Reading:
    """A finished run."""
    folder = Path(tempfile.mkdtemp(prefix="segshift-measured-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    watcher = Reading(folder)
    assert run_one(Run.at(folder, config()), watcher).content["status"] == "finished"
    return watcher
