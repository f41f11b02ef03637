"""How a command that goes through many images shows that it goes on, and when it will be done."""

from __future__ import annotations

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from benchmarks.cli.progress import PLAIN_SECONDS, clock


class ImageProgress:
    """A bar on a terminal, a plain line every ten seconds elsewhere. A context manager around the work."""

    def __init__(self, title: str, total: int, console: Console | None = None) -> None:
        self.console = console or Console()
        self._title, self._total, self._done = title, total, 0
        self._started = self._first = self._last_line = time.monotonic()
        self._bars: Progress | None = None
        if self.console.is_terminal:
            columns = TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn()
            self._bars = Progress(*columns, TextColumn("{task.fields[left]}"), console=self.console)
            self._task = self._bars.add_task(title, total=total, left="")

    def __enter__(self) -> ImageProgress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.update(self._task, visible=False)
            self._bars.stop()

    def step(self) -> None:
        """One image more is done."""
        now = time.monotonic()
        self._done += 1
        if self._done == 1:
            self._first = now
        left = self.seconds_left(now)
        told = "time left -" if left is None else f"time left {clock(left)}"
        if self._bars:
            self._bars.update(self._task, completed=self._done, left=told)
        elif now - self._last_line >= PLAIN_SECONDS:
            self._last_line = now
            self.console.print(
                f"{self._title}  {self._done}/{self._total} images  {told}", markup=False, highlight=False
            )

    def seconds_left(self, now: float) -> float | None:
        """From the pace so far; None before there is one. The first image is left out: it pays for the start."""
        if self._done < 2:
            return None
        return (now - self._first) / (self._done - 1) * (self._total - self._done)
