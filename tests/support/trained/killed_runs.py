"""Runs that were never stopped, and what a kill would have left of each at many instants."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from code_at_hand import know_the_code
from conftest import SMALL
from detectron2.config import CfgNode
from detectron2.utils import events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import benchmarks.engine.hooks
from benchmarks.config.run import Run
from benchmarks.config.spec import RunSpec
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.engine.trainer import Trainer
from benchmarks.engine.watched import WATCHED

# Three periods that disagree, so that kills fall between what is evaluated, logged and saved.
SIZES = SMALL | {"SOLVER.ITERS": 5, "TEST.PERIOD": 3, "CHECKPOINT_PERIOD": 2, "LOG.PERIOD": 4, "NUM_WORKERS": 0}
METHODS: dict[str, dict[str, Any]] = {
    "source-only": {"TEST.SOURCE_IMAGES": 2},
    "target-only": {},
    "dacs": {},
    "dacs-original": {},
    "daformer": {"TEST.SOURCE_IMAGES": 1, "TEST.CONFIDENCE_IMAGES": 2},  # and rare class sampling
    "hrda": {},
    "dacs+mic+mrm+semi": {"TERMS.MIC.TEACHER": "own", "TERMS.MIC.MOMENTUM": 0.9, "DATA.LABELLED_TARGET": 3},
}
OF_A_SESSION = ("seconds_per_iteration", "peak_memory_mib", "wall_seconds", "shared", "resumed_at", "session_began")


def make(cfg: CfgNode, folder: Path, watcher: RunWatcher | None = None) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        know_the_code(patch)
        return run_one(Run.at(folder, cfg), watcher or RunWatcher()).content


def config(method: str, **overrides: Any) -> CfgNode:
    return RunSpec("streets", method, None, 0, SIZES | METHODS.get(method, {}) | overrides).resolve()


class Whole(NamedTuple):
    """A run that was never stopped, and its folder as a kill would have left it, at each of many instants."""

    cfg: CfgNode
    folder: Path
    killed: list[Path]


@functools.cache
def whole(method: str, precision: str = "fp32") -> Whole:
    """Made once a session."""
    base = Path(tempfile.mkdtemp(prefix="segshift-killed-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    cfg, killed = config(method, **{"SOLVER.PRECISION": precision}), Kills(base / "run", base / "killed")
    with killed.seen():
        record = make(cfg, base / "run")
    assert record["status"] == "finished", record["reason"]
    return Whole(cfg, base / "run", killed.folders)


class Kills:
    """Copies a run folder between writes, steps and evaluations: what kill -9 leaves is what is on disk."""

    def __init__(self, run: Path, copies: Path) -> None:
        self._run, self._copies = run, copies
        self.folders: list[Path] = []
        self._last: list[tuple[str, int, int]] = []

    @contextmanager
    def seen(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in (
                (Path, "replace"),
                (Path, "unlink"),
                (torch, "save"),
                (events.JSONWriter, "write"),
                (events.TensorboardXWriter, "write"),
                (Trainer, "run_step"),
                (benchmarks.engine.hooks, "evaluate_all"),
            ):
                patch.setattr(owner, name, self._around(getattr(owner, name)))
            yield

    def _around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*arguments: Any, **options: Any) -> Any:
            self._copy()
            result = function(*arguments, **options)
            self._copy()
            return result

        return wrapped

    def _copy(self) -> None:
        record = self._run / "record.json"
        if not record.is_file() or json.loads(record.read_text())["status"] == "finished":
            return
        files = sorted((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in self._run.iterdir())
        if files != self._last:
            self._last = files
            self.folders.append(copied(self._run, self._copies / f"{len(self.folders):03}"))


def linked(source: str, copy: str) -> None:
    """Checkpoints are replaced and never written to, so a copy can share them."""
    if source.endswith(".pth"):
        os.link(source, copy)
    else:
        shutil.copyfile(source, copy)


def copied(run: Path, to: Path) -> Path:
    """A copy of a run folder, whose checkpoints are the same files."""
    return Path(shutil.copytree(run, to, copy_function=linked))


def scalars(folder: Path) -> dict[str, list[tuple[int, str]]]:
    """What TensorBoard shows but for what a clock decides; a class that is nowhere is "nan", which is not itself."""
    reader = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    tags = [tag for tag in reader.Tags()["scalars"] if not tag.startswith(WATCHED)]
    return {tag: [(e.step, repr(e.value)) for e in reader.Scalars(tag)] for tag in tags}


def assert_same(first: Any, second: Any, where: str = "") -> None:
    assert type(first) is type(second), where
    if isinstance(first, torch.Tensor):
        assert first.dtype == second.dtype and torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, list | tuple):
        assert len(first) == len(second), where
        for index, (a, b) in enumerate(zip(first, second, strict=True)):
            assert_same(a, b, f"{where}.{index}")
    else:
        assert first == second, where


def state(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Final checkpoint and record, without what a clock or the session decides."""
    saved = torch.load(folder / "model_final.pth", weights_only=True)
    del saved["progress"]["wall_seconds"]
    record = json.loads((folder / "record.json").read_text())
    return saved, {key: value for key, value in record.items() if key not in OF_A_SESSION}


@functools.cache
def of_whole(read: Callable[[Path], Any], folder: Path) -> Any:
    """``read(folder)``, once for each run that was never stopped."""
    return read(folder)


def assert_ends_as(folder: Path, run: Whole) -> None:
    assert_same(state(folder), of_whole(state, run.folder))
    assert (folder / "metrics.json").read_text() == (run.folder / "metrics.json").read_text()
    shown = scalars(folder)
    assert shown == of_whole(scalars, run.folder)
    assert all(len({step for step, _ in points}) == len(points) for points in shown.values())
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".") and path.name != ".lock"]
    assert [path.name for path in folder.glob("*.pth")] == ["model_final.pth"]
    assert (folder / "last_checkpoint").read_text() == "model_final.pth"
    shutil.rmtree(folder)  # many of them fill a disk


def newest(folder: Path) -> int:
    """Iterations that the newest complete checkpoint holds."""
    if (folder / "model_final.pth").exists():
        return SIZES["SOLVER.ITERS"]
    return max([0, *(int(path.stem[6:]) + 1 for path in folder.glob("model_0*.pth"))])


def stopped(run: Whole, to: Path) -> Path:
    """The run, killed in its fifth iteration, when it had the checkpoints of its third (evaluated) and fourth."""
    names = ["model_0000002.pth", "model_0000003.pth"]
    found = [killed for killed in run.killed if sorted(path.name for path in killed.glob("*.pth")) == names]
    return copied(found[len(found) // 2], to)
