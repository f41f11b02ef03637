"""Two processes never write one run folder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from benchmarks.errors import RunLocked

_held: set[FileIO] = set()


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the run folder's lock; the kernel lets go of it when the process dies, however it does.

    Raises:
        RunLocked: naming the process that has the run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("ab+", buffering=0) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().decode(errors="replace").strip()
            raise RunLocked(f"{folder} is being run by {holder or 'another process'}") from None
        with suppress(OSError):  # on a full disk there is a lock all the same
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        _held.add(file)
        try:
            yield
        finally:
            _held.discard(file)


def _let_go() -> None:
    """A forked process closes its copies: a loader's worker outlives a killed run by seconds, and would keep it."""
    for file in _held:
        file.close()
    _held.clear()


os.register_at_fork(after_in_child=_let_go)
