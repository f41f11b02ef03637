"""What a run tells of how it goes, and no number depends on: times, rates, memory."""

from __future__ import annotations

import statistics

from detectron2.engine import HookBase

from benchmarks.cli.time_left import Work, time_left
from benchmarks.computing.memory import peak_mib
from benchmarks.engine.trainer import Trainer
from benchmarks.state.neighbours import Neighbours

WATCHED = "watched/"
"""What these scalars' names begin with: writers show them, but for metrics.json, which is the same for the same run."""
RATE = f"{WATCHED}lr/"


class WatchedHook(HookBase):
    """Stores them each time that the losses are looked at: rates as they were in that step, means of times since.

    Nothing in it waits for the device. On a GPU a step takes the host as long as to hand it work; the look at the
    losses waits for it, so that the mean since the last look is right.
    """

    trainer: Trainer

    def before_train(self) -> None:
        self._told = 0
        self._work = Work(self.trainer.max_iter)
        self._work.begin(self.trainer.start_iter)

    def after_step(self) -> None:
        trainer, progress = self.trainer, self.trainer.progress
        self._work.reach(trainer.iter + 1)
        if not trainer.is_looked_at(trainer.iter):
            return
        rates = zip(trainer.group_names, trainer.optimizer.param_groups, strict=True)
        values = {f"{RATE}{name}": group["lr"] for name, group in rates}
        values |= {
            f"{WATCHED}step_seconds": statistics.fmean(progress.seconds[self._told :]),
            f"{WATCHED}data_seconds": statistics.fmean(progress.waited[self._told :]),
            f"{WATCHED}peak_memory_mib": peak_mib(trainer.device, trainer.graphs.captured > 0),
        }
        if (left := time_left([self._work])) is not None:
            values[f"{WATCHED}seconds_left"] = left.seconds
        self._told = len(progress.seconds)
        trainer.storage.put_scalars(smoothing_hint=False, **values)


class NeighboursHook(HookBase):
    """Notes beside how many other runs an iteration was done, of which a record tells with its seconds."""

    def __init__(self, neighbours: Neighbours) -> None:
        self._neighbours = neighbours

    def after_step(self) -> None:
        self._neighbours.step()
