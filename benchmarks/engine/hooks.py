"""What happens around the training steps of a run, as detectron2 hooks."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

from detectron2.config import CfgNode
from detectron2.engine import HookBase, hooks
from detectron2.utils import comm
from detectron2.utils.events import EventWriter, JSONWriter

from benchmarks.computing.compiled import CompileCost
from benchmarks.config.label_space import scoring
from benchmarks.config.sliding_window import sliding
from benchmarks.data.further_sets import FurtherSet
from benchmarks.data.loader_workers import loader_workers
from benchmarks.engine.checkpoint import FINAL, AtomicCheckpointer, numbered
from benchmarks.engine.event_files import EventFiles
from benchmarks.engine.run_log import LogHook, evaluation_line
from benchmarks.engine.step_pictures import StepPictures, is_drawn
from benchmarks.engine.trainer import Trainer
from benchmarks.engine.watched import WATCHED, WatchedHook
from benchmarks.engine.writers import service_writers
from benchmarks.evaluation.elsewhere import score_elsewhere
from benchmarks.evaluation.evaluator import Evaluated, evaluate_all
from benchmarks.evaluation.example_keeper import ExampleKeeper
from benchmarks.evaluation.target_free import Criteria
from datasets.batches.evaluation_set import EvaluationSet
from results.records.examples import Examples
from results.records.record import write_text
from results.records.scores import HEADLINE, STUDENT, TEACHER, Scores
from slurm.base.interruption import Interrupted, asked_to_stop

_LOGGER = logging.getLogger(__name__)


class Watcher(Protocol):
    """Who is told how the run goes; ``preparing``: what it does once, in words, before and after."""

    def preparing(self, what: str) -> None: ...

    def step(self, done: int, losses: Mapping[str, float]) -> None: ...

    def evaluating(self, done: int, images: int) -> None: ...

    def evaluated(self, miou: float) -> None: ...


class WatcherHook(HookBase):
    """Tells the watcher after every step, with the losses as last read, and when CUDA graphs are captured."""

    trainer: Trainer

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def before_train(self) -> None:
        self.trainer.graphs.tell = self._watcher.preparing

    def after_step(self) -> None:
        latest = self.trainer.storage.latest()
        losses = {name: value for name, (value, _) in latest.items() if name.startswith("loss_")}
        self._watcher.step(self.trainer.iter + 1, losses)


class Evaluation:
    """Scores the student, and at the last iterate the teacher too; keeps the curve and the last scores.

    Attributes:
        last: of the last evaluation, by STUDENT and TEACHER, what was scored.
        criteria: what was measured in it without target labels (``Criteria.measure``); empty if nothing was.
        also: of the last iterate, what a record has of each further set, by name.
        examples: of the last iterate's, small predictions of all processes; None before.
    """

    examples: Examples | None = None

    def __init__(
        self,
        trainer: Trainer,
        dataset: EvaluationSet,
        criteria: Criteria,
        cfg: CfgNode,
        watcher: Watcher,
        note: Callable[[], None],
        further: Sequence[FurtherSet] = (),
    ) -> None:
        """Call ``note`` when an evaluation is in the curve, before the watcher is told of it.

        ``further``: sets that the last iterate is scored on besides.
        """
        self._trainer, self._dataset, self._criteria = trainer, dataset, criteria
        self._watcher, self._note = watcher, note
        self._scoring, self._workers, self._windows = scoring(cfg), loader_workers(cfg, trainer.device), sliding(cfg)
        self._further, self.also = further, dict[str, Any]()
        self.last: dict[str, Evaluated] = {}
        self._before: Scores | None = None
        self.criteria: dict[str, float] = {}

    def __call__(self) -> dict[str, dict[str, float]]:
        trainer, watcher = self._trainer, self._watcher
        done = min(trainer.iter + 1, trainer.max_iter)
        keeper = ExampleKeeper(len(self._dataset)) if done == trainer.max_iter else None
        models = {STUDENT: trainer.student}
        if keeper is not None and trainer.teacher is not None:
            models[TEACHER] = trainer.teacher.segmentor
        self.last = evaluate_all(
            models,
            self._dataset,
            self._scoring,
            trainer.device,
            self._workers,
            self._windows,
            watcher.evaluating,
            {model: keeper.of(model) for model in models} if keeper is not None else None,
        )
        if keeper is not None:
            self.examples = keeper.gathered(self._scoring.space)
            where = (trainer.device, self._workers, self._windows)
            self.also = score_elsewhere(models, self._further, self._scoring, *where, watcher.evaluating)
        labeller = trainer.student if trainer.teacher is None else trainer.teacher.segmentor
        self.criteria = self._criteria.measure(trainer.student, labeller, watcher.evaluating)
        scalars = {model: found.scores.scalars() for model, found in self.last.items()}
        if done == trainer.max_iter:  # once
            for fault in self.last[STUDENT].scores.faults.values():
                _LOGGER.warning("%s", fault)
        before, self._before = self._before, self.last[STUDENT].scores
        _LOGGER.info("%s", evaluation_line(done, trainer.max_iter, self._before, before, self.criteria))
        miou = scalars[STUDENT][HEADLINE]
        trainer.progress.add(done, miou, self.criteria)
        self._note()
        watcher.evaluated(miou)
        return scalars | ({"criteria": self.criteria} if self.criteria else {})


class EvaluationHook(hooks.EvalHook):
    """EvalHook that saves first: a validation file that cannot be scored takes no iteration away.

    That checkpoint owes the evaluation, and holds what the iteration has stored for metrics.json besides
    (`ProgressState.owed`): a run that goes on from it makes up both, `OwedEvaluation`. There is no evaluation after a
    training that ended in its last iteration, but by an error.
    """

    def __init__(self, period: int, evaluation: Evaluation, checkpointer: AtomicCheckpointer) -> None:
        super().__init__(period, evaluation)
        self._checkpointer = checkpointer

    def after_step(self) -> None:
        iteration = self.trainer.iter
        if is_due(self._period, iteration, self.trainer.max_iter):
            self.trainer.check_losses()
            progress, latest = self.trainer.progress, self.trainer.storage.latest()
            progress.owed = {name: value for name, (value, at) in latest.items() if at == iteration}
            self._checkpointer.save(numbered(iteration), iteration=iteration)
            progress.owed = {}
        super().after_step()

    def make_up(self) -> None:
        """Evaluate, whatever the iteration."""
        self._do_eval()

    def after_train(self) -> None:
        if self.trainer.iter >= self.trainer.max_iter:
            super().after_train()


def is_due(period: int, iteration: int, last: int) -> bool:
    """Whether an evaluation every ``period`` iterations (0: at the end alone) follows this one, which is not the last.

    ``iteration`` counts from 0, ``last`` is the number of all.
    """
    return period > 0 and (iteration + 1) % period == 0 and iteration + 1 != last


class OwedEvaluation(HookBase):
    """Makes up for the evaluation that the run was stopped in, its line in metrics.json too, before training."""

    def __init__(self, evaluation: EvaluationHook, metrics: MetricsHook, checkpointer: AtomicCheckpointer) -> None:
        self._evaluation, self._metrics, self._checkpointer = evaluation, metrics, checkpointer

    def before_train(self) -> None:
        trainer, start = self.trainer, self.trainer.start_iter
        if not trainer.progress.owed:
            return
        trainer.iter = trainer.storage.iter = start - 1
        trainer.storage.put_scalars(smoothing_hint=False, **trainer.progress.owed)
        self._evaluation.make_up()
        trainer.progress.owed = {}
        self._metrics.write()
        self._checkpointer.save(numbered(start - 1), iteration=start - 1)
        trainer.iter = trainer.storage.iter = start


class CheckpointHook(hooks.PeriodicCheckpointer):
    """PeriodicCheckpointer that saves nothing of a run that has diverged, and the last iterate only as the final.

    It saves after each evaluation, too, so that none is made twice. And it ends a run whose job was asked to stop, with
    a checkpoint: `Interrupted` is raised after the step.
    """

    def __init__(
        self, checkpointer: AtomicCheckpointer, period: int, max_iter: int, evaluation_period: int
    ) -> None:
        super().__init__(checkpointer, period, max_iter=max_iter)
        self._evaluation_period = evaluation_period

    def before_train(self) -> None:
        super().before_train()
        done = self.trainer.start_iter
        if done >= self.max_iter and not self.checkpointer.get_checkpoint_file().endswith(FINAL):
            self.step(done - 1)  # killed by an earlier version before it was final

    def after_step(self) -> None:
        iteration = self.trainer.iter
        # Ranks learn of it at different moments, and must stop after the same step.
        stop = any(comm.all_gather(asked_to_stop())) and iteration + 1 < self.max_iter
        due = (iteration + 1) % self.period == 0
        besides = not due and (stop or is_due(self._evaluation_period, iteration, self.max_iter))
        if due or besides:
            self.trainer.check_losses()
        super().after_step()
        if besides:
            self.checkpointer.save(numbered(iteration), iteration=iteration)
        if stop:
            raise Interrupted

    def step(self, iteration: int, **kwargs: Any) -> None:
        if iteration + 1 >= self.max_iter:
            self.checkpointer.save(Path(FINAL).stem, iteration=iteration, **kwargs)
        else:
            super().step(iteration, **kwargs)


class MetricsHook(HookBase):
    """Scalars go to metrics.json and TensorBoard's events: with each look at the losses, evaluation and picture.

    So nothing is left to be written when a checkpoint is saved after it, and a resumed run begins by removing what was
    written after its checkpoint: both files are those of a run that was never stopped. Event files are appended to, so
    a new one tells readers from which step on the older are void. What a clock decides is shown by the events alone.
    """

    def __init__(self, folder: Path, cfg: CfgNode, name: str) -> None:
        """Write to files in ``folder``, and to the services of LOG.WRITERS under the run's ``name``."""
        self._folder, self._cfg, self._name = folder, cfg, name
        self._writers: list[EventWriter] = []

    def before_train(self) -> None:
        if not comm.is_main_process():
            return
        start, path = self.trainer.start_iter, self._folder / "metrics.json"
        if self.trainer.progress.owed:
            start -= 1  # its line is written with the evaluation that is made up
        keep_before(path, start)
        services = service_writers(self._folder, self._cfg, self._name, start)
        self._writers = [_MetricsFile(str(path)), *services, EventFiles(self._folder, start, self._cfg)]

    def after_step(self) -> None:
        iteration, last = self.trainer.iter, self.trainer.max_iter
        drawn = is_drawn(self._cfg.LOG.IMAGES, iteration)
        if drawn or self.trainer.is_looked_at(iteration) or is_due(self._cfg.TEST.PERIOD, iteration, last):
            self.write()

    def after_train(self) -> None:
        if self.trainer.iter >= self.trainer.max_iter:
            self.write()
            for writer in self._writers:
                writer.close()
            return
        # After an error a line for the iterations since the last one would be in no other run's file.
        for writer in self._writers:
            with suppress(OSError):  # the error that ended the run is the one to be told
                writer.close()

    def write(self) -> None:
        """Write what was stored since the last time."""
        for writer in self._writers:
            writer.write()


