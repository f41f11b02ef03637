"""Feature distance on cases worked out on paper, and DAFormer's recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from detectron2.config import CfgNode
from stepped_trainer import assert_same, make_trainer, state, train
from torch import Tensor, nn

from benchmarks.config.keys import flatten, get_config
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from methods.base.errors import MethodError
from methods.daformer import adapt
from methods.feature_distance import FeatureDistance, FeatureDistanceSettings
from methods.framework.step import SelfTraining, Source, TrainingStep
from methods.networks import Encoder, Segmentor, Window

MakeConfig = Callable[..., CfgNode]
ROAD, LIGHT, PERSON, CAR, IGNORED = 0, 6, 11, 13, 255
# Labels of the drawn images are small: what counts as an image of a class is, too.
DRAWN = {"SAMPLING.MIN_PIXELS": 20, "SAMPLING.MIN_CROP_PIXELS": 10, "SELF_TRAINING.THRESHOLD": 0.0}


class Means(Encoder):
    """Two features a 4x4 cell: the mean of red and that of green, each times a trained factor that starts at 1."""

    channels, strides = (2,), (4,)

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.ones(2))
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> list[Tensor]:
        self.seen.append(images)
        cells = nn.functional.avg_pool2d(images[:, :2], 4, ceil_mode=True)
        return [torch.zeros_like(cells), cells * self.factor.view(1, 2, 1, 1)]


class TwoScales(Segmentor):
    """Sees the whole image at half its size, then the upper left half at full size."""

    def encode(self, images: Tensor, window: Window | None = None) -> list[Tensor]:
        half = nn.functional.interpolate(images, self.scale_sizes(images.shape[-2:])[0], mode="bilinear")
        corner = images[..., : images.shape[-2] // 2, : images.shape[-1] // 2]
        return [*self.encoder(half), *self.encoder(corner)]

    def scales(self, features: list[Tensor]) -> list[list[Tensor]]:
        return [features[:2], features[2:]]

    def scale_sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        return [(size[0] // 2, size[1] // 2)] * 2


def make_term(
    segmentor_class: type[Segmentor] = Segmentor, **settings: Any
) -> tuple[FeatureDistance, Segmentor]:
    segmentor = segmentor_class("means", Means(), nn.Identity())
    return FeatureDistance(FeatureDistanceSettings(**settings), segmentor, (8, 8)), segmentor


def distance(term: FeatureDistance, student: Segmentor, images: Tensor, labels: Tensor) -> Tensor:
    step = TrainingStep(
        student=student,
        teacher=None,
        source_batch=Source(images, labels, []),
        target_images=None,
        settings=SelfTraining(),
        seed=0,
        iteration=0,
    )
    return term.losses(step)["loss_feature_distance"]


def drawn_example() -> tuple[Tensor, Tensor]:
    """Two 8x8 images of four 4x4 cells each.

    The first: red and green 1, 0.5 / 0.25, 0.125 by cell; a car, a person on 12 of 16 pixels (the share of 0.75), half
    a person beside half a car, road. The second: nothing labelled.
    """
    intensity = torch.tensor([[1.0, 0.5], [0.25, 0.125]]).repeat_interleave(4, 0).repeat_interleave(4, 1)
    labels = torch.full((2, 8, 8), IGNORED)
    labels[0] = ROAD
    labels[0, :4, :4] = CAR
    labels[0, :3, 4:] = PERSON
    labels[0, 4:, :2], labels[0, 4:, 2:4] = PERSON, CAR
    return intensity.expand(2, 3, 8, 8).clone(), labels


def test_distance_on_a_case_worked_out_on_paper() -> None:
    term, student = make_term()
    factor = student.encoder.factor
    assert isinstance(factor, nn.Parameter)
    factor.data = torch.tensor([4.0, 5.0])  # off the frozen (1, 1) by (3, 4): distance 5 times the intensity
    loss = distance(term, student, *drawn_example())
    assert loss.item() == pytest.approx((5 * 1.0 + 5 * 0.5) / 2)
    loss.backward()
    # d/df |f - 1| = (f - 1) / |f - 1| = (0.6, 0.8), times the mean intensity of the two cells.
    assert factor.grad is not None
    assert factor.grad.tolist() == pytest.approx([0.6 * 0.75, 0.8 * 0.75])


@pytest.mark.parametrize(
    ("settings", "intensities"),
    [
        ({"classes": (CAR,)}, [1.0]),
        ({"classes": (ROAD, PERSON)}, [0.5, 0.125]),
        ({"min_share": 0.5}, [1.0, 0.5, 0.25]),
        ({"min_share": 0.76}, [1.0]),
    ],
)
def test_classes_and_share_choose_the_cells(settings: dict[str, Any], intensities: list[float]) -> None:
    term, student = make_term(**settings)
    student.encoder.factor.data = torch.tensor([4.0, 5.0])  # type: ignore[union-attr]
    loss = distance(term, student, *drawn_example())
    assert loss.item() == pytest.approx(5 * sum(intensities) / len(intensities))


def test_without_a_thing_it_is_0_and_moves_nothing() -> None:
    term, student = make_term()
    factor = student.encoder.factor
    assert isinstance(factor, nn.Parameter)
    factor.data = torch.tensor([4.0, 5.0])
    images, labels = drawn_example()
    loss = distance(term, student, images, torch.full_like(labels, IGNORED))
    loss.backward()
    assert loss.item() == 0
    assert factor.grad is not None and factor.grad.tolist() == [0, 0]


def test_gradient_is_finite_where_nothing_has_moved_yet() -> None:
    term, student = make_term()
    loss = distance(term, student, *drawn_example())
    loss.backward()
    grad = student.encoder.factor.grad
    assert loss.item() == 0 and isinstance(grad, Tensor) and grad.tolist() == [0, 0]


def test_cells_of_a_side_that_is_no_multiple_share_the_pixels_of_their_border() -> None:
    term, _ = make_term(classes=(CAR,), min_share=0.75)
    labels = torch.full((1, 1, 10), ROAD)
    labels[..., :4] = CAR
    # Three cells on 10 pixels: 0..3, 3..6, 6..9 (floor and ceiling of 10/3 and 20/3): 4, 4 and 4 pixels.
    assert term.shown(labels, (1, 3)).tolist() == [[[True, False, False]]]
    labels[..., 3] = ROAD  # 3 of 4 pixels are left
    assert term.shown(labels, (1, 3)).tolist() == [[[True, False, False]]]
    labels[..., 2] = ROAD
    assert not term.shown(labels, (1, 3)).any()


def test_two_resolutions_are_compared_at_the_context() -> None:
    term, student = make_term(TwoScales)
    frozen = term.frozen
    assert isinstance(frozen, Means)
    student.encoder.factor.data = torch.tensor([4.0, 5.0])  # type: ignore[union-attr]
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    images[:, 1] = images[:, 0]
    labels = torch.full((1, 16, 16), ROAD)
    labels[0, :8, :8] = CAR  # one of 2x2 cells of the context, but all of the detail
    loss = distance(term, student, images, labels)
    # Halving bilinearly is the mean of 2x2 pixels, so a cell's feature is the mean of 8x8 pixels of the crop.
    assert loss.item() == pytest.approx(5 * images[0, 0, :8, :8].mean().item(), rel=1e-5)
    (seen,) = frozen.seen
    assert seen.shape == (1, 3, 8, 8)
    assert torch.allclose(seen, images.view(1, 3, 8, 2, 8, 2).mean((3, 5)), atol=1e-6)


@pytest.mark.slow
def test_the_frozen_encoder_stays_as_it_was(small_config: MakeConfig) -> None:
    trainer = make_trainer(small_config("daformer", overrides=DRAWN))
    (term,) = (term for term in trainer.terms if isinstance(term, FeatureDistance))
    start = {name: tensor.clone() for name, tensor in trainer.student.encoder.state_dict().items()}
    optimized = {id(p) for group in trainer.optimizer.param_groups for p in group["params"]}
    trainer.terms.train()
    assert not any(module.training for module in term.frozen.modules())
    assert not any(p.requires_grad or id(p) in optimized for p in term.frozen.parameters())
    train(trainer, 2)
    kept = term.frozen.state_dict()
    assert [name for name in start if not torch.equal(start[name], kept[name])] == []
    assert any(not torch.equal(start[name], value) for name, value in trainer.student.encoder.state_dict().items())
    saved = trainer.terms.state_dict()
    assert {f"2.frozen.{name}" for name in start} == set(saved)


def test_a_step_pays_for_one_more_encoder_pass_without_gradient(small_config: MakeConfig) -> None:
    trainer = make_trainer(small_config("daformer", overrides=DRAWN))
    (term,) = (term for term in trainer.terms if isinstance(term, FeatureDistance))
    calls = {"student": 0, "frozen": 0}

    def counter(name: str) -> Callable[..., None]:
        def count(module: nn.Module, inputs: Any, outputs: list[Tensor]) -> None:
            calls[name] += 1
            assert outputs[-1].requires_grad is (name == "student")

        return count

    trainer.student.encoder.register_forward_hook(counter("student"))
    term.frozen.register_forward_hook(counter("frozen"))
    losses = train(trainer, 1)[0]
    assert calls == {"student": 2, "frozen": 1}  # source and mixed images; source images
    assert "loss_feature_distance" in losses


@pytest.mark.slow
def test_weight_0_is_bit_identical_to_the_host_without_it(small_config: MakeConfig) -> None:
    host = make_trainer(
        small_config("dacs", overrides=DRAWN | {"SELF_TRAINING.MOMENTUM": 0.999, "SAMPLING.RARE_CLASSES": True})
    )
    off = make_trainer(small_config("daformer", overrides=DRAWN | {"TERMS.FEATURE_DISTANCE.WEIGHT": 0.0}))
    assert train(host, 3) == train(off, 3)
    assert_same(state(host), state(off))


@pytest.mark.slow
def test_the_distance_pulls_on_the_encoder(small_config: MakeConfig) -> None:
    settings = DRAWN | {
        "TERMS.FEATURE_DISTANCE.CLASSES": tuple(range(19)),
        "TERMS.FEATURE_DISTANCE.MIN_SHARE": 0.01,
        "SOLVER.WARMUP_ITERS": 0,
    }
    losses = train(make_trainer(small_config("daformer", overrides=settings)), 2)
    # Train mode with drop connect differs from eval mode already at the first step.
    assert all(step["loss_feature_distance"] > 0 for step in losses)
    settings["TERMS.FEATURE_DISTANCE.WEIGHT"] = 0.0
    free = train(make_trainer(small_config("daformer", overrides=settings)), 2)
    assert free[0]["loss_supervised"] == losses[0]["loss_supervised"]
    assert free[1]["loss_supervised"] != losses[1]["loss_supervised"]


def test_in_bf16_the_distance_is_taken_in_float32(small_config: MakeConfig) -> None:
    trainer = make_trainer(small_config("daformer", overrides=DRAWN))
    (term,) = (term for term in trainer.terms if isinstance(term, FeatureDistance))
    images, labels = torch.rand(2, 3, 64, 64), torch.full((2, 64, 64), CAR)
    full = distance(term, trainer.student, images, labels)
    with torch.autocast("cpu", torch.bfloat16):
        half = distance(term, trainer.student, images, labels)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(full.item(), rel=0.05)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"classes": ()}, "TERMS.FEATURE_DISTANCE.CLASSES is empty: expected the train ids of thing classes"),
        ({"classes": (3, 255)}, "TERMS.FEATURE_DISTANCE.CLASSES is (3, 255): expected train ids from 0 to 254"),
        ({"classes": (-1,)}, "expected train ids from 0 to 254"),
    ],
)
def test_classes_that_cannot_be_are_refused(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(MethodError) as error:
        make_term(**settings)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_recipe_sets_what_was_published() -> None:
    cfg = RunSpec("gta-cityscapes", "daformer").resolve()
    assert (cfg.SELF_TRAINING.MOMENTUM, cfg.SAMPLING.RARE_CLASSES) == (0.999, True)
    assert cfg.INPUT.TARGET_MARGINS == (15, 120, 0)
    assert (cfg.SOLVER.WARMUP_ITERS, cfg.TERMS.FEATURE_DISTANCE.WEIGHT) == (1500, 0.005)
    assert RunSpec("gta-cityscapes", "dacs").resolve().INPUT.TARGET_MARGINS == (0, 0, 0)
    assert RunSpec("cityscapes-acdc", "daformer").resolve().INPUT.TARGET_MARGINS == (0, 0, 0)
    chosen = {"TERMS.FEATURE_DISTANCE.CLASSES": [LIGHT, CAR], "SAMPLING.RARE_CLASSES": False}
    cfg = RunSpec("gta-cityscapes", "daformer", overrides=chosen).resolve()
    assert (cfg.TERMS.FEATURE_DISTANCE.CLASSES, cfg.SAMPLING.RARE_CLASSES) == ((LIGHT, CAR), False)
    with pytest.raises(ConfigError, match=r"TERMS\.FEATURE_DISTANCE\.MIN_SHARE is 1\.5, expected a number from 0 to 1"):
        RunSpec("gta-cityscapes", "daformer", overrides={"TERMS.FEATURE_DISTANCE.MIN_SHARE": 1.5}).resolve()


def test_of_own_data_the_things_are_those_that_are_called_so() -> None:
    own = {"DATA.CLASSES": ("ground", "tree", "animal", "cart"), "DATA.THINGS": ("cart", "animal", "nothing known")}
    changes = adapt(flatten(get_config()) | own)
    assert changes["TERMS.FEATURE_DISTANCE.CLASSES"] == (3, 2)
    assert "TERMS.FEATURE_DISTANCE.CLASSES" not in adapt(flatten(get_config()))
