"""A run from config to record: finished, resumed, failed, diverged, forced, locked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from conftest import NETWORK
from detectron2.config import CfgNode
from fake_runs import write
from record_files import read_record
from scores import assert_scores

import benchmarks.engine.hooks
import benchmarks.engine.runner
from benchmarks.computing import bf16
from benchmarks.config.keys import flatten, get_config
from benchmarks.config.overrides import apply
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_id
from benchmarks.core.errors import RunLocked
from benchmarks.engine.runner import RunWatcher, run_one
from benchmarks.engine.trainer import Trainer
from benchmarks.state.lock import locked
from datasets.base.errors import DataError
from datasets.classes.label_space import CITYSCAPES
from results.records.image_counts import read_counts
from results.statistics.bootstrap import sides

MakeConfig = Callable[..., CfgNode]


class Killed(BaseException):
    """Ends a run as a signal would: nothing catches it."""


def final(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "model_final.pth", weights_only=True)


def assert_same(first: Any, second: Any, where: str = "") -> None:
    assert type(first) is type(second), where
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second), where
    elif isinstance(first, dict):
        assert first.keys() == second.keys(), where
        for key in first:
            assert_same(first[key], second[key], f"{where}.{key}")
    elif isinstance(first, list):
        assert len(first) == len(second), where
        for index, (a, b) in enumerate(zip(first, second, strict=True)):
            assert_same(a, b, f"{where}.{index}")
    else:
        assert first == second, where


def metrics(folder: Path) -> dict[int, dict[str, float]]:
    """Newest line of each iteration; what depends on the clock is left out."""
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    timed = ("time", "data_time", "eta_seconds", "rank_data_time")
    return {line["iteration"]: {k: v for k, v in line.items() if k not in timed} for line in lines}


@pytest.fixture
def small_config(small_config: MakeConfig) -> MakeConfig:
    """The losses of every iteration are looked at."""
    return lambda method, seed=0, overrides=None: small_config(method, seed, {"LOG.PERIOD": 1} | (overrides or {}))


@pytest.fixture
def finished(small_config: MakeConfig, tmp_path: Path) -> tuple[CfgNode, Path, dict[str, Any]]:
    cfg, folder = small_config("dacs+mrm"), tmp_path / "run"
    return cfg, folder, run_one(Run.at(folder, cfg), RunWatcher()).content


@pytest.mark.slow
def test_record_says_what_was_run_and_measured(finished: tuple[CfgNode, Path, dict[str, Any]]) -> None:
    cfg, folder, record = finished
    assert record["status"] == "finished", record["reason"]
    on_disk = json.loads((folder / "record.json").read_text())
    assert on_disk.pop("schema") == 1
    assert on_disk == record
    assert record["id"] == run_id(cfg)
    assert record["spec"] == {"protocol": "streets", "method": "dacs+mrm", "network": NETWORK, "seed": 0}
    assert record["iterations"] == record["max_iterations"] == 4
    assert [point["iteration"] for point in record["curve"]] == [2, 4]
    assert_scores(record, cfg, "student", "teacher")
    student, teacher = record["result"]["student"], record["result"]["teacher"]
    assert tuple(student["iou"]) == tuple(teacher["iou"]) == CITYSCAPES.names
    known = [value for value in student["iou"].values() if value is not None]
    assert student["miou"] == pytest.approx(sum(known) / len(known))
    assert student["iou"] != teacher["iou"]  # two networks after four steps
    assert record["seconds_per_iteration"] > 0 and record["peak_memory_mib"] > 0 and record["wall_seconds"] > 0
    assert record["shared"] == {"iterations": 0, "of": record["iterations"], "others": 0}  # alone in this session
    parameters = record["parameters"]
    assert parameters["inference"] == parameters["encoder"] + parameters["decoder"]
    assert parameters["training_only"] > 0
    stored = get_config()
    apply(stored, flatten(CfgNode(yaml.safe_load((folder / "config.yaml").read_text()))), "config.yaml")
    stored.TERMS.MIC.BLOCK = cfg.TERMS.MIC.BLOCK  # of the protocol, for a term that the run does not have
    assert stored == cfg
    assert {path.name for path in folder.glob("*.pth")} == {"model_final.pth"}


@pytest.mark.slow
def test_the_counts_of_each_image_make_the_scores_of_the_record(
    finished: tuple[CfgNode, Path, dict[str, Any]],
) -> None:
    _, folder, record = finished
    for model in ("student", "teacher"):
        counts = read_counts(folder, model)
        assert counts is not None and counts.shape == (2, 19 * 19)
        hits, labelled, predicted = sides(counts).sum(axis=0).T
        for index, (name, iou) in enumerate(record["result"][model]["iou"].items()):
            union = labelled[index] + predicted[index] - hits[index]
            assert iou == (pytest.approx(100 * hits[index] / union) if union else None), name
            assert record["validation"]["labelled_pixels"][name] == labelled[index]


@pytest.mark.slow
def test_rebuilder_is_not_in_the_model(finished: tuple[CfgNode, Path, dict[str, Any]]) -> None:
    _, folder, _ = finished
    saved = final(folder)
    assert not [name for name in saved["model"] if "rebuilder" in name]
    assert [name for name in saved["terms"] if "rebuilder" in name]


@pytest.mark.slow
def test_finished_run_is_not_made_again_unless_forced(finished: tuple[CfgNode, Path, dict[str, Any]]) -> None:
    cfg, folder, record = finished
    stamp = (folder / "model_final.pth").stat().st_mtime_ns
    weights = final(folder)["model"]
    assert run_one(Run.at(folder, cfg), RunWatcher()).content == record
    assert (folder / "model_final.pth").stat().st_mtime_ns == stamp
    (folder / "left-over").touch()
    again = run_one(Run.at(folder, cfg), RunWatcher(), force=True).content
    assert (folder / "model_final.pth").stat().st_mtime_ns > stamp
    assert again["result"] == record["result"]
    assert not (folder / "left-over").exists()
    assert_same(weights, final(folder)["model"])


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, 2, 3])
def test_killed_run_goes_on_to_the_same_end(
    finished: tuple[CfgNode, Path, dict[str, Any]], tmp_path: Path, after: int
) -> None:
    cfg, whole, record = finished

    class Killing(RunWatcher):
        def step(self, done: int, losses: Any) -> None:
            if done == after:
                raise Killed

    folder = tmp_path / "killed"
    with pytest.raises(Killed):
        run_one(Run.at(folder, cfg), Killing())
    assert json.loads((folder / "record.json").read_text())["status"] == "running"
    resumed = run_one(Run.at(folder, cfg), RunWatcher()).content
    assert resumed["resumed_at"] == (0 if after < 3 else 2)  # the checkpoint at 2 comes after the watcher's word
    saved, expected = final(folder), final(whole)
    for state in (saved, expected):
        state["progress"].pop("wall_seconds")
    assert_same(saved, expected)
    assert (resumed["result"], resumed["curve"]) == (record["result"], record["curve"])
    assert resumed["iterations"] == record["iterations"]
    assert metrics(folder) == metrics(whole)


@pytest.mark.slow
def test_killed_in_the_last_evaluation(
    finished: tuple[CfgNode, Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg, _, record = finished
    folder = tmp_path / "killed"
    evaluate = benchmarks.engine.hooks.evaluate_all
    calls = []

    def killed(*arguments: Any) -> dict[str, float]:
        calls.append(1)
        if len(calls) == 2:
            raise Killed
        return evaluate(*arguments)

    monkeypatch.setattr(benchmarks.engine.hooks, "evaluate_all", killed)
    with pytest.raises(Killed):
        run_one(Run.at(folder, cfg), RunWatcher())
    monkeypatch.undo()
    resumed = run_one(Run.at(folder, cfg), RunWatcher()).content
    assert resumed["resumed_at"] == 4
    assert (resumed["result"], resumed["iterations"]) == (record["result"], 4)


@pytest.mark.slow
def test_failed_run_says_why_and_is_tried_again(
    small_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = small_config("source-only")

    def broken(self: Trainer) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(Trainer, "run_step", broken)
    record = run_one(Run.at(tmp_path / "run", cfg), RunWatcher()).content
    assert (record["status"], record["reason"]) == ("failed", "RuntimeError: out of luck")
    assert "Traceback" in (tmp_path / "run" / "log.txt").read_text()
    monkeypatch.undo()
    assert run_one(Run.at(tmp_path / "run", cfg), RunWatcher()).content["status"] == "finished"


def test_a_run_that_cannot_go_on_keeps_what_it_has_measured(
    small_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where its data are gone: the record of the session before is all that tables have."""
    cfg, folder = small_config("source-only"), tmp_path / "run"
    write(folder, cfg, 2, "stopped")
    before = read_record(folder)
    assert before is not None and len(before["curve"]) == 2

    def gone(*_: Any) -> None:
        raise DataError("the images are gone")

    monkeypatch.setattr(benchmarks.engine.runner, "validation_set", gone)
    record = run_one(Run.at(folder, cfg), RunWatcher()).content
    assert (record["status"], record["reason"]) == ("failed", "DataError: the images are gone")
    assert [record[key] for key in ("curve", "iterations")] == [before[key] for key in ("curve", "iterations")]
    assert read_record(folder) == record


