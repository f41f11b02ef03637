"""What a job of a test executes. It needs the room `slurm` alone, so that a folder with both is code enough."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from slurm.base import interruption


def until_asked(path: str) -> str:
    """Begin at ``path``; in the first session save what it had when told to, in the next end."""
    file = Path(path)
    before = file.read_text() if file.exists() else ""
    file.write_text(f"{before}begun ")
    if before:
        return f"{before}; went on from {__file__}"
    end = time.monotonic() + 60
    while not interruption.asked_to_stop():
        if time.monotonic() > end:
            raise TimeoutError("nobody asked")
        time.sleep(0.02)
    file.write_text("begun saved ")
    interruption.note_saved()
    raise interruption.Interrupted


def signalled(how_often: int) -> bool:
    """Whether it was asked to stop, after so many signals."""
    for _ in range(how_often):
        os.kill(os.getpid(), signal.SIGUSR2)
    return interruption.asked_to_stop()


def heeding(how_often: int) -> None:
    if signalled(how_often):
        raise interruption.Interrupted


def not_heeding(seconds: float) -> str:
    signalled(1)
    time.sleep(seconds)
    return "was let"
