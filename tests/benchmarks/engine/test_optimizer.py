"""Optimizers and schedules against their formulas, written out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.engine.build import build_student, build_terms
from benchmarks.engine.optimizer import build_optimizer, build_scheduler
from methods.framework.recipes import parse
from methods.framework.term import Term, TermSettings
from methods.networks import Encoder, Segmentor

MakeConfig = Callable[..., CfgNode]
SGD: dict[str, Any] = {
    "SOLVER.OPTIMIZER": "sgd",
    "SOLVER.ENCODER_LR": 0.01,
    "SOLVER.DECODER_LR": 0.1,
    "SOLVER.MOMENTUM": 0.9,
    "SOLVER.WEIGHT_DECAY": 0.2,
}


class Scale(Encoder):
    """One number, and a norm that its weight decay spares."""

    channels, strides, decay_norms = (3,), (1,), False

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(1.0))
        self.norm = nn.LayerNorm(1)

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images * self.value]


class Trained(Term[TermSettings]):
    """Two numbers, one of them frozen."""

    learning_rate = 0.05

    def __init__(self, segmentor: Segmentor) -> None:
        super().__init__(TermSettings(), segmentor, (8, 8))
        self.value = nn.Parameter(torch.tensor(2.0))
        self.frozen = nn.Parameter(torch.tensor(2.0), requires_grad=False)


def parts() -> tuple[Scale, nn.Module, Segmentor, Trained]:
    encoder, decoder = Scale(), nn.Module()
    decoder.value = nn.Parameter(torch.tensor(-1.0))
    segmentor = Segmentor("scale", encoder, decoder)
    return encoder, decoder, segmentor, Trained(segmentor)


def test_sgd_by_hand(small_config: MakeConfig) -> None:
    encoder, decoder, segmentor, term = parts()
    optimizer = build_optimizer(small_config("dacs", overrides=SGD), segmentor, [term])
    numbers = {"encoder": encoder.value, "decoder": decoder.value, "term": term.value, "norm": encoder.norm.weight}
    rates = {"encoder": 0.01, "decoder": 0.1, "term": 0.05, "norm": 0.01}
    expected = {name: number.item() for name, number in numbers.items()}
    velocity = dict.fromkeys(numbers, 0.0)
    for step, gradient in enumerate((0.5, -2.0, 1.0)):
        for name, number in numbers.items():
            assert isinstance(number, nn.Parameter)
            number.grad = torch.full_like(number, gradient + step)
            decay = 0.0 if name == "norm" else 0.2
            velocity[name] = 0.9 * velocity[name] + gradient + step + decay * expected[name]
            expected[name] -= rates[name] * velocity[name]
        optimizer.step()
    assert {name: number.item() for name, number in numbers.items()} == pytest.approx(expected, rel=1e-5)
    assert term.frozen.item() == 2


def test_first_step_of_adamw_by_hand(small_config: MakeConfig) -> None:
    encoder, decoder, segmentor, term = parts()
    overrides = {"SOLVER.ENCODER_LR": 0.01, "SOLVER.DECODER_LR": 0.1, "SOLVER.WEIGHT_DECAY": 0.2}
    optimizer = build_optimizer(small_config("dacs", overrides=overrides), segmentor, [term])
    for number in (encoder.value, decoder.value, term.value):
        assert isinstance(number, nn.Parameter)
        number.grad = torch.tensor(-0.3)
    optimizer.step()
    # Bias correction makes the first step the rate, whatever the gradient's size; decay is decoupled: 1 - rate * decay.
    assert encoder.value.item() == pytest.approx(1 * (1 - 0.01 * 0.2) + 0.01, rel=1e-5)
    assert decoder.value.item() == pytest.approx(-1 * (1 - 0.1 * 0.2) + 0.1, rel=1e-5)  # type: ignore[union-attr, operator]
    assert term.value.item() == pytest.approx(2 * (1 - 0.05 * 0.2) + 0.05, rel=1e-5)
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


def rates(cfg: CfgNode) -> list[float]:
    """The encoder's rate at each iteration and after the last, as a share of ENCODER_LR."""
    _, _, segmentor, term = parts()
    optimizer = build_optimizer(cfg, segmentor, [term])
    scheduler = build_scheduler(cfg, optimizer)
    shares = []
    for _ in range(cfg.SOLVER.ITERS + 1):
        shares.append(optimizer.param_groups[0]["lr"] / cfg.SOLVER.ENCODER_LR)
        optimizer.step()
        scheduler.step()
    return shares


def test_polynomial_decay_without_warm_up(small_config: MakeConfig) -> None:
    schedule = {"SOLVER.ITERS": 10, "SOLVER.WARMUP_ITERS": 0, "SOLVER.POWER": 0.9}
    shares = rates(small_config("dacs", overrides=SGD | schedule))[:11]
    assert shares == pytest.approx([((10 - t) / 10) ** 0.9 for t in range(11)])
    assert shares[0] == 1 and shares[10] == 0


def test_warm_up_multiplies_the_decay(small_config: MakeConfig) -> None:
    schedule = {"SOLVER.ITERS": 8, "SOLVER.WARMUP_ITERS": 4, "SOLVER.WARMUP_FACTOR": 0.2, "SOLVER.POWER": 1.0}
    shares = rates(small_config("dacs", overrides=schedule))[:8]
    # 1, 7/8, 6/8, ... times 0.2, 0.4, 0.6, 0.8, then 1.
    assert shares == pytest.approx([0.2, 0.35, 0.45, 0.5, 0.5, 0.375, 0.25, 0.125])


def test_momentum_can_be_off_and_no_other_optimizer_is_known(small_config: MakeConfig) -> None:
    encoder, _, segmentor, term = parts()
    optimizer = build_optimizer(small_config("dacs", overrides=SGD | {"SOLVER.MOMENTUM": 0.0}), segmentor, [term])
    for _ in range(2):
        encoder.value.grad = torch.tensor(1.0) - 0.2 * encoder.value.detach()  # cancels the decay
        optimizer.step()
    assert encoder.value.item() == pytest.approx(0.98)
    with pytest.raises(ConfigError, match=r"SOLVER\.OPTIMIZER is 'adam', expected adamw or sgd"):
        RunSpec("streets", "dacs", overrides={"SOLVER.OPTIMIZER": "adam"}).resolve()


def test_a_terms_rate_of_0_is_not_the_decoders(small_config: MakeConfig) -> None:
    cfg = small_config("mrm", overrides={"TERMS.MRM.LEARNING_RATE": 0.0})
    student = build_student(cfg)
    terms = build_terms(cfg, parse(cfg.METHOD), student)
    assert build_optimizer(cfg, student, terms).param_groups[-1]["lr"] == 0
