"""How many processes load images where the config leaves it to the machine: NUM_WORKERS -1."""

from __future__ import annotations

import math
import os
import shutil
from contextlib import suppress
from pathlib import Path

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

from datasets.checks.class_pixels import cpus

_FEW, _MOST = 2, 8
_LEAST_BATCH = 2**24
"""Bytes of an evaluated image with its label, of 4 megapixels: a batch in training may be smaller."""


def loader_workers(cfg: CfgNode, device: torch.device) -> int:
    """NUM_WORKERS, or what this process's cores and shared memory allow where that is -1.

    On the CPU, where the network needs the cores, 2; beside a GPU one a core but for the one that drives it, from 2 to
    8: a full-size image takes a core some 60 ms, and a step reads four. Fewer where the batches in flight, two a
    worker, would take more than half of the shared memory. Never more than there are cores.
    """
    if cfg.NUM_WORKERS >= 0:
        return int(cfg.NUM_WORKERS)
    cores = own_cores()
    few = min(_FEW, cores)
    if device.type != "cuda":
        return few
    batch = 2 * 4 * cfg.SOLVER.BATCH * math.prod(cfg.INPUT.CROP)  # of two domains, an image and a label each
    fit = _free_shared_memory() // (2 * 2 * max(batch, _LEAST_BATCH))
    return max(few, min(_MOST, cores - 1, fit))


def own_cores() -> int:
    """Cores of this process, at least 1: of its task on SLURM, else its share of those that it may use."""
    task = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if task.isdecimal():
        return max(1, min(cpus(), int(task)))
    return max(1, cpus() // comm.get_world_size())


def _free_shared_memory() -> int:
    """Bytes; a lot where the system has no folder for it."""
    with suppress(OSError):
        return shutil.disk_usage(Path("/dev/shm")).free
    return 2**40
