"""How a long drawing shows that it goes on: a bar on a terminal, a few plain lines in a log."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress as Bar

from datasets.streets.files import Progress


@contextmanager
def shown(title: str) -> Iterator[Progress]:
    """Gives a callable for `write(progress=...)` that reports on standard error."""
    if not sys.stderr.isatty():
        yield _Lines(title)
        return
    with Bar(console=Console(stderr=True)) as bar:
        task = bar.add_task(title)
        yield lambda done, total: bar.update(task, completed=done, total=total)


class _Lines:
    """A line for every fifth of the work."""

    def __init__(self, title: str) -> None:
        self.title, self.told = title, 0

    def __call__(self, done: int, total: int) -> None:
        if done * 5 // total > self.told:
            self.told = done * 5 // total
            print(f"{self.title}: {done} of {total} images", file=sys.stderr, flush=True)
