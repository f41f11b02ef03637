"""One training step, timed alone: seconds, the processor's seconds, and on a GPU the memory at its peak."""

from __future__ import annotations

import time
from typing import NamedTuple

import torch

from benchmarks.engine.trainer import Trainer
from benchmarks.tools.device_calls import held

MIB = 2**20


class Timed(NamedTuple):
    """What a step took.

    seconds: until the device is done. cpu_seconds: of all threads of this process, to which other processes do not
    add. peak_mib: the most that a GPU held for this trainer; None without one.
    """

    seconds: float
    cpu_seconds: float
    peak_mib: float | None


def timed_step(trainer: Trainer) -> Timed:
    """Make the trainer's next step; trainers beside it may hold memory of the same device."""
    device, on_gpu = trainer.device, trainer.device.type == "cuda"
    before = 0
    if on_gpu:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device) - own_bytes(trainer)
    started, cpu_started = time.perf_counter(), time.process_time()
    trainer.run_step()
    if on_gpu:
        torch.cuda.synchronize(device)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    return Timed(seconds, cpu_seconds, (torch.cuda.max_memory_allocated(device) - before) / MIB if on_gpu else None)


def own_bytes(trainer: Trainer) -> int:
    """Bytes of the storages that a trainer holds between two steps, gradients included."""
    kind = trainer.device.type
    tensors = list(held(trainer))
    tensors += [tensor.grad for tensor in tensors if tensor.grad is not None]
    states = trainer.optimizer.state.values()
    tensors += [value for state in states for value in state.values() if isinstance(value, torch.Tensor)]
    storages = {
        tensor.untyped_storage().data_ptr(): tensor.untyped_storage()
        for tensor in tensors
        if tensor.device.type == kind
    }
    return sum(storage.nbytes() for storage in storages.values())
