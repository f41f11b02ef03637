"""What is shown while runs go on: method, iteration, losses, mIoU so far, time left; and that a machine is busy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from rich.console import Console

from benchmarks.cli.progress import Progress
from benchmarks.cli.time_left import Work
from benchmarks.core.core_wait import CoreWait

PREPARED_SECONDS = 30.0  # for which what was done once is shown
BUSY_SECONDS = 30.0  # over which it is judged whether the machine is busy
# Of time without a core, from which fewer threads are faster (benchmarks/threads_speed.py): with one other process a
# core it is 0.5 and two threads on two cores take as long as one, with two it is 0.63 and they take half as long again.
BUSY_SHARE = 0.55


class RunProgress(Progress):
    """The progress of runs that this process makes, one after the other."""

    def __init__(self, runs: Sequence[Work], console: Console | None = None) -> None:
        """Take the ``runs`` in the order they are made, in iterations."""
        super().__init__(console=console)
        self.works = list(runs)
        self._current = 0
        self._losses: Mapping[str, float] = {}
        self._miou: float | None = None
        self._prepared, self._prepared_at = "", 0.0
        self._cores: CoreWait | None = None
        self._judged = 0.0
        self._told_busy = False

    def start(self, index: int, iteration: int, miou: float | None = None, threads: int = 1) -> None:
        """Run ``index`` begins, or goes on, at ``iteration``, where its last mIoU was ``miou`` percent.

        ``threads``: of the processor that compute it. Where they are several, a line says so once when the machine is
        so busy that fewer would be faster.
        """
        self._current, self._miou, self._losses, self._prepared = index, miou, {}, ""
        self.works[index].begin(iteration)
        self._judged = time.monotonic()
        self._cores = CoreWait() if threads > 1 and not self._told_busy else None
        self._show(force=True)

    def step(self, done: int, losses: Mapping[str, float]) -> None:
        """The current run has done ``done`` iterations; ``losses`` are the latest known."""
        self._losses = losses
        self.works[self._current].reach(done)
        self._show()
        self._say_if_busy()

    def preparing(self, what: str) -> None:
        """Show at once ``what`` the current run does once, or has done, as "captured 6 passes in 4.2 s"."""
        self._prepared, self._prepared_at = what, time.monotonic()
        self._show(force=True)

    def evaluating(self, done: int, images: int) -> None:
        """Note that ``done`` of the ``images`` that the current run is scored on have been seen."""
        self._show(f"evaluating {done}/{images}")

    def evaluated(self, miou: float) -> None:
        """The student's mIoU in percent at this point of the current run."""
        self._miou = miou
        self._show(force=True)

    def end(self, index: int) -> None:
        """Run ``index`` is over, or was from the start: what it did not do is not waited for any more."""
        self.works[index].end()

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

    def _show(self, evaluating: str = "", force: bool = False) -> None:
        losses = [f"{name.removeprefix('loss_')} {loss:.2f}" for name, loss in self._losses.items() if "loss" in name]
        score = evaluating or f"mIoU {'-' if self._miou is None else f'{self._miou:.1f}'}"
        if time.monotonic() - self._prepared_at > PREPARED_SECONDS:
            self._prepared = ""
        work = self.works[self._current]
        self.show(work.label, work.done, work.total, "  ".join(filter(None, [self._prepared, *losses, score])), force)
