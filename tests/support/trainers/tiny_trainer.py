"""A trainer of any recipe on random images, whose network takes milliseconds: all kinds of layers, a few channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from benchmarks.config.keys import from_node
from benchmarks.engine.build import Learners, build_terms
from benchmarks.engine.trainer import Trainer
from benchmarks.tools.random_step import random_batch
from methods.base.randomness import seed_pass
from methods.decoders.convolutional import DAFormerDecoder
from methods.encoders.encoder import Encoder
from methods.framework.recipes import parse
from methods.networks import Segmentor
from methods.networks.multi_resolution import MultiResolution, MultiResolutionSegmentor
from methods.parts.teacher import Teacher

TINY: dict[str, Any] = {
    "TERMS.MRM.DIM": 16,
    "TERMS.MRM.HEADS": 2,
    "TERMS.MRM.BLOCKS": 1,
    "SOLVER.WARMUP_ITERS": 0,  # the first step already counts
    "SOLVER.ENCODER_LR": 1e-3,
    "SOLVER.DECODER_LR": 1e-2,
}


class Block(nn.Module):
    """Channels of each place, mixed."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.gelu(self.linear(self.norm(x)))


class TinyEncoder(Encoder):
    """Two stages with batch norm, layer norm, a linear layer and drop path."""

    channels = (4, 8)
    strides = (4, 8)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 4, 4, stride=4), nn.BatchNorm2d(4), nn.ReLU())
        self.block = Block()
        self.down = nn.Sequential(nn.Conv2d(4, 8, 2, stride=2), nn.BatchNorm2d(8), nn.ReLU())

    def extract(self, x: Tensor) -> list[Tensor]:
        fine = self.stem(x)
        added = self.block(fine.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        if self.training:
            # In fp32 whatever the precision is: before torch 2.13 other dtypes draw other numbers.
            added = added * torch.floor(0.7 + torch.rand((len(x), 1, 1, 1), device=x.device)).to(added.dtype)
        fine = fine + added
        return [fine, self.down(fine)]

    def residual_blocks(self) -> Iterable[nn.Module]:
        return [self.block]


def tiny_trainer(
    small_config: Callable[..., CfgNode], method: str, overrides: dict[str, Any] | None = None, device: str = "cpu"
) -> Trainer:
    """The trainer of a recipe with a tiny network, on one random batch forever; ``device`` may be meta."""
    cfg = small_config(method, overrides=TINY | (overrides or {}))
    recipe, place = parse(cfg.METHOD), torch.device(device)
    seed_pass(0)
    student = Segmentor("tiny", TinyEncoder(), DAFormerDecoder(TinyEncoder.channels, 19, width=4))
    if cfg.SOLVER.FREEZE_ENCODER:
        student.encoder.freeze()
    if (resolutions := from_node(MultiResolution, cfg.HRDA)).enabled:
        width, height = cfg.INPUT.CROP
        student = MultiResolutionSegmentor(student, resolutions, (height, width))
    student = student.to(place)
    student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    terms = [term.to(place) for term in build_terms(cfg, recipe, student)]
    teacher = Teacher(student, cfg.SELF_TRAINING.MOMENTUM) if recipe.host.teacher else None
    batch = random_batch(cfg)
    trainer = Trainer(cfg, *Learners(student, teacher, terms), lambda start: repeat(batch), place)
    for group in trainer.optimizer.param_groups:
        group["fused"] = group["fused"] and place.type != "meta"  # the fused kernels refuse that device
    return trainer


def tiny_steps(trainer: Trainer, steps: int) -> list[dict[str, float]]:
    """The losses of each step."""
    losses, batches = [], trainer.batches_from(0)
    for trainer.iter in range(steps):
        seen = trainer.update(trainer.training_step(next(batches)))
        losses.append({name: float(loss) for name, loss in seen.items()})
    return losses


def trained_state(trainer: Trainer) -> dict[str, Tensor]:
    """All that was trained: student, teacher, terms, and the optimizer's moments."""
    teacher = trainer.teacher.state_dict() if trainer.teacher is not None else {}
    moments = [value for state in trainer.optimizer.state.values() for value in state.values()]
    return {
        **{f"student.{name}": value for name, value in trainer.student.state_dict().items()},
        **{f"terms.{name}": value for name, value in trainer.terms.state_dict().items()},
        **{f"teacher.{name}": value for name, value in teacher.items()},
        **{f"moment {number}": value for number, value in enumerate(moments) if isinstance(value, Tensor)},
    }