class _MetricsFile(JSONWriter):
    """JSONWriter without what a clock decides, and with null for a score of which nothing was there to be measured."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._file_handle: Any = _RepeatableLines(self._file_handle)


class _RepeatableLines:
    """A file of JSON lines, through which numbers that are none become null: JSON has no NaN."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.flush, self.fileno, self.close = file.flush, file.fileno, file.close

    def write(self, line: str) -> None:
        values = json.loads(line, parse_constant=lambda _: None)
        kept = {name: value for name, value in values.items() if not name.startswith(WATCHED)}
        self._file.write(json.dumps(kept, sort_keys=True) + "\n")


def keep_before(path: Path, iteration: int) -> None:
    """Remove from metrics.json the lines of ``iteration`` and later ones, and what a killed process left of a line."""
    if not path.exists():
        return
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if _iteration(line) < iteration]
    if kept != lines:
        write_text(path, "".join(kept))


def _iteration(line: str) -> float:
    """The iteration of a line of metrics.json; infinite where it is not whole."""
    try:
        return int(json.loads(line)["iteration"]) if line.endswith("\n") else float("inf")
    except (ValueError, KeyError, TypeError, RecursionError, OverflowError):
        return float("inf")


def run_hooks(
    trainer: Trainer,
    cfg: CfgNode,
    folder: Path,
    checkpointer: AtomicCheckpointer,
    evaluation: Evaluation,
    watcher: Watcher,
    pictures: list[StepPictures],
    name: str,
) -> list[HookBase]:
    """The hooks of a run, in order; ``pictures``: those of the steps, if any; ``name``: the run's, as services know it.

    A checkpoint is saved when all that its iterations gave is on disk, but for that which an evaluation begins with: it
    holds itself what is not.
    """
    scored = EvaluationHook(cfg.TEST.PERIOD, evaluation, checkpointer)
    metrics = MetricsHook(folder, cfg, name)
    return [
        *pictures,
        *([CompileCost(watcher.preparing)] if cfg.SOLVER.COMPILE else []),
        WatchedHook(),  # before the rates are those of the next step
        LogHook(),
        hooks.LRScheduler(trainer.optimizer, trainer.scheduler),
        WatcherHook(watcher),
        scored,
        metrics,
        OwedEvaluation(scored, metrics, checkpointer),
        CheckpointHook(checkpointer, cfg.CHECKPOINT_PERIOD, trainer.max_iter, cfg.TEST.PERIOD),
    ]
