"""What a user met and should not have: each test is a bug that is not mended yet."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import SMALL
from detectron2.config import CfgNode
from own_files import Own
from tiny_files import save_grey
from tiny_published import write_published
from trained_runs import Command, assert_one_line, call

import benchmarks.evaluate
import benchmarks.run
import benchmarks.step_memory
from benchmarks.errors import ConfigError
from benchmarks.runner import RunWatcher, run_one
from benchmarks.spec import RunSpec, run_folder, run_id
from datasets.errors import DataError
from methods.errors import MethodError

WORDS = [str(word) for pair in SMALL.items() for word in pair if not isinstance(pair[1], tuple)]
WORDS += ["DATA.STREETS.SIZE", "128x64", "INPUT.CROP", "64x64"]


def id_of(method: str = "dacs", **overrides: Any) -> str:
    return run_id(RunSpec("streets", method, None, 0, SMALL | overrides).resolve())


def trained_on_published(folder: Path, source: str) -> Path:
    """The run folder of one step on tiny files in the published folders, which lie in ``folder``/data."""
    root = write_published(folder / "data")
    keys = {key: value for key, value in SMALL.items() if "STREETS" not in key}
    sizes = {"INPUT.SOURCE_RESIZE": (), "INPUT.TARGET_RESIZE": (), "TEST.RESIZE": (), "SOLVER.ITERS": 1}
    overrides = keys | sizes | {"DATA.ROOT": str(root), "NUM_WORKERS": 0}
    cfg = RunSpec(f"{source}-cityscapes", "source-only", "daformer-lite0", 0, overrides).resolve()
    run = run_folder(folder, cfg)
    assert run_one(cfg, run, RunWatcher())["status"] == "finished"
    return run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    return lambda module, *words: call(module, list(words), monkeypatch, capfd)


@pytest.mark.xfail(strict=True, reason="the second command's table takes the name of the first's")
def test_a_table_outlives_the_next_command(command: Command, tmp_path: Path) -> None:
    for method in ("dacs", "source-only"):
        assert command(benchmarks.run, "--methods", method, *WORDS, "SOLVER.ITERS", "1").code == 0
    tables = [path.read_text() for path in (tmp_path / "runs").glob("*.md")]
    assert any("| dacs " in table for table in tables)
    assert any("| source-only " in table for table in tables)


@pytest.mark.xfail(strict=True, reason="labels to score on are read at the first evaluation; a new IDS is a new run")
def test_validation_labels_that_ids_do_not_know_are_found_before_training(tmp_path: Path) -> None:
    own = Own(tmp_path)
    for path in (tmp_path / "camera").glob("*_label.png"):
        save_grey(path, np.full((32, 40), 9))
    assert "9" in own.line("source-only")


@pytest.mark.xfail(strict=True, reason="the class sets are those of the other protocol's source, not the run's")
@pytest.mark.parametrize(("trained", "scored"), [("synthia", "gta"), ("gta", "synthia")])
def test_scores_on_another_protocol_keep_the_classes_learned(
    command: Command, tmp_path: Path, trained: str, scored: str
) -> None:
    folder = trained_on_published(tmp_path, trained)
    other = ("--protocol", f"{scored}-cityscapes", "--data-root", str(tmp_path / "data"))
    assert command(benchmarks.evaluate, "--run", str(folder), *other).code == 0
    (entry,) = json.loads((folder / "evaluation.json").read_text())["evaluations"]
    assert list(entry["miou_by_classes"]) == (["16", "13"] if trained == "synthia" else ["19"])


class Killed(BaseException):
    """Ends a run as a signal would."""


@pytest.mark.xfail(strict=True, reason="a line of the learning rate alone is added, others are written twice")
def test_interrupted_runs_have_the_metrics_of_an_uninterrupted_one(
    small_config: Callable[..., CfgNode], tmp_path: Path
) -> None:
    cfg = small_config("source-only", overrides={"SOLVER.ITERS": 24, "TEST.PERIOD": 24, "CHECKPOINT_PERIOD": 8})

    class Killing(RunWatcher):
        def step(self, done: int, losses: Any) -> None:
            if done == 22:
                raise Killed

    run_one(cfg, tmp_path / "whole", RunWatcher())
    with pytest.raises(Killed):
        run_one(cfg, tmp_path / "killed", Killing())
    assert run_one(cfg, tmp_path / "killed", RunWatcher())["resumed_at"] == 16
    whole, killed = ((tmp_path / name / "metrics.json").read_text() for name in ("whole", "killed"))
    assert killed == whole


@pytest.mark.xfail(strict=True, reason="only KEY VALUE refuses them; in a file they are overwritten without a word")
@pytest.mark.parametrize(("key", "value"), [("SEED", 3), ("METHOD", "mic"), ("PROTOCOL", "other")])
def test_keys_that_a_file_cannot_set_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    own = Own(tmp_path)
    own.values[key] = value
    with pytest.raises(ConfigError, match=key):
        own.resolve()


@pytest.mark.xfail(strict=True, reason="the run's DATA.ROOT is not taken along, as the option's help says")
def test_another_protocol_is_looked_for_where_the_run_had_its_data(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DETECTRON2_DATASETS", raising=False)
    folder = trained_on_published(tmp_path, "gta")
    ended = command(benchmarks.evaluate, "--run", str(folder), "--protocol", "cityscapes-acdc")
    assert (ended.code, ended.err) == (0, "")


@pytest.mark.xfail(strict=True, reason="YAML keeps the last of two")
def test_an_id_that_is_given_twice_is_refused(tmp_path: Path) -> None:
    own = Own(tmp_path)
    path = own.write()
    text = yaml.safe_dump(own.values, sort_keys=False)
    assert text.count("7: ground") == 1
    path.write_text(text.replace("7: ground", "7: sky\n      7: ground"))
    with pytest.raises(ConfigError, match="7"):
        RunSpec(str(path), "source-only").resolve()


@pytest.mark.xfail(strict=True, reason="only a file's content is hashed; a folder goes in by its path")
def test_weights_in_a_folder_are_known_by_their_content(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        (folder / "pytorch_model.bin").write_bytes(b"weights")
    before = id_of(WEIGHTS=str(first))
    same = id_of(WEIGHTS=str(second)) == before
    (first / "pytorch_model.bin").write_bytes(b"others")
    assert same and id_of(WEIGHTS=str(first)) != before


@pytest.mark.xfail(strict=True, reason="nothing looks at the size of the image, and no pseudo-label counts")
def test_margins_that_leave_nothing_are_refused() -> None:
    with pytest.raises((ConfigError, DataError, MethodError), match="TARGET_MARGINS"):
        RunSpec("streets", "dacs", None, 0, SMALL | {"INPUT.TARGET_MARGINS": (32, 32, 0)}).resolve()


@pytest.mark.xfail(strict=True, reason="the host's teacher has SELF_TRAINING.MOMENTUM: the run is made twice")
def test_a_momentum_without_a_teacher_of_its_own_is_not_another_run() -> None:
    try:
        other = id_of("mic", **{"TERMS.MIC.MOMENTUM": 0.5})
    except (ConfigError, MethodError):  # as good
        return
    assert other == id_of("mic")


@pytest.mark.xfail(strict=True, reason="found at the first evaluation; predict.py on such a run shows a traceback")
def test_a_window_that_no_network_takes_is_refused_before_training(command: Command) -> None:
    ended = command(benchmarks.run, "--methods", "source-only", *WORDS, "TEST.SLIDING", "True", "TEST.WINDOW", "4x4")
    assert_one_line(ended, "TEST.WINDOW")


@pytest.mark.xfail(strict=True, reason="a RuntimeError of torch with its traceback")
def test_memory_of_a_crop_that_no_network_takes_is_one_line(command: Command) -> None:
    words = ["--methods", "source-only", "--network", "daformer-lite0", "--checkpointing", "off", "INPUT.CROP", "8x8"]
    ended = command(benchmarks.step_memory, *words)
    assert ended.code == 2
    assert ended.err.splitlines()[-1].startswith("error: ")


@pytest.mark.xfail(strict=True, reason="the pair overwrites what --precisions loops over: two rows of fp16")
def test_memory_takes_its_precisions_from_one_place(command: Command) -> None:
    words = ["--methods", "source-only", "--network", "daformer-lite0", "--checkpointing", "off", "INPUT.CROP", "64x64"]
    ended = command(benchmarks.step_memory, *words, "SOLVER.PRECISION", "fp16")
    assert_one_line(ended, "SOLVER.PRECISION", "--precisions")


@pytest.mark.xfail(strict=True, reason="the list of names has the one that segshift itself registers the scan under")
def test_an_unknown_registered_name_is_not_answered_with_ours(tmp_path: Path) -> None:
    own = Own(tmp_path)
    own.data["SOURCE"] = {"LAYOUT": "registered", "NAME": "my_gaem"}
    assert "segshift_" not in own.line("source-only")
