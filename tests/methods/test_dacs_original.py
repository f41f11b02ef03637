"""The original recipe of DACS beside the one that later papers report."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from stepped_trainer import first_step, make_trainer, train

from benchmarks.config.keys import flatten, from_node
from benchmarks.config.spec import RunSpec
from benchmarks.engine.build import build_student
from methods.framework.step import SelfTraining, Source, TrainingStep
from methods.parts.teacher import Teacher
from methods.supervised import Supervised, SupervisedSettings

MakeConfig = Callable[..., CfgNode]

# The authors' configUDA.json, and what their training script adds: ten times the rate for the classifier, strength
# 0.25 of the jitter, alpha 0.99, threshold 0.968.
ORIGINAL = {
    "SOLVER.OPTIMIZER": "sgd",
    "SOLVER.MOMENTUM": 0.9,
    "SOLVER.ITERS": 250000,
    "SOLVER.ENCODER_LR": 2.5e-4,
    "SOLVER.DECODER_LR": 2.5e-3,
    "SOLVER.POWER": 0.9,
    "SOLVER.WEIGHT_DECAY": 5e-4,
    "SOLVER.WARMUP_ITERS": 0,
    "SOLVER.BATCH": 2,
    "INPUT.CROP": (512, 512),
    "INPUT.FLIP": 0.0,
    "INPUT.MAX_CLASS_SHARE": 1.0,
    "SELF_TRAINING.JITTER_STRENGTH": 0.25,
    "SELF_TRAINING.JITTER_PROBABILITY": 0.8,
    "SELF_TRAINING.BLUR_PROBABILITY": 0.5,
    "SELF_TRAINING.MOMENTUM": 0.99,
    "SELF_TRAINING.THRESHOLD": 0.968,
    "SAMPLING.RARE_CLASSES": False,
}
# DAFormer's code base: its configs adamw, poly10warm and dacs.
LATER = {
    "SOLVER.OPTIMIZER": "adamw",
    "SOLVER.ITERS": 40000,
    "SOLVER.ENCODER_LR": 6e-5,
    "SOLVER.DECODER_LR": 6e-4,
    "SOLVER.POWER": 1.0,
    "SOLVER.WEIGHT_DECAY": 0.01,
    "SOLVER.WARMUP_ITERS": 1500,
    "SOLVER.WARMUP_FACTOR": 1e-6,
    "SOLVER.BATCH": 2,
    "INPUT.FLIP": 0.5,
    "INPUT.MAX_CLASS_SHARE": 0.75,
    "SELF_TRAINING.JITTER_STRENGTH": 0.2,
    "SELF_TRAINING.MOMENTUM": 0.99,
    "TERMS.SUPERVISED.LABELLED_MEAN": False,
}


@pytest.mark.parametrize("protocol", ["gta-cityscapes", "synthia-cityscapes"])
@pytest.mark.parametrize(("method", "published"), [("dacs-original", ORIGINAL), ("dacs", LATER)])
def test_both_baselines_are_the_published_ones(protocol: str, method: str, published: dict[str, Any]) -> None:
    values = flatten(RunSpec(protocol, method).resolve())
    assert {key: values[key] for key in published} == published


def test_a_protocol_of_another_length_keeps_it_and_scales_the_rates() -> None:
    later, original = (RunSpec("streets", method).resolve() for method in ("dacs", "dacs-original"))
    assert (original.SOLVER.ITERS, original.TEST.PERIOD) == (later.SOLVER.ITERS, later.TEST.PERIOD)
    assert original.SOLVER.BATCH == later.SOLVER.BATCH
    rates = [original.SOLVER.ENCODER_LR, original.SOLVER.DECODER_LR]
    scale = later.SOLVER.ENCODER_LR / 6e-5
    assert rates == pytest.approx([2.5e-4 * scale, 2.5e-3 * scale])


def test_the_users_keys_are_above_the_recipe() -> None:
    overrides = {"SOLVER.ITERS": 2000, "SOLVER.OPTIMIZER": "adamw", "INPUT.FLIP": 0.5}
    solver = RunSpec("gta-cityscapes", "dacs-original+mic", overrides=overrides).resolve()
    assert (solver.SOLVER.ITERS, solver.SOLVER.OPTIMIZER, solver.INPUT.FLIP) == (2000, "adamw", 0.5)


@pytest.mark.slow
def test_it_trains_with_sgd_and_learns(small_config: MakeConfig) -> None:
    overrides = {"SOLVER.ITERS": 12, "SELF_TRAINING.THRESHOLD": 0.0}
    trainer = make_trainer(small_config("dacs-original", overrides=overrides))
    assert isinstance(trainer.optimizer, torch.optim.SGD)
    losses = [step["loss_supervised"] for step in train(trainer, 12)]
    assert all(math.isfinite(loss) for loss in losses)
    assert sum(losses[-3:]) < 0.95 * sum(losses[:3])


@pytest.mark.parametrize("labelled", [1.0, 0.25, 0.0])
def test_source_loss_averages_over_labelled_pixels(small_config: MakeConfig, labelled: float) -> None:
    trainer = make_trainer(small_config("dacs-original"))
    step = first_step(trainer)
    images = step.source_batch.images
    labels = torch.randint(19, (len(images), 64, 64), generator=torch.Generator().manual_seed(0))
    labels[:, int(64 * labelled) :] = 255
    step.source_batch = Source(images, labels, [])
    logits = step.source.logits.detach().permute(0, 2, 3, 1)[labels != 255]
    known = labels[labels != 255]
    means = {
        setting: Supervised(SupervisedSettings(labelled_mean=setting), trainer.student, (64, 64))
        .losses(step)["loss_supervised"]
        .item()
        for setting in (True, False)
    }
    # The mean over what is left after indexing, by -log of the softmax at the label.
    losses = -logits.double().softmax(1)[torch.arange(len(known)), known].log()
    assert means[True] == pytest.approx(losses.mean().item() if len(losses) else 0, rel=1e-4)
    assert means[False] == pytest.approx(losses.sum().item() / labels.numel(), rel=1e-4)


@pytest.mark.parametrize(("method", "pasted"), [("dacs-original", True), ("dacs", False)])
def test_unlabelled_pixels_are_pasted_by_the_original_alone(
    small_config: MakeConfig, method: str, pasted: bool
) -> None:
    """All of the source is unlabelled: 255 is the one class that can be drawn."""
    cfg = small_config(method)
    student = build_student(cfg)
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    step = TrainingStep(
        student=student,
        teacher=Teacher(student, 0.99),
        source_batch=Source(images, torch.full((2, 64, 64), 255), [[255], [255]]),
        target_images=1 - images,
        settings=from_node(SelfTraining, cfg.SELF_TRAINING),
        seed=0,
        iteration=0,
    )
    assert bool((step.mixed.labels == 255).all()) == pasted