def test_diverged_run_is_recorded_and_kept(small_config: MakeConfig, tmp_path: Path) -> None:
    cfg = small_config("source-only", overrides={"SOLVER.ENCODER_LR": 1e30, "SOLVER.DECODER_LR": 1e30})
    record = run_one(Run.at(tmp_path / "run", cfg), RunWatcher()).content
    assert record["status"] == "diverged"
    assert "loss_supervised is nan at iteration" in record["reason"]
    assert run_one(Run.at(tmp_path / "run", cfg), RunWatcher()).content == record


def test_two_processes_do_not_write_one_folder(small_config: MakeConfig, tmp_path: Path) -> None:
    with locked(tmp_path / "run"), pytest.raises(RunLocked, match="is being run by process"):
        run_one(Run.at(tmp_path / "run", small_config("source-only")), RunWatcher())
    with locked(tmp_path / "run"):
        pass


@pytest.mark.slow
def test_loader_workers_and_bf16(small_config: MakeConfig, tmp_path: Path) -> None:
    plain = run_one(Run.at(tmp_path / "plain", small_config("dacs")), RunWatcher()).content
    several = small_config("dacs", overrides={"NUM_WORKERS": 2})
    loaded = run_one(Run.at(tmp_path / "loaded", several), RunWatcher()).content
    assert loaded["result"] == plain["result"]
    assert plain["id"] == loaded["id"]


