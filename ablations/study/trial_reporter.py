"""What a study is told of its trials."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from ablations.profiling.step_cost import GIGA, CostCounter
from ablations.study.study import (
    DEATHS,
    DIVERGED,
    FAILED,
    FINISHED,
    LOST,
    OUTCOME,
    PRUNED,
    REASON,
    RETRY_OF,
    Objective,
    Search,
)
from ablations.study.trial_progress import TrialProgress
from benchmarks.core.errors import ConfigError
from results.records import record as records
from results.records.record import Record, record_or_none

_MOST_DEATHS = 3  # of workers of one setting, before it is given up
_FAILED_AT_FIRST = 3  # failed trials without one that worked: something else is wrong


def trials_over(study: optuna.Study) -> int:
    """Trials that count: a lost one is made again by another."""
    return sum(trial.state.is_finished() for trial in counted(study))


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """All trials but lost ones."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.user_attrs.get(OUTCOME) != LOST]


class TrialReporter:
    """Tells a study, and the user, what became of trials; these go by their numbers.

    What is known of a trial is noted before it is told, so that a kill in between can be put right.
    """

    def __init__(self, study: optuna.Study, storage: BaseStorage, search: Search, progress: TrialProgress) -> None:
        self._study, self._storage, self._search, self._progress = study, storage, search, progress
        self._study_id = storage.get_study_id_from_name(study.study_name)
        self._counter = CostCounter()
        self._ids: dict[int, int] = {}

    def trial(self, number: int) -> FrozenTrial:
        """The trial as it is now."""
        return self._storage.get_trial(self._id(number))

    def named(self, number: int) -> str:
        """The trial's parameters, for people."""
        return ", ".join(f"{name} {_short(value)}" for name, value in self.trial(number).params.items())

    def note(self, number: int, attributes: dict[str, Any]) -> None:
        """Set user attributes of a trial that has not been told."""
        for name, value in attributes.items():
            self._storage.set_trial_user_attr(self._id(number), name, value)

    def scores(self, number: int, record: Record) -> int:
        """Pass the scores of a record on to the study; returns the iteration of the last one, 0 for none."""
        if len(self._search.objectives) > 1:
            return 0  # such a study takes none on the way
        column, last = self._search.objectives[0].column, 0
        known = self.trial(number).intermediate_values
        for point in record.curve:
            iteration, score = point.iteration, getattr(point, column)
            if score is None or not math.isfinite(score):
                continue
            last = iteration
            if iteration not in known:
                self._storage.set_trial_intermediate_value(self._id(number), iteration, float(score))
        return last

    def tell_if_over(self, numbers: Sequence[int], folder: Path) -> bool:
        """Tell what a run came to; returns whether it has come to an end."""
        record = record_or_none(folder)
        if record is None:
            return False
        status, reason = record.status, record.reason
        if status == records.FINISHED:
            for number in numbers:
                self._complete(number, record)
        elif status == records.DIVERGED:
            for number in numbers:
                self.scores(number, record)
                self.prune(number, DIVERGED, reason)
        elif status == records.FAILED and not record.is_lost:
            for number in numbers:
                self.fail(number, reason)
        else:
            return False
        return True

    def _complete(self, number: int, record: Record) -> None:
        known = [self._value(objective, number, record) for objective in self._search.objectives]
        values = [value for value in known if value is not None]
        if len(values) < len(known):
            self.fail(number, "its score is no number")
            return
        self.scores(number, record)
        self.note(number, {OUTCOME: FINISHED})
        self._study.tell(number, values)
        named = zip(self._search.objectives, values, strict=True)
        shown = ", ".join(f"{objective.name} {value:.4g}" for objective, value in named)
        self._progress.over(number, f"{self.named(number)}: {shown}")

    def _value(self, objective: Objective, number: int, record: Record) -> float | None:
        if not objective.column:
            return self._counter.method(self._search.spec(self.trial(number).params).resolve()).step_macs / GIGA
        score = getattr(record.curve[-1], objective.column)
        return float(score) if score is not None and math.isfinite(score) else None

    def prune(self, number: int, outcome: str, reason: str) -> None:
        """Tell that a trial was stopped or diverged: samplers keep away from either."""
        self.note(number, {OUTCOME: outcome, REASON: reason})
        several = len(self._search.objectives) > 1  # such a study has no pruned trials
        self._study.tell(number, state=TrialState.FAIL if several else TrialState.PRUNED)
        self._progress.over(number, f"{self.named(number)}: {outcome} {reason}".rstrip())

    def fail(self, number: int, reason: str) -> None:
        """Tell that a trial's run failed. Raises ConfigError where nothing but failures has been seen."""
        self.note(number, {OUTCOME: FAILED, REASON: reason})
        self._study.tell(number, state=TrialState.FAIL)
        self._progress.over(number, f"{self.named(number)}: failed, {reason}")
        outcomes = [trial.user_attrs.get(OUTCOME) for trial in self._study.get_trials(deepcopy=False)]
        if outcomes.count(FAILED) >= _FAILED_AT_FIRST and not {FINISHED, PRUNED} & set(outcomes):
            raise ConfigError(f"the first {outcomes.count(FAILED)} trials failed, the last one with: {reason}")

    def lose(self, number: int, reason: str, died: bool) -> None:
        """Tell that a trial died: it fails, and its setting is queued again, to go on from its run's last checkpoint.

        ``died``: whether its worker did, by itself; three times are enough.
        """
        trial = self.trial(number)
        # A queued setting that was taken but not yet drawn from is with the queue's own notes.
        params = trial.system_attrs.get("fixed_params", trial.params)
        deaths = trial.user_attrs.get(DEATHS, 0) + died
        if deaths >= _MOST_DEATHS:
            self.fail(number, f"{reason} ({deaths} times)")
            return
        # Queued before it is told, and not twice, wherever a kill hits.
        others = self._study.get_trials(deepcopy=False)
        if params and not any(other.user_attrs.get(RETRY_OF) == number for other in others):
            self._study.enqueue_trial(params, {RETRY_OF: number, DEATHS: deaths})
        self.note(number, {OUTCOME: LOST, REASON: reason})
        self._study.tell(number, state=TrialState.FAIL)
        self._progress.say(f"trial {number}: lost, {reason}" + ("; its setting is queued again" if params else ""))

    def _id(self, number: int) -> int:
        if number not in self._ids:
            self._ids[number] = self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)
        return self._ids[number]


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value).strip('"')
