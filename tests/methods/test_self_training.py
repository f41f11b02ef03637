"""Teacher, pseudo-labels, ClassMix and strong augmentation against independent computations."""

from __future__ import annotations

import colorsys
import math

import pytest
import torch
from torch import nn

from methods.base.draws import Draws
from methods.base.randomness import key_seed, keyed_generator
from methods.framework.step import SelfTraining, Source, TrainingStep
from methods.networks import build_segmentor
from methods.parts.class_mix import choose_classes, mix, paste_mask
from methods.parts.pseudo_labels import pseudo_labels
from methods.parts.strong_augmentation import StrongAugmentation, _kernel_size, colour_jitter, gaussian_blur
from methods.parts.teacher import Teacher


class Tiny(nn.Module):
    """One parameter, one dropout and one batch norm: all that the teacher's rules are about."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))
        self.norm = nn.BatchNorm2d(1)
        self.dropout = nn.Dropout(0.5)


def test_teacher_follows_the_closed_form() -> None:
    student = Tiny()
    teacher = Teacher(student, momentum=0.6)  # type: ignore[arg-type]
    values = [1.0, -2.0, 5.0, 0.5, 3.0]
    for iteration, value in enumerate(values):
        student.value.data.fill_(value)
        teacher.update(student, iteration)  # type: ignore[arg-type]
    # alpha = 1/2, then 0.6 from the second update on (1 - 1/3 = 0.67 is capped), written out as one sum.
    expected = 0.5 * 1.0 * 0.6**4 + sum(0.4 * value * 0.6 ** (4 - index) for index, value in enumerate(values) if index)
    assert teacher.segmentor.value.item() == pytest.approx(expected, rel=1e-6)  # type: ignore[union-attr, operator]


def test_a_teacher_of_another_student_follows_that_one() -> None:
    first, second = Tiny(), Tiny()
    teacher = Teacher(first, momentum=0.5)  # type: ignore[arg-type]
    for student, value in ((first, 4.0), (second, 8.0)):
        student.value.data.fill_(value)
        teacher.update(student, 0)  # type: ignore[arg-type]
    assert teacher.segmentor.value.item() == (4 / 2 + 8) / 2  # type: ignore[union-attr, operator]


def test_teacher_keeps_its_own_buffers_and_drops_nothing_out() -> None:
    student = Tiny()
    teacher = Teacher(student, momentum=0.9)  # type: ignore[arg-type]
    student.norm.running_mean.fill_(7.0)  # type: ignore[union-attr]
    teacher.update(student, 0)  # type: ignore[arg-type]
    copy = teacher.segmentor
    assert copy.norm.running_mean.item() == 0  # type: ignore[union-attr, operator]
    assert copy.norm.training and not copy.dropout.training  # type: ignore[union-attr]
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_pseudo_labels_by_hand() -> None:
    probability = torch.tensor([[[0.97, 0.60], [0.99, 0.10]], [[0.03, 0.40], [0.01, 0.90]]])[None]
    valid = torch.tensor([[[False, False], [True, True]]])
    labels, weights, certainty, confidence = pseudo_labels(probability.log(), 0.968, valid)
    assert labels.tolist() == [[[0, 0], [0, 1]]]
    assert certainty.flatten().tolist() == pytest.approx([0.97, 0.60, 0.99, 0.90])
    assert confidence.item() == pytest.approx(0.5)  # two of four pixels, the ignored row included
    assert weights.tolist() == [[[0, 0], [0.5, 0.5]]]


def test_ignored_rows_count_for_nothing_unless_something_is_pasted_there() -> None:
    generator = torch.Generator().manual_seed(0)
    source, target = torch.rand(2, 1, 3, 64, 64, generator=generator)
    labels = torch.arange(2).repeat_interleave(32).expand(1, 64, 64)  # class 0 on the left half, class 1 on the right
    valid = torch.ones(1, 64, 64, dtype=torch.bool)
    valid[:, :7] = False
    torch.manual_seed(0)
    student = build_segmentor("daformer-lite0", 19, "none")
    step = TrainingStep(
        student=student,
        teacher=Teacher(student, 0.99),
        source_batch=Source(source, labels, [[0, 1]]),
        target_images=target,
        settings=SelfTraining(threshold=0.0),
        seed=0,
        iteration=0,
        target_valid=valid,
    )
    weights, mixed = step.mixed.weights, step.mixed.labels
    assert weights is not None
    (pasted,) = (c for c in (0, 1) if (mixed[labels == c] == c).all())
    assert (weights[labels == pasted] == 1).all()
    assert torch.equal(weights[labels != pasted], valid[labels != pasted].float())
    assert torch.equal(mixed[labels != pasted], step.pseudo.labels[labels != pasted])


def test_classes_are_half_rounded_up_without_the_ignored_one() -> None:
    present = [[0, 3, 7, 255], [5], [255], [1, 2, 3, 4]]
    chosen = choose_classes(present, keyed_generator(0, "test"))
    assert [len(classes) for classes in chosen] == [2, 1, 0, 2]
    for classes, of in zip(chosen, present, strict=True):
        assert set(classes) <= set(of) - {255} and len(set(classes)) == len(classes)


def test_the_ignored_label_is_drawn_where_the_original_dacs_draws_it() -> None:
    draws = [choose_classes([[0, 255]], keyed_generator(0, "test", index), ignored=True)[0] for index in range(200)]
    assert all(len(classes) == 1 for classes in draws)
    assert abs(sum(classes == [255] for classes in draws) / 200 - 0.5) < 0.15
    mask = paste_mask(torch.tensor([[[0, 255]]]), [[255]])
    assert mask.tolist() == [[[False, True]]]


def test_every_class_is_chosen_equally_often() -> None:
    counts = torch.zeros(4)
    for index in range(400):
        counts[choose_classes([[0, 1, 2, 3]], keyed_generator(0, "test", index))[0]] += 1
    assert (counts / 400 - 0.5).abs().max() < 0.1


def test_class_mix_on_a_drawn_example() -> None:
    source_labels = torch.tensor([[[0, 0, 1], [2, 255, 1]]])
    mask = paste_mask(source_labels, [[0, 1]])
    assert mask.tolist() == [[[True, True, True], [False, False, True]]]
    source, target = torch.full((1, 3, 2, 3), 0.25), torch.full((1, 3, 2, 3), 0.75)
    assert mix(mask, source, target)[0, 2].tolist() == [[0.25, 0.25, 0.25], [0.75, 0.75, 0.25]]
    assert mix(mask, source_labels, torch.full((1, 2, 3), 9)).tolist() == [[[0, 0, 1], [9, 9, 1]]]


@pytest.mark.parametrize(("which", "factor"), [(2, 0.8), (2, 1.2), (3, 0.9), (3, 1.15)])
def test_saturation_and_hue_as_colorsys_computes_them(which: int, factor: float) -> None:
    images = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(1))
    images[..., 0, 0] = 0.5  # grey
    images[..., 0, 1] = 0.0  # black
    factors = torch.ones(4, 1)
    factors[which] = factor
    result = colour_jitter(images, factors, [which])
    for row in range(4):
        for column in range(5):
            hue, saturation, value = colorsys.rgb_to_hsv(*images[0, :, row, column].tolist())
            hue = (hue + factor - 1) % 1 if which == 3 else hue
            saturation = min(1, saturation * factor) if which == 2 else saturation
            expected = colorsys.hsv_to_rgb(hue, saturation, value)
            assert result[0, :, row, column].tolist() == pytest.approx(expected, abs=1e-5)


def test_brightness_adds_and_contrast_multiplies() -> None:
    images = torch.tensor([0.1, 0.5, 0.95]).view(1, 3, 1, 1)
    factors = torch.tensor([[1.1], [0.8], [1.0], [1.0]])
    assert colour_jitter(images, factors, [0, 1]).flatten().tolist() == pytest.approx([0.16, 0.48, 0.8])
    assert colour_jitter(images, factors, [1, 0]).flatten().tolist() == pytest.approx([0.18, 0.5, 0.86])


def test_blur_equals_the_dense_kernel() -> None:
    images = torch.rand(2, 3, 30, 40, generator=torch.Generator().manual_seed(2))
    sigma = torch.tensor([0.3, 1.1])
    result = gaussian_blur(images, sigma)
    for index in range(2):
        kernels = []
        for side in (30, 40):
            size = _kernel_size(side)
            spread = 2 * sigma[index].item() ** 2
            kernel = torch.tensor([math.exp(-((i - size // 2) ** 2) / spread) for i in range(size)])
            kernels.append(kernel / kernel.sum())
        dense = kernels[0][:, None] * kernels[1][None]
        padding = (dense.shape[1] // 2, dense.shape[1] // 2, dense.shape[0] // 2, dense.shape[0] // 2)
        padded = nn.functional.pad(images[index][:, None], padding, mode="reflect")
        assert torch.allclose(result[index], nn.functional.conv2d(padded, dense[None, None])[:, 0], atol=1e-5)


def test_kernel_sizes_are_the_published_ones() -> None:
    assert [_kernel_size(side) for side in (512, 256)] == [51, 25]


def test_order_of_jitter_is_one_for_the_batch_and_sigma_is_of_each_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of another kind than the authors' draws on purpose: docs/methods.md says why."""
    orders, sigmas = [], []

    def jitter(images: torch.Tensor, factors: torch.Tensor, order: list[int]) -> torch.Tensor:
        orders.append(tuple(order))
        assert factors.shape == (4, 3) and len(factors.unique()) == 12
        return images

    def blur(images: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        sigmas.append(sigma)
        return images

    monkeypatch.setattr("methods.parts.strong_augmentation.colour_jitter", jitter)
    monkeypatch.setattr("methods.parts.strong_augmentation.gaussian_blur", blur)
    for index in range(300):
        StrongAugmentation(1.0, 0.2, 1.0)(torch.zeros(3, 3, 8, 8), Draws(keyed_generator(0, "test", index)))
    assert len(set(orders)) == 24 and all(sorted(order) == [0, 1, 2, 3] for order in orders)
    assert all(len(sigma.unique()) == 3 for sigma in sigmas)
    drawn = torch.cat(sigmas)
    assert 0.15 <= drawn.min() < 0.17 and 1.13 < drawn.max() <= 1.15


def test_strong_augmentation_decides_as_often_as_published() -> None:
    images = torch.rand(1, 3, 40, 40)
    unchanged = sum(
        torch.equal(StrongAugmentation()(images, Draws(keyed_generator(0, "test", index))), images)
        for index in range(400)
    )
    assert abs(unchanged / 400 - 0.2 * 0.5) < 0.05
    augmented = StrongAugmentation(1.0, 0.2, 1.0)(images, Draws(keyed_generator(0, "test")))
    assert augmented.min() >= 0 and augmented.max() <= 1 + 1e-6


def test_keys_draw_the_same_everywhere() -> None:
    # Written down once: another value means that runs made before cannot be repeated.
    assert key_seed(0, "mixed/classes", 7) == 9179633388922071360
    assert key_seed(0, "mixed/classes", 7) != key_seed(0, "mixed/classes", 8)


def test_teacher_of_a_network_has_drop_path_off() -> None:
    torch.manual_seed(0)
    teacher = Teacher(build_segmentor("daformer-lite0", 19, "none"), 0.99)
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(teacher.logits(images), teacher.logits(images))
