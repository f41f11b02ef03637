"""Memory of a training step at its real size, counted by shapes alone."""

from __future__ import annotations

from itertools import repeat
from typing import Any

MIB = 2**20
STEPS = 2  # the optimizer makes its state in the first: the second is like all others


def count(cfg: Any) -> tuple[float, float]:
    """MiB of tensors between two steps (weights, optimizer state, teacher; gradients are let go), and at the peak."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode

    from benchmarks.config.label_space import label_space
    from benchmarks.engine.build import build_learners
    from benchmarks.engine.trainer import Trainer
    from benchmarks.tools.live_bytes import LiveBytes, make_fake
    from datasets.labels import IGNORE

    student, teacher, terms = build_learners(cfg, torch.device("cpu"))
    trained = [module for module in (student, teacher, *terms) if module is not None]
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    make_fake(trained, mode)

    width, height = cfg.INPUT.CROP
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (cfg.SOLVER.BATCH, 3, height, width), dtype=torch.uint8, generator=generator)
    classes = len(label_space(cfg).names)
    labels = torch.randint(0, classes, (cfg.SOLVER.BATCH, height, width), generator=generator)
    labels[:, :1] = IGNORE
    batch = {
        "source": {"images": images, "labels": labels.to(torch.uint8)},
        "target": {"images": images},
    }
    with mode, LiveBytes() as counter:
        counter.add(tensor for module in trained for tensor in (*module.parameters(), *module.buffers()))
        trainer = Trainer(cfg, student, teacher, terms, lambda start: repeat(batch), torch.device("cpu"))
        for trainer.iter in range(STEPS):
            trainer.update(trainer.training_step(batch, mode.from_tensor))
        trainer.optimizer.zero_grad(set_to_none=True)
        return counter.live / MIB, counter.peak / MIB
