"""The log of a run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from detectron2.utils import comm


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Send all that is logged from INFO up to a run's log while it lasts; rank 0's warnings also to the terminal."""
    root = logging.getLogger()
    level = root.level
    file, terminal = _LogFile(path), logging.StreamHandler()
    file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    terminal.setLevel(logging.WARNING)
    terminal.addFilter(_for_terminal)
    root.setLevel(logging.INFO)
    for handler in (file, terminal) if comm.is_main_process() else (file,):
        root.addHandler(handler)
    try:
        yield
    finally:
        for handler in (file, terminal):
            root.removeHandler(handler)
        root.setLevel(level)
        file.close()


class _LogFile(logging.FileHandler):
    """A full disk ends a run by its metrics or its checkpoint, not by a line of its log."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def close(self) -> None:
        with suppress(OSError):
            super().close()


def _for_terminal(entry: logging.LogRecord) -> bool:
    """Warnings of ours. The errors that end a run are told with its end."""
    folder = entry.name.split(".")[0]
    return folder in ("datasets", "methods") or (folder == "benchmarks" and entry.levelno == logging.WARNING)
