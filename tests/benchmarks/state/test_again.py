"""``--force``: the run that is there stays until the new one is over, whatever happens meanwhile."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from detectron2.config import CfgNode
from record_files import read_record, write_record

from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.core.errors import RunRefused
from benchmarks.engine.run_record import initial_record
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.engine.trainer import Trainer
from benchmarks.launch.compare import make_runs
from benchmarks.launch.on_slurm import mark_pending
from benchmarks.launch.workers import WorkerJob
from benchmarks.state import again
from benchmarks.state.lock import locked
from benchmarks.state.outcome import mark_lost
from results.tables.frame import collect


class Stopping(RunWatcher):
    """Ctrl-C in the first step."""

    def step(self, done: int, losses: Any) -> None:
        raise KeyboardInterrupt


def contents(folder: Path) -> dict[str, bytes]:
    """Of the files of a run, but for its lock."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != ".lock"}


@pytest.fixture
def made(small_config: Callable[..., CfgNode], tmp_path: Path) -> tuple[CfgNode, Path]:
    cfg, folder = small_config("source-only", overrides={"SOLVER.ITERS": 2}), tmp_path / "run"
    assert run_one(Run.at(folder, cfg), RunWatcher()).content["status"] == "finished"
    return cfg, folder


@pytest.mark.slow
def test_an_interrupt_and_a_failure_leave_the_run_that_was_there(
    made: tuple[CfgNode, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, folder = made
    before = contents(folder)
    with pytest.raises(KeyboardInterrupt):
        run_one(Run.at(folder, cfg), Stopping(), force=True)
    assert contents(folder) == before

    def broken(self: Trainer) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Trainer, "run_step", broken)
    assert run_one(Run.at(folder, cfg), RunWatcher(), force=True).content["status"] == "failed"
    assert contents(folder) == before
    assert list(collect(folder.parent)["status"]) == ["finished"]
    monkeypatch.undo()
    (folder / "of the old one").touch()
    (folder / "link").symlink_to(folder.parent)
    new = run_one(Run.at(folder, cfg), RunWatcher(), force=True).content
    assert read_record(folder) == new and new["status"] == "finished"
    left = {path.name for path in folder.iterdir()}
    assert not {"of the old one", "link"} & left and [name for name in left if name[0] == "."] == [".lock"]
    assert {name.split(".")[0] for name in left} == {"", "examples", *(name.split(".")[0] for name in before)}
    assert folder.parent.is_dir()  # the link was removed, not what it leads to


@pytest.mark.slow
def test_a_run_of_a_queue_that_is_made_anew_goes_on_when_its_job_is_started_again(made: tuple[CfgNode, Path]) -> None:
    cfg, folder = made
    before = contents(folder)
    mark_pending(WorkerJob("dacs", Run.at(folder, cfg), True))
    assert contents(folder) == before
    with pytest.raises(KeyboardInterrupt):
        run_one(Run.at(folder, cfg), Stopping(), force=True, begun=True)
    left = again.newest_record(folder)
    assert left is not None and left.status == "running" and contents(folder) == before
    assert mark_lost(folder, "its node is gone", force=True)
    assert contents(folder) == before
    (again.newest(folder) / "of the first start").touch()
    run_one(Run.at(folder, cfg), RunWatcher(), force=True, begun=True)
    assert (folder / "of the first start").exists() and again.newest(folder) == folder


class _Killed(BaseException):
    pass


@pytest.mark.parametrize("at", range(9))
def test_a_kill_while_the_new_one_takes_its_place_leaves_one_of_them_whole(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At each rename and removal: what says that it is finished is whole, and the next look brings the new one."""
    folder, calls = tmp_path / "run", [0]
    for name in ("old", "new"):
        place = folder if name == "old" else again.begin(folder)
        place.mkdir(exist_ok=True)
        (place / "model_final.pth").write_text(name)
        (place / f"only-{name}").write_text(name)
        write_record(place, {"status": "finished", "name": name})

    def killed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if calls[0] == at:
                raise _Killed
            calls[0] += 1
            return function(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("replace", "rename", "unlink"):
            patch.setattr(Path, name, killed(getattr(Path, name)))
        patch.setattr(shutil, "rmtree", killed(shutil.rmtree))
        try:
            again.settle(folder)
        except _Killed:
            pass
        else:
            assert calls[0] <= at
    record = read_record(folder)
    assert record is not None
    if record["status"] == "finished":
        assert (folder / "model_final.pth").read_text() == record["name"]
    again.settle_if_any(folder)
    record = read_record(folder)
    assert record is not None and (record["status"], record["name"]) == ("finished", "new")
    assert {path.name for path in folder.iterdir()} - {".lock"} == {"model_final.pth", "only-new", "record.json"}


def test_what_a_kill_left_that_cannot_be_read_is_named_and_left(
    small_config: Callable[..., CfgNode], tmp_path: Path
) -> None:
    whole = tmp_path / "run" / ".again-whole"
    whole.mkdir(parents=True)
    (whole / "record.json").write_text("{")
    with pytest.raises(RunRefused, match=r"\.again-whole/record\.json"):
        run_one(Run.at(tmp_path / "run", small_config("source-only")), RunWatcher())
    assert (whole / "record.json").read_text() == "{"


def test_a_command_shows_no_run_of_two_makings_of_which_one_cannot_be_read(
    small_config: Callable[..., CfgNode], tmp_path: Path
) -> None:
    cfg = small_config("source-only")
    folder = run_folder(tmp_path, cfg)
    whole = folder / ".again-whole"
    whole.mkdir(parents=True)
    write_record(folder, {**initial_record(Run.at(folder, cfg)).content, "status": "finished", "result": None})
    (whole / "record.json").write_text("{")
    with pytest.raises(RunRefused, match=r"\.again-whole/record\.json"):
        make_runs([Run.at(folder, cfg)], tmp_path)


def test_names_that_lead_out_of_the_folder_move_and_remove_nothing_there(tmp_path: Path) -> None:
    """As a folder that was received may have them."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "mine").touch()
    whole = tmp_path / "run" / ".again-whole"
    whole.mkdir(parents=True)
    write_record(whole, {"status": "finished"})
    (whole / ".names").write_text('["../outside", "..", "record.json"]')
    with locked(tmp_path / "run"):
        again.settle(tmp_path / "run")
    assert os.listdir(outside) == ["mine"]  # noqa: PTH208
