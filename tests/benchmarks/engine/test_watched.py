"""What a run tells of how it goes: lines of its log, and what TensorBoard shows besides the losses."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from detectron2.utils.events import EventStorage
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG, parse_session_start_info_plugin_data
from trained_runs import trained

from benchmarks.engine.run_log import evaluation_line, step_line
from benchmarks.engine.trainer import ProgressState
from benchmarks.engine.watched import WATCHED, WatchedHook
from results.records.scores import Scores


def test_a_line_of_a_step_has_losses_rates_times_memory_and_time_left() -> None:
    values = {
        "loss_supervised": 1.23456,
        "pseudo_label_confidence": 0.5,
        "watched/lr/encoder": 6e-05,
        "watched/lr/mrm": 0.0002,
        "watched/step_seconds": 0.61234,
        "watched/data_seconds": 0.0123,
        "watched/peak_memory_mib": 921.4,
        "watched/seconds_left": 201.0,
    }
    assert step_line(20, 350, values) == (
        "iteration 20/350: loss_supervised 1.235, pseudo_label_confidence 0.5; rates encoder 6e-05, mrm 0.0002; "
        "0.612 s a step, 0.012 of them for data; peak 921 MiB; 3:21 left"
    )


def scores(headline: float | None, **iou: float | None) -> Scores:
    return Scores(headline, {}, {"IoU": iou})


def test_a_line_of_an_evaluation_names_the_classes_that_moved_most() -> None:
    before = scores(20.0, road=80.0, sky=50.0, car=10.0, bus=None, pole=5.0, wall=1.0, fence=2.0, person=3.0)
    after = scores(21.5, road=70.0, sky=62.0, car=10.04, bus=9.0, pole=6.0, wall=0.0, fence=5.0, person=None)
    assert evaluation_line(100, 350, after, before, {"confidence": 0.75}) == (
        "evaluation 100/350: mIoU 21.5 (+1.5); confidence 0.75; moved most: sky +12.0 to 62.0, road -10.0 to 70.0, "
        "fence +3.0 to 5.0, pole +1.0 to 6.0, wall -1.0 to 0.0"
    )
    assert evaluation_line(50, 350, before, None, {}) == "evaluation 50/350: mIoU 20.0"
    assert evaluation_line(50, 350, scores(None), scores(2.0), {}) == (
        "evaluation 50/350: mIoU none (none); moved most: no class"
    )


def test_times_are_means_since_the_last_look_and_rates_those_of_the_step() -> None:
    trainer: Any = SimpleNamespace(
        progress=ProgressState(), start_iter=0, max_iter=5, device=SimpleNamespace(type="cpu"), iter=0,
        group_names=["encoder", "decoder"], is_looked_at=lambda iteration: iteration in (1, 4),
        graphs=SimpleNamespace(captured=0),
        optimizer=SimpleNamespace(param_groups=[{"lr": 0.1}, {"lr": 0.2}]), storage=EventStorage(),
    )  # fmt: skip
    hook = WatchedHook()
    hook.trainer = trainer
    hook.before_train()
    shown = []
    for trainer.iter in range(5):
        trainer.progress.seconds.append(float(trainer.iter))
        trainer.progress.waited.append(trainer.iter / 2)
        trainer.storage.iter = trainer.iter
        hook.after_step()
        shown.append({name: value for name, (value, at) in trainer.storage.latest().items() if at == trainer.iter})
    assert [bool(values) for values in shown] == [False, True, False, False, True]
    assert (shown[1]["watched/step_seconds"], shown[1]["watched/data_seconds"]) == (0.5, 0.25)
    assert (shown[4]["watched/step_seconds"], shown[4]["watched/data_seconds"]) == (3.0, 1.5)
    assert (shown[4]["watched/lr/encoder"], shown[4]["watched/lr/decoder"]) == (0.1, 0.2)
    assert shown[4]["watched/peak_memory_mib"] > 10 and shown[4]["watched/seconds_left"] == 0


@pytest.fixture(scope="module")
def run() -> Path:
    return trained()


@pytest.mark.slow
def test_the_log_has_a_line_of_each_look_and_each_evaluation(run: Path) -> None:
    lines = [line.split(" INFO: ")[1] for line in (run / "log.txt").read_text().splitlines() if " INFO: " in line]
    (step,) = [line for line in lines if line.startswith("iteration")]
    values = [json.loads(line) for line in (run / "metrics.json").read_text().splitlines()]
    (looked,) = [each for each in values if "loss_mixed" in each]
    assert step.startswith("iteration 4/4: ") and f"loss_mixed {looked['loss_mixed']:.4g}" in step
    assert "pseudo_label_probability 0." in step and "; 0:00 left" in step and " MiB; " in step
    (point,) = json.loads((run / "record.json").read_text())["curve"]
    assert [line for line in lines if line.startswith("evaluation")] == [f"evaluation 4/4: mIoU {point['miou']:.1f}"]


@pytest.mark.slow
def test_tensorboard_shows_config_rates_times_and_hyperparameters_and_metrics_json_no_clock(run: Path) -> None:
    reader = EventAccumulator(str(run)).Reload()
    shown = {tag: reader.Scalars(tag)[-1] for tag in reader.Tags()["scalars"]}
    # The last of four iterations, after a warm-up of one: a quarter of the rates.
    assert shown["watched/lr/encoder"].value == pytest.approx(0.01 / 4)
    assert shown["watched/lr/decoder"].value == pytest.approx(0.05 / 4)
    assert 0 <= shown["watched/data_seconds"].value < shown["watched/step_seconds"].value
    assert shown["pseudo_label_probability"].value == pytest.approx(_last(run, "pseudo_label_probability"))
    text = reader.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "    METHOD: dacs\n" in text and "\n      PERIOD: 20\n" in text
    start = reader.SummaryMetadata(SESSION_START_INFO_TAG).plugin_data.content
    values = parse_session_start_info_plugin_data(start).hparams
    assert values["METHOD"].string_value == "dacs" and values["SOLVER.ITERS"].number_value == 4
    assert values["SEED"].number_value == 0 and "DEVICE" not in values
    names = {name for line in (run / "metrics.json").read_text().splitlines() for name in json.loads(line)}
    assert {"loss_mixed", "lr", "student/mIoU"} <= names and not [name for name in names if name.startswith(WATCHED)]


def _last(run: Path, name: str) -> float:
    values = [json.loads(line) for line in (run / "metrics.json").read_text().splitlines()]
    return float([each[name] for each in values if name in each][-1])
