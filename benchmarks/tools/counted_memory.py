"""Memory of a training step at its real size, counted by shapes alone."""

from __future__ import annotations

from detectron2.config import CfgNode

from benchmarks.engine.build import Learners
from benchmarks.tools.device_calls import heard_trainer, held
from benchmarks.tools.live_bytes import LiveBytes

MIB = 2**20
STEPS = 2  # the optimizer makes its state in the first: the second is like all others


def count(cfg: CfgNode, learners: Learners | None = None) -> tuple[float, float]:
    """MiB of tensors between two steps (weights, optimizer state, teacher; gradients are let go), and at the peak.

    ``learners`` are built unless they are given, on the CPU; their values are gone afterwards.
    """
    counter = LiveBytes()
    with heard_trainer(cfg, counter, learners=learners) as (trainer, next_step):
        counter.add(held(trainer))
        for trainer.iter in range(STEPS):
            trainer.update(next_step())
        trainer.optimizer.zero_grad(set_to_none=True)
        return counter.live / MIB, counter.peak / MIB
