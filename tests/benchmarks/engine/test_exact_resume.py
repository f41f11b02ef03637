"""A run that is killed at any moment and taken up again ends as one that was never stopped, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from killed_runs import METHODS, assert_ends_as, config, copied, make, newest, stopped, whole

import benchmarks.engine.hooks
from benchmarks.core.checkout import ROOT
from benchmarks.engine.hooks import keep_before
from benchmarks.engine.runner import RunWatcher
from datasets.base.errors import DataError

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("method", METHODS)
def test_killed_at_any_moment(method: str, tmp_path: Path) -> None:
    run = whole(method)
    assert len({newest(folder) for folder in run.killed}) == 5  # 0, 2, 3, 4 and 5: kills fall everywhere
    for killed in random.Random(method).sample(run.killed, 5):
        folder, before = copied(killed, tmp_path / killed.name), newest(killed)
        assert make(run.cfg, folder)["resumed_at"] == before, folder
        assert_ends_as(folder, run)


KILLED_CHILD = """
import os, signal, sys, yaml
from pathlib import Path
from detectron2.config import CfgNode
from benchmarks.config.run import Run
from benchmarks.engine.runner import RunWatcher, run_one
class Killed(RunWatcher):
    def step(self, done, losses):
        if done == 5:
            os.kill(os.getpid(), signal.SIGKILL)
