"""What one training step computes, each thing once and only when a term asks for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from methods.base.batch_share import ALONE, Share
from methods.base.draws import Draws
from methods.base.errors import MethodError
from methods.base.randomness import keyed_generator, seed_pass
from methods.base.ranges import at_least_zero, share
from methods.networks import Prediction, Segmentor, Window
from methods.parts.class_mix import choose_classes, mix, paste_mask
from methods.parts.loss import segmentation_loss
from methods.parts.pseudo_labels import PseudoLabels, pseudo_labels
from methods.parts.strong_augmentation import StrongAugmentation
from methods.parts.teacher import Teacher

SOURCE, MIXED, TARGET, LABELLED = "source", "mixed", "target", "labelled"


@dataclass(frozen=True)
class SelfTraining:
    """How a host makes pseudo-labels and mixed images; shared by every term that uses them.

    Defaults are those of DACS as DAFormer's code base runs it.
    """

    momentum: float = share(0.99)  # alpha of the teacher's moving average of the student; 0: it is the student
    threshold: float = share(0.968)  # softmax probability from which a pixel counts as confident
    jitter_probability: float = share(0.8)  # probability that the images of a batch have their colours jittered
    jitter_strength: float = at_least_zero(0.2)  # most that brightness, contrast, saturation and hue change by
    blur_probability: float = share(0.5)  # probability that the images of a batch are blurred
    mix_ignored: bool = False  # whether ClassMix draws from the ignored label too, as DACS's own code does

    @property
    def strong(self) -> StrongAugmentation:
        return StrongAugmentation(self.jitter_probability, self.jitter_strength, self.blur_probability)


@dataclass(frozen=True)
class Source:
    """Labelled images, of the source or of the target.

    images: (B, 3, H, W) in [0, 1]. labels: (B, H, W) int64. classes: the train ids present in each label.
    """

    images: torch.Tensor
    labels: torch.Tensor
    classes: Sequence[Sequence[int]]


class View:
    """One version of a batch as the student sees it, with what it is trained towards.

    ``features`` and ``prediction`` run the student when first read and are then shared: terms on the same view pay for
    one pass together.
    """

    def __init__(
        self,
        step: TrainingStep,
        name: str,
        images: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor | None,
        probability: torch.Tensor | None = None,
    ) -> None:
        self.name = name
        self.images = images  # (B, 3, H, W) in [0, 1]
        self.labels = labels  # (B, H, W) int64
        self.weights = weights  # (B, H, W) float in [0, 1], or None for 1 everywhere
        self.probability = probability  # (B, H, W) of the teacher's labels, 1 where they are given; None: all given
        self._step = step

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images."""
        return self.images.shape[-2], self.images.shape[-1]

    @cached_property
    def window(self) -> Window | None:
        """What a student of two resolutions sees of these images in detail."""
        return self._step.student.window(self.size, self._step.generator(f"{self.name}/window"))

    @cached_property
    def features(self) -> list[torch.Tensor]:
        """The encoder's features with gradient, one (B, C_i, h_i, w_i) a decoder input, finest first."""
        self._step.seed(f"{self.name}/encoder")
        return self._step.student.encode(self.images, self.window)

    @cached_property
    def prediction(self) -> Prediction:
        """What the student predicts from ``features``, with gradient."""
        return self.predict(self.features, f"{self.name}/decoder")

    @property
    def logits(self) -> torch.Tensor:
        """(B, K, H, W), with gradient."""
        return self.prediction.logits

    def predict(self, features: list[torch.Tensor], name: str) -> Prediction:
        """Decode any features of this view's shapes, as the network pass called ``name``."""
        self._step.seed(name)
        return self._step.student.predict(features, self.size, self.window)

    def loss(self, prediction: Prediction | None = None) -> torch.Tensor:
        """The segmentation loss of ``prediction``, by default the view's own, against its labels and weights."""
        return segmentation_loss(
            self.prediction if prediction is None else prediction,
            self.labels,
            self.weights,
            self.window,
            self._step.student.detail_weight,
        )


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
        target_valid: torch.Tensor | None = None,
        labelled_target: Source | None = None,
        share: Share = ALONE,
    ) -> None:
        """Take one iteration's batches; nothing is computed yet.

        ``target_valid``: (B, H, W) bool, False where pseudo-labels count for nothing; None: True everywhere.

        ``labelled_target``: target images with their labels, where the recipe learns from some; as many as it has.

        ``share``: of a batch that several processes have together, of which the images given are this one's.
        """
        self.student = student
        self.teacher = teacher
        self.source_batch = source_batch
        self.target_images = target_images
        self.target_valid = target_valid
        self.labelled_target = labelled_target
        self.settings = settings
        self.iteration = iteration
        self._share = share
        self._seed = seed

    def rand(self, name: str, shape: Sequence[int]) -> torch.Tensor:
        """Uniform draws in [0, 1) called ``name``, (B, ...) for this process's B images, on the images' device.

        Each image of the whole batch has its own, the same ones for any number of processes and in a resumed run.
        """
        return self.draws(name).rand(shape)

    def draws(self, name: str) -> Draws:
        """What the draw called ``name`` at this iteration draws from, image by image."""
        return Draws(self.generator(name), self._share, self.source_batch.images.device)

    def generator(self, name: str) -> torch.Generator:
        """The CPU generator of the draw called ``name``, the same in every process: for what is one for all images.

        Drawn from it image by image, the images of each process would get those of the first: see ``rand``.
        """
        return keyed_generator(self._seed, name, self.iteration)

    def seed(self, name: str) -> None:
        """Seed torch's global generators for the network pass called ``name``."""
        seed_pass(self._seed, name, self.iteration)

    def view(
        self,
        name: str,
        images: torch.Tensor,
        labels: torch.Tensor,
        weights: torch.Tensor | None,
        probability: torch.Tensor | None = None,
    ) -> View:
        """A view of a term's own; its passes are named after ``name``."""
        return View(self, name, images, labels, weights, probability)

    def release(self, view: str) -> None:
        """Forget a shared view after its losses were backpropagated, so that its graph is freed."""
        self.__dict__.pop(view, None)

    def labels_of(self, teacher: Teacher) -> PseudoLabels:
        """The pseudo-labels of any teacher on the plain target images, computed anew; the host's are ``pseudo``."""
        logits = teacher.logits(self.plain_target)
        return pseudo_labels(logits, self.settings.threshold, self.target_valid, lambda x: self._share.mean(x.mean()))

    def mean_over(self, total: torch.Tensor | int, count: torch.Tensor) -> torch.Tensor:
        """The mean ``total / count`` over what is counted in all images of the batch; 0 where nothing is.

        What a loss divides by goes through here where it is no constant: several processes have their shares of the
        batch, and the mean of their losses is that of the whole.
        """
        return total / self._share.divisor(count)

    def of_whole(self, make: Callable[..., torch.Tensor], *rows: torch.Tensor) -> torch.Tensor:
        """What ``make`` makes of tensors with a row for each image of the batch: for what joins images, as one process.

        Of several processes each makes it of the rows of all, and has its share of the rows made. No gradient goes
        through.

        Raises:
            MethodError: the rows that were made are no multiple of the processes.
        """
        made = make(*(self._share.gathered(each) for each in rows))
        if len(made) % self._share.ranks:
            raise MethodError(
                f"a batch of {self._share.global_size(len(rows[0]))} gives {len(made)} images to train on: expected a "
                f"multiple of the {self._share.ranks} processes; try an even SOLVER.BATCH"
            )
        return self._share.local_rows(made)

    @cached_property
    def source(self) -> View:
        """The labelled source batch."""
        return self.view(SOURCE, self.source_batch.images, self.source_batch.labels, None)

    @cached_property
    def labelled(self) -> View:
        """The labelled target batch."""
        if self.labelled_target is None:
            raise RuntimeError("a term asked for labelled target images, but the recipe loads none")
        return self.view(LABELLED, self.labelled_target.images, self.labelled_target.labels, None)

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
        return self.labels_of(self.teacher)

    @cached_property
    def target(self) -> View:
        """The plain target images with their pseudo-labels: a student pass of its own."""
        pseudo = self.pseudo
        return self.view(TARGET, self.plain_target, pseudo.labels, pseudo.weights, pseudo.probability)

    @cached_property
    def mixed(self) -> View:
        """The class-mixed, strongly augmented images (DACS). Pasted pixels carry the source label with weight 1."""
        source, pseudo = self.source_batch, self.pseudo
        present, draw = self._share.listed(source.classes), self.generator("mixed/classes")
        chosen = self._share.local_items(choose_classes(present, draw, self.settings.mix_ignored))
        mask = paste_mask(source.labels, chosen)
        images = mix(mask, source.images, self.plain_target)
        ones = torch.ones_like(pseudo.weights)
        return self.view(
            MIXED,
            self.settings.strong(images, self.draws("mixed/augmentation")),
            mix(mask, source.labels, pseudo.labels),
            mix(mask, ones, pseudo.weights),
            mix(mask, ones, pseudo.probability),
        )
