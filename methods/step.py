"""What one training step computes, each thing once and only when a term asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from methods.class_mix import choose_classes, mix, paste_mask
from methods.networks import Segmentor
from methods.pseudo_labels import PseudoLabels, pseudo_labels
from methods.randomness import keyed_generator, seed_pass
from methods.strong_augmentation import StrongAugmentation
from methods.teacher import Teacher

SOURCE, MIXED, TARGET = "source", "mixed", "target"


@dataclass(frozen=True)
class SelfTraining:
    """How a host makes pseudo-labels and mixed images; shared by every term that uses them.

    Defaults are those of DACS. Rows are pixels of the training crop.
    """

    momentum: float = 0.99  # teacher's alpha
    threshold: float = 0.968  # softmax probability from which a pixel counts as confident
    ignore_top: int = 0  # rows with weight 0
    ignore_bottom: int = 0
    jitter_probability: float = 0.8
    jitter_strength: float = 0.2
    blur_probability: float = 0.5

    @property
    def strong(self) -> StrongAugmentation:
        return StrongAugmentation(self.jitter_probability, self.jitter_strength, self.blur_probability)


@dataclass(frozen=True)
class Source:
    """images: (B, 3, H, W) in [0, 1]. labels: (B, H, W) int64. classes: the train ids present in each label."""

    images: torch.Tensor
    labels: torch.Tensor
    classes: Sequence[Sequence[int]]


class View:
    """One version of a batch as the student sees it, with what it is trained towards.

    ``features`` and ``logits`` run the student when first read and are then shared: terms on the same view pay for one
    pass together.
    """

    def __init__(
        self, step: TrainingStep, name: str, images: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None
    ) -> None:
        self.name = name
        self.images = images  # (B, 3, H, W) in [0, 1]
        self.labels = labels  # (B, H, W) int64
        self.weights = weights  # (B, H, W) float in [0, 1], or None for 1 everywhere
        self._step = step

    @cached_property
    def features(self) -> list[torch.Tensor]:
        """The encoder's features with gradient, one (B, C_i, h_i, w_i) a decoder input, finest first."""
        self._step.seed(f"{self.name}/encoder")
        return self._step.student.encode(self.images)

    @cached_property
    def logits(self) -> torch.Tensor:
        """(B, K, H, W), with gradient."""
        return self.decode(self.features, f"{self.name}/decoder")

    def decode(self, features: list[torch.Tensor], name: str) -> torch.Tensor:
        """Decode any features of this view's shapes to (B, K, H, W) logits, as the named network pass."""
        self._step.seed(name)
        height, width = self.images.shape[-2:]
        return self._step.student.upsample(self._step.student.decode(features), (height, width))


class TrainingStep:
    """Student, teacher and the batches of one iteration; everything derived from them is computed lazily, once."""

    def __init__(
        self,
        *,
        student: Segmentor,
        teacher: Teacher | None,
        source_batch: Source,
        target_images: torch.Tensor | None,
        settings: SelfTraining,
        seed: int,
        iteration: int,
    ) -> None:
        self.student = student
        self.teacher = teacher
        self.source_batch = source_batch
        self.target_images = target_images
        self.settings = settings
        self.iteration = iteration
        self._seed = seed

    def generator(self, name: str) -> torch.Generator:
        """The CPU generator of the draw called ``name`` at this iteration."""
        return keyed_generator(self._seed, name, self.iteration)

    def seed(self, name: str) -> None:
        """Seed torch's global generators for the network pass called ``name``."""
        seed_pass(self._seed, name, self.iteration)

    def view(self, name: str, images: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> View:
        """A view of a term's own; its passes are named after ``name``."""
        return View(self, name, images, labels, weights)

    def release(self, view: str) -> None:
        """Forget a shared view after its losses were backpropagated, so that its graph is freed."""
        self.__dict__.pop(view, None)

    @cached_property
    def source(self) -> View:
        """The labelled source batch."""
        return self.view(SOURCE, self.source_batch.images, self.source_batch.labels, None)

    @cached_property
    def plain_target(self) -> torch.Tensor:
        """(B, 3, H, W) target images without strong augmentation."""
        if self.target_images is None:
            raise RuntimeError("a term asked for target images, but the recipe loads none")
        return self.target_images

    @cached_property
    def pseudo(self) -> PseudoLabels:
        """The teacher's pseudo-labels on the plain target images."""
        if self.teacher is None:
            raise RuntimeError("a term asked for pseudo-labels, but the recipe has no teacher")
        logits = self.teacher.logits(self.plain_target)
        return pseudo_labels(
            logits, self.settings.threshold, self.settings.ignore_top, self.settings.ignore_bottom
        )

    @cached_property
    def target(self) -> View:
        """The plain target images with their pseudo-labels: a student pass of its own."""
        return self.view(TARGET, self.plain_target, self.pseudo.labels, self.pseudo.weights)

    @cached_property
    def mixed(self) -> View:
        """The class-mixed, strongly augmented images (DACS). Pasted pixels carry the source label with weight 1."""
        source, pseudo = self.source_batch, self.pseudo
        chosen = choose_classes(source.classes, self.generator("mixed/classes"))
        mask = paste_mask(source.labels, chosen)
        images = mix(mask, source.images, self.plain_target)
        return self.view(
            MIXED,
            self.settings.strong(images, self.generator("mixed/augmentation")),
            mix(mask, source.labels, pseudo.labels),
            mix(mask, torch.ones_like(pseudo.weights), pseudo.weights),
        )
