"""The training step: shared passes, draws that do not depend on other terms, gradients of the sum, weights of 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from stepped_trainer import assert_same, first_step, make_trainer, state, train

from benchmarks.engine.optimizer import build_optimizer, build_scheduler
from benchmarks.engine.trainer import Diverged, group_by_view
from methods.networks import Segmentor, build_segmentor

MakeConfig = Callable[..., CfgNode]


@pytest.mark.slow
@pytest.mark.parametrize("add_on", ["mic", "mrm"])
def test_weight_0_is_bit_identical_to_the_host(small_config: MakeConfig, add_on: str) -> None:
    host = make_trainer(small_config("dacs"))
    off = make_trainer(small_config(f"dacs+{add_on}", overrides={f"TERMS.{add_on.upper()}.WEIGHT": 0.0}))
    assert train(host, 3) == train(off, 3)
    assert_same(state(host), state(off))


@pytest.mark.slow
def test_host_draws_the_same_beside_add_ons(small_config: MakeConfig) -> None:
    alone = train(make_trainer(small_config("dacs")), 1)[0]
    beside = train(make_trainer(small_config("dacs+mic+mrm")), 1)[0]
    assert {"loss_mic", "loss_mrm"} <= beside.keys()
    for name, value in alone.items():
        assert beside[name] == value


@pytest.mark.slow
def test_training_repeats_bit_for_bit(small_config: MakeConfig) -> None:
    first, second = make_trainer(small_config("dacs+mic+mrm")), make_trainer(small_config("dacs+mic+mrm"))
    assert train(first, 3) == train(second, 3)
    assert_same(state(first), state(second))
    other = make_trainer(small_config("dacs+mic+mrm", seed=1))
    assert train(other, 1) != train(make_trainer(small_config("dacs+mic+mrm")), 1)


class Counting:
    """Counts the calls of a segmentor's parts."""

    def __init__(self, segmentor: Segmentor) -> None:
        self.calls = {"encoder": 0, "decoder": 0}
        for name in self.calls:
            getattr(segmentor, name).register_forward_hook(self._counter(name))

    def _counter(self, name: str) -> Callable[..., None]:
        def count(*_: Any) -> None:
            self.calls[name] += 1

        return count


@pytest.mark.parametrize(
    ("method", "encoder", "decoder"),
    [("source-only", 1, 1), ("dacs", 2, 2), ("dacs+mrm", 2, 3), ("dacs+mic", 3, 3), ("dacs+mic+mrm", 3, 4)],
)
def test_a_step_computes_each_thing_once(small_config: MakeConfig, method: str, encoder: int, decoder: int) -> None:
    trainer = make_trainer(small_config(method))
    student = Counting(trainer.student)
    teacher = Counting(trainer.teacher.segmentor) if trainer.teacher is not None else None
    train(trainer, 1)
    assert student.calls == {"encoder": encoder, "decoder": decoder}
    if teacher is not None:
        assert teacher.calls == {"encoder": 1, "decoder": 1}


def test_mrm_on_the_target_view_costs_a_pass(small_config: MakeConfig) -> None:
    trainer = make_trainer(small_config("dacs+mrm", overrides={"TERMS.MRM.VIEW": "target"}))
    student = Counting(trainer.student)
    train(trainer, 1)
    assert student.calls == {"encoder": 3, "decoder": 3}  # mrm decodes the rebuilt features alone


@pytest.mark.slow
def test_gradients_are_those_of_the_weighted_sum(small_config: MakeConfig) -> None:
    cfg = small_config("dacs+mic+mrm", overrides={"TERMS.MIC.WEIGHT": 0.5, "TERMS.MRM.WEIGHT": 3.0})
    stepped, summed = make_trainer(cfg), make_trainer(cfg)
    seen: dict[str, torch.Tensor] = {}

    def keep(*_: Any) -> None:
        seen.update({name: p.grad.clone() for name, p in stepped.student.named_parameters() if p.grad is not None})

    stepped.optimizer.register_step_pre_hook(keep)
    train(stepped, 1)
    step = first_step(summed)
    weights = {"supervised": 1.0, "self-training": 1.0, "mic": 0.5, "mrm": 3.0}
    total = torch.zeros(())
    for weight, term in zip(weights.values(), summed.terms, strict=True):
        total = total + weight * sum(term.losses(step).values())  # type: ignore[operator]
    total.backward()
    expected = {name: p.grad for name, p in summed.student.named_parameters()}
    assert seen.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient is not None
        # Tiny maps under batch norm amplify the order of summation; a wrong weight is off by tens of percent.
        assert (seen[name] - gradient).norm() <= 2e-3 * gradient.norm() + 1e-6, name


