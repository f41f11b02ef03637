"""MRM: masked representation modeling in latent space, in every form (arXiv 2509.13801 v2, CVPR 2026)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F

from methods.base.errors import MethodError
from methods.base.ranges import at_least_one, at_least_zero, choice, share
from methods.framework.recipes import MethodPart, register
from methods.framework.step import MIXED, SOURCE, TARGET, TrainingStep, View
from methods.framework.term import Pictures, Term, TermSettings, term
from methods.networks import Segmentor
from methods.parts.masking import fuse, resize_mask
from methods.parts.rebuilder import Rebuilder
from methods.parts.reconstruction import PixelHead, masked_feature_loss, masked_mean_square, teacher_features
from methods.parts.token_masks import BLOCK, CONFIDENCE, STRATEGIES, TokenMasker

BOTH, ENCODER, DECODER = "both", "encoder", "decoder"
CLASSES, PIXELS, TEACHER, STUDENT, MASK_ONLY = (
    "pixel-classification",
    "pixel-regression",
    "teacher-feature",
    "student-feature",
    "mask-only",
)
DECODED = (CLASSES, MASK_ONLY)


@dataclass(frozen=True)
class MRMSettings(TermSettings):
    """Defaults are the published ones.

    Raises:
        MethodError: choices that make no sense together.
    """

    # How tokens are masked: "random", "block", "confidence" or "class" (methods/parts/token_masks.py).
    strategy: str = choice(*STRATEGIES)
    ratio: float = share(0.4)  # probability that a token is masked, or the share that is
    # Side of a block in tokens, with "block": 16 tokens of the 256, the least of BEiT (Bao et al., 2022).
    block: int = at_least_one(4)
    # Which images of the target domain: "mixed" shares the host's pass, "target" costs a pass of its own.
    view: str = choice(MIXED, TARGET)
    # Whose features are masked: "target", "source" (by its labels) or "both".
    domain: str = choice(TARGET, SOURCE, BOTH)
    trained: str = choice(BOTH, ENCODER, DECODER)  # what the loss trains of the student: "encoder", "decoder" or "both"
    # What is learned: "pixel-classification", "pixel-regression", "teacher-feature", "student-feature" or "mask-only".
    objective: str = choice(*DECODED, PIXELS, TEACHER, STUDENT)
    learning_rate: float = at_least_zero(2e-4)  # learning rate of the Rebuilder
    dim: int = at_least_one(512)  # width of the Rebuilder's tokens: a multiple of 4 and of heads
    blocks: int = at_least_one(2)  # Transformer blocks of the Rebuilder
    heads: int = at_least_one(16)  # attention heads of a block
    resolution: int = at_least_one(16)  # side of the token grid

    def __post_init__(self) -> None:
        if self.strategy == CONFIDENCE and self.domain != TARGET:
            raise MethodError(
                f"TERMS.MRM.STRATEGY is {CONFIDENCE!r} and TERMS.MRM.DOMAIN {self.domain!r}: source labels have no "
                f"confidence; expected TERMS.MRM.DOMAIN {TARGET!r}"
            )
        if self.domain == SOURCE and self.view != MIXED:
            raise MethodError(
                f"TERMS.MRM.VIEW is {self.view!r} and TERMS.MRM.DOMAIN {SOURCE!r}, which has no such view; "
                f"expected TERMS.MRM.DOMAIN {TARGET!r} or {BOTH!r}"
            )
        if self.trained == DECODER and self.objective not in DECODED:
            raise MethodError(
                f"TERMS.MRM.TRAINED is {DECODER!r} and TERMS.MRM.OBJECTIVE {self.objective!r}, which decodes nothing; "
                f"expected TERMS.MRM.TRAINED {ENCODER!r} or {BOTH!r}"
            )
        if self.strategy != BLOCK and self.block != MRMSettings.block:
            raise MethodError(
                f"TERMS.MRM.BLOCK is {self.block}: expected TERMS.MRM.STRATEGY {BLOCK!r} too, found {self.strategy!r}"
            )
        if self.strategy == BLOCK and self.block > self.resolution:
            raise MethodError(
                f"TERMS.MRM.BLOCK is {self.block}: expected at most TERMS.MRM.RESOLUTION ({self.resolution})"
            )
        if self.objective != MASK_ONLY and (self.dim % 4 or self.dim % self.heads):
            raise MethodError(
                f"TERMS.MRM.DIM is {self.dim}: expected a multiple of 4 and of TERMS.MRM.HEADS ({self.heads})"
            )


@term("mrm")
class MRM(Term[MRMSettings]):
    """L_mrm = CrossEntropy(D(f_r), pseudo-label), where f_r are the encoder's features with masked places rebuilt.

    The features are those the host already computed for the view, with gradient, so a step costs a Rebuilder and a
    decoder pass more, not an encoder pass. Labels and weights are the view's. The Rebuilder belongs to this term alone:
    at inference there is only D(E(x)).

    The paper's ablations as settings; where it gives no detail, what was chosen:

    - ``domain``: ``source`` masks the source view, with its labels and weight 1; ``both`` adds that as a loss of its
      own (``loss_mrm_source``), with the same Rebuilder and other masks.
    - ``trained``: ``encoder`` takes all other parameters of the student as constants in this pass, ``decoder`` takes
      the features as constants. The Rebuilder trains always, and batch norms count this pass in all three.
    - ``objective``: ``pixel-regression`` predicts the view's pixels, normalised as the encoder takes them, from the
      rebuilt last stage by one linear layer, ``teacher-feature`` and ``student-feature`` rebuild the features that the
      teacher's or the student's own encoder has of the same images, all stages alike: mean square over masked places
      (methods/parts/reconstruction.py), without the decoder; the weights of pseudo-labels play no part.
      ``teacher-feature`` costs an encoder pass of the teacher, which leaves the host's teacher as it is.
      ``mask-only`` sets masked features to 0, has no Rebuilder, and else is as ``pixel-classification``.

    Of a student with two resolutions (HRDA) context and detail are masked and rebuilt both, by one Rebuilder, each with
    a mask of its own over what it shows; then they are decoded and fused as ever. Losses without decoder are averaged
    over the two. The paper reports HRDA with MRM, but not how.
    """

    Settings = MRMSettings
    settings: MRMSettings

    def __init__(self, settings: MRMSettings, segmentor: Segmentor, crop: tuple[int, int]) -> None:
        super().__init__(settings, segmentor, crop)
        self.view = SOURCE if settings.domain == SOURCE else settings.view
        self.learning_rate = settings.learning_rate
        self.masker = TokenMasker(settings.strategy, settings.ratio, settings.resolution, settings.block)
        self.rebuilder: Rebuilder | None = None
        self.pixel_head: PixelHead | None = None
        encoder = segmentor.encoder
        if settings.objective == MASK_ONLY:
            return
        height, width = segmentor.scale_sizes(crop)[0]  # the detail is of this size too, as published
        sizes = [(math.ceil(height / stride), math.ceil(width / stride)) for stride in encoder.strides]
        stages = self.stages()
        self.rebuilder = Rebuilder(
            encoder.channels[stages],
            sizes[stages],
            dim=settings.dim,
            blocks=settings.blocks,
            heads=settings.heads,
            resolution=settings.resolution,
        )
        if settings.objective == PIXELS:
            self.pixel_head = PixelHead(encoder.channels[-1], encoder.strides[-1])

    @classmethod
    def numerics(cls, settings: MRMSettings) -> int:
        """2 since the Rebuilder's channel norms have the authors' eps, 1e-6 in place of 1e-5."""
        return 1 if settings.objective == MASK_ONLY else 2

    def stages(self) -> slice:
        """The stages of the encoder that the Rebuilder rebuilds, from the last of them as tokens."""
        return slice(-1, None) if self.settings.objective == PIXELS else slice(None)

    def fused(self, student: Segmentor, features: list[torch.Tensor], mask: torch.Tensor) -> list[torch.Tensor]:
        """f_r of Eq. 8, (B, C_i, h_i, w_i) each, of the features of one scale and its mask (B, 1, H', W')."""
        return fuse(features, self._fill(features, mask), mask)

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        return {name: loss for make in self.losses_by_view().values() for name, loss in make(step).items()}

    def losses_by_view(self) -> Mapping[str, Callable[[TrainingStep], dict[str, torch.Tensor]]]:
        return {view: partial(self._losses_of, view, loss, draws) for view, loss, draws in self._views()}

    def pictures(self, step: TrainingStep) -> Pictures:
        """The images whose features are masked, with the encoder's mean colour where they are."""
        shown = {name: self._shown(step, getattr(step, name), draws) for name, _, draws in self._views()}
        return {f"masked by MRM ({name})": images for name, images in shown.items()}

    def _shown(self, step: TrainingStep, view: View, draws: str) -> torch.Tensor:
        masked = resize_mask(self._masks(step, view, draws)[0], view.size).bool()
        return torch.where(masked, step.student.encoder.pixel_mean.to(view.images.dtype), view.images)

    def _views(self) -> Iterator[tuple[str, str, str]]:
        """The names of each view that is masked, of its loss, and of its draws."""
        if self.settings.domain != SOURCE:
            yield self.settings.view, "loss_mrm", "mrm"
        if self.settings.domain != TARGET:
            yield SOURCE, "loss_mrm_source", "mrm/source"

    def _losses_of(self, name: str, loss: str, draws: str, step: TrainingStep) -> dict[str, torch.Tensor]:
        view: View = getattr(step, name)
        features = view.features
        if self.settings.trained == DECODER:
            features = [feature.detach() for feature in features]
        scales = step.student.scales(features)
        masks = self._masks(step, view, draws)
        step.seed(f"{draws}/rebuilder")
        if self.settings.objective in DECODED:
            fused = [
                feature
                for scale, mask in zip(scales, masks, strict=True)
                for feature in self.fused(step.student, scale, mask)
            ]
            with _constants(step.student) if self.settings.trained == ENCODER else nullcontext():
                return {loss: view.loss(view.predict(fused, f"{draws}/decoder"))}
        if self.settings.objective == PIXELS:
            return {loss: self._pixel_loss(step, view, scales, masks)}
        return {loss: self._feature_loss(step, view, scales, masks)}

    def _masks(self, step: TrainingStep, view: View, draws: str) -> list[torch.Tensor]:
        """One mask a scale; all that decides it is cut to what the scale shows."""
        labels = _by_scale(view, view.labels)
        none: list[torch.Tensor | None] = [None] * len(labels)
        probability = none if view.probability is None else _by_scale(view, view.probability)
        names = (f"{draws}/mask", f"{draws}/mask/detail")[: len(labels)]
        return [
            self.masker.draw(label, sure, step.draws(name))
            for label, sure, name in zip(labels, probability, names, strict=True)
        ]

    def _fill(self, features: list[torch.Tensor], mask: torch.Tensor) -> list[torch.Tensor]:
        """f_o of Eq. 8: what takes the place of masked features."""
        if self.rebuilder is None:
            return [torch.zeros_like(feature) for feature in features]
        return self.rebuilder(features, mask)

    def _pixel_loss(
        self, step: TrainingStep, view: View, scales: list[list[torch.Tensor]], masks: list[torch.Tensor]
    ) -> torch.Tensor:
        assert self.rebuilder is not None and self.pixel_head is not None
        losses = []
        images, sizes = _by_scale(view, view.images), step.student.scale_sizes(view.size)
        for features, mask, image, size in zip(scales, masks, images, sizes, strict=True):
            if image.shape[-2:] != size:
                image = F.interpolate(image, size, mode="bilinear", align_corners=False)
            predicted = self.pixel_head(self.rebuilder(features[-1:], mask)[0], size)
            losses.append(masked_mean_square(predicted, step.student.encoder.normalise(image), mask, step.mean_over))
        return torch.stack(losses).mean()

    def _feature_loss(
        self, step: TrainingStep, view: View, scales: list[list[torch.Tensor]], masks: list[torch.Tensor]
    ) -> torch.Tensor:
        assert self.rebuilder is not None
        targets = scales
        if self.settings.objective == TEACHER:
            if step.teacher is None:
                raise RuntimeError("a term asked for the teacher's features, but the recipe has no teacher")
            targets = step.student.scales(teacher_features(step.teacher.segmentor, view.images, view.window))
        losses = [
            masked_feature_loss(self.rebuilder(features, mask), target, mask, step.mean_over)
            for features, target, mask in zip(scales, targets, masks, strict=True)
        ]
        return torch.stack(losses).mean()


def _by_scale(view: View, maps: torch.Tensor) -> list[torch.Tensor]:
    """The part of the view's (B, ..., H, W) maps that each of the student's scales shows: all of it, and the detail."""
    return [maps] if view.window is None else [maps, view.window.of(maps)]


@contextmanager
def _constants(student: Segmentor) -> Iterator[None]:
    """Passes made within take all parameters of the student but the encoder's as constants."""
    encoder = {id(parameter) for parameter in student.encoder.parameters()}
    others = [p for p in student.parameters() if p.requires_grad and id(p) not in encoder]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in others:
            parameter.requires_grad_(True)


register(
    MethodPart(
        "mrm",
        "masked representation modeling: mask features, rebuild, decode against pseudo-labels (arXiv 2509.13801)",
        terms=("mrm",),
    )
)
