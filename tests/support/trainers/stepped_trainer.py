"""A trainer outside of a run: its steps by hand, its losses, and what it holds after them."""

from __future__ import annotations

import torch
from detectron2.config import CfgNode
from detectron2.utils.events import EventStorage

from benchmarks.data.from_config import data_root, training_set
from benchmarks.engine.build import build_terms
from benchmarks.engine.trainer import Trainer
from datasets.batches.pairs import batches
from methods.base.randomness import seed_pass
from methods.framework.recipes import parse
from methods.framework.step import TrainingStep
from methods.networks import build_segmentor
from methods.parts.teacher import Teacher


def make_trainer(cfg: CfgNode) -> Trainer:
    recipe = parse(cfg.METHOD)
    train = training_set(cfg, recipe, data_root(cfg))
    seed_pass(cfg.SEED, "initialize", "network")
    student = build_segmentor(cfg.NETWORK, 19, cfg.WEIGHTS)
    terms = build_terms(cfg, recipe, student)
    teacher = Teacher(student, cfg.SELF_TRAINING.MOMENTUM) if recipe.host.teacher else None
    return Trainer(
        cfg,
        student,
        teacher,
        terms,
        lambda start: batches(train, start, cfg.SOLVER.ITERS, 0, False),
        torch.device("cpu"),
    )


def train(trainer: Trainer, iterations: int) -> list[dict[str, float]]:
    """Losses of each iteration; hooks are left out."""
    losses = []
    with EventStorage() as trainer.storage:
        trainer.iter = trainer.start_iter = 0
        trainer.before_train()
        for trainer.iter in range(iterations):
            trainer.run_step()
            trainer.scheduler.step()
            trainer.read_losses()
            losses.append({name: value for name, (value, _) in trainer.storage.latest().items()})
    return losses


def state(trainer: Trainer) -> dict[str, torch.Tensor]:
    assert trainer.teacher is not None
    return {
        **{f"student.{name}": tensor.clone() for name, tensor in trainer.student.state_dict().items()},
        **{f"teacher.{name}": tensor.clone() for name, tensor in trainer.teacher.state_dict().items()},
    }


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def first_step(trainer: Trainer) -> TrainingStep:
    trainer.iter = 0
    return trainer.training_step(next(trainer.batches_from(0)))
