"""What images a run is made of: no run of others is shown for it, gone on with, or overwritten."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_runs import EVALUATIONS, FakePool, write
from own_files import ONE_STEP, Own
from record_files import read_record, write_record
from said_progress import SaidProgress
from tiny_files import save_grey, save_image
from trained_runs import Command, assert_one_line

import ablations.run
import benchmarks.run
from ablations.search import described, parse_arguments
from ablations.study.search_driver import Driver
from ablations.study.storage import open_storage
from ablations.study.study import open_study
from ablations.study.trial_progress import TrialProgress
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_folder
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError, RunRefused
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.launch import compare
from benchmarks.launch.on_slurm import mark_pending
from benchmarks.launch.worker_progress import WorkerProgress
from benchmarks.launch.workers import REFUSED, WorkerJob, make_run
from benchmarks.state import fingerprint
from benchmarks.state.fingerprint import Listings
from benchmarks.state.outcome import mark_begun, mark_lost
from benchmarks.trained.opened_run import open_run
from benchmarks.trained.reevaluation import reevaluate
from results.records.images import about_images
from results.records.record import DATA, DIVERGED, FAILED, FINISHED, PENDING, RUNNING, STOPPED


@pytest.fixture
def own(tmp_path: Path) -> Own:
    return Own(tmp_path / "data")


def made(own: Own, output: Path, status: str = FINISHED, method: str = "dacs", **overrides: Any) -> Path:
    """A run of the images as they are now, without training."""
    cfg = own.resolve(method, **overrides)
    folder = run_folder(output, cfg)
    write(folder, cfg, EVALUATIONS if status == FINISHED else 2, status)
    record = read_record(folder)
    assert record is not None
    data = Listings().of(Run.at(folder, cfg))
    write_record(folder, record | {DATA: data, "seconds_per_iteration": 1.0, "wall_seconds": 1.0})
    (folder / "model_0000001.pth").write_bytes(b"weights")
    return folder


def add_source(own: Own) -> None:
    save_image(own.folder / "game/images/a/9.png", (40, 32), seed=9)
    save_grey(own.folder / "game/labels/a/9.png", [[7]])


def snapshot(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file() and path.name != ".lock"}


# The fingerprint


def test_a_moved_folder_keeps_it_and_a_changed_one_does_not(own: Own, tmp_path: Path) -> None:
    before = Listings().of(Run.at(tmp_path, own.resolve()))
    assert {role: each["count"] for role, each in before.items()} == {"SOURCE": 3, "TARGET": 3, "VAL": 3}
    assert [sorted(each) for each in before.values()] == [["count", "images", "labels"], ["count", "images"],
                                                          ["count", "images", "labels"]]  # fmt: skip
    moved = Own(tmp_path / "elsewhere/deeper")
    shutil.rmtree(moved.folder)
    shutil.copytree(own.folder, moved.folder)
    assert Listings().of(Run.at(tmp_path, moved.resolve())) == before
    (moved.folder / "game/labels/a/1.png").write_bytes(b"longer or shorter")
    after = Listings().of(Run.at(tmp_path, moved.resolve()))
    assert after["SOURCE"]["images"] == before["SOURCE"]["images"]
    assert after["SOURCE"]["labels"] != before["SOURCE"]["labels"]
    (moved.folder / "camera/0_rgb.png").rename(moved.folder / "camera/5_rgb.png")
    (moved.folder / "camera/0_label.png").rename(moved.folder / "camera/5_label.png")
    renamed = Listings().of(Run.at(tmp_path, moved.resolve()))
    assert renamed["TARGET"] != after["TARGET"] and renamed["VAL"] != after["VAL"]


def test_registered_data_with_absolute_names_can_be_moved(tmp_path: Path) -> None:
    def listed(folder: Path) -> fingerprint.Fingerprint:
        paths = [folder / "a/1.png", folder / "b/1.png"]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"0" * len(path.parent.name))
        return fingerprint._fingerprint([{"file_name": str(path)} for path in paths])

    assert listed(tmp_path / "one") == listed(tmp_path / "two/three")


def test_equal_data_sections_are_listed_once(own: Own, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[str] = []
    items = fingerprint.items

    def count(cfg: Any, role: str, *rest: Any) -> Any:
        listed.append(role)
        return items(cfg, role, *rest)

    monkeypatch.setattr(fingerprint, "items", count)
    listings = Listings()
    for method in ("dacs", "mic", "mrm", "source-only"):
        listings.of(Run.at(Path(), own.resolve(method)))
    assert sorted(listed) == ["SOURCE", "TARGET", "VAL"]


def test_drawn_images_have_none(tmp_path: Path) -> None:
    assert Listings().of(Run.at(tmp_path, RunSpec("streets", "dacs").resolve())) == {}


# What was made of others


def words(own: Own, tmp_path: Path, *more: str) -> list[str]:
    return ["--protocol", str(own.folder / "mine.yaml"), "--output", str(tmp_path / "runs"), *more]


def test_a_run_of_another_folder_is_not_shown_for_this_one(own: Own, tmp_path: Path, command: Command) -> None:
    folder = made(own, tmp_path / "runs")
    before = snapshot(folder)
    other = Own(tmp_path / "other")
    add_source(other)
    other.write()
    for words_ in (["--methods", "dacs"], ["--methods", "dacs", "--dry-run"]):
        ended = command(benchmarks.run, *words(other, tmp_path, *words_))
        assert_one_line(ended, "DATA.SOURCE (game)", "images (3 then, 4 now)", "--force", "--output")
        assert ended.out == ""
    assert snapshot(folder) == before
    ended = command(benchmarks.run, *words(own, tmp_path, "--methods", "dacs"))
    assert ended.code == 0 and "finished before" in ended.out


def test_a_grid_refuses_it_too(own: Own, tmp_path: Path, command: Command) -> None:
    made(own, tmp_path / "runs")
    (tmp_path / "grid.yaml").write_text(
        "title: t\nmethod: dacs\naxes: [{name: rate, key: SOLVER.POWER, values: [1.0]}]\n"
    )
    save_grey(own.folder / "camera/0_label.png", [[0, 1]])
    assert_one_line(command(ablations.run, "grid.yaml", *words(own, tmp_path)), "labels of DATA.VAL (camera)")


@pytest.mark.parametrize("status", [FINISHED, DIVERGED, STOPPED, RUNNING, FAILED])
def test_no_run_that_has_learned_from_others_is_gone_on_with(own: Own, tmp_path: Path, status: str) -> None:
    folder = made(own, tmp_path, status)
    Listings().check(Run.at(folder, own.resolve()))
    add_source(own)
    with pytest.raises(ConfigError, match=r"other images \(3 then, 4 now\) of DATA\.SOURCE"):
        Listings().check(Run.at(folder, own.resolve()))


def test_a_failed_run_goes_on_with_a_mended_validation_file(own: Own, tmp_path: Path) -> None:
    failed, finished = made(own, tmp_path, FAILED), made(own, tmp_path, method="mic")
    save_grey(own.folder / "camera/0_label.png", [[0, 1]])
    Listings().check(Run.at(failed, own.resolve()))
    with pytest.raises(ConfigError, match=r"labels of DATA\.VAL"):
        Listings().check(Run.at(finished, own.resolve("mic")))


def test_a_lost_run_did_not_fail_of_its_validation_images(own: Own, tmp_path: Path) -> None:
    folder = made(own, tmp_path, RUNNING)
    assert mark_lost(folder, "out of memory")
    save_grey(own.folder / "camera/0_label.png", [[0, 1]])
    with pytest.raises(ConfigError, match=r"labels of DATA\.VAL"):
        Listings().check(Run.at(folder, own.resolve()))


@pytest.mark.parametrize("by", ["a queue", "a search"])
def test_a_failed_run_that_is_taken_up_again_has_its_validation_images_mended(
    own: Own, tmp_path: Path, by: str
) -> None:
    """Its record no longer says that it failed when its process looks at it."""
    folder, cfg = made(own, tmp_path, FAILED), own.resolve()
    save_grey(own.folder / "camera/0_label.png", [[0, 1]])
    if by == "a queue":
        mark_pending(WorkerJob("dacs", Run.at(folder, cfg)))
    else:
        mark_begun(folder)
    assert (read_record(folder) or {})["status"] == (PENDING if by == "a queue" else RUNNING)
    Listings().check(Run.at(folder, cfg))
    add_source(own)
    with pytest.raises(ConfigError, match=r"DATA\.SOURCE"):
        Listings().check(Run.at(folder, cfg))


def test_a_run_that_has_saved_nothing_begins_with_what_is_there(own: Own, tmp_path: Path) -> None:
    folder = made(own, tmp_path, FAILED)
    add_source(own)
    with pytest.raises(ConfigError, match=r"DATA\.SOURCE"):
        Listings().check(Run.at(folder, own.resolve()))
    (folder / "model_0000001.pth").unlink()
    Listings().check(Run.at(folder, own.resolve()))


def test_what_can_be_shown_without_data_is(own: Own, tmp_path: Path, command: Command) -> None:
    made(own, tmp_path / "runs")
    shutil.rmtree(own.folder / "game")
    ended = command(benchmarks.run, *words(own, tmp_path, "--methods", "dacs"))
    assert ended.code == 0 and "finished before" in ended.out


def test_the_oracle_reads_no_source(own: Own, tmp_path: Path) -> None:
    own.data["TARGET"]["LABELS"] = "*_label.png"
    cfg = own.resolve("target-only")
    folder = made(own, tmp_path, method="target-only")
    assert set((read_record(folder) or {})[DATA]) == {"TARGET", "VAL"}
    add_source(own)
    Listings().check(Run.at(folder, cfg))
    save_image(own.folder / "camera/9_rgb.png", (40, 32), seed=9)
    save_grey(own.folder / "camera/9_label.png", [[7]])
    with pytest.raises(ConfigError, match=r"DATA\.TARGET"):
        Listings().check(Run.at(folder, cfg))


def test_a_search_refuses_trials_of_others(own: Own, tmp_path: Path) -> None:
    path = str(own.write())
    search = described(parse_arguments(["--protocol", path, "--iters", "50", "--pruner", "none"]))

    def go(trials: int) -> None:
        storage = open_storage(None, tmp_path / "study")
        study, _ = open_study(search, storage.optuna)
        with TrialProgress(study) as progress:
            Driver(study, storage.optuna, search, tmp_path, FakePool(1), progress).run(trials)  # type: ignore[arg-type]

    go(1)
    folder = next(tmp_path.glob("mine/*/*/*"))
    write_record(folder, (read_record(folder) or {}) | {DATA: Listings().of(Run.at(tmp_path, search.cfg))})
    go(1)
    add_source(own)
    with pytest.raises(ConfigError, match=r"DATA\.SOURCE"):
        go(1)


@pytest.mark.slow
def test_training_writes_it_down_and_does_not_go_on_with_others(
    own: Own, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cfg = own.resolve("source-only", **ONE_STEP)
    record = run_one(Run.at(tmp_path / "run", cfg), RunWatcher()).content
    assert record["status"] == FINISHED, record["reason"]
    assert record[DATA] == Listings().of(Run.at(tmp_path, cfg)) and set(record[DATA]) == {"SOURCE", "VAL"}
    # Scored again on other images, it is not compared with its record.
    assert reevaluate(open_run(str(tmp_path / "run"), tmp_path), "student")["equals_record"] is True
    save_grey(own.folder / "camera/2_label.png", np.arange(32 * 40).reshape(32, 40) % 3)
    capsys.readouterr()
    assert reevaluate(open_run(str(tmp_path / "run"), tmp_path), "student")["equals_record"] is None
    assert "NOT compared with the record, which is of other labels of DATA.VAL" in capsys.readouterr().out
    write_record(tmp_path / "run", record | {"status": RUNNING})
    before = snapshot(tmp_path / "run")
    add_source(own)
    with pytest.raises(RunRefused, match=r"DATA\.SOURCE"):
        run_one(Run.at(tmp_path / "run", cfg), RunWatcher())
    assert snapshot(tmp_path / "run") == before


def test_a_worker_refuses_a_run_of_others_and_leaves_it_as_it_was(own: Own, tmp_path: Path) -> None:
    """Once it has waited in a queue, it does so no more; what it was made of is still known."""
    folder, cfg = made(own, tmp_path, STOPPED), own.resolve()
    add_source(own)
    shown, ended = SaidProgress(), list[WorkerJob]()
    for waiting in (False, True):
        if waiting:
            write_record(folder, (read_record(folder) or {}) | {"status": PENDING})
        job, before, was = WorkerJob("dacs", Run.at(folder, cfg)), snapshot(folder), read_record(folder) or {}
        outcome = make_run(job)
        assert isinstance(outcome, dict) and "begun with other images (3 then, 4 now)" in outcome[REFUSED]
        progress = WorkerProgress([job], shown, ended.append)
        progress.started(0)
        progress.ended(0, outcome)
        assert shown.said[-1] == f"dacs: left out, {outcome[REFUSED]}" and "\n" not in shown.said[-1]
        assert ended == [] and [type(error) for error in progress.left_out] == [RunRefused]
        if waiting:
            assert read_record(folder) == was | {"status": STOPPED, "reason": outcome[REFUSED]}
        else:
            assert snapshot(folder) == before


def test_images_that_change_after_the_command_began_end_no_other_run(
    own: Own, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(own, tmp_path / "runs", STOPPED, "source-only", **ONE_STEP)
    before, sets = snapshot(folder), [word for pair in ONE_STEP.items() for word in map(str, pair)]
    monkeypatch.setattr(compare, "check_runs", lambda *_: add_source(own))
    ended = command(benchmarks.run, *words(own, tmp_path, "--methods", "source-only", "--seeds", "0,1", *sets))
    assert (ended.code, ended.err) == (2, "")
    (told,) = [line for line in ended.out.splitlines() if "left out" in line]
    assert told.startswith("source-only seed 0: left out, ") and "DATA.SOURCE (game)" in told
    assert snapshot(folder) == before
    (other,) = [path for path in folder.parent.iterdir() if path != folder]
    record = read_record(other) or {}
    assert record["status"] == FINISHED and record[DATA]["SOURCE"]["count"] == 4  # as it was when the run began


def test_a_search_ends_at_a_trial_that_a_worker_refuses(own: Own, tmp_path: Path) -> None:
    search = described(parse_arguments(["--protocol", str(own.write()), "--iters", "50"]))
    line = "runs/x: the run was begun with other images of DATA.SOURCE (game)"

    class Refusing(FakePool):
        def ended(self) -> list[Any]:
            index, _ = self._running.popitem()
            return [(index, {REFUSED: line})]

    storage = open_storage(None, tmp_path / "study")
    study, _ = open_study(search, storage.optuna)
    with TrialProgress(study) as progress, pytest.raises(ConfigError) as caught:
        Driver(study, storage.optuna, search, tmp_path, Refusing(1), progress).run(2)  # type: ignore[arg-type]
    assert str(caught.value) == f"trial 0: {line}"


# Tables


def test_a_table_says_that_its_runs_are_of_different_images(own: Own, tmp_path: Path) -> None:
    folders = [made(own, tmp_path)]
    assert about_images(folders) == ""
    save_grey(own.folder / "camera/0_label.png", [[0, 1]])
    folders.append(made(own, tmp_path, method="mic"))
    assert about_images(folders) == (
        " The runs were made with different labels of DATA.VAL (mine): they cannot be compared."
    )


def test_runs_of_before_are_shown_with_a_word(own: Own, tmp_path: Path, command: Command) -> None:
    folder = made(own, tmp_path / "runs")
    record = read_record(folder)
    assert record is not None
    del record[DATA]
    write_record(folder, record)
    add_source(own)
    ended = command(benchmarks.run, *words(own, tmp_path, "--methods", "dacs"))
    assert ended.code == 0 and "1 of 1 runs do not say which images they were made of" in ended.out
