"""What images a run is made of: a fingerprint of each data set in use, compared before a run is shown or gone on with.

Names and byte sizes of images and labels, in their order, count, and not where the folder lies: a moved one keeps its
fingerprint, a changed one does not. No file is opened. The embedded benchmark has none: its version is in the id.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from benchmarks.config.label_space import roles_of
from benchmarks.config.run import Run
from benchmarks.core.errors import ConfigError
from benchmarks.data.data_sets import items
from benchmarks.data.from_config import data_root, learned_roles
from benchmarks.state.outcome import validation_may_be_mended
from datasets.base.errors import DataError
from results.records.record import FINISHED, record_or_none

_THREADS, _SHARE = 16, 256  # a file server answers many questions at a time; files that a thread asks for in one go

Fingerprint = dict[str, Any]
"""{"count": images, "images": digest} and, where labels are read, "labels": digest."""


class Listings:
    """The fingerprints of one command: equal data sections are listed once."""

    def __init__(self) -> None:
        self._known: dict[str, Fingerprint | None] = {}

    def of(self, run: Run) -> dict[str, Fingerprint]:
        """The fingerprints of a run's data sets, by SOURCE, SOURCE_2, ..., TARGET and VAL, of those that are there."""
        found = {role: self.of_role(run.cfg, role, labelled) for role, labelled in _roles(run).items()}
        return {role: each for role, each in found.items() if each is not None}

    def of_role(self, cfg: CfgNode, role: str, labelled: bool) -> Fingerprint | None:
        """The fingerprint of a data set; None where it is not there, or cannot be read."""
        if cfg.DATA.STREETS.SOURCE_IMAGES:
            return None
        try:
            root = data_root(cfg)
            key = str((role, labelled, root, cfg.DATA, cfg.PROTOCOL, cfg.PROTOCOL_FILE))
            if key not in self._known:
                self._known[key] = _fingerprint(items(cfg, role, root, labelled))
        except (DataError, ConfigError, OSError):
            return None
        return self._known[key]

    def check(self, run: Run, place: Path | None = None) -> None:
        """Refuse a run that was made of other images in its folder, or in ``place``, than its config has now.

        What can be shown without data is shown without: a data set that is not there is not compared, nor is a run that
        has left no checkpoint, or that says nothing of its images. A run that failed by itself goes on with mended
        validation images, which decide nothing of what it has learned.

        Raises:
            ConfigError: one line that names the data set.
        """
        folder = place or run.folder
        record = record_or_none(folder)
        if record is None or not record.data or (not record.is_over and not any(folder.glob("model_*.pth"))):
            return
        for role, now in self.of(run).items():
            what = difference(record.data.get(role), now)
            if what and not (role == "VAL" and validation_may_be_mended(record)):
                node = run.cfg.DATA[role]
                raise ConfigError(
                    f"{folder}: the run was {'made' if record.status == FINISHED else 'begun'} with other {what} of "
                    f"DATA.{role} ({node.NAME or node.FOLDER or node.IMAGES}): expected those, another --output, or "
                    "--force to make it anew"
                )


def difference(then: Any, now: Fingerprint | None) -> str:
    """What differs, in words: "images (3 then, 4 now)", or "labels"; "" where nothing does, or one is not known."""
    if not isinstance(then, Mapping) or now is None:
        return ""
    if then.get("images") != now["images"]:
        counts = f"{then.get('count')} then, {now['count']} now"
        return f"images ({counts if then.get('count') != now['count'] else 'as many, of other names or sizes'})"
    if "labels" in then and "labels" in now and then["labels"] != now["labels"]:
        return "labels"
    return ""


def _roles(run: Run) -> dict[str, bool]:
    """The data sets that a run uses, and whether their labels are read."""
    learned, few = learned_roles(run.cfg, run.recipe), ["TARGET"] if run.recipe.few_labels else []
    seen = run.recipe.host.teacher or run.cfg.TEST.CONFIDENCE_IMAGES
    targets = [] if run.recipe.oracle else roles_of(run.cfg, "TARGET") if seen else few
    return {**dict.fromkeys(learned, True), **{role: role in few for role in targets}, "VAL": True}


def _fingerprint(listed: Sequence[Mapping[str, Any]]) -> Fingerprint:
    """Make a fingerprint. Raises OSError where a file is not there."""
    found: Fingerprint = {"count": len(listed), "images": _digest([item["file_name"] for item in listed])}
    if listed and "sem_seg_file_name" in listed[0]:
        found["labels"] = _digest([item["sem_seg_file_name"] for item in listed])
    return found


def _digest(paths: Sequence[str]) -> str:
    """16 hexadecimal digits of names, below the folder that all are in, and sizes."""
    above = os.path.commonpath([str(Path(path).parent) for path in paths]) if paths else ""
    with ThreadPoolExecutor(_THREADS) as threads:
        parts = [paths[start : start + _SHARE] for start in range(0, len(paths), _SHARE)]
        sizes = [size for part in threads.map(_sizes, parts) for size in part]
    digest = hashlib.sha256()
    for path, size in zip(paths, sizes, strict=True):
        name = path[len(above) :].lstrip("/") if above else path
        digest.update(f"{name}\0{size}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


def _sizes(paths: Sequence[str]) -> list[int]:
    return [Path(path).stat().st_size for path in paths]
