"""What only a GPU tells of a step: kernels, the share of time that it works, and where the host waits for it."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.core.checkout import ROOT
from benchmarks.engine.trainer import Trainer
from benchmarks.tools.replaced import replaced

# As torch warns of each; when its first mode is set it says once that "synchronization debug mode is a prototype".
_WAITS = "called a synchronizing CUDA operation"


class Kernels(NamedTuple):
    """How many kernels and copies one step has, and the seconds in which at least one of them runs."""

    number: float
    busy_seconds: float


def kernels(trainer: Trainer, steps: int = 2) -> Kernels:
    """Count and time the kernels of ``steps`` steps under torch's profiler, which makes launching slower, not them."""
    torch.cuda.synchronize(trainer.device)
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        for _ in range(steps):
            trainer.run_step()
        torch.cuda.synchronize(trainer.device)
    spans = spans_of_kernels(found.events() or [])
    return Kernels(len(spans) / steps, covered(spans) / 1e6 / steps)


def spans_of_kernels(events: Iterable[Any]) -> list[tuple[float, float]]:
    """The (start, end) of kernels and copies among a profile's events, in microseconds.

    Operators are rows of their own, which have the time of their kernels once more; so has, on the device, what is
    annotated, as each step of an optimizer, with the gaps between its kernels.
    """
    return [
        (event.time_range.start, event.time_range.end)
        for event in events
        if event.device_type == torch.autograd.DeviceType.CUDA and not event.is_user_annotation
    ]


def covered(spans: list[tuple[float, float]]) -> float:
    """How long at least one of the (start, end) goes on."""
    total, reached = 0.0, -float("inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total


def waits(trainer: Trainer) -> list[str]:
    """The places where the host waits for the device in one step: the innermost of each wait, ``file:line``.

    A place of ours is named where one is on the way there, with that of a library behind it.
    """
    found: list[str] = []

    def heard(message: Any, *_: Any, **__: Any) -> None:
        if _WAITS in str(message):
            found.append(_place(traceback.extract_stack()[:-1]))

    torch.cuda.synchronize(trainer.device)
    with warnings.catch_warnings(), replaced(warnings, "showwarning", heard):
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            trainer.run_step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return found


def _place(stack: list[traceback.FrameSummary]) -> str:
    """A place as text: ``methods/dacs.py:12 (torch/functional.py:40)``."""
    last = stack[-1]
    theirs = f"{'/'.join(Path(last.filename).parts[-2:])}:{last.lineno}"
    for frame in reversed(stack):
        path = Path(frame.filename)
        if path.is_relative_to(ROOT) and "site-packages" not in path.parts:
            ours = f"{path.relative_to(ROOT).as_posix()}:{frame.lineno}"
            return ours if frame is last else f"{ours} ({theirs})"
    return theirs
