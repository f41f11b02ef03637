"""Worker processes that do not outlive the process that started them, however that one ends."""

from __future__ import annotations

import os
import threading
from multiprocessing import connection, parent_process


def end_with_parent() -> None:
    """Have this process end as soon as its parent does, by SIGKILL too; called once as a worker begins.

    The parent holds one end of a pipe, as `multiprocessing` sets it up for every start method and system. It is the
    process that is watched: PR_SET_PDEATHSIG would mean the thread that started this one.
    """
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_watch, args=(parent.sentinel,), name="end with parent", daemon=True).start()


def _watch(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
