"""What is shown while a search goes on: trials as they end, how far the running ones are, time left."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import optuna
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from benchmarks.cli.progress import clock
from benchmarks.launch.workers import STATE_SECONDS
from benchmarks.state.outcome import iteration

Running = Sequence[tuple[int, Path, int]]
"""Trial, run folder and iterations of each run under way."""


class TrialProgress:
    """A bar on a terminal, plain lines elsewhere. Use as a context manager."""

    def __init__(self, study: optuna.Study, console: Console | None = None) -> None:
        self.console = console or Console()
        self._study = study
        self._trials = self._over = 0
        self._first: dict[int, float] = {}  # share of its iterations that a trial had when it was first seen here
        self._worked = 0.0  # trials, in shares, that ended here
        self._began = self._last_line = time.monotonic()
        self._bar: Progress | None = None
        if self.console.is_terminal:
            state = TextColumn("{task.fields[state]}")
            self._bar = Progress(
                TextColumn("trials"), BarColumn(bar_width=24), MofNCompleteColumn(), state, console=self.console
            )
            self._task = self._bar.add_task("", total=1, state="")

    def __enter__(self) -> TrialProgress:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def begin(self, trials: int, over: int) -> None:
        """Of ``trials``, ``over`` were over before this command."""
        self._trials, self._over = trials, over
        self._began = time.monotonic()
        if over:
            self.say(f"{over} trials are over already, {trials} are wanted")

    def over(self, number: int, line: str) -> None:
        """A trial ended; ``line`` says how."""
        self._over += 1
        if number in self._first:  # otherwise its run was made before
            self._worked += 1 - self._first[number]
        best = self._best()
        self.say(f"trial {number}: {line}; {self._over} of {self._trials} over" + (f", best {best}" if best else ""))

    def _best(self) -> str:
        """The best trial so far, of one objective; empty while there is none."""
        if len(self._study.directions) > 1 or not (best := self._study.best_trials):
            return ""
        return f"trial {best[0].number} ({best[0].value:.4g})"

    def state(self, running: Running) -> None:
        """Called over and over: shows how far the runs are, now and then where there is no terminal."""
        for trial, folder, iterations in running:
            if trial not in self._first:
                self._first[trial] = min(1.0, iteration(folder) / iterations)
        now = time.monotonic()
        if now - self._last_line < (1.0 if self._bar else STATE_SECONDS):
            return
        self._last_line = now
        done = [(trial, min(iteration(folder), iterations), iterations) for trial, folder, iterations in running]
        states = ", ".join(f"trial {trial} {at}/{iterations}" for trial, at, iterations in done)
        state = f"running: {states}; {self._time_left(done, now)}"
        if self._bar:
            self._bar.update(self._task, completed=self._over, total=self._trials, state=state)
        else:
            self.say(f"{self._over} of {self._trials} over; {state}")

    def _time_left(self, done: Sequence[tuple[int, int, int]], now: float) -> str:
        """From the pace of this command's trials, pruned ones too, and of what runs."""
        worked = self._worked + sum(at / iterations - self._first[trial] for trial, at, iterations in done)
        if worked <= 0:
            return "time left -"
        left = self._trials - self._over - sum(at / iterations for _, at, iterations in done)
        return f"time left {clock(max(0.0, left) * (now - self._began) / worked)}"
