"""A disk that fills up, without one: the kernel ends writing at a size of file, as it does where no room is left."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
from collections.abc import Iterator

import pytest

from results.files import plain_file


def refuse_new_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on no record or table can be written, where what is printed goes into a file, too (capfd)."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(plain_file, "create_plain", full)


@contextlib.contextmanager
def largest_file(size: int) -> Iterator[None]:
    """While it lasts no file of this process can grow beyond ``size`` bytes: writing more raises OSError."""
    usual, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        signal.signal(signal.SIGXFSZ, handler)
