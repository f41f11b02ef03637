"""wandb and MLflow, where they are installed: what a run hands on offline, and what a missing one says."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage
from held_runs import wait_for

import benchmarks.run
from benchmarks.cli.given import given_overrides
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.engine.writers import MlflowWriter, ServiceWriter, WandbWriter

MakeConfig = Callable[..., CfgNode]


class Noted(ServiceWriter):
    """Notes what it is handed; from ``failing`` on its service cannot be reached."""

    def __init__(self, failing: int = 100) -> None:
        super().__init__()
        self.sent: list[tuple[int, Mapping[str, float], list[str]]] = []
        self._failing = failing

    def send(self, iteration: int, scalars: Mapping[str, float], pictures: Mapping[str, np.ndarray]) -> None:
        if iteration >= self._failing:
            raise ConnectionError("no route\nto host")
        self.sent.append((iteration, scalars, list(pictures)))

    def finish(self) -> None:
        self.send(self._failing, {}, {})


def test_each_iteration_is_handed_on_once_with_its_pictures() -> None:
    writer = Noted()
    with EventStorage() as storage:
        storage.put_scalars(loss=1.0, nothing=float("nan"), smoothing_hint=False)
        storage.iter = 1
        storage.put_scalar("lr", 0.1, smoothing_hint=False)
        storage.put_image("step", np.zeros((3, 2, 2), np.uint8))
        writer.write()
        storage.clear_images()  # as TensorBoard's does, which comes last
        writer.write()
        storage.iter = 2
        storage.put_scalar("lr", 0.2, smoothing_hint=False)
        writer.write()
    assert writer.sent == [(0, {"loss": 1.0}, []), (1, {"lr": 0.1}, ["step"]), (2, {"lr": 0.2}, [])]


def test_a_service_that_cannot_be_reached_is_told_once_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    writer = Noted(failing=1)
    with EventStorage() as storage:
        for storage.iter in range(3):
            storage.put_scalar("lr", 0.1, smoothing_hint=False)
            writer.write()
        writer.close()
    assert [iteration for iteration, *_ in writer.sent] == [0]
    assert [entry.getMessage() for entry in caplog.records] == ["Noted: no route to host"]


@pytest.mark.parametrize("words", [["--writer", "wandb"], ["LOG.WRITERS", "[wandb]"]])
def test_what_is_not_installed_is_one_line_before_anything_is_made(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr("benchmarks.config.spec.find_spec", lambda name: None if name == "wandb" else found(name))
    arguments = benchmarks.run.parse_arguments(["--output", str(tmp_path), *words])
    with pytest.raises(ConfigError, match="--writer wandb: the package wandb is not installed"):
        RunSpec("streets", "dacs", overrides=given_overrides(arguments)).resolve()


def test_unknown_writers_are_refused_and_known_ones_change_no_id(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.config.spec.find_spec", lambda name: True)
    with pytest.raises(ConfigError, match=r"LOG.WRITERS is .*expected words out of wandb, mlflow"):
        RunSpec("streets", "dacs", overrides={"LOG.WRITERS": ("comet",)}).resolve()
    arguments = benchmarks.run.parse_arguments(["--writer", "mlflow", "--writer", "wandb"])
    cfg = RunSpec("streets", "dacs", overrides=given_overrides(arguments)).resolve()
    assert tuple(cfg.LOG.WRITERS) == ("mlflow", "wandb")


def written(kind: Any, folder: Path, cfg: CfgNode, starts: list[int]) -> None:
    """Sessions of a run that begin at these iterations, each of which hands on one iteration with a picture."""
    folder.mkdir(exist_ok=True)
    for start in starts:
        writer = kind(folder, cfg, "0123456789ab", start)
        with EventStorage(start) as storage:
            storage.put_scalars(**{"student/mIoU": 20.0 + start, "student/IoU-a*b": 1.0}, smoothing_hint=False)
            storage.put_image("step", np.full((3, 4, 4), 200, np.uint8))
            writer.write()
        writer.close()
        assert not writer._told


@pytest.mark.slow
def test_wandb_offline_leaves_a_folder_that_is_hidden_from_tables(
    small_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    written(WandbWriter, tmp_path / "run", small_config("dacs"), [0])
    assert [path.name for path in (tmp_path / "run").iterdir()] == [".wandb"]
    (session,) = (tmp_path / "run/.wandb").glob("offline-run-*-0123456789ab")
    (content,) = session.glob("*.wandb")
    # wandb's own process writes on for a moment after the run is told to be over.
    wait_for(lambda: b"student/mIoU" in content.read_bytes(), "the score in wandb's file")
    assert b"dacs" in content.read_bytes()
    assert len(list(session.glob("files/media/images/step_0_*.png"))) == 1


@pytest.mark.slow
def test_mlflow_leaves_a_database_in_the_run_folder_and_goes_on_with_its_run(
    small_config: MakeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "run"
    written(MlflowWriter, folder, small_config("dacs"), [0, 5])
    from mlflow import MlflowClient  # by now it has been told to send nothing to its maker

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    (run,) = client.search_runs([client.get_experiment_by_name("segshift").experiment_id])
    assert run.data.params["METHOD"] == "dacs" and run.data.params["SOLVER.ITERS"] == "4"
    assert run.info.status == "FINISHED" and run.data.metrics["student/IoU-a_b"] == 1.0
    history = client.get_metric_history(run.info.run_id, "student/mIoU")
    assert [(each.step, each.value) for each in history] == [(0, 20.0), (5, 25.0)]
    assert sorted(path.name for path in folder.rglob("*.png")) == ["0000000.png", "0000005.png"]
