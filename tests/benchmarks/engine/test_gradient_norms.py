"""Norms of gradients over time: the right ones, beside training that they change nothing of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import pytest
import torch
from detectron2.config import CfgNode
from tiny_trainer import tiny_steps, tiny_trainer, trained_state

from benchmarks.engine.trainer import Diverged
from results.records.metrics import GRADIENT_NORM

MakeConfig = Callable[..., CfgNode]
STUDENT, MRM = f"{GRADIENT_NORM}student", f"{GRADIENT_NORM}mrm"
EACH_STEP = {"LOG.PERIOD": 1}


def norm_of(parameters: Iterable[torch.nn.Parameter]) -> float:
    return math.sqrt(sum(float((each.grad.double() ** 2).sum()) for each in parameters if each.grad is not None))


def test_they_are_those_of_the_student_and_of_each_term_that_is_trained(small_config: MakeConfig) -> None:
    trainer = tiny_trainer(small_config, "dacs+mrm", EACH_STEP)
    (seen,) = tiny_steps(trainer, 1)
    norms = {name: value for name, value in seen.items() if name.startswith(GRADIENT_NORM)}
    assert norms == pytest.approx(
        {STUDENT: norm_of(trainer.student.parameters()), MRM: norm_of(trainer.terms.parameters())}, rel=1e-5
    )
    assert min(norms.values()) > 0


def test_training_is_the_same_with_and_without(small_config: MakeConfig) -> None:
    seldom, always = (tiny_trainer(small_config, "dacs+mrm", {"LOG.PERIOD": period}) for period in (20, 1))
    plain, looked = tiny_steps(seldom, 2), tiny_steps(always, 2)
    assert not any(name.startswith(GRADIENT_NORM) for name in plain[0]) and STUDENT in looked[0]
    assert plain == [{name: step[name] for name in plain[0]} for step in looked]
    states = [trained_state(trainer) for trainer in (seldom, always)]
    assert states[0].keys() == states[1].keys() and all(map(torch.equal, *(each.values() for each in states)))


def test_those_of_fp16_are_of_losses_that_are_not_scaled(small_config: MakeConfig) -> None:
    plain, scaled = (
        tiny_steps(tiny_trainer(small_config, "source-only", EACH_STEP | {"SOLVER.PRECISION": precision}), 1)[0]
        for precision in ("fp32", "fp16")
    )
    assert scaled[STUDENT] == pytest.approx(plain[STUDENT], rel=0.05)


def test_one_that_overflows_ends_no_run(small_config: MakeConfig) -> None:
    """fp16's scaler skips such a step; a loss that is none ends it."""
    trainer = tiny_trainer(small_config, "source-only")
    trainer._unread = [(0, {"loss_source": torch.tensor(1.0), STUDENT: torch.tensor(math.inf)})]
    assert trainer.check_losses() == {"loss_source": 1.0, STUDENT: math.inf}
    trainer._unread = [(1, {"loss_source": torch.tensor(math.nan), STUDENT: torch.tensor(1.0)})]
    with pytest.raises(Diverged, match="loss_source is nan at iteration 1"):
        trainer.check_losses()
