"""Foundation networks in training: every recipe, rates that fall with depth, an encoder that is not trained."""

from __future__ import annotations

import copy
import math
from io import BytesIO
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from tiny_vit import LINEAR, register_tiny
from torch import Tensor

from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.engine.build import build_student
from benchmarks.engine.optimizer import parameter_groups
from benchmarks.engine.trainer import Trainer
from benchmarks.tools.random_step import random_trainer
from methods.framework.recipes import PARTS
from methods.framework.shipped import import_methods

import_methods()

CPU = torch.device("cpu")
HOSTS = [name for name, part in PARTS.items() if part.host]
RECIPES = [*HOSTS, *(name for name, part in PARTS.items() if not part.host), "daformer+mic+mrm", "hrda+mic+mrm"]
SMALL: dict[str, Any] = {
    "INPUT.CROP": (56, 56),
    "SOLVER.BATCH": 2,
    "SOLVER.WARMUP_ITERS": 0,
    "TERMS.MIC.BLOCK": 8,
    "TERMS.MRM.DIM": 32,
    "TERMS.MRM.HEADS": 2,
    "TERMS.MRM.RESOLUTION": 4,
    "WEIGHTS": "none",
}


@pytest.fixture(autouse=True)
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    register_tiny(monkeypatch)


def small(method: str, network: str = LINEAR, **overrides: Any) -> CfgNode:
    """With two resolutions, crops of which both show a network at least 32 pixels."""
    values = SMALL | ({"INPUT.CROP": (112, 112)} if "hrda" in method else {}) | overrides
    return RunSpec("streets", method, network, overrides=values).resolve()


def steps(trainer: Trainer, number: int) -> list[dict[str, float]]:
    losses = []
    for trainer.iter in range(number):
        seen = trainer.update(trainer.training_step(next(trainer.batches_from(0))))
        losses.append({name: float(loss) for name, loss in seen.items()})
    return losses


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_trains_all_of_it(recipe: str) -> None:
    """With the linear decoder and patches of 14; test_every_recipe.py has the other decoder, and runs from files."""
    torch.manual_seed(0)
    trainer = random_trainer(small(recipe), CPU)
    before = copy.deepcopy(trainer.student.state_dict())
    losses = steps(trainer, 2)
    assert all(math.isfinite(loss) for of_step in losses for loss in of_step.values())
    after = trainer.student.state_dict()
    unchanged = [key for key, value in before.items() if torch.equal(after[key], value)]
    # A softmax does not see what is added to all keys; a rate of 1e-3 does not move a scale of 1 by less than 1e-7.
    assert [key for key in unchanged if not key.endswith(("k_proj.bias", "key.bias"))] == []


# Rates by depth


def test_rates_fall_with_depth_and_norms_are_decayed() -> None:
    overrides = {"SOLVER.LAYER_DECAY": 0.5, "SOLVER.ENCODER_LR": 0.8, "SOLVER.DECODER_LR": 3.0}
    cfg = small("dacs", **overrides)
    student = build_student(cfg)
    groups = parameter_groups(cfg, student, [])
    assert [(name, group["lr"]) for name, group in groups] == [
        ("encoder layer 0", 0.05),  # embeddings
        *((f"encoder layer {depth}", 0.8 * 0.5 ** (4 - depth)) for depth in (1, 2, 3)),
        ("encoder layer 4", 0.8),  # the last block, and the final norm
        ("decoder", 3.0),
    ]
    assert not any("weight_decay" in group for _, group in groups)
    trained = [parameter for _, group in groups for parameter in group["params"]]
    assert {id(parameter) for parameter in trained} == {id(parameter) for parameter in student.parameters()}
    assert len(trained) == len(list(student.parameters()))
    assert [name for name, _ in parameter_groups(small("dacs"), student, [])] == ["encoder", "decoder"]


def test_an_encoder_without_layers_is_refused_before_it_trains() -> None:
    cfg = small("dacs", "daformer-lite0", **{"INPUT.CROP": (64, 64), "SOLVER.LAYER_DECAY": 0.9})
    with pytest.raises(ConfigError, match=r"^SOLVER.LAYER_DECAY is 0.9, expected 1.0 for daformer-lite0"):
        build_student(cfg)
    with pytest.raises(ConfigError, match=r"^SOLVER\.LAYER_DECAY is 1\.5, expected above 0, up to 1"):
        small("dacs", **{"SOLVER.LAYER_DECAY": 1.5})


# A frozen encoder


@pytest.mark.parametrize("network", [LINEAR, "daformer-lite0"])
def test_a_frozen_encoder_is_the_teachers_too_and_stays_as_it_is(network: str) -> None:
    cfg = small("dacs+mic+mrm", network, **{"SOLVER.FREEZE_ENCODER": True, "INPUT.CROP": (32, 32)})
    assert not any(parameter.requires_grad for parameter in build_student(cfg).encoder.parameters())
    trainer = random_trainer(cfg, CPU)
    student, teacher = trainer.student, trainer.teacher
    assert teacher is not None and teacher.segmentor.encoder is student.encoder
    assert [name for name in trainer.group_names if name != "mrm"] == ["decoder"]
    teacher.train()
    student.train()
    assert not any(module.training for module in student.encoder.modules())
    before: dict[str, Tensor] = copy.deepcopy(student.state_dict())
    decoder_then = copy.deepcopy(teacher.segmentor.decoder.state_dict())
    features = student.encode(torch.rand(1, 3, 32, 32))
    assert not any(feature.requires_grad for feature in features)
    losses = steps(trainer, 1)
    assert all(math.isfinite(loss) for of_step in losses for loss in of_step.values())
    after = student.state_dict()
    assert [key for key in before if key.startswith("encoder.") and not torch.equal(before[key], after[key])] == []
    assert not torch.equal(before["decoder.classifier.weight"], after["decoder.classifier.weight"])
    decoder_now = teacher.segmentor.decoder.state_dict()
    assert not torch.equal(decoder_then["classifier.weight"], decoder_now["classifier.weight"])
    assert all(parameter.grad is None for parameter in student.encoder.parameters())
    checkpoint = BytesIO()  # as one is saved: what is shared is there once
    torch.save({"model": after, "teacher": teacher.state_dict()}, checkpoint)
    assert checkpoint.tell() < 1.6 * sum(tensor.nbytes for tensor in after.values())
