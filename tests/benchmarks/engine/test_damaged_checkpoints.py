"""Checkpoints that are damaged, of another version, or that a full disk has no place for."""

from __future__ import annotations

import errno
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from detectron2.utils import events
from killed_runs import assert_ends_as, copied, make, newest, stopped, whole

import benchmarks.engine.checkpoint
import benchmarks.engine.runner
import benchmarks.trained.opened_run
from benchmarks.engine.runner import RunWatcher
from benchmarks.trained.opened_run import TrainedRun
from results.files import plain_file
from results.files.plain_file import create_plain


def flipped(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(content) // 2] ^= 1
    return bytes(changed)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "garbage": lambda content: random.Random(0).randbytes(5000),
    "flipped": flipped,
}


def damage(path: Path, kind: str) -> None:
    content = path.read_bytes()
    path.unlink()  # a copy's is shared
    path.write_bytes(DAMAGES[kind](content))


class Listing(RunWatcher):
    """Notes which periodic checkpoints there are after each step, before that step's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.there: dict[int, list[int]] = {}

    def step(self, done: int, losses: Any) -> None:
        self.there[done] = sorted(int(path.stem[6:]) for path in self._folder.glob("model_0*.pth"))


def assert_told(folder: Path, capfd: pytest.CaptureFixture[str], *parts: str) -> None:
    terminal, log = capfd.readouterr().err, (folder / "log.txt").read_text()
    assert "Traceback" not in terminal
    for part in parts:
        assert part in terminal and part in log, part


@pytest.mark.slow
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run = whole("source-only")
    folder = stopped(run, tmp_path / "run")
    damage(folder / "model_0000003.pth", kind)
    listing = Listing(folder)
    assert make(run.cfg, folder, listing)["resumed_at"] == 3
    assert_told(folder, capfd, "model_0000003.pth", f"going on from {folder / 'model_0000002.pth'}")
    assert listing.there == {4: [2, 3], 5: [2, 3]}
    assert_ends_as(folder, run)


POINTERS: dict[str, Callable[[Path], Any]] = {
    "missing": lambda pointer: None,
    "empty": lambda pointer: pointer.touch(),
    "of a file that is not there": lambda pointer: pointer.write_text("model_0000099.pth"),
    "of a file that is no checkpoint": lambda pointer: pointer.write_text("config.yaml"),
    "binary": lambda pointer: pointer.write_bytes(random.Random(0).randbytes(500)),
    "with a long name": lambda pointer: pointer.write_text("model_" + "0" * 3000),
    "huge": lambda pointer: pointer.write_bytes(b" " * 10_000 + b"model_0000002.pth"),
    "leading out": lambda pointer: pointer.write_text("../outside/model_0000002.pth"),
    "a folder": lambda pointer: pointer.mkdir(),
    "a pipe": os.mkfifo,
    "a device": lambda pointer: pointer.symlink_to("/dev/zero"),
}


def point(folder: Path, kind: str) -> None:
    (folder / "last_checkpoint").unlink(missing_ok=True)
    POINTERS[kind](folder / "last_checkpoint")


@pytest.mark.slow
@pytest.mark.parametrize("kind", POINTERS)
def test_the_pointer_to_the_newest_is_not_needed(kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = whole("source-only")
    folder = stopped(run, tmp_path / "run")
    copied(folder, tmp_path / "outside")
    point(folder, kind)
    record = make(run.cfg, folder)
    assert (record["status"], record["resumed_at"]) == ("finished", 4)
    assert_told(folder, capfd, "last_checkpoint: ", f", going on from {folder / 'model_0000003.pth'}")
    if kind == "a folder":
        (folder / "last_checkpoint").rmdir()
        (folder / "last_checkpoint").write_text("model_final.pth")
    assert_ends_as(folder, run)


@pytest.mark.parametrize("kind", POINTERS)
def test_a_damaged_pointer_keeps_no_trained_run_from_being_used(
    kind: str, small_config: Callable[..., CfgNode], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "run"
    for name in ("run/model_0000002.pth", "run/model_0000010.pth", "run/model_x.pth", "run/model_².pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "model_0000002.pth").touch()
    point(folder, kind)
    run = TrainedRun.at(folder, small_config("dacs"))
    assert run.checkpoint() == folder / "model_0000010.pth"
    (line,) = caplog.messages
    assert line.startswith(f"{folder / 'last_checkpoint'}: ") and line.endswith("taking the newest, model_0000010.pth")
    (folder / "model_final.pth").touch()
    assert run.checkpoint() == folder / "model_final.pth"


@pytest.mark.slow
def test_all_damaged_starts_anew(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run = whole("source-only")
    folder = stopped(run, tmp_path / "run")
    for path in folder.glob("*.pth"):
        damage(path, "cut")
    listing = Listing(folder)
    assert make(run.cfg, folder, listing)["resumed_at"] == 0
    assert_told(folder, capfd, "model_0000002.pth", "model_0000003.pth", "starts anew", "damaged, now removed")
    assert listing.there == {1: [2, 3], 2: [2, 3], 3: [1], 4: [1, 2], 5: [2, 3]}
    assert_ends_as(folder, run)


@pytest.mark.slow
def test_a_checkpoint_that_could_not_be_read_for_now_is_not_taken_for_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = whole("source-only")
    folder = stopped(run, tmp_path / "run")

    def failing(*_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(benchmarks.trained.opened_run.torch, "load", failing)
    record = make(run.cfg, folder)
    assert record["status"] == "failed" and "Permission denied" in record["reason"]
    assert newest(folder) == 4


def drop_weight(content: dict[str, Any]) -> None:
    del content["model"][next(iter(content["model"]))]


def reshape_weight(content: dict[str, Any]) -> None:
    key = next(iter(content["teacher"]))
    content["teacher"][key] = content["teacher"][key][None]


def regroup(content: dict[str, Any]) -> None:
    content["optimizer"]["param_groups"].pop()


def reshape_moment(content: dict[str, Any]) -> None:
    moments = content["optimizer"]["state"][0]
    moments["exp_avg"] = moments["exp_avg"][None]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content.pop("teacher"), "lacks teacher"),
        (lambda content: content.pop("iteration"), "lacks iteration"),
        (lambda content: content.update(future=1), "has the unknown future"),
        (lambda content: content["scheduler"].pop("last_epoch"), "scheduler lacks last_epoch"),
        (lambda content: content["progress"].pop("curve"), "progress lacks curve"),
        (lambda content: content["optimizer"]["param_groups"][0].pop("lr"), "optimizer lacks lr"),
        (drop_weight, "model lacks "),
        (reshape_weight, "teacher has in another shape"),
        (regroup, "optimizer has "),
        (reshape_moment, "optimizer has other shapes"),
    ],
)
def test_a_checkpoint_of_another_version_is_refused_in_one_line(
    change: Callable[[dict[str, Any]], Any], told: str, tmp_path: Path
) -> None:
    run = whole("dacs")
    path = stopped(run, tmp_path / "run") / "model_0000003.pth"
    content = torch.load(path, weights_only=True)
    change(content)
    path.unlink()
    torch.save(content, path)
    before = path.read_bytes()
    record = make(run.cfg, path.parent)
    assert record["status"] == "failed"
    assert record["reason"].startswith("ConfigError: ") and "\n" not in record["reason"]
    for part in (str(path), told, "--force"):
        assert part in record["reason"]
    assert path.read_bytes() == before


def full_checkpoint(folder: Path, patch: pytest.MonkeyPatch) -> None:
    def create(path: Path, mode: int) -> Any:
        return Path("/dev/full").open("wb") if "model_0000003" in path.name else create_plain(path, mode)

    patch.setattr(plain_file, "create_plain", create)


def full_metrics(folder: Path, patch: pytest.MonkeyPatch) -> None:
    def write(self: Any) -> None:
        with (folder / "metrics.json").open("a") as file:
            file.write('{"iter')  # what fitted
        with Path("/dev/full").open("w") as full:
            full.write("ation")

    patch.setattr(events.JSONWriter, "write", write)


def full_record(folder: Path, patch: pytest.MonkeyPatch) -> None:
    def write(*_: Any) -> None:
        with Path("/dev/full").open("w") as full:
            full.write("{")

    patch.setattr(benchmarks.engine.runner, "write_record", write)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("fill", [full_checkpoint, full_metrics, full_record])
def test_a_full_disk_fails_the_run_and_leaves_what_was_complete(
    fill: Callable[[Path, pytest.MonkeyPatch], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run, folder = whole("source-only"), tmp_path / "run"

    class Filling(RunWatcher):
        def step(self, done: int, losses: Any) -> None:
            if done == 3:
                fill(folder, monkeypatch)

    record = make(run.cfg, folder, Filling())
    monkeypatch.undo()
    assert record["status"] == "failed" and "No space left on device" in record["reason"]
    on_disk = json.loads((folder / "record.json").read_text())
    if fill is full_record:
        assert on_disk["status"] == "running" and "result" not in record
        assert "No space left on device" in capfd.readouterr().err
    else:
        assert (on_disk["status"], on_disk["reason"]) == ("failed", record["reason"])
    if fill is full_checkpoint:
        assert "model_0000003.pth" in record["reason"]
    assert newest(folder) == 3
    again = copied(folder, tmp_path / "again")
    assert make(run.cfg, again)["resumed_at"] == 3
    assert_ends_as(again, run)
