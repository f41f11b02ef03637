"""How a long drawing shows that it goes on: a bar on a terminal, a few plain lines in a log."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from rich.console import Console
from rich.progress import Progress as Bar

from datasets.streets.files import Progress


@contextmanager
def shown(title: str) -> Iterator[Progress]:
    """Gives a callable for `write(progress=...)` that reports on standard error."""
    if not sys.stderr.isatty():
        yield _Lines(title)
        return
    with ExitStack() as stack:
        bar: Bar | None = None

        def told(done: int, total: int) -> None:
            nonlocal bar
            if bar is None:  # nothing is shown where nothing is done
                bar = stack.enter_context(Bar(console=Console(stderr=True)))
                bar.add_task(title)
            bar.update(bar.task_ids[0], completed=done, total=total)

        yield told


class _Lines:
    """A line for every fifth of the work."""

    def __init__(self, title: str) -> None:
        self.title, self.told = title, 0

    def __call__(self, done: int, total: int) -> None:
        if done * 5 // total > self.told:
            self.told = done * 5 // total
            print(f"{self.title}: {done} of {total} images", file=sys.stderr, flush=True)
