"""Two processes never write one run folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.errors import RunLocked


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder's lock; the kernel lets go of it when the process dies, however it does.

    Raises:
        RunLocked: naming the process that has the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise RunLocked(f"{folder} is being run by {file.read().strip() or 'another process'}") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
