"""Every term with weight 0 leaves the run bit-identical to the run without it: losses and weights, several steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from few_labels import few_labels

from benchmarks.config.keys import config_name
from benchmarks.data.from_config import data_root, training_set
from benchmarks.engine.build import build_student, build_terms
from benchmarks.engine.trainer import Trainer
from datasets.batches.pairs import batches
from methods.framework.recipes import PARTS, parse
from methods.framework.term import TERMS
from methods.parts.teacher import Teacher

MakeConfig = Callable[..., CfgNode]
STEPS = 3
ADD_ONS = [name for name, part in PARTS.items() if not part.host]


def steps(cfg: CfgNode) -> tuple[list[dict[str, float]], dict[str, torch.Tensor]]:
    """The losses of each step, and all weights and buffers of student and teacher afterwards."""
    recipe = parse(cfg.METHOD)
    student = build_student(cfg)
    terms = build_terms(cfg, recipe, student)
    teacher = Teacher(student, cfg.SELF_TRAINING.MOMENTUM)
    data = training_set(cfg, recipe, data_root(cfg))
    trainer = Trainer(
        cfg, student, teacher, terms, lambda start: batches(data, start, STEPS, 0, False), torch.device("cpu")
    )
    losses = []
    for iteration, batch in enumerate(trainer.batches_from(0)):
        trainer.iter = iteration
        seen = trainer.update(trainer.training_step(batch))
        losses.append({name: float(loss) for name, loss in seen.items()})
    state = {f"student.{name}": value for name, value in student.state_dict().items()}
    return losses, state | {f"teacher.{name}": value for name, value in teacher.state_dict().items()}


def assert_equal(with_zero: Any, without: Any) -> None:
    assert with_zero[0] == without[0]
    assert with_zero[1].keys() == without[1].keys()
    for name, value in without[1].items():
        assert torch.equal(with_zero[1][name], value), name


@pytest.fixture(scope="module")
def hosts() -> dict[str, Any]:
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("host", ["dacs", "hrda"])
@pytest.mark.parametrize("add_on", ADD_ONS)
def test_add_on_of_weight_0(small_config: MakeConfig, hosts: dict[str, Any], host: str, add_on: str) -> None:
    if host not in hosts:
        hosts[host] = steps(small_config(host))
    term = config_name(PARTS[add_on].terms[0])
    overrides = {f"TERMS.{term}.WEIGHT": 0.0, **few_labels(add_on)}
    assert_equal(steps(small_config(f"{host}+{add_on}", overrides=overrides)), hosts[host])


@pytest.mark.slow
def test_feature_distance_of_weight_0_is_daformer_without_it(small_config: MakeConfig) -> None:
    """That is DACS with DAFormer's settings."""
    off = steps(small_config("daformer", overrides={"TERMS.FEATURE_DISTANCE.WEIGHT": 0.0}))
    settings = {"SELF_TRAINING.MOMENTUM": 0.999, "SAMPLING.RARE_CLASSES": True}
    assert_equal(off, steps(small_config("dacs", overrides=settings)))


@pytest.mark.slow
@pytest.mark.parametrize("add_on", ADD_ONS)
def test_add_on_draws_nothing_of_the_hosts(small_config: MakeConfig, hosts: dict[str, Any], add_on: str) -> None:
    """In the first step, before its gradient counts, an add-on leaves the host's losses as they are."""
    if "dacs" not in hosts:
        hosts["dacs"] = steps(small_config("dacs"))
    first = steps(small_config(f"dacs+{add_on}", overrides=few_labels(add_on)))[0][0]
    assert first.items() > hosts["dacs"][0][0].items()


def test_every_term_is_an_add_ons_or_the_hosts() -> None:
    """So that a new term is seen here."""
    tested = {term for name in ADD_ONS for term in PARTS[name].terms}
    assert set(TERMS) == tested | {"supervised", "self-training", "feature-distance"}
