"""The driver of a search: asks the study for trials, hands their runs to workers, and has it told what came of them.

One process owns the study. Workers know nothing of it: they make runs, as those of every other command.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import optuna
from optuna.pruners import NopPruner
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from ablations.study.samplers import sampler
from ablations.study.search_options import GRID
from ablations.study.study import BASE, DIVERGED, FOLDER, OUTCOME, PRUNED, REASON, RUN, Search
from ablations.study.trial_progress import TrialProgress
from ablations.study.trial_reporter import TrialReporter, counted, trials_over
from benchmarks.config.run import Run
from benchmarks.core.errors import ConfigError
from benchmarks.launch.elsewhere import RunPool
from benchmarks.launch.workers import REFUSED, Outcome, WorkerJob
from benchmarks.state.fingerprint import Listings
from benchmarks.state.lock import held_by
from benchmarks.state.outcome import mark_begun, mark_lost, mark_stopped
from methods.base.errors import MethodError
from results.records import record as records
from results.records.record import record_or_none
from slurm.base.outcome import Lost

_KILLED = "its command was killed"


@dataclass
class _Running:
    """A run under way, and the trials that wait for it: a sampler may suggest one setting twice.

    Attributes:
        worker: index of its process; None where that is not ours, or was told to stop and has not yet let go.
        told: the iteration of the last score that was reported.
        pruned: the iteration it was stopped at, 0 where it was not.
    """

    run: Run
    trials: list[int]
    worker: int | None
    told: int = 0
    pruned: int = 0


class Driver:
    """Makes the trials that a study is short of."""

    def __init__(
        self,
        study: optuna.Study,
        storage: BaseStorage,
        search: Search,
        output: Path,
        pool: RunPool,
        progress: TrialProgress,
    ) -> None:
        self._study, self._search, self._output = study, search, output
        self._pool, self._progress = pool, progress
        self._tell = TrialReporter(study, storage, search, progress)
        self._space = {dimension.name: dimension.distribution for dimension in search.space}
        self._listings = Listings()
        self._running: list[_Running] = []
        self._workers = 0

    def run(self, trials: int) -> None:
        """Go on until the study has ``trials`` trials; those of workers that died are not counted, but made again.

        Raises:
            ConfigError: the first trials all failed, a trial is of other images, the study has trials under way below
                another output, or its grid has fewer points.
        """
        self._check_output()
        self._check_images()
        points = len(counted(self._study))  # of a grid all are queued
        if self._search.sampler == GRID and trials > points:
            raise ConfigError(f"--trials is {trials}, expected at most {points}, the points of the grid")
        self._progress.begin(trials, trials_over(self._study))
        self._take_up()
        while True:
            while self._free() > 0 and trials_over(self._study) + self._waiting_for() < trials:
                self._begin(self._ask())
            if not self._running:
                return
            for worker, outcome in self._pool.ended():
                self._ended(next(run for run in self._running if run.worker == worker), outcome)
            for going in list(self._running):
                if going.worker is None:
                    self._look_again(going)
                else:
                    self._report(going)
            self._progress.state([(each.trials[0], each.run) for each in self._running])

    def _waiting_for(self) -> int:
        return sum(len(run.trials) for run in self._running)

    def _free(self) -> int:
        """Runs that processes of others make, or that have yet to let go, count among those at a time."""
        return self._pool.free - sum(run.worker is None for run in self._running)

    def _check_images(self) -> None:
        """A trial of other images than those of now would be compared with what it cannot be compared with."""
        for trial in self._study.get_trials(deepcopy=False):
            if FOLDER in trial.user_attrs:
                self._listings.check(Run.at(self._output / str(trial.user_attrs[FOLDER]), self._search.cfg))

    def _check_output(self) -> None:
        """A trial under way has its run's folder; elsewhere it may be another command's, at work."""
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            folder = trial.user_attrs.get(FOLDER)
            if folder is not None and not (self._output / folder).is_dir():
                raise ConfigError(
                    f"--output {self._output}: trial {trial.number} of the study is under way and has no folder there; "
                    "expected the --output it was begun with, or another --study"
                )

    def _take_up(self) -> None:
        """See to the trials that a killed command left.

        Those whose run has an end are told, those whose run goes on are waited for, dead ones are queued again.
        """
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            known, number = trial.user_attrs, trial.number
            folder = self._output / str(known.get(FOLDER, ""))
            shared = next((other for other in self._running if other.run.folder == folder), None)
            if FOLDER not in known:  # killed before its run had a name
                self._tell.lose(number, _KILLED, died=False)
            elif shared is not None:
                shared.trials.append(number)
            elif not self._is_free(folder):
                self._progress.say(f"trial {number}: its run still goes on, waiting for it")
                run = Run.at(folder, self._search.spec(trial.params).resolve())
                self._running.append(_Running(run, [number], None))
            elif known.get(OUTCOME) in (PRUNED, DIVERGED):
                self._stop(folder, number, known[OUTCOME], str(known.get(REASON, "")))
            elif not self._tell.tell_if_over([number], folder):
                mark_lost(folder, _KILLED)
                self._tell.lose(number, _KILLED, died=False)

    def _ask(self) -> optuna.Trial:
        # A lost trial's setting was drawn once: numbers go on as if it had not died.
        self._study.sampler = sampler(self._search.sampler, self._search.seed, len(counted(self._study)))
        return self._study.ask(self._space)

    def _begin(self, trial: optuna.Trial) -> None:
        """Start the trial's run, or take it as it is where it was made before."""
        number = trial.number
        if trial.params == self._search.base:
            trial.set_user_attr(BASE, True)
        try:
            run = self._search.run(trial.params, self._output)
        except (ConfigError, MethodError) as error:  # values that do not go together
            self._tell.fail(number, str(error))
            return
        self._listings.check(run)
        folder = run.folder
        folder.mkdir(parents=True, exist_ok=True)
        trial.set_user_attr(RUN, folder.name)
        trial.set_user_attr(FOLDER, folder.relative_to(self._output).as_posix())
        for other in self._running:
            if other.run.folder == folder:
                other.trials.append(number)
                self._progress.say(f"trial {number}: the run of trial {other.trials[0]}, waiting for it")
                return
        # What failed once is tried again, as by every other command.
        known = record_or_none(folder) if self._is_free(folder) else None
        if known and known.status != records.FAILED and self._tell.tell_if_over([number], folder):
            return
        self._progress.say(f"trial {number}: {self._tell.named(number)}, started")
        self._running.append(_Running(run, [number], None))
        self._start(self._running[-1])

    def _start(self, going: _Running) -> None:
        mark_begun(going.run.folder)
        going.worker, self._workers = self._workers, self._workers + 1
        label = f"trial {going.trials[0]}"
        if line := self._pool.submit(going.worker, WorkerJob(label, going.run)):
            self._ended(going, line)

    def _ended(self, going: _Running, outcome: Outcome | Lost) -> None:
        """A worker ended: with its run, because another process has that (a line), stopped, or dead.

        Raises:
            ConfigError: the run was refused: trials of other images than the study's cannot be compared.
        """
        going.worker = None
        if isinstance(outcome, dict):
            raise ConfigError(f"trial {going.trials[0]}: {outcome[REFUSED]}")
        if isinstance(outcome, str):
            self._progress.say(f"trial {going.trials[0]}: left to another process, {outcome}")
        elif not going.pruned:
            self._running.remove(going)
            if not self._tell.tell_if_over(going.trials, going.run.folder):
                reason = outcome.reason if isinstance(outcome, Lost) else "its run has no end"
                mark_lost(going.run.folder, reason)
                for number in going.trials:
                    self._tell.lose(number, reason, died=True)

    def _look_again(self, going: _Running) -> None:
        """Look at a run again whose process is not ours, or was told to stop and has to let go first."""
        if not self._is_free(going.run.folder):
            self._report(going)
            return
        record = record_or_none(going.run.folder)
        stopped = going.pruned and (record is None or not record.is_over)
        if stopped:
            for number in going.trials:
                self._stop(going.run.folder, number, PRUNED, f"at iteration {going.pruned}")
        elif not self._tell.tell_if_over(going.trials, going.run.folder):
            if self._pool.free > 0:  # it was left unfinished: go on with it
                self._start(going)
            return
        self._running.remove(going)

    def _stop(self, folder: Path, number: int, outcome: str, reason: str) -> None:
        """Note what is meant, then let the run's record say so, then tell: so a kill in between can be put right."""
        self._tell.note(number, {OUTCOME: outcome, REASON: reason})
        mark_stopped(folder, f"{outcome} {reason} by the search {self._search.name}")
        self._tell.prune(number, outcome, reason)

    def _report(self, going: _Running) -> None:
        """Tell the study the scores of a run so far, and stop it where the pruner says so."""
        record = record_or_none(going.run.folder)
        if record is None or record.status != records.RUNNING:
            return
        if not record.curve or record.curve[-1].iteration <= going.told:  # the study is not asked at every look
            return
        last = max(self._tell.scores(number, record) for number in going.trials)
        if last <= going.told:
            return
        going.told = last
        is_ours = going.worker is not None and not going.pruned
        # After the last score there is nothing left to save.
        if is_ours and last < going.run.cfg.SOLVER.ITERS and self._lags(going.trials[0]):
            going.pruned = last
            assert going.worker is not None
            self._pool.cancel(going.worker)

    def _is_free(self, folder: Path) -> bool:
        return not held_by(folder) and not self._pool.busy(folder)

    def _lags(self, number: int) -> bool:
        pruner = self._study.pruner
        return not isinstance(pruner, NopPruner) and pruner.prune(self._study, self._tell.trial(number))
