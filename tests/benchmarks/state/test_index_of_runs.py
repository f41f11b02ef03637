"""The index of an output folder follows what happens to its runs, and commands make it for folders of before."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import SMALL
from detectron2.config import CfgNode
from record_files import read_record, write_record
from trained_runs import Command, trained

import benchmarks.status
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.config.spec import RunSpec
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.launch.compare import make_runs
from benchmarks.launch.on_slurm import SlurmRuns, mark_pending
from benchmarks.launch.workers import WorkerJob
from benchmarks.state.outcome import mark_lost
from results.tables.run_index import INDEX
from slurm.jobs.profile import Profile


def line(output: Path, run: str) -> dict[str, str]:
    with (output / INDEX).open(newline="", encoding="utf-8") as file:
        (found,) = [row for row in csv.DictReader(file) if row["run"] == run]
    return found


@pytest.mark.slow
def test_a_run_is_in_it_from_its_beginning_to_its_end(
    small_config: Callable[..., CfgNode], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = small_config("source-only")
    folder, seen = run_folder(tmp_path, cfg), list[tuple[str, str, str]]()

    def look() -> None:
        found = line(tmp_path, folder.name)
        seen.append((found["status"], found["iterations"], found["miou"]))

    watcher = RunWatcher()
    monkeypatch.setattr(watcher, "started", lambda *_: look())
    monkeypatch.setattr(watcher, "evaluating", lambda *_: look())
    record = run_one(Run.at(folder, cfg), watcher).content
    look()
    middle, end = (str(point["miou"]) for point in record["curve"])
    assert {each[0] for each in seen[:-1]} == {"running"}
    assert (seen[0][2], seen[-2][2]) == ("", middle) and seen[-1] == ("finished", "4", end)
    assert line(tmp_path, folder.name)["finished"]

    # Made anew, beside: the line is the old run's until the new one takes its place.
    seen.clear()
    assert run_one(Run.at(folder, cfg), watcher, force=True).content["status"] == "finished"
    assert {each[0] for each in seen} == {"finished"}
    stamp = f"{(folder / 'record.json').stat().st_mtime_ns} "
    assert line(tmp_path, folder.name)["record"].startswith(stamp)

    write_record(folder, record | {"status": "running"})
    assert mark_lost(folder, "its node is gone")
    assert line(tmp_path, folder.name)["status"] == "failed"


def test_runs_that_are_submitted_are_in_it(small_config: Callable[..., CfgNode], tmp_path: Path) -> None:
    cfg = small_config("dacs")
    job = WorkerJob("dacs", Run.at(run_folder(tmp_path, cfg), cfg))
    runs = SlurmRuns.__new__(SlurmRuns)
    runs._output, runs.scheduler = tmp_path, SimpleNamespace(cluster="here")
    runs.submitter = SimpleNamespace(profile=Profile(), code=tmp_path / "code", folder=tmp_path / "jobs")
    mark_pending(job)
    runs.submitted({"7_0": job})
    assert line(tmp_path, job.run.folder.name)["status"] == "pending"


@pytest.mark.slow
def test_the_next_command_makes_it_of_a_folder_of_before(command: Command, tmp_path: Path) -> None:
    for name in ("one", "two"):
        shutil.copytree(trained().parents[3], tmp_path / name)
        (tmp_path / name / INDEX).unlink()
    assert command(benchmarks.status, "--output", "one").code == 0
    rates = {"SOLVER.ENCODER_LR": 0.01, "SOLVER.DECODER_LR": 0.05, "TEST.PERIOD": 4}
    make_runs([Run.of(RunSpec("streets", "dacs", None, 0, SMALL | rates), Path("two"))], Path("two"))
    miou = (read_record(trained()) or {})["result"]["student"]["miou"]
    for name in ("one", "two"):
        found = line(tmp_path / name, trained().name)
        assert found["folder"] == trained().relative_to(trained().parents[3]).as_posix()
        assert (found["status"], found["miou"]) == ("finished", str(miou))
