"""Links, pipes and folders under the names of a run's files: nothing is written through, nothing waits."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from detectron2.config import CfgNode

from benchmarks.config.run import Run
from benchmarks.core.errors import RunLocked
from benchmarks.engine.hooks import keep_before
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.state.lock import held_by, locked


def put(path: Path, kind: str) -> Path:
    """Something of ``kind`` at ``path``; returns a file outside, to which the link leads."""
    path.parent.mkdir(exist_ok=True)
    target = path.parent.parent / "outside"
    target.write_text("mine\n")
    if kind == "a link":
        path.symlink_to(target)
    elif kind == "a pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    return target


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder"])
@pytest.mark.parametrize("name", ["log.txt", "log-rank1.txt", "metrics.json", "events.out.tfevents.1.host.2.0"])
def test_what_is_appended_to_is_a_plain_file(
    name: str, kind: str, small_config: Callable[..., CfgNode], tmp_path: Path
) -> None:
    path = tmp_path / "run" / name
    target = put(path, kind)
    record = run_one(Run.at(path.parent, small_config("source-only")), RunWatcher()).content
    assert record["status"] == "failed" and record["reason"].startswith(f"{path} is {kind}, expected a plain file")
    assert target.read_text() == "mine\n"
    assert {each.name for each in path.parent.iterdir()} == {name, ".lock", "record.json"}


@pytest.mark.parametrize("name", ["code.diff", "config.yaml", "model_0000001.pth"])
def test_a_folder_in_place_of_a_file_is_one_line(
    name: str, small_config: Callable[..., CfgNode], tmp_path: Path
) -> None:
    put(tmp_path / "run" / name, "a folder")
    record = run_one(Run.at(tmp_path / "run", small_config("source-only")), RunWatcher()).content
    assert record["status"] == "failed" and f"{name} is a folder, expected a plain file" in record["reason"]


def test_a_checkpoint_that_is_a_pipe_keeps_nobody_waiting(
    small_config: Callable[..., CfgNode], tmp_path: Path
) -> None:
    put(tmp_path / "run" / "model_0000001.pth", "a pipe")
    record = run_one(Run.at(tmp_path / "run", small_config("source-only")), RunWatcher()).content
    assert record["status"] == "failed" and "model_0000001.pth is a pipe" in record["reason"]


@pytest.mark.parametrize("kind", ["a link", "a pipe", "a folder"])
def test_a_lock_that_is_no_plain_file_is_named(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    target = put(folder / ".lock", kind)
    line = f"{folder} cannot be locked: {folder / '.lock'} is {kind}, expected a plain file"
    with pytest.raises(RunLocked) as error, locked(folder):
        pass
    assert str(error.value) == held_by(folder) == line
    assert target.read_text() == "mine\n" and [each.name for each in folder.iterdir()] == [".lock"]


@pytest.mark.parametrize("line", ["[" * 100_000, '{"iteration": Infinity}'])
def test_a_line_of_metrics_that_cannot_be_read_is_removed(line: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.json"
    path.write_text('{"iteration": 1}\n' + line + "\n")
    keep_before(path, 5)
    assert path.read_text() == '{"iteration": 1}\n'