cfg = CfgNode(yaml.safe_load(Path(sys.argv[1]).read_text()))
run_one(Run.at(Path(sys.argv[2]), cfg), Killed())
"""


def test_kill_9_with_loader_workers(tmp_path: Path) -> None:
    """The workers outlive the killed process for seconds; the run is taken up at once, and ends as without workers."""
    run, cfg, folder = whole("dacs"), config("dacs", NUM_WORKERS=2), tmp_path / "run"
    (tmp_path / "config.yaml").write_text(cfg.dump())
    with (tmp_path / "stderr").open("w") as stderr:  # of a pipe the end would come with that of the workers
        child = subprocess.run(
            [sys.executable, "-c", KILLED_CHILD, tmp_path / "config.yaml", folder],
            cwd=ROOT,
            env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
            stderr=stderr,
        )
    assert child.returncode == -signal.SIGKILL, (tmp_path / "stderr").read_text()
    assert make(cfg, folder)["resumed_at"] == 4
    assert_ends_as(folder, run)


def test_a_session_whose_clock_is_behind_is_shown_too(tmp_path: Path) -> None:
    """TensorBoard reads event files by name, and the time is in front."""
    run = whole("source-only")
    folder = stopped(run, tmp_path / "run")
    (first,) = folder.glob("events.*")
    seconds, others = first.name.removeprefix("events.out.tfevents.").split(".", 1)
    names = [f"events.out.tfevents.{int(seconds) + 3600 + session}." for session in (0, 1)]
    first.rename(folder / (names[0] + others))
    (folder / f"events.out.tfevents.{seconds}.host.1.0.opening").touch()  # killed as it began
    make(run.cfg, folder)
    found = sorted(path.name for path in folder.glob("events.*"))
    assert len(found) == 2 and all(map(str.startswith, found, names)), found
    assert_ends_as(folder, run)


def test_the_gradient_scaler_of_fp16_goes_on(tmp_path: Path) -> None:
    run = whole("source-only", "fp16")
    scaler = torch.load(run.folder / "model_final.pth", weights_only=True)["scaler"]
    fresh = torch.amp.GradScaler("cpu").state_dict()
    assert (scaler["scale"], scaler["_growth_tracker"]) != (fresh["scale"], fresh["_growth_tracker"])
    folder = stopped(run, tmp_path / "run")
    make(run.cfg, folder)
    assert_ends_as(folder, run)


@pytest.mark.parametrize("method", ["daformer", "hrda", "dacs+mic+mrm+semi"])
def test_deterministic_kernels_are_there_for_all_that_is_computed(method: str, tmp_path: Path) -> None:
    """And on the CPU they are those that are used anyway."""
    run, seen = whole(method), list[bool]()

    class Watcher(RunWatcher):
        def step(self, done: int, losses: Any) -> None:
            seen.append(torch.are_deterministic_algorithms_enabled())

    record = make(config(method, **{"SOLVER.DETERMINISTIC": True}), tmp_path / "run", Watcher())
    assert record["status"] == "finished", record["reason"]
    assert seen == [True] * 5 and not torch.are_deterministic_algorithms_enabled()
    saved, expected = (
        torch.load(folder / "model_final.pth", weights_only=True)["model"] for folder in (tmp_path / "run", run.folder)
    )
    assert all(torch.equal(saved[name], value) for name, value in expected.items())
    assert record["id"] == json.loads((run.folder / "record.json").read_text())["id"]


@pytest.mark.parametrize(
    ("error", "at"), [(RuntimeError("out of luck"), 5), (KeyboardInterrupt(), 5), (KeyboardInterrupt(), 3)]
)
def test_an_error_leaves_nothing_that_a_kill_would_not(
    error: BaseException, at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, folder = whole("source-only"), tmp_path / "run"
    scored: list[int] = []
    evaluate = benchmarks.engine.hooks.evaluate_all
    monkeypatch.setattr(benchmarks.engine.hooks, "evaluate_all", lambda *a: scored.append(1) or evaluate(*a))

    class Raising(RunWatcher):
        def step(self, done: int, losses: Any) -> None:
            if done == at:
                scored.clear()
                raise error

    if isinstance(error, Exception):
        assert make(run.cfg, folder, Raising())["reason"] == "RuntimeError: out of luck"
    else:
        with pytest.raises(KeyboardInterrupt):
            make(run.cfg, folder, Raising())
    assert not scored  # nobody waits for a last evaluation
    lines = (folder / "metrics.json").read_text()
    assert (run.folder / "metrics.json").read_text().startswith(lines)
    assert len(lines.splitlines()) == {3: 0, 5: 2}[at]
    again = copied(folder, tmp_path / "again")
    make(run.cfg, again)
    assert_ends_as(again, run)


@pytest.mark.parametrize("method", ["source-only", "daformer"])
def test_an_evaluation_that_fails_takes_no_iteration_away_and_is_made_up(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A validation file that cannot be scored, in the third iteration, whose checkpoint is not due by its period."""
    run, folder = whole(method), tmp_path / "run"

    def fails(*_: Any) -> None:
        raise DataError("val/1.png: damaged")

    with monkeypatch.context() as patch:
        patch.setattr(benchmarks.engine.hooks, "evaluate_all", fails)
        assert make(run.cfg, folder)["reason"] == "DataError: val/1.png: damaged"
        assert newest(folder) == 3
        again = make(run.cfg, folder)  # and not mended: it is not trained past the evaluation
    assert (again["resumed_at"], again["status"], newest(folder)) == (3, "failed", 3)
    record = make(run.cfg, folder)
    assert (record["resumed_at"], [point["iteration"] for point in record["curve"]]) == (3, [3, 5])
    assert_ends_as(folder, run)


def test_an_evaluation_is_not_made_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was done when the run was stopped, whose checkpoint is not due by its period."""
    run, folder, done = whole("source-only"), tmp_path / "run", list[int]()
    evaluate = benchmarks.engine.hooks.evaluate_all
    monkeypatch.setattr(benchmarks.engine.hooks, "evaluate_all", lambda *a: done.append(1) or evaluate(*a))

    class Raising(RunWatcher):
        def step(self, steps: int, losses: Any) -> None:
            if steps == 4:
                raise RuntimeError("out of luck")

    make(run.cfg, folder, Raising())
    assert len(done) == 1 and newest(folder) == 3
    make(run.cfg, folder)
    assert len(done) == 2  # with the last iterate's
    assert_ends_as(folder, run)


def test_lines_of_metrics_after_the_checkpoint_and_half_lines_go(tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text('{"iteration": 3}\n{"iteration": 7, "lr": 0.1}\n{"iteration": 8}\nnull\n{"iteration": 1')
    keep_before(path, 8)
    assert path.read_text() == '{"iteration": 3}\n{"iteration": 7, "lr": 0.1}\n'
    keep_before(tmp_path / "none", 8)
    assert not (tmp_path / "none").exists()
