"""Memory of a training step at its real size, counted by shapes alone."""

from __future__ import annotations

from typing import Any

MIB = 2**20
STEPS = 2  # the optimizer makes its state in the first: the second is like all others


def count(cfg: Any) -> tuple[float, float]:
    """MiB of tensors between two steps (weights, optimizer state, teacher; gradients are let go), and at the peak."""
    import torch
    from detectron2.utils.events import EventStorage
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

    class Counted(Trainer):
        def _move(self, tensor: torch.Tensor) -> torch.Tensor:
            return mode.from_tensor(tensor)

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
    with mode, LiveBytes() as counter, EventStorage(0):
        counter.add(tensor for module in trained for tensor in (*module.parameters(), *module.buffers()))
        trainer = Counted(cfg, student, teacher, terms, lambda start: iter(()), torch.device("cpu"))
        trainer._batches = iter([batch] * STEPS)
        for trainer.iter in range(STEPS):
            trainer.run_step()
        trainer.optimizer.zero_grad(set_to_none=True)
        trainer._unread.clear()
        return counter.live / MIB, counter.peak / MIB
