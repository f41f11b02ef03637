"""How a command shows that long work goes on: a bar on a terminal, now and then a plain line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bars

from benchmarks.cli.time_left import Work, clock, time_left

if TYPE_CHECKING:
    from typing_extensions import Self

PLAIN_SECONDS = 10.0  # between lines where there is no terminal


class Progress:
    """Shows how far work is, and the time left. A context manager around the work.

    Nothing is shown before some of it is done or told.

    Attributes:
        console: where it is shown.
        works: the pieces of work whose end is waited for.
    """

    def __init__(
        self,
        title: str = "",
        total: float = 0,
        unit: str = "",
        *,
        seconds: float = PLAIN_SECONDS,
        stderr: bool = False,
        console: Console | None = None,
    ) -> None:
        """Show ``title``; ``total``: of ``unit``, as "images", 0: unknown. ``seconds``: between plain lines."""
        self.console = console or Console(stderr=stderr)
        self.works = [Work(total, title)]
        self._unit, self._seconds = unit, seconds
        self._last_line = time.monotonic()
        self._bars: Bars | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.update(self._bars.task_ids[0], visible=False)
            self._bars.stop()
            self._bars = None

    def say(self, line: str) -> None:
        """A line that stays."""
        self.console.print(line, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def advance(self, state: str = "") -> None:
        """A unit more is done."""
        self.reach(self.works[0].done + 1, state=state)

    def reach(self, done: float, total: float | None = None, state: str = "") -> None:
        """Note that so many units are done, of ``total``. The first ones pay for the start, and are not judged by."""
        (work,) = self.works
        work.total = work.total if total is None else total
        (work.reach if work.begun else work.begin)(done)
        self.tell(state)

    def tell(self, state: str = "", force: bool = False) -> None:
        """Show how far the one piece of work is; ``force``: with a line at once."""
        (work,) = self.works
        self.show(work.label, work.done, work.total, state, force)

    def show(self, title: str, done: float, total: float, state: str = "", force: bool = False) -> None:
        """Show ``done`` of ``total``, with a ``state`` in words and the time left of all works."""
        if not self.due(0 if force else self._seconds) and not self.console.is_terminal:
            return
        shown = "  ".join(filter(None, (state, self.time_left())))
        if not self.console.is_terminal:
            counted = " ".join(filter(None, (f"{done:.0f}" + (f"/{total:.0f}" if total else ""), self._unit)))
            self.say(f"{title}  {counted}  {shown}")
            return
        if self._bars is None:
            columns = TextColumn("{task.description}", markup=False), BarColumn(bar_width=24), MofNCompleteColumn()
            self._bars = Bars(*columns, TextColumn("{task.fields[state]}", markup=False), console=self.console)
            self._bars.add_task(title, total=total or None, completed=int(done), state=shown)
            self._bars.start()
        self._bars.update(self._bars.task_ids[0], description=title, completed=done, total=total or None, state=shown)

    def due(self, seconds: float) -> bool:
        """Whether nothing was shown for so long; then something is, and the time begins anew."""
        now = time.monotonic()
        if now - self._last_line < seconds:
            return False
        self._last_line = now
        return True

    def time_left(self) -> str:
        """The time left as it is shown, with how many runs it says it of without having seen a run of their method."""
        left = time_left(self.works)
        if left is None:
            return "time left -"
        guessed = f" ({left.guessed} taken to go as other methods do)" if left.guessed else ""
        return f"time left {clock(left.seconds)}{guessed}"


@contextmanager
def shown(title: str) -> Iterator[Callable[[int, int], None]]:
    """Gives a callable for (images done, images in all), shown on standard error; for functions of `datasets`."""
    with Progress(title, unit="images", stderr=True) as progress:
        yield progress.reach
