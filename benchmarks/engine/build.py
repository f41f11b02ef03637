"""What a run trains: student, teacher and the terms of its method."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm

from benchmarks.config.keys import config_name, from_node
from benchmarks.config.label_space import label_space
from benchmarks.core.errors import ConfigError
from methods.base.randomness import seed_pass
from methods.framework.recipes import Recipe, parse
from methods.framework.term import TERMS, Term
from methods.layers.sync_norm import synchronize_norms
from methods.networks import Segmentor, build_segmentor
from methods.networks.multi_resolution import MultiResolution, MultiResolutionSegmentor
from methods.networks.registry import is_weights_name
from methods.networks.weights import load_weights
from methods.parts.teacher import Teacher


class Learners(NamedTuple):
    """What a trainer is made of; ``teacher``: None where the method has none."""

    student: Segmentor
    teacher: Teacher | None
    terms: list[Term[Any]]


def build_learners(cfg: CfgNode, device: torch.device) -> Learners:
    """Student, teacher and terms as they are trained: on the device, channels last, and all initialized from the seed.

    With several processes the student's batch norms are of all of them.
    """
    recipe = parse(cfg.METHOD)
    student = build_student(cfg).to(device)
    student.encoder.checkpointing = cfg.SOLVER.ACTIVATION_CHECKPOINTING
    student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if comm.get_world_size() > 1:
        synchronize_norms(student)  # before it is copied: the teacher's are such, too
    terms = [term.to(device) for term in build_terms(cfg, recipe, student)]
    return Learners(student, Teacher(student, cfg.SELF_TRAINING.MOMENTUM) if recipe.host.teacher else None, terms)


def build_student(cfg: CfgNode) -> Segmentor:
    """The network, initialized from the run's seed; on the CPU."""
    seed_pass(cfg.SEED, "initialize", "network")
    segmentor = build_segmentor(cfg.NETWORK, len(label_space(cfg).names), cfg.WEIGHTS)
    if cfg.SOLVER.LAYER_DECAY != 1 and not segmentor.encoder.layers():
        raise ConfigError(
            f"SOLVER.LAYER_DECAY is {cfg.SOLVER.LAYER_DECAY}, expected 1.0 for {cfg.NETWORK}, whose encoder tells no "
            "layers; dinov2-* and dinov3-* do"
        )
    if cfg.SOLVER.FREEZE_ENCODER:
        segmentor.encoder.freeze()
    resolutions = from_node(MultiResolution, cfg.HRDA)
    if not resolutions.enabled:
        return segmentor
    seed_pass(cfg.SEED, "initialize", "attention")
    width, height = cfg.INPUT.CROP
    student = MultiResolutionSegmentor(segmentor, resolutions, (height, width))
    if not is_weights_name(cfg.NETWORK, cfg.WEIGHTS):
        load_weights(student, cfg.WEIGHTS)  # once more, for the attention that it may hold
    return student


def build_terms(cfg: CfgNode, recipe: Recipe, segmentor: Segmentor) -> list[Term[Any]]:
    """The terms of a recipe whose weight is not 0, each initialized from a seed of its own name."""
    width, height = cfg.INPUT.CROP
    terms = []
    for name in recipe.terms:
        cls = TERMS[name]
        values = from_node(cls.Settings, cfg.TERMS[config_name(name)])
        if values.weight == 0:
            continue
        seed_pass(cfg.SEED, "initialize", name)
        terms.append(cls(values, segmentor, (height, width)))
    if not terms:
        raise ConfigError(f"method {recipe.name}: every weight is 0, nothing is left to train")
    return terms
