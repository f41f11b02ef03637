"""What happens around the training steps of a run, as detectron2 hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks
from detectron2.utils.events import JSONWriter, TensorboardXWriter

from benchmarks.checkpoint import AtomicCheckpointer
from benchmarks.criteria import Criteria
from benchmarks.evaluation import evaluate
from benchmarks.inference import sliding
from benchmarks.label_space import scoring
from benchmarks.trainer import LOG_PERIOD, Trainer
from datasets.evaluation_set import EvaluationSet
from methods.networks import Segmentor


class Watcher(Protocol):
    """Who is told how the run goes."""

    def step(self, done: int, losses: Mapping[str, float]) -> None: ...

    def evaluating(self, done: int, images: int) -> None: ...

    def evaluated(self, miou: float) -> None: ...


class WatcherHook(HookBase):
    """Tells the watcher after every step, with the losses as last read."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def after_step(self) -> None:
        latest = self.trainer.storage.latest()
        losses = {name: value for name, (value, _) in latest.items() if name.startswith("loss_")}
        self._watcher.step(self.trainer.iter + 1, losses)


class Evaluation:
    """Scores the student, and at the last iterate the teacher too; keeps the curve and the last scores.

    Attributes:
        last: ``{"student": scores, "teacher": scores}`` of the last evaluation, in percent.
        criteria: what was measured in it without target labels (``Criteria.measure``); empty if nothing was.
    """

    def __init__(
        self,
        trainer: Trainer,
        dataset: EvaluationSet,
        criteria: Criteria,
        cfg: CfgNode,
        watcher: Watcher,
        note: Callable[[], None],
    ) -> None:
        """``note`` is called when an evaluation is in the curve, before the watcher is told of it."""
        self._trainer, self._dataset, self._criteria = trainer, dataset, criteria
        self._watcher, self._note = watcher, note
        self._scoring, self._workers, self._windows = scoring(cfg), cfg.NUM_WORKERS, sliding(cfg)
        self.last: dict[str, dict[str, float]] = {}
        self.criteria: dict[str, float] = {}

    def __call__(self) -> dict[str, dict[str, float]]:
        trainer, watcher = self._trainer, self._watcher
        done = min(trainer.iter + 1, trainer.max_iter)
        self.last = {"student": self._score(trainer.student)}
        if done == trainer.max_iter and trainer.teacher is not None:
            self.last["teacher"] = self._score(trainer.teacher.segmentor)
        labeller = trainer.student if trainer.teacher is None else trainer.teacher.segmentor
        self.criteria = self._criteria.measure(trainer.student, labeller, watcher.evaluating)
        miou = self.last["student"]["mIoU"]
        trainer.progress.add(done, miou, self.criteria)
        self._note()
        watcher.evaluated(miou)
        return self.last | ({"criteria": self.criteria} if self.criteria else {})

    def _score(self, segmentor: Segmentor) -> dict[str, float]:
        return evaluate(
            segmentor,
            self._dataset,
            self._scoring,
            self._trainer.device,
            self._workers,
            self._windows,
            self._watcher.evaluating,
        )


def run_hooks(
    trainer: Trainer,
    cfg: CfgNode,
    folder: Path,
    checkpointer: AtomicCheckpointer,
    evaluation: Evaluation,
    watcher: Watcher,
) -> list[HookBase]:
    """The hooks of a run, in order: a periodic checkpoint holds the score of the evaluation at its iteration."""
    return [
        hooks.LRScheduler(trainer.optimizer, trainer.scheduler),
        WatcherHook(watcher),
        hooks.EvalHook(cfg.TEST.PERIOD, evaluation),
        hooks.PeriodicCheckpointer(checkpointer, cfg.CHECKPOINT_PERIOD, max_iter=trainer.max_iter, max_to_keep=2),
        hooks.PeriodicWriter([JSONWriter(str(folder / "metrics.json")), TensorboardXWriter(str(folder))], LOG_PERIOD),
    ]
