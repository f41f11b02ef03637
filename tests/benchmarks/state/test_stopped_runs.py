"""What other processes see of a run that goes on, and runs that are stopped on purpose and taken up again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from measured_runs import Reading, config, measured, on_disk

from benchmarks.config.run import Run
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.launch.dry_run import _state
from benchmarks.state.lock import locked
from benchmarks.state.outcome import mark_stopped
from results.tables.frame import from_folders
from results.tables.methods_table import methods_table


class Killed(BaseException):
    """Ends a run as a signal would: nothing catches it."""


class Killing(RunWatcher):
    def step(self, done: int, losses: Any) -> None:
        if done == 3:
            raise Killed


def test_the_record_of_a_run_that_goes_on_has_the_curve_so_far() -> None:
    run = measured()
    final = on_disk(run.folder)
    assert run.begun["status"] == "running" and run.begun["curve"] == []
    assert [seen["status"] for seen in run.seen] == ["running", "running"]
    assert [seen["iterations"] for seen in run.seen] == [2, 4]
    assert [seen["curve"] for seen in run.seen] == [final["curve"][:1], final["curve"]]
    assert "result" not in run.seen[-1]
    row = from_folders([run.folder]).iloc[0]
    assert row["status"] == final["status"] == "finished"


@pytest.mark.slow
def test_a_stopped_run_is_counted_and_taken_up_to_the_same_end(tmp_path: Path) -> None:
    run = measured()
    reason = "pruned by study lambda"
    with pytest.raises(Killed):
        run_one(Run.at(tmp_path, config()), Killing())
    with locked(tmp_path):
        assert not mark_stopped(tmp_path, reason)  # a process has it still
    assert on_disk(tmp_path)["status"] == "running"
    assert mark_stopped(tmp_path, reason)

    stopped = on_disk(tmp_path)
    assert (stopped["status"], stopped["reason"], stopped["iterations"]) == ("stopped", reason, 2)
    runs = from_folders([tmp_path])
    assert (runs["status"][0], runs["reason"][0]) == ("stopped", reason)
    assert methods_table(runs).frame["unfinished"][0] == "1 stopped"
    assert _state(tmp_path) == ("stopped", False)
    assert not mark_stopped(tmp_path, "another")  # over already
    assert on_disk(tmp_path) == stopped

    watcher = Reading(tmp_path)
    again, whole = run_one(Run.at(tmp_path, config()), watcher).content, on_disk(run.folder)
    assert watcher.begun["iterations"] == again["resumed_at"] == 2
    assert (watcher.begun["status"], watcher.begun["reason"]) == ("running", "")
    assert watcher.begun["curve"] == whole["curve"][:1]  # the checkpoint's
    assert (again["status"], again["reason"], again["iterations"]) == ("finished", "", 4)
    assert (again["result"], again["curve"]) == (whole["result"], whole["curve"])


def test_a_finished_run_and_a_folder_without_one_are_not_marked(tmp_path: Path) -> None:
    run = measured()
    before = (run.folder / "record.json").read_text()
    assert not mark_stopped(run.folder, "too late")
    assert (run.folder / "record.json").read_text() == before
    assert not mark_stopped(tmp_path / "never-begun", "too early")
    assert not (tmp_path / "never-begun/record.json").exists()
    (tmp_path / "record.json").write_text(json.dumps({"schema": 0}))
    assert not mark_stopped(tmp_path, "of another version")
