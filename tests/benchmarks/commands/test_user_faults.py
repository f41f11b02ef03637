"""Faults that users met once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import SMALL
from detectron2.config import CfgNode
from killed_runs import make
from own_files import Own
from tiny_files import save_grey
from trained_runs import Command, assert_one_line

import benchmarks.run
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.engine.runner import RunWatcher
from datasets.base.errors import DataError
from methods.base.errors import MethodError

WORDS = [str(word) for pair in SMALL.items() for word in pair if not isinstance(pair[1], tuple)]
WORDS += ["DATA.STREETS.SIZE", "128x64", "INPUT.CROP", "64x64"]


def id_of(method: str = "dacs", **overrides: Any) -> str:
    return run_id(RunSpec("streets", method, None, 0, SMALL | overrides).resolve())


@pytest.mark.slow
def test_a_table_outlives_the_next_command(command: Command, tmp_path: Path) -> None:
    for method in ("dacs", "source-only"):
        assert command(benchmarks.run, "--methods", method, *WORDS, "SOLVER.ITERS", "1").code == 0
    tables = [path.read_text() for path in (tmp_path / "runs").glob("*.md")]
    assert any("| dacs " in table for table in tables)
    assert any("| source-only " in table for table in tables)


def test_validation_labels_that_ids_do_not_know_are_found_before_training(tmp_path: Path) -> None:
    own = Own(tmp_path)
    for path in (tmp_path / "camera").glob("*_label.png"):
        save_grey(path, np.full((32, 40), 9))
    assert "9" in own.line("source-only")


class Killed(BaseException):
    """Ends a run as a signal would."""


@pytest.mark.slow
def test_interrupted_runs_have_the_metrics_of_an_uninterrupted_one(
    small_config: Callable[..., CfgNode], tmp_path: Path
) -> None:
    """What was logged after the last checkpoint, before the interrupt, is logged again."""
    periods = {"SOLVER.ITERS": 6, "TEST.PERIOD": 6, "CHECKPOINT_PERIOD": 3, "LOG.PERIOD": 4}
    cfg = small_config("source-only", overrides=periods)

    class Killing(RunWatcher):
        def step(self, done: int, losses: Any) -> None:
            if done == 5:
                raise Killed

    make(cfg, tmp_path / "whole")
    with pytest.raises(Killed):
        make(cfg, tmp_path / "killed", Killing())
    assert make(cfg, tmp_path / "killed")["resumed_at"] == 3
    whole, killed = ((tmp_path / name / "metrics.json").read_text() for name in ("whole", "killed"))
    assert killed == whole


@pytest.mark.parametrize(("key", "value"), [("SEED", 3), ("METHOD", "mic"), ("PROTOCOL", "other")])
def test_keys_that_a_file_cannot_set_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    own = Own(tmp_path)
    own.values[key] = value
    with pytest.raises(ConfigError, match=key):
        own.resolve()


def test_an_id_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    own = Own(tmp_path)
    path = own.write()
    text = yaml.safe_dump(own.values, sort_keys=False)
    assert text.count("7: ground") == 1
    path.write_text(text.replace("7: ground", "7: sky\n      7: ground"))
    with pytest.raises(ConfigError, match="7"):
        RunSpec(str(path), "source-only").resolve()


def test_weights_in_a_folder_are_known_by_their_content(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "pytorch_model.bin").write_bytes(b"weights")
    before = id_of(WEIGHTS=str(first))
    same = id_of(WEIGHTS=str(second)) == before
    (first / "pytorch_model.bin").write_bytes(b"others")
    assert same and id_of(WEIGHTS=str(first)) != before


def test_margins_that_leave_nothing_are_refused() -> None:
    with pytest.raises((ConfigError, DataError, MethodError), match="TARGET_MARGINS"):
        RunSpec("streets", "dacs", None, 0, SMALL | {"INPUT.TARGET_MARGINS": (32, 32, 0)}).resolve()


def test_a_momentum_without_a_teacher_of_its_own_is_not_another_run() -> None:
    try:
        other = id_of("mic", **{"TERMS.MIC.MOMENTUM": 0.5})
    except (ConfigError, MethodError):  # as good
        return
    assert other == id_of("mic")


def test_a_window_that_no_network_takes_is_refused_before_training(command: Command) -> None:
    ended = command(benchmarks.run, "--methods", "source-only", *WORDS, "TEST.SLIDING", "True", "TEST.WINDOW", "4x4")
    assert_one_line(ended, "TEST.WINDOW")


def test_an_unknown_registered_name_is_not_answered_with_ours(tmp_path: Path) -> None:
    own = Own(tmp_path)
    own.data["SOURCE"] = {"LAYOUT": "registered", "NAME": "my_gaem"}
    assert "segshift_" not in own.line("source-only")
