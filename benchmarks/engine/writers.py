"""Where else scalars and pictures of a run go, by --writer: wandb or mlflow, as detectron2's event writers."""

from __future__ import annotations

import logging
import math
import os
import re
import time
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import CfgNode
from detectron2.utils.events import EventWriter, get_event_storage

from benchmarks.config.keys import flatten

PROJECT = "segshift"
"""Project or experiment that runs are in, where the environment names none."""

_LOGGER = logging.getLogger(__name__)


class ServiceWriter(EventWriter):
    """Hands on what is new in the storage, iteration by iteration; pictures stay for the writer that comes last.

    A service that cannot be reached ends no run: it is told once, and what it has missed is missing there.
    """

    def __init__(self) -> None:
        self._last = -1
        self._told = False

    def write(self) -> None:
        storage, new = get_event_storage(), defaultdict[int, dict[str, float]](dict)
        for name, (value, at) in storage.latest().items():
            if at > self._last and math.isfinite(value):
                new[at][name] = value
        pictures = {at: (name, picture) for name, picture, at in storage._vis_data}
        for at in sorted({*new, *pictures}):
            self._try(partial(self.send, at, new.get(at, {}), dict([pictures[at]] if at in pictures else [])))
        self._last = max([self._last, *new])

    def close(self) -> None:
        self._try(self.finish)

    @abstractmethod
    def send(self, iteration: int, scalars: Mapping[str, float], pictures: Mapping[str, np.ndarray]) -> None:
        """Hand on an iteration's scalars, and pictures (3, H, W) uint8, RGB."""

    @abstractmethod
    def finish(self) -> None:
        """End the session."""

    def _try(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # whatever a service's client raises: the run is worth more
            if not self._told:
                _LOGGER.warning("%s: %s", type(self).__name__, " ".join(str(error).split()) or type(error).__name__)
            self._told = True


class WandbWriter(ServiceWriter):
    """Weights & Biases. Its files are in ``.wandb`` of the run folder, also with WANDB_MODE=offline."""

    def __init__(self, folder: Path, cfg: CfgNode, name: str, start: int) -> None:
        """Go on with the run of this ``name`` where ``start`` is an iteration after the first."""
        import wandb

        super().__init__()
        (folder / ".wandb").mkdir(exist_ok=True)  # else "wandb" would be its name, with links that lead in circles
        self._image = wandb.Image
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            id=name,
            name=title(cfg),
            dir=str(folder),
            config=flatten(cfg),
            resume="allow" if start else None,
            settings=wandb.Settings(console="off", silent=True),  # it would write over the progress of runs
        )
        _LOGGER.info("wandb: %s", self._run.url or self._run.dir)

    def send(self, iteration: int, scalars: Mapping[str, float], pictures: Mapping[str, np.ndarray]) -> None:
        shown = {name: self._image(picture.transpose(1, 2, 0)) for name, picture in pictures.items()}
        self._run.log({**scalars, **shown}, step=iteration)

    def finish(self) -> None:
        self._run.finish()


class MlflowWriter(ServiceWriter):
    """MLflow, at MLFLOW_TRACKING_URI, or in ``mlflow.db`` and ``mlartifacts`` of the run folder."""

    _TAG = "segshift.run"

    def __init__(self, folder: Path, cfg: CfgNode, name: str, start: int) -> None:
        """Go on with the run of this ``name`` where ``start`` is an iteration after the first."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # its own maker hears of no run unasked
        from mlflow import MlflowClient
        from mlflow.entities import Metric, Param

        super().__init__()
        logging.getLogger("mlflow").setLevel(logging.WARNING)
        own = None if os.environ.get("MLFLOW_TRACKING_URI") else folder.absolute()
        self._client: Any = MlflowClient(tracking_uri=None if own is None else f"sqlite:///{own / 'mlflow.db'}")
        self._metric = Metric
        title_of_all = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
        artifacts = None if own is None else (own / "mlartifacts").as_uri()
        known = self._client.get_experiment_by_name(title_of_all)
        experiment = known.experiment_id if known else self._client.create_experiment(title_of_all, artifacts)
        before = self._client.search_runs([experiment], f"tags.`{self._TAG}` = '{name}'", max_results=1)
        if start and before:
            self._run = before[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            return
        self._run = self._client.create_run(experiment, run_name=title(cfg), tags={self._TAG: name}).info.run_id
        values = [Param(key, str(value)[:500]) for key, value in flatten(cfg).items()]
        for first in range(0, len(values), 100):  # no more at once
            self._client.log_batch(self._run, params=values[first : first + 100])

    def send(self, iteration: int, scalars: Mapping[str, float], pictures: Mapping[str, np.ndarray]) -> None:
        now = int(time.time() * 1000)
        named = {re.sub(r"[^\w. :/-]", "_", name): value for name, value in scalars.items()}  # MLflow takes no others
        metrics = [self._metric(name, value, now, iteration) for name, value in named.items()]
        self._client.log_batch(self._run, metrics=metrics)
        for name, picture in pictures.items():
            self._client.log_image(self._run, picture.transpose(1, 2, 0), f"{name}/{iteration:07d}.png")

    def finish(self) -> None:
        self._client.set_terminated(self._run)


def title(cfg: CfgNode) -> str:
    """What people call the run."""
    return f"{cfg.PROTOCOL} {cfg.METHOD} {cfg.NETWORK} seed {cfg.SEED}"


def service_writers(folder: Path, cfg: CfgNode, name: str, start: int) -> list[EventWriter]:
    """The writers of LOG.WRITERS, for a run that is known there as ``name``."""
    kinds: dict[str, type[WandbWriter | MlflowWriter]] = {"wandb": WandbWriter, "mlflow": MlflowWriter}
    return [kinds[kind](folder, cfg, name, start) for kind in dict.fromkeys(cfg.LOG.WRITERS)]
