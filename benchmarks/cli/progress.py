"""What is shown while runs go on: method, iteration, losses, mIoU so far, time left."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from benchmarks.core.core_wait import CoreWait

PLAIN_SECONDS = 10.0  # between lines where there is no terminal
BUSY_SECONDS = 30.0  # over which it is judged whether the machine is busy
# Of time without a core, from which fewer threads are faster (benchmarks/threads_speed.py): with one other process a
# core it is 0.5 and two threads on two cores take as long as one, with two it is 0.63 and they take half as long again.
BUSY_SHARE = 0.55


@dataclass
class _Run:
    label: str
    iterations: int
    done: int = 0
    first: int = 0  # iterations it had when this process took it up
    started: float = 0.0
    ended: float | None = None
    losses: Mapping[str, float] = field(default_factory=dict)
    miou: float | None = None
    evaluating: str = ""

    def pace(self, now: float) -> float | None:
        """Seconds an iteration, evaluation included; None before there is something to judge by."""
        worked = self.done - self.first
        return ((self.ended or now) - self.started) / worked if worked > 0 else None


class RunProgress:
    """Live bars on a terminal, plain lines elsewhere. Use as a context manager around all runs of a command."""

    def __init__(self, runs: Sequence[tuple[str, int]], console: Console | None = None) -> None:
        """``runs``: label and iterations of each run, in the order they are made."""
        self.console = console or Console()
        self._runs = [_Run(label, iterations) for label, iterations in runs]
        self._current: _Run | None = None
        self._last_line = 0.0
        self._cores: CoreWait | None = None
        self._judged = 0.0
        self._told_busy = False
        self._bars: Progress | None = None
        if self.console.is_terminal:
            self._bars = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[state]}"),
                console=self.console,
            )
            self._task = self._bars.add_task("", total=1, state="")

    def __enter__(self) -> RunProgress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.update(self._task, visible=False)
            self._bars.stop()

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def skip(self, index: int) -> None:
        """Run ``index`` needs no training."""
        run = self._runs[index]
        run.first = run.done = run.iterations

    def start(self, index: int, iteration: int, miou: float | None = None, threads: int = 1) -> None:
        """Run ``index`` begins, or goes on, at ``iteration``, where its last mIoU was ``miou`` percent.

        ``threads``: of the processor that compute it. Where they are several, a line says so once when the machine is
        so busy that fewer would be faster.
        """
        run = self._current = self._runs[index]
        run.first = run.done = iteration
        run.miou = miou
        run.started = self._judged = time.monotonic()
        self._cores = CoreWait() if threads > 1 and not self._told_busy else None
        self._show(force=True)

    def step(self, done: int, losses: Mapping[str, float]) -> None:
        """The current run has done ``done`` iterations; ``losses`` are the latest known."""
        assert self._current is not None
        self._current.done, self._current.losses = done, losses
        self._show()
        self._say_if_busy()

    def evaluating(self, done: int, images: int) -> None:
        """``done`` of the ``images`` that the current run is scored on have been seen."""
        assert self._current is not None
        self._current.evaluating = f"evaluating {done}/{images}"
        self._show()

    def evaluated(self, miou: float) -> None:
        """The student's mIoU in percent at this point of the current run."""
        assert self._current is not None
        self._current.miou, self._current.evaluating = miou, ""
        self._show(force=True)

    def end(self, index: int) -> None:
        """Run ``index`` is over, whatever its end: what it did not do is not waited for any more."""
        run = self._runs[index]
        run.ended = time.monotonic()
        run.iterations = run.done

    def seconds_left(self) -> float | None:
        """Of all runs together, from the pace of this one and of those made; None while nothing is known."""
        now = time.monotonic()
        paces = [pace for run in self._runs if (pace := run.pace(now)) is not None]
        if not paces:
            return None
        usual = sum(paces) / len(paces)
        return sum((run.iterations - run.done) * (run.pace(now) or usual) for run in self._runs)

    def _say_if_busy(self) -> None:
        now = time.monotonic()
        if self._cores is None or now - self._judged < BUSY_SECONDS:
            return
        self._judged, share = now, self._cores.share()
        if share is None or share < BUSY_SHARE:
            return
        self._told_busy, self._cores = True, None
        self.say(
            f"the machine is busy: threads of this run waited {share:.0%} of their time for a core; fewer are faster "
            "meanwhile (OMP_NUM_THREADS=1, which changes a run's numbers as any other processor would)"
        )

    def _show(self, force: bool = False) -> None:
        run = self._current
        assert run is not None
        if self._bars:
            self._bars.update(
                self._task, description=run.label, completed=run.done, total=run.iterations, state=self._state(run)
            )
            return
        now = time.monotonic()
        if force or now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            self.say(f"{run.label}  {run.done}/{run.iterations}  {self._state(run)}")

    def _state(self, run: _Run) -> str:
        parts = [f"{name.removeprefix('loss_')} {value:.2f}" for name, value in run.losses.items() if "loss" in name]
        parts.append(run.evaluating or f"mIoU {'-' if run.miou is None else f'{run.miou:.1f}'}")
        left = self.seconds_left()
        parts.append("time left -" if left is None else f"time left {clock(left)}")
        return "  ".join(parts)


def clock(seconds: float) -> str:
    """75.4 -> "1:15"; with hours where there are any."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
