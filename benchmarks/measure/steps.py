"""Training steps of several methods, measured side by side: one round of each, then the next of each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from benchmarks.cli.progress import Progress
from benchmarks.computing.device import pick_device
from benchmarks.computing.tf32 import TF32, check_tf32, tf32
from benchmarks.data.from_config import data_root, training_set
from benchmarks.data.loader_workers import loader_workers
from benchmarks.engine.build import build_learners
from benchmarks.engine.trainer import Trainer
from benchmarks.measure.kernel_calls import count_step
from benchmarks.measure.on_gpu import kernels, waits
from benchmarks.measure.spread import Spread
from benchmarks.measure.step_floor import Floor
from benchmarks.measure.step_split import FORWARD, REST, WAITING, clock, split_step
from benchmarks.measure.timed_step import Timed, timed_step
from benchmarks.tools.random_step import random_trainer
from datasets.batches.pairs import batches
from methods.framework.recipes import parse

WARM = 2  # rounds that are not counted: memory is reserved, kernels are chosen, the optimizer makes its state
Row = dict[str, Any]


@dataclass
class Measured:
    """What was measured of one method's steps; seconds are a round's.

    Attributes:
        steps: whole ones. split: of others the seconds by part (`split_step`). floor: of their networks alone.
    """

    cfg: CfgNode
    trainer: Trainer
    steps: list[Timed] = field(default_factory=list)
    split: list[dict[str, float]] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    of_gpu: Row = field(default_factory=dict)

    def products(self) -> AbstractContextManager[None]:
        """Let products be TF32 within where the config asks for it."""
        return tf32(self.cfg.SOLVER.PRECISION == TF32)

    def row(self) -> Row:
        """All of it, as JSON has it.

        ``parts`` are those of the step whose sum is the median: they sum up to it.
        """
        cfg, device = self.cfg, self.trainer.device
        seconds, floor = Spread.of([step.seconds for step in self.steps]), Spread.of(self.floor)
        peaks = [step.peak_mib for step in self.steps if step.peak_mib is not None]
        on_gpu = device.type == "cuda"
        return {
            "method": cfg.METHOD,
            "network": cfg.NETWORK,
            "precision": cfg.SOLVER.PRECISION,
            "crop": "x".join(map(str, cfg.INPUT.CROP)),
            "batch": cfg.SOLVER.BATCH,
            "device": torch.cuda.get_device_name(device) if on_gpu else device.type,
            "threads": torch.get_num_threads(),
            "seconds": seconds.as_json(),
            "cpu_seconds": Spread.of([step.cpu_seconds for step in self.steps]).as_json(),
            "parts": sorted(self.split, key=lambda parts: sum(parts.values()))[len(self.split) // 2],
            "floor_seconds": floor.as_json(),
            "to_floor": seconds.median / floor.median,
            "captured": self.trainer.graphs.captured,
            "not_captured": self.trainer.graphs.refused,
            "peak_mib": max(peaks) if peaks else None,
            **self.of_gpu,
        }


def measure(configs: Sequence[CfgNode], rounds: int, real: bool = False, counted: bool = True) -> list[Row]:
    """Measure the steps of each config, with random images or the ``real`` ones of its protocol.

    A round is a step, another one in its parts, and its floor. All are in memory together, and what else the machine
    does meets all of them alike. ``counted``: also the operations that launch a kernel, and the memory, by shapes.
    Progress goes to stderr.
    """
    device = pick_device(configs[0])
    found = [Measured(cfg, _trainer(cfg, device, real)) for cfg in configs]
    with EventStorage(0), Progress(f"measuring on {device.type}", WARM + rounds, "rounds", stderr=True) as progress:
        floors = []
        for each in found:
            with each.products():
                floors.append(Floor(each.trainer))
        for number in range(-WARM, rounds):
            for each, floor in zip(found, floors, strict=True):
                progress.tell(each.cfg.METHOD, force=number == -WARM and each is found[0])
                with each.products():
                    _round(each, floor, number)
            progress.advance()
        if device.type == "cuda":
            for each in found:
                with each.products():
                    each.of_gpu = of_gpu(each)
    rows = [each.row() for each in found]
    if counted:
        del found, floors
        with Progress("counting", len(rows), "methods", stderr=True) as progress:
            for cfg, row in zip(configs, rows, strict=True):
                progress.tell(cfg.METHOD)
                row["kernel_calls"], row["counted_peak_mib"] = count_step(cfg)
                progress.advance(cfg.METHOD)
    return rows


def of_gpu(measured: Measured) -> Row:
    """What a GPU tells of one method's steps; the share of time in which it works is that of a step as it was timed."""
    trainer = measured.trainer
    seconds = Spread.of([step.seconds for step in measured.steps]).median
    found, where = kernels(trainer), waits(trainer)
    host = split_step(trainer, wait=False)
    return {
        "kernels": found.number,
        "busy_seconds": found.busy_seconds,
        "busy_share": found.busy_seconds / seconds,
        "waits": len(where),
        "wait_places": where,
        "host_share_outside_launches": (host[REST] + host[WAITING]) / seconds,
        "host_seconds_to_launch_forward": host[FORWARD],
    }


def _round(each: Measured, floor: Floor, number: int) -> None:
    trainer = each.trainer
    trainer.iter = 2 * (WARM + number) + 1
    timed = timed_step(trainer)
    trainer.iter += 1
    parts = split_step(trainer)
    read = clock(trainer.device)
    started = read()
    floor.run()
    seconds = read() - started
    if number >= 0:
        each.steps.append(timed)
        each.split.append(parts)
        each.floor.append(seconds)


def _trainer(cfg: CfgNode, device: torch.device, real: bool) -> Trainer:
    check_tf32(cfg, device)
    if not real:
        return random_trainer(cfg, device)
    train = training_set(cfg, parse(cfg.METHOD), data_root(cfg))
    workers, pinned = loader_workers(cfg, device), device.type == "cuda"
    trainer = Trainer(
        cfg,
        *build_learners(cfg, device),
        lambda start: batches(train, start, cfg.SOLVER.ITERS, workers, pinned),
        device,
    )
    trainer.before_train()
    return trainer
