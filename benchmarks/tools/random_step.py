"""The training step of a config on random images of its sizes: for counting and timing; no data set is read."""

from __future__ import annotations

from itertools import repeat

import torch
from detectron2.config import CfgNode

from benchmarks.config.few_labels import labelled_batch
from benchmarks.config.label_space import label_space
from benchmarks.engine.build import Learners, build_learners
from benchmarks.engine.trainer import Trainer
from datasets.batches.pairs import Batch
from datasets.classes.labels import IGNORE
from methods.framework.recipes import parse


def random_trainer(cfg: CfgNode, device: torch.device, learners: Learners | None = None) -> Trainer:
    """The trainer of ``cfg`` on ``device``, ready for ``run_step`` inside an EventStorage, on one batch forever.

    On the device ``meta`` tensors have shapes and no values, and nothing is computed. ``learners`` are built unless
    they are given.
    """
    batch = random_batch(cfg)
    if device.type == "cuda":  # as the loader's: else each copy to the device waits for it
        batch = {domain: {name: each.pin_memory() for name, each in part.items()} for domain, part in batch.items()}
    trainer = Trainer(cfg, *(learners or build_learners(cfg, device)), lambda start: repeat(batch), device)
    trainer.before_train()
    return trainer


def random_batch(cfg: CfgNode) -> Batch:
    """Images of each domain, uniformly random, with labels of squares of random classes; one row is ignored."""
    width, height = cfg.INPUT.CROP
    generator = torch.Generator().manual_seed(0)
    classes = len(label_space(cfg).names)

    def images(number: int) -> torch.Tensor:
        return torch.randint(0, 256, (number, 3, height, width), dtype=torch.uint8, generator=generator)

    def labels(number: int) -> torch.Tensor:
        squares = torch.randint(0, classes, (number, 1, 16, 16), generator=generator)
        drawn = torch.nn.functional.interpolate(squares.float(), (height, width), mode="nearest")[:, 0].to(torch.uint8)
        drawn[:, :1] = IGNORE
        return drawn

    batch, few = cfg.SOLVER.BATCH, labelled_batch(cfg) if parse(cfg.METHOD).few_labels else 0
    source, target = images(batch), images(batch)
    found = {"source": {"images": source, "labels": labels(batch)}, "target": {"images": target}}
    return found | ({"labelled": {"images": images(few), "labels": labels(few)}} if few else {})
