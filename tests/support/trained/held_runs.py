"""Runs of other processes that are caught in the middle, however fast the machine is."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.state.lock_holder import parsed

PATIENCE = 240.0


def wait_for(seen: Callable[[], Any], what: str) -> Any:
    """What ``seen`` gives as soon as that is true."""
    end = time.monotonic() + PATIENCE
    while not (found := seen()):
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)
    return found


def process_of(folder: Path, passing: Collection[int] = ()) -> int | None:
    """Of the run that is under way; not this one, nor one of ``passing``: a command has the lock for a moment, too."""
    try:
        holder = parsed((folder / ".lock").read_text())
    except FileNotFoundError:
        return None
    return holder.process if holder and holder.process not in (os.getpid(), *passing) else None


def held(folder: Path, passing: Collection[int] = ()) -> int | None:
    """The process of a run, stopped (SIGSTOP) when it has a checkpoint and is not at its end; None if it never was."""
    process = process_of(folder, passing)
    if process is None:
        return None
    end = time.monotonic() + PATIENCE
    with suppress(ProcessLookupError):
        while True:  # it goes on in slices, so that it gets nowhere while nobody looks
            os.kill(process, signal.SIGSTOP)
            if process_of(folder) != process or list(folder.glob("model_final*")):
                os.kill(process, signal.SIGCONT)
                break
            if list(folder.glob("model_0*.pth")):
                return process
            os.kill(process, signal.SIGCONT)
            assert time.monotonic() < end, f"{folder}: process {process} has no checkpoint, and does not end"
            time.sleep(0.02)
    return None


def held_run(folders: Callable[[], Iterable[Path]], passing: Collection[int] = ()) -> tuple[Path, int]:
    """The first of runs that could be held, and its process; ``folders`` is asked again and again."""

    def look() -> tuple[Path, int] | None:
        return next(((folder, process) for folder in folders() if (process := held(folder, passing))), None)

    found: tuple[Path, int] = wait_for(look, "a run under way that has a checkpoint")
    return found
