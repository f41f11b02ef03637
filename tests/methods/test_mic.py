"""MIC in every published form: what is masked, labelled by whom, and weighted how."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from stepped_trainer import assert_same, first_step, make_trainer, state, train
from torch import Tensor, nn

from benchmarks.config.spec import RunSpec
from methods.base.errors import MethodError
from methods.framework.step import SelfTraining, Source, TrainingStep, View
from methods.framework.term import Term
from methods.mic import MIC, MICSettings
from methods.networks import Encoder, Prediction, Segmentor, Window
from methods.parts.teacher import Teacher

MakeConfig = Callable[..., CfgNode]
# Random weights are sure of nothing: every pixel counts as confident, else most losses here were 0.
SURE = {"SELF_TRAINING.THRESHOLD": 0.0}
# What is masked is left as it is, so that it can be compared with what it was made of.
PLAIN = SURE | {"TERMS.MIC.RATIO": 0.0, "TERMS.MIC.AUGMENT": False}


def mic_of(terms: nn.ModuleList) -> MIC:
    (term,) = (term for term in terms if isinstance(term, MIC))
    return term


def masked_view(cfg: CfgNode, valid: Tensor | None = None) -> tuple[TrainingStep, View]:
    """The first step of a run, and the view that MIC makes of it."""
    trainer = make_trainer(cfg)
    step = first_step(trainer)
    step.target_valid = valid
    made: list[View] = []
    make = step.view

    def keep(name: str, *args: Any) -> View:
        view = make(name, *args)
        if name == "mic":
            made.append(view)
        return view

    step.view = keep  # type: ignore[method-assign]
    mic_of(trainer.terms).losses(step)
    (view,) = made
    return step, view


def test_target_images_are_masked_with_the_hosts_labels(small_config: MakeConfig) -> None:
    step, view = masked_view(small_config("mic", overrides=PLAIN))
    assert torch.equal(view.images, step.plain_target)
    assert torch.equal(view.labels, step.pseudo.labels)
    assert view.weights is not None and torch.equal(view.weights, step.pseudo.weights)


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "half"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_both_is_half_a_batch_of_each_domain(small_config: MakeConfig, batch: int, half: int) -> None:
    overrides = PLAIN | {"TERMS.MIC.DOMAIN": "both", "SOLVER.BATCH": batch}
    certainty = first_step(make_trainer(small_config("dacs", overrides=overrides))).pseudo.probability
    overrides["SELF_TRAINING.THRESHOLD"] = certainty.median().item()
    step, view = masked_view(small_config("mic", overrides=overrides))
    assert len(view.images) == 2 * half
    assert torch.equal(view.images[:half], step.source_batch.images[:half])
    assert torch.equal(view.labels[:half], step.source_batch.labels[:half])
    assert torch.equal(view.images[half:], step.plain_target[:half])
    assert torch.equal(view.labels[half:], step.pseudo.labels[:half])
    assert view.weights is not None and (view.weights[:half] == 1).all()
    # The quality weight is the share over all target images of the batch, as the host has it.
    assert 0 < step.pseudo.confidence < 1
    assert (view.weights[half:] == step.pseudo.confidence).all()


def test_source_images_have_their_labels_and_need_no_teacher(small_config: MakeConfig) -> None:
    step, view = masked_view(small_config("mic", overrides=PLAIN | {"TERMS.MIC.DOMAIN": "source"}))
    assert torch.equal(view.images, step.source_batch.images)
    assert torch.equal(view.labels, step.source_batch.labels)
    assert view.weights is None
    assert "pseudo" not in vars(step)


@pytest.mark.slow
def test_blocks_are_masked_to_the_mean_colour_at_the_ratio(small_config: MakeConfig) -> None:
    settings = {"TERMS.MIC.AUGMENT": False, "TERMS.MIC.BLOCK": 4, "SOLVER.BATCH": 4}
    step, view = masked_view(small_config("mic", overrides=SURE | settings))
    mean = step.student.encoder.pixel_mean
    masked = (view.images == mean).all(1)
    assert torch.equal(view.images, torch.where(masked[:, None], mean, step.plain_target))
    blocks = masked.view(4, 16, 4, 16, 4).float().mean((2, 4))
    assert ((blocks == 0) | (blocks == 1)).float().mean() > 0.99  # a pixel can have the mean colour by itself
    assert blocks.mean().item() == pytest.approx(0.7, abs=3 * (0.21 / 1024) ** 0.5)


def test_colours_are_augmented_apart_from_the_hosts_draw(small_config: MakeConfig) -> None:
    overrides = SURE | {"TERMS.MIC.RATIO": 0.0, "SELF_TRAINING.JITTER_PROBABILITY": 1.0}
    step, view = masked_view(small_config("mic", overrides=overrides))
    assert not torch.equal(view.images, step.plain_target)
    assert not torch.equal(view.images, step.settings.strong(step.plain_target, step.draws("mixed/augmentation")))


@pytest.mark.slow
@pytest.mark.parametrize("domain", ["target", "both"])
def test_without_quality_weight_only_the_ignored_rows_count_less(small_config: MakeConfig, domain: str) -> None:
    valid = torch.ones(2, 64, 64, dtype=torch.bool)
    valid[:, :5] = False
    never = {"SELF_TRAINING.THRESHOLD": 1.0, "TERMS.MIC.WEIGHTED": False, "TERMS.MIC.DOMAIN": domain}
    step, view = masked_view(small_config("mic", overrides=PLAIN | never), valid)
    assert step.pseudo.confidence == 0
    assert view.weights is not None
    assert torch.equal(view.weights[1], valid[0].float())
    assert torch.equal(view.weights[0], valid[0].float() if domain == "target" else torch.ones(64, 64))


@pytest.mark.parametrize("settings", [{}, {"TERMS.MIC.TEACHER": "own"}])
def test_ignored_rows_have_no_weight(small_config: MakeConfig, settings: dict[str, Any]) -> None:
    valid = torch.ones(2, 64, 64, dtype=torch.bool)
    valid[1, -9:] = False
    _, view = masked_view(small_config("mic", overrides=PLAIN | settings), valid)
    assert view.weights is not None and torch.equal(view.weights, valid.float())


@pytest.mark.slow
def test_own_teacher_follows_the_closed_form(small_config: MakeConfig) -> None:
    cfg = small_config("mic", overrides=SURE | {"TERMS.MIC.TEACHER": "own", "TERMS.MIC.MOMENTUM": 0.6})
    trainer = make_trainer(cfg)
    term = mic_of(trainer.terms)
    assert term.teacher is not None
    weight = next(trainer.student.decoder.parameters())
    history = [weight.detach().clone()]
    trainer.optimizer.register_step_post_hook(lambda *_: history.append(weight.detach().clone()))
    train(trainer, 4)
    assert len(history) == 5 and not torch.equal(history[0], history[-1])
    # alpha = 1/2, then 0.6: the first value, each later one, and what is left of them, written out.
    share = [0.5 * 0.6**3, 0.5 * 0.6**3, 0.4 * 0.6**2, 0.4 * 0.6, 0.4]
    assert sum(share) == pytest.approx(1)
    expected = sum(part * value for part, value in zip(share, history, strict=True))
    averaged = next(term.teacher.segmentor.decoder.parameters())
    assert isinstance(expected, Tensor) and torch.allclose(averaged, expected, atol=1e-7)
    assert trainer.teacher is not None
    assert not torch.allclose(averaged, next(trainer.teacher.segmentor.decoder.parameters()), atol=1e-7)


@pytest.mark.slow
def test_own_teacher_of_momentum_0_is_the_student_after_the_last_step(small_config: MakeConfig) -> None:
    cfg = small_config("mic", overrides=SURE | {"TERMS.MIC.TEACHER": "own", "TERMS.MIC.MOMENTUM": 0.0})
    trainer = make_trainer(cfg)
    train(trainer, 3)
    teacher = mic_of(trainer.terms).teacher
    assert teacher is not None
    for mine, students in zip(teacher.segmentor.parameters(), trainer.student.parameters(), strict=True):
        assert torch.equal(mine, students)


@pytest.mark.slow
def test_own_teacher_of_the_hosts_momentum_labels_as_the_host_does(small_config: MakeConfig) -> None:
    momentum = SURE | {"SELF_TRAINING.MOMENTUM": 0.7}
    host = make_trainer(small_config("mic", overrides=momentum))
    of_its_own = {"TERMS.MIC.TEACHER": "own", "TERMS.MIC.MOMENTUM": 0.7}
    own = make_trainer(small_config("mic", overrides=momentum | of_its_own))
    losses = train(host, 3)
    assert losses == train(own, 3)
    assert all(step["loss_mic"] > 0 for step in losses)
    assert_same(state(host), state(own))
    at_once = momentum | {"TERMS.MIC.TEACHER": "own", "TERMS.MIC.MOMENTUM": 0.0}
    assert train(make_trainer(small_config("mic", overrides=at_once)), 3) != losses


@pytest.mark.slow
def test_own_teacher_is_saved_and_not_trained(small_config: MakeConfig) -> None:
    trainer = make_trainer(small_config("mic", overrides=SURE | {"TERMS.MIC.TEACHER": "own"}))
    term = mic_of(trainer.terms)
    assert term.teacher is not None
    optimized = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    assert not any(p.requires_grad or id(p) in optimized for p in term.parameters())
    train(trainer, 2)
    cfg = small_config("mic", overrides=SURE | {"TERMS.MIC.TEACHER": "own"})
    resumed = mic_of(make_trainer(cfg).terms)
    resumed.load_state_dict(term.state_dict())
    images = torch.rand(1, 3, 64, 64)
    assert resumed.teacher is not None
    assert torch.equal(resumed.teacher.logits(images), term.teacher.logits(images))


@pytest.fixture(scope="module")
def alone(small_config: MakeConfig) -> tuple[list[dict[str, float]], dict[str, Tensor]]:
    """Losses of two steps of the host, and what it holds after them."""
    host = make_trainer(small_config("dacs", overrides=SURE))
    return train(host, 2), state(host)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"TERMS.MIC.DOMAIN": "both", "TERMS.MIC.AUGMENT": False},
        {"TERMS.MIC.DOMAIN": "source"},
        {"TERMS.MIC.TEACHER": "own", "TERMS.MIC.DOMAIN": "both"},
        {"TERMS.MIC.WEIGHTED": False},
    ],
)
def test_variants_leave_the_host_as_it_is_at_weight_0(
    small_config: MakeConfig, alone: tuple[list[dict[str, float]], dict[str, Tensor]], settings: dict[str, Any]
) -> None:
    losses, after = alone
    variant = make_trainer(small_config("mic", overrides=SURE | settings))
    off = make_trainer(small_config("mic", overrides=SURE | settings | {"TERMS.MIC.WEIGHT": 0.0}))
    beside = train(variant, 1)[0]
    assert beside["loss_mic"] > 0
    assert {name: beside[name] for name in losses[0]} == losses[0]
    assert train(off, 2) == losses
    assert_same(after, state(off))


class Colours(Encoder):
    """The images themselves are the features."""

    channels, strides = (3,), (1,)

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> list[Tensor]:
        return [images * self.gain]


class First(nn.Module):
    """The only feature is the logits."""

    def forward(self, features: list[Tensor]) -> Tensor:
        return features[0]


class TwoScales(Segmentor):
    """Logits of the whole image, and in detail those of its lower right quarter, doubled."""

    detail_weight = 0.1

    def window(self, size: tuple[int, int], generator: torch.Generator) -> Window:
        return Window(size[0] // 2, size[1] // 2, size[0] // 2, size[1] // 2)

    def predict(self, features: list[Tensor], size: tuple[int, int], window: Window | None = None) -> Prediction:
        assert window is not None
        return Prediction(features[0], 2 * window.of(features[0]))


def cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> float:
    """By a plain loop."""
    total = 0.0
    for (b, h, w), label in zip(torch.ones_like(labels).nonzero().tolist(), labels.flatten().tolist(), strict=True):
        total -= float(weights[b, h, w] * (logits[b, label, h, w] - logits[b, :, h, w].exp().sum().log()))
    return total / labels.numel()


def test_lambda_scales_the_details_share_too() -> None:
    generator = torch.Generator().manual_seed(0)
    source, target = torch.rand(2, 2, 3, 8, 8, generator=generator)
    labels = torch.randint(3, (2, 8, 8), generator=generator)
    student = TwoScales("two", Colours(), First())
    step = TrainingStep(
        student=student,
        teacher=Teacher(student, 0.9),
        source_batch=Source(source, labels, [[0, 1, 2]] * 2),
        target_images=target,
        settings=SelfTraining(threshold=0.4),
        seed=0,
        iteration=0,
        target_valid=torch.rand(2, 8, 8, generator=generator) < 0.8,
    )
    term: Term[Any] = MIC(MICSettings(weight=0.5, domain="both", ratio=0.0, augment=False), student, (8, 8))
    losses = term.losses(step)
    assert list(losses) == ["loss_mic"]  # the trainer multiplies it by the weight; nothing is left outside of it
    images = torch.stack([source[0], target[0]])
    pseudo = target[0].argmax(0)  # of equal gains, the teacher's logits are the image
    confident = (target.softmax(1).amax(1) >= 0.4).float().mean().item()
    assert 0 < confident < 1 and step.target_valid is not None
    weights = torch.stack([torch.ones(8, 8), confident * step.target_valid[0].float()])
    wanted = torch.stack([labels[0], pseudo])
    whole = cross_entropy(images, wanted, weights)
    detail = cross_entropy(2 * images[..., 4:, 4:], wanted[:, 4:, 4:], weights[:, 4:, 4:])
    assert losses["loss_mic"].item() == pytest.approx(0.9 * whole + 0.1 * detail, rel=1e-5)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"TERMS.MIC.TEACHER": "own", "TERMS.MIC.DOMAIN": "source"}, "source images have labels: expected 'host'"),
    ],
)
def test_settings_that_cannot_be_are_refused(
    small_config: MakeConfig, settings: dict[str, Any], line: str
) -> None:
    with pytest.raises(MethodError) as error:
        small_config("mic", overrides=settings)
    assert line in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("protocol", "domain", "augment"),
    [
        ("gta-cityscapes", "target", True),
        ("synthia-cityscapes", "target", True),
        ("cityscapes-acdc", "both", False),
        ("cityscapes-darkzurich", "both", False),
    ],
)
def test_protocols_have_the_published_form(protocol: str, domain: str, augment: bool) -> None:
    mic = RunSpec(protocol, "daformer+mic").resolve().TERMS.MIC
    assert (domain, augment, "host") == (mic.DOMAIN, mic.AUGMENT, mic.TEACHER)
    assert (mic.RATIO, mic.BLOCK, mic.WEIGHT) == (0.7, 32, 1.0)
