"""The driver of a search: asks the study for trials, hands their runs to workers, and tells it what came of them.

One process owns the study. Workers know nothing of it: they make runs, as those of every other command.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from detectron2.config import CfgNode
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from ablations.samplers import sampler
from ablations.step_cost import GIGA, CostCounter
from ablations.study import (
    DEATHS,
    DIVERGED,
    FAILED,
    FINISHED,
    FOLDER,
    LOST,
    OUTCOME,
    PRUNED,
    PUBLISHED,
    REASON,
    RETRY_OF,
    RUN,
    Objective,
    Search,
)
from ablations.trial_progress import TrialProgress
from benchmarks.errors import ConfigError, RunLocked
from benchmarks.lock import locked
from benchmarks.spec import run_folder, run_id
from benchmarks.workers import WorkerJob, mark_lost, mark_stopped
from methods.errors import MethodError
from results import record as records
from results.errors import ResultsError
from results.record import read_record
from slurm.local import LocalPool, Lost

_MOST_DEATHS = 3  # of workers of one setting, before it is given up
_FAILED_AT_FIRST = 3  # failed trials without one that worked: something else is wrong


@dataclass
class _Running:
    """A run under way, and the trials that wait for it: a sampler may suggest one setting twice.

    Attributes:
        worker: index of its process; None where a process of another command has the run.
    """

    cfg: CfgNode
    folder: Path
    trials: list[int]
    worker: int | None
    told: int = 0  # the iteration of the last score that was reported
    pruned: int = 0  # the iteration it was stopped at


class Driver:
    """Makes the trials that a study is short of."""

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        search: Search,
        output: Path,
        pool: LocalPool[WorkerJob, str | None],
        progress: TrialProgress,
    ) -> None:
        self._study, self._storage, self._search, self._output = study, storage, search, output
        self._pool, self._progress, self._counter = pool, progress, CostCounter()
        self._ids = storage.get_study_id_from_name(study.study_name)
        self._space = {dimension.name: dimension.distribution for dimension in search.space}
        self._running: list[_Running] = []
        self._workers = 0

    def run(self, trials: int) -> None:
        """Go on until the study has ``trials`` trials; those of workers that died are not counted, but made again.

        Raises:
            ConfigError: the first trials all failed.
        """
        self._take_up()
        self._progress.begin(trials, trials_over(self._study))
        while True:
            while self._pool.free > 0 and trials_over(self._study) + self._waiting_for() < trials:
                self._begin(self._ask())
            if not self._running:
                return
            for worker, outcome in self._pool.ended():
                self._ended(next(run for run in self._running if run.worker == worker), outcome)
            for run in list(self._running):
                if run.worker is None:
                    self._look_again(run)
                else:
                    self._report(run)
            self._progress.state([(run.trials[0], run.folder, run.cfg.SOLVER.ITERS) for run in self._running])

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _waiting_for(self) -> int:
        return sum(len(run.trials) for run in self._running)

    def _take_up(self) -> None:
        """See to the trials that a killed command left.

        Those whose run has an end are told, those whose run goes on are waited for, dead ones are queued again.
        """
        for trial in self._trials():
            if trial.state != TrialState.RUNNING:
                continue
            folder = self._output / str(trial.user_attrs.get(FOLDER, ""))
            if FOLDER not in trial.user_attrs:  # killed before its run had a name
                self._lose(trial.number, "its command was killed", died=False)
            elif _is_free(folder):
                if not self._tell_if_over([trial.number], folder):
                    self._lose(trial.number, "its command was killed", died=False)
            else:
                self._progress.say(f"trial {trial.number}: its run still goes on, waiting for it")
                cfg = self._search.spec(trial.params).resolve()
                self._running.append(_Running(cfg, folder, [trial.number], None))

    def _ask(self) -> optuna.Trial:
        self._study.sampler = sampler(self._search.sampler, self._search.seed, len(self._trials()))
        return self._study.ask(self._space)

    def _begin(self, trial: optuna.Trial) -> None:
        """Start the trial's run, or take it as it is where it was made before."""
        number = trial.number
        if trial.params == self._search.published:
            trial.set_user_attr(PUBLISHED, True)
        try:
            cfg = self._search.spec(trial.params).resolve()
        except (ConfigError, MethodError) as error:  # values that do not go together
            self._fail(number, str(error))
            return
        folder = run_folder(self._output, cfg)
        trial.set_user_attr(RUN, run_id(cfg))
        trial.set_user_attr(FOLDER, folder.relative_to(self._output).as_posix())
        for run in self._running:
            if run.folder == folder:
                run.trials.append(number)
                self._progress.say(f"trial {number}: the run of trial {run.trials[0]}, waiting for it")
                return
        # What failed once is tried again, as by every other command.
        known = _read(folder) if _is_free(folder) else None
        if known and known["status"] != records.FAILED and self._tell_if_over([number], folder):
            return
        self._progress.say(f"trial {number}: {self._named(number)}, started")
        run = _Running(cfg, folder, [number], None)
        self._running.append(run)
        self._start(run)

    def _start(self, run: _Running) -> None:
        run.worker, self._workers = self._workers, self._workers + 1
        label = f"trial {run.trials[0]}"
        self._pool.submit(run.worker, WorkerJob(label, run.cfg, run.folder, False))

    def _ended(self, run: _Running, outcome: str | Lost | None) -> None:
        """A worker ended: with its run, because another process has that (a line), or dead."""
        if isinstance(outcome, str):
            self._progress.say(f"trial {run.trials[0]}: left to another process, {outcome}")
            run.worker = None
            return
        self._running.remove(run)
        if self._tell_if_over(run.trials, run.folder):
            return
        if run.pruned:
            mark_stopped(run.folder, f"pruned at iteration {run.pruned} by the search {self._search.name}")
            for number in run.trials:
                self._prune(number, PRUNED, f"at iteration {run.pruned}")
            return
        reason = outcome.reason if isinstance(outcome, Lost) else "its run has no end"
        mark_lost(run.folder, reason)
        for number in run.trials:
            self._lose(number, reason, died=True)

    def _look_again(self, run: _Running) -> None:
        """At a run that another process had."""
        if not _is_free(run.folder):
            self._report(run)
        elif self._tell_if_over(run.trials, run.folder):
            self._running.remove(run)
        elif self._pool.free > 0:  # it was left unfinished: go on with it
            self._start(run)

    def _report(self, run: _Running) -> None:
        """Tell the study the scores of a run so far, and stop it where the pruner says so."""
        record = _read(run.folder)
        if len(self._search.objectives) > 1 or record is None or record["status"] != records.RUNNING:
            return  # with two objectives there are no scores on the way
        last = max((self._scores(number, record) for number in run.trials), default=0)
        if last <= run.told:
            return
        run.told = last
        first = self._storage.get_trial(self._id(run.trials[0]))
        if run.worker is not None and not run.pruned and self._study.pruner.prune(self._study, first):
            run.pruned = last
            self._pool.cancel(run.worker)

    def _scores(self, number: int, record: dict[str, Any]) -> int:
        """Pass the scores of a record on to the study; the iteration of the last one, 0 for none."""
        trial_id, column, last = self._id(number), self._search.objectives[0].column, 0
        known = self._storage.get_trial(trial_id).intermediate_values
        for point in record.get("curve", []):
            iteration, score = int(point["iteration"]), point.get(column)
            if score is None or not math.isfinite(score):
                continue
            last = iteration
            if iteration not in known:
                self._storage.set_trial_intermediate_value(trial_id, iteration, float(score))
        return last

    def _tell_if_over(self, numbers: list[int], folder: Path) -> bool:
        """Tell the study what a run came to; whether it has come to an end."""
        record = _read(folder)
        if record is None:
            return False
        status, reason = record["status"], str(record.get("reason", ""))
        for number in numbers:
            if status == records.FINISHED:
                self._complete(number, record)
            elif status == records.DIVERGED:
                self._prune(number, DIVERGED, reason)
            elif status == records.FAILED and not reason.startswith("lost: "):
                self._fail(number, reason)
            else:
                return False
        return True

    def _complete(self, number: int, record: dict[str, Any]) -> None:
        known = [self._value(objective, number, record) for objective in self._search.objectives]
        values = [value for value in known if value is not None]
        if len(values) < len(known):
            self._fail(number, "its score is no number")
            return
        self._set(number, {OUTCOME: FINISHED})
        if len(values) == 1:
            self._scores(number, record)
        self._study.tell(number, values)
        shown = ", ".join(
            f"{objective.name} {value:.4g}" for objective, value in zip(self._search.objectives, values, strict=True)
        )
        self._progress.over(f"trial {number}: {self._named(number)}: {shown}")

    def _value(self, objective: Objective, number: int, record: dict[str, Any]) -> float | None:
        if not objective.column:
            params = self._storage.get_trial(self._id(number)).params
            return self._counter.method(self._search.spec(params).resolve()).step_macs / GIGA
        score = record["curve"][-1].get(objective.column)
        return float(score) if score is not None and math.isfinite(score) else None

    def _prune(self, number: int, outcome: str, reason: str) -> None:
        # A diverged trial counts as pruned, so that samplers keep away; with two objectives nothing can be pruned.
        several = len(self._search.objectives) > 1
        self._set(number, {OUTCOME: outcome, REASON: reason})
        self._study.tell(number, state=TrialState.FAIL if several else TrialState.PRUNED)
        self._progress.over(f"trial {number}: {self._named(number)}: {outcome} {reason}".rstrip())

    def _fail(self, number: int, reason: str) -> None:
        self._set(number, {OUTCOME: FAILED, REASON: reason})
        self._study.tell(number, state=TrialState.FAIL)
        self._progress.over(f"trial {number}: {self._named(number)}: failed, {reason}")
        outcomes = [trial.user_attrs.get(OUTCOME) for trial in self._trials()]
        if outcomes.count(FAILED) >= _FAILED_AT_FIRST and not {FINISHED, PRUNED} & set(outcomes):
            raise ConfigError(f"the first {outcomes.count(FAILED)} trials failed, the last one with: {reason}")

    def _lose(self, number: int, reason: str, died: bool) -> None:
        """Tell a dead trial as failed and queue its setting again: its run goes on from its last checkpoint."""
        trial = self._storage.get_trial(self._id(number))
        # A queued setting that was taken but not yet drawn from is with the queue's own notes.
        params = trial.system_attrs.get("fixed_params", trial.params)
        deaths = trial.user_attrs.get(DEATHS, 0) + died
        if deaths >= _MOST_DEATHS:
            self._fail(number, f"{reason} ({deaths} times)")
            return
        # Queued before it is told, and not twice, wherever a kill hits.
        if params and not any(other.user_attrs.get(RETRY_OF) == number for other in self._trials()):
            self._study.enqueue_trial(params, {RETRY_OF: number, DEATHS: deaths})
        self._set(number, {OUTCOME: LOST, REASON: reason})
        self._study.tell(number, state=TrialState.FAIL)
        self._progress.say(f"trial {number}: lost, {reason}" + ("; its setting is queued again" if params else ""))

    def _set(self, number: int, attributes: dict[str, Any]) -> None:
        for name, value in attributes.items():
            self._storage.set_trial_user_attr(self._id(number), name, value)

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._ids, number)

    def _named(self, number: int) -> str:
        params = self._storage.get_trial(self._id(number)).params
        return ", ".join(f"{name} {_short(value)}" for name, value in params.items())


def trials_over(study: optuna.Study) -> int:
    """Trials that count: a lost one is made again by another."""
    trials = study.get_trials(deepcopy=False)
    return sum(trial.state.is_finished() and trial.user_attrs.get(OUTCOME) != LOST for trial in trials)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value).strip('"')


def _is_free(folder: Path) -> bool:
    """Whether no process has the run."""
    if not folder.is_dir():
        return True
    try:
        with locked(folder):
            return True
    except RunLocked:
        return False


def _read(folder: Path) -> dict[str, Any] | None:
    try:
        return read_record(folder)
    except ResultsError:
        return None  # one that cannot be read is none: its run is made again
