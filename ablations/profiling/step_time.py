"""Seconds and memory of training steps, measured: multiply-adds are not time."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from benchmarks.cli.progress import Progress
from benchmarks.computing.device import pick_device
from benchmarks.engine.build import build_learners
from benchmarks.measure.timed_step import timed_step
from benchmarks.tools.counted_memory import count as counted_memory
from benchmarks.tools.random_step import random_trainer

COUNTED, ALLOCATED = "counted", "allocated"


@dataclass
class StepTime:
    """What was measured of a method.

    Attributes:
        seconds: of each step but the first, in which memory is reserved and kernels are chosen.
        peak_mib: the most that the tensors of this method alone take: on a GPU as its allocator tells (``allocated``),
            else counted by shapes (``counted``): what a process holds cannot be told apart by method.
        device: "cpu" or the GPU's name. threads: of the CPU.
    """

    device: str
    threads: int
    seconds: list[float] = field(default_factory=list)
    peak_mib: float = 0.0
    peak_kind: str = COUNTED

    @property
    def median(self) -> float:
        """The median seconds of a step."""
        return statistics.median(self.seconds)

    def to_dict(self) -> dict[str, Any]:
        """The times as JSON has them."""
        return {
            "device": self.device,
            "threads": self.threads,
            "steps": len(self.seconds),
            "seconds_per_step": self.median,
            "peak_memory_mib": self.peak_mib,
            "peak_memory_is": self.peak_kind,
        }


def measure(configs: Sequence[CfgNode], steps: int) -> list[StepTime]:
    """Time ``steps`` training steps of each method on random images, in turn: one step of each, then the next of each.

    All methods are in memory together, and what else the machine does meets all of them alike. Progress goes to stderr.
    """
    device = pick_device(configs[0])
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    times = [StepTime(name, torch.get_num_threads()) for _ in configs]
    learners = [build_learners(cfg, device) for cfg in configs]
    trainers = [random_trainer(cfg, device, each) for cfg, each in zip(configs, learners, strict=True)]
    with EventStorage(0), Progress(f"measuring on {name}", steps + 1, "steps", stderr=True) as progress:
        for number in range(steps + 1):
            for cfg, trainer, measured in zip(configs, trainers, times, strict=True):
                progress.tell(cfg.METHOD, force=not number and cfg is configs[0])
                trainer.iter = number
                timed = timed_step(trainer)
                if number:
                    measured.seconds.append(timed.seconds)
                if timed.peak_mib is not None:
                    measured.peak_mib, measured.peak_kind = max(measured.peak_mib, timed.peak_mib), ALLOCATED
            progress.advance()
    del trainers
    if device.type != "cuda":
        with Progress("counting memory", len(configs), "methods", stderr=True) as progress:
            for cfg, measured, each in zip(configs, times, learners, strict=True):
                progress.tell(cfg.METHOD)
                measured.peak_mib = counted_memory(cfg, each)[1]
                progress.advance(cfg.METHOD)
    return times
