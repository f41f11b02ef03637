"""How fast training images come from their files: decoded, scaled, cropped, beside the bare decoding of the same files.

And how many processes a training step needs to be fed by.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from detectron2.config import CfgNode

from benchmarks.cli.progress import Progress
from benchmarks.data.data_sets import items
from benchmarks.data.from_config import training_set
from benchmarks.measure.spread import Spread
from methods.framework.recipes import parse

Row = dict[str, Any]


def measure(cfg: CfgNode, root: Path, images: int, rounds: int, step_seconds: Sequence[float]) -> list[Row]:
    """Rows of what one process makes in a second: of batches, and of the bare decoding of the same number of files.

    A round is of ``images`` images of each domain, the same ones each time, and nothing is kept decoded in between.
    ``step_seconds``: of training steps; the row of batches says how many processes keep up with each.
    """
    batch = cfg.SOLVER.BATCH
    whole = max(1, images // batch)
    target = parse(cfg.METHOD).host.teacher
    files = _files(cfg, root, whole * batch, target)
    loaded, decoded = [], []
    with Progress("loading", rounds + 1, "rounds", stderr=True) as progress:
        for number in range(rounds + 1):
            train = training_set(cfg, parse(cfg.METHOD), root)
            started = time.process_time()
            for iteration in range(whole):
                train.load(iteration)
            between = time.process_time()
            for file in files:
                decode(file)
            if number:  # the first brings the files into the system's memory
                loaded.append(between - started)
                decoded.append(time.process_time() - between)
            progress.advance()
    count = whole * batch * (1 + target)
    seconds = Spread.of(loaded).median / whole
    megabytes = sum(file.stat().st_size for file in files) / 2**20
    common = {"images": count, "files": len(files), "files_mib": megabytes, "crop": "x".join(map(str, cfg.INPUT.CROP))}
    return [
        {
            "what": "files to batches",
            "images_per_second": Spread.of(loaded).per(count).as_json(),
            "seconds_per_batch": seconds,
            "workers": {f"{step:g}": workers(seconds, step) for step in step_seconds},
            **common,
        },
        {
            "what": "bare decoding",
            "images_per_second": Spread.of(decoded).per(count).as_json(),
            "seconds_per_batch": Spread.of(decoded).median / whole,
            "workers": {},
            **common,
        },
    ]


def workers(seconds_per_batch: float, step_seconds: float) -> int:
    """The fewest processes of one core each that make batches as fast as steps take them."""
    return max(1, math.ceil(seconds_per_batch / step_seconds))


def decode(path: Path) -> np.ndarray:
    """The pixels of a file as OpenCV has them, blue first: nothing is checked, turned or converted."""
    pixels = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
    assert pixels is not None, path
    return pixels


def _files(cfg: CfgNode, root: Path, images: int, target: bool) -> list[Path]:
    """Images of both domains and labels of the source, of the first ``images``."""
    source = items(cfg, "SOURCE", root, labelled=True)[:images]
    found = [Path(item[key]) for item in source for key in ("file_name", "sem_seg_file_name")]
    if target:
        found += [Path(item["file_name"]) for item in items(cfg, "TARGET", root, labelled=False)[:images]]
    return found