@pytest.mark.slow
def test_bf16_trains_and_is_said_to_be_slow_where_the_processor_lacks_it(
    small_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Small, for processors that lack it: one step, which has all that a step has, and one evaluation."""
    (tmp_path / "cpuinfo").write_text("model name\t: Some CPU\nflags\t\t: fpu avx512f\n")
    monkeypatch.setattr(bf16, "CPUINFO", tmp_path / "cpuinfo")
    small = {"SOLVER.ITERS": 1, "INPUT.CROP": (32, 32), "DATA.STREETS.SIZE": (64, 32)}
    cfg = small_config("dacs", overrides=small | {"SOLVER.PRECISION": "bf16"})
    record = run_one(Run.at(tmp_path / "run", cfg), RunWatcher()).content
    assert (record["status"], record["precision"]) == ("finished", "bf16")
    assert record["id"] != run_id(small_config("dacs", overrides=small))
    told = [line.getMessage() for line in caplog.records if "bf16" in line.getMessage()]
    assert len(told) == 1 and "no bf16 instructions" in told[0]


def test_mismatched_source_label_fails_the_run_in_one_line(
    small_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = small_config("source-only", overrides={"INPUT.CROP": (512, 512)})
    record = run_one(Run.at(tmp_path / "run", cfg), RunWatcher()).content
    assert record["status"] == "failed"
    assert record["reason"].startswith("DataError: ") and "512" in record["reason"] and "\n" not in record["reason"]


@pytest.mark.slow
def test_the_watcher_is_told_of_every_image_that_is_scored(
    small_config: Callable[..., CfgNode], tmp_path: Path
) -> None:
    """Two images at both evaluations, at the last by student and teacher on one reading."""
    told = []

    class Seeing(RunWatcher):
        def evaluating(self, done: int, images: int) -> None:
            told.append((done, images))

    run_one(Run.at(tmp_path, small_config("dacs")), Seeing())
    assert told == [(0, 2), (1, 2)] * 2


@pytest.mark.slow
def test_the_watcher_of_a_resumed_run_is_told_its_last_miou(
    small_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, float | None]] = []

    class Seeing(RunWatcher):
        def started(self, iteration: int, miou: float | None = None) -> None:
            told.append((iteration, miou))

        def step(self, done: int, losses: Any) -> None:
            if done == 3 and len(told) == 1:
                raise Killed

    cfg = small_config("source-only")
    with pytest.raises(Killed):
        run_one(Run.at(tmp_path / "run", cfg), Seeing())
    curve = run_one(Run.at(tmp_path / "run", cfg), Seeing()).content["curve"]
    assert told == [(0, None), (2, curve[0]["miou"])]
