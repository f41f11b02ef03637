"""What is shown while a search goes on: trials as they end, how far the running ones are, time left."""

from __future__ import annotations

from collections.abc import Sequence

import optuna
from rich.console import Console

from benchmarks.cli.progress import Progress
from benchmarks.cli.time_left import Work
from benchmarks.config.run import Run
from benchmarks.launch.worker_progress import STATE_SECONDS
from benchmarks.state.outcome import iteration

Running = Sequence[tuple[int, Run]]
"""Trial and run of each that is under way."""


class TrialProgress(Progress):
    """The progress of a search: a trial is a unit of work, whatever its iterations, and so is one that is pruned."""

    def __init__(self, study: optuna.Study, console: Console | None = None) -> None:
        super().__init__(console=console)
        self._study = study
        self._trials = self._over = 0
        self._seen: dict[int, Work] = {}  # trials that ran here; not those whose run was made before

    def begin(self, trials: int, over: int) -> None:
        """Begin to count: of ``trials``, ``over`` were over before this command."""
        self._trials, self._over = trials, over
        if over:
            self.say(f"{over} trials are over already, {trials} are wanted")

    def over(self, number: int, line: str) -> None:
        """Count a trial that ended; ``line`` says how."""
        self._over += 1
        if number in self._seen:
            self._seen[number].reach(1.0)
            self._seen[number].end()
        best = self._best()
        self.say(f"trial {number}: {line}; {self._over} of {self._trials} over" + (f", best {best}" if best else ""))

    def _best(self) -> str:
        """The best trial so far, of one objective; empty while there is none."""
        if len(self._study.directions) > 1 or not (best := self._study.best_trials):
            return ""
        return f"trial {best[0].number} ({best[0].value:.4g})"

    def state(self, running: Running) -> None:
        """Show how far the runs are: called over and over, shown now and then where there is no terminal."""
        for trial, run in running:
            if trial not in self._seen:
                self._seen[trial] = Work(1.0)
                self._seen[trial].begin(min(1.0, iteration(run.folder) / run.cfg.SOLVER.ITERS))
        if not self.due(1.0 if self.console.is_terminal else STATE_SECONDS):
            return
        states = []
        for trial, run in running:
            iterations = run.cfg.SOLVER.ITERS
            done = min(iteration(run.folder), iterations)
            self._seen[trial].reach(done / iterations)
            states.append(f"trial {trial} {done}/{iterations}")
        to_come = self._trials - self._over - len(running)
        self.works = [*self._seen.values(), *(Work(1.0) for _ in range(to_come))]
        self.show("trials", self._over, self._trials, f"running: {', '.join(states)}", force=True)