def test_mixed_image_is_augmented_and_labelled_as_dacs_says(small_config: MakeConfig) -> None:
    cfg = small_config(
        "dacs", overrides={"SELF_TRAINING.JITTER_PROBABILITY": 0.0, "SELF_TRAINING.BLUR_PROBABILITY": 0.0}
    )
    step = first_step(make_trainer(cfg))
    source, target, mixed, pseudo = step.source_batch, step.plain_target, step.mixed, step.pseudo
    assert mixed.weights is not None
    from_source = (mixed.images == source.images).all(1) & (mixed.images != target).any(1)
    assert 0 < from_source.float().mean() < 1
    assert torch.equal(mixed.labels[from_source], source.labels[from_source])
    assert (mixed.weights[from_source] == 1).all()
    from_target = (mixed.images == target).all(1) & (mixed.images != source.images).any(1)
    assert torch.equal(mixed.labels[from_target], pseudo.labels[from_target])
    assert (mixed.weights[from_target] == pseudo.confidence).all()
    for index, present in enumerate(source.classes):
        pasted = set(source.labels[index][from_source[index]].tolist())
        assert len(pasted) <= (len(set(present) - {255}) + 1) // 2


def test_teacher_starts_as_a_copy_and_moves_after_each_step(small_config: MakeConfig) -> None:
    trainer = make_trainer(small_config("dacs"))
    assert trainer.teacher is not None
    start = [p.clone() for p in trainer.student.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(start, trainer.teacher.segmentor.parameters(), strict=True))
    train(trainer, 1)
    for before, after, averaged in zip(
        start, trainer.student.parameters(), trainer.teacher.segmentor.parameters(), strict=True
    ):
        assert torch.allclose(averaged, (before + after) / 2, atol=1e-7)


def test_a_loss_that_is_not_finite_ends_the_run_with_its_iteration(small_config: MakeConfig) -> None:
    trainer = make_trainer(small_config("source-only", overrides={"SOLVER.ITERS": 9}))
    poison = trainer.run_step

    def step() -> None:
        if trainer.iter == 2:
            next(trainer.student.parameters()).data.fill_(float("nan"))
        poison()

    trainer.run_step = step  # type: ignore[method-assign]
    with pytest.raises(Diverged, match="loss_supervised is nan at iteration 2"):
        train(trainer, 9)


def test_terms_of_one_view_are_backpropagated_together(small_config: MakeConfig) -> None:
    trainer = make_trainer(small_config("dacs+mic+mrm"))
    groups = [
        (view, [type(term).__name__ for term, _ in members]) for view, members in group_by_view(list(trainer.terms))
    ]
    assert groups == [("source", ["Supervised"]), ("mixed", ["SelfTrainingLoss", "MRM"]), ("own", ["MIC"])]


@pytest.mark.slow
def test_a_step_is_made_and_trained_from_outside_as_in_a_run(small_config: MakeConfig) -> None:
    """What counts and measures steps needs no private part of the trainer."""
    cfg, heard = small_config("dacs+mrm"), []

    def listen(view: str, term: Any, make: Callable[[], Any]) -> Any:
        heard.append((view, type(term).__name__))
        return make()

    trained, outside = make_trainer(cfg), make_trainer(cfg)
    losses = outside.update(first_step(outside), listen)
    assert heard == [("source", "Supervised"), ("mixed", "SelfTrainingLoss"), ("mixed", "MRM")]
    assert {name: float(loss) for name, loss in losses.items()} == train(trained, 1)[0]
    assert_same(state(outside), state(trained))


def test_rates_of_encoder_decoder_and_rebuilder(small_config: MakeConfig) -> None:
    schedule = {"SOLVER.ITERS": 100, "SOLVER.WARMUP_ITERS": 10, "SOLVER.WARMUP_FACTOR": 0.1}
    cfg = small_config("dacs+mrm", overrides=schedule)
    trainer = make_trainer(cfg)
    optimizer = build_optimizer(cfg, trainer.student, list(trainer.terms))
    count = sum(len(group["params"]) for group in optimizer.param_groups)
    assert count == len(list(trainer.student.parameters())) + len(list(trainer.terms.parameters()))
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(
        [cfg.SOLVER.ENCODER_LR, cfg.SOLVER.DECODER_LR, 2e-4]
    )
    scheduler = build_scheduler(cfg, optimizer)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"] / cfg.SOLVER.ENCODER_LR)
        optimizer.step()
        scheduler.step()
    assert rates[0] == pytest.approx(0.1)
    assert rates[5] == pytest.approx(0.95 * 0.55)
    assert rates[50] == pytest.approx(0.5)
    assert rates[99] == pytest.approx(0.01)


@pytest.mark.slow
def test_norms_of_mit_do_not_decay(small_config: MakeConfig) -> None:
    cfg = small_config("source-only", overrides={"NETWORK": "daformer-mitb0"})
    student = build_segmentor("daformer-mitb0", 19, "none")
    optimizer = build_optimizer(cfg, student, [])
    without = {id(p) for group in optimizer.param_groups if group["weight_decay"] == 0 for p in group["params"]}
    norms = {id(p) for name, p in student.encoder.named_parameters() if "norm" in name}
    assert without == norms and norms
