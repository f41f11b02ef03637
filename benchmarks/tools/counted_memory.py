"""Memory of a training step at its real size, counted by shapes alone."""

from __future__ import annotations

import gc
from itertools import repeat

import torch
from detectron2.config import CfgNode
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks.engine.build import Learners, build_learners
from benchmarks.engine.trainer import Trainer
from benchmarks.tools.live_bytes import LiveBytes, make_fake
from benchmarks.tools.random_step import random_batch

MIB = 2**20
STEPS = 2  # the optimizer makes its state in the first: the second is like all others
CPU = torch.device("cpu")


def count(cfg: CfgNode, learners: Learners | None = None) -> tuple[float, float]:
    """MiB of tensors between two steps (weights, optimizer state, teacher; gradients are let go), and at the peak.

    ``learners`` are built unless they are given, on the CPU; their values are gone afterwards.
    """
    learners = learners or build_learners(cfg, CPU)
    trained = [module for module in (learners.student, learners.teacher, *learners.terms) if module is not None]
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    make_fake(trained, mode)
    batch = random_batch(cfg)
    gc.collect()  # cycles are collected after so many objects: what was made before would decide when
    with mode, LiveBytes() as counter:
        counter.add(tensor for module in trained for tensor in (*module.parameters(), *module.buffers()))
        trainer = Trainer(cfg, *learners, lambda start: repeat(batch), CPU)
        for trainer.iter in range(STEPS):
            trainer.update(trainer.training_step(batch, mode.from_tensor))
        trainer.optimizer.zero_grad(set_to_none=True)
        return counter.live / MIB, counter.peak / MIB
