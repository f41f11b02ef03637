"""MIC: masked image consistency (Hoyer et al., CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from methods.base.errors import MethodError
from methods.base.ranges import at_least_one, choice, share
from methods.framework.recipes import MethodPart, register
from methods.framework.step import SOURCE, TARGET, TrainingStep
from methods.framework.term import OWN, Pictures, Term, TermSettings, term
from methods.networks import Segmentor
from methods.parts.masking import block_mask
from methods.parts.pseudo_labels import PseudoLabels
from methods.parts.teacher import Teacher

BOTH = "both"
HOST = "host"


@dataclass(frozen=True)
class MICSettings(TermSettings):
    """Defaults are those published for GTA and SYNTHIA to Cityscapes; protocols set what differs on theirs.

    Raises MethodError for a teacher without images to label, a momentum without teacher.
    """

    ratio: float = share(0.7)  # probability that a block is masked
    # Side of a masked block in pixels of the crop: 64 at full resolution, 32 where Cityscapes is halved.
    block: int = at_least_one(32)
    # Whose images are masked: "target", "source", or "both": half a batch of each.
    domain: str = choice(TARGET, SOURCE, BOTH)
    augment: bool = True  # colour jitter and blur before masking; the authors leave them out on ACDC and Dark Zurich
    teacher: str = choice(HOST, OWN)  # whose pseudo-labels: the "host"'s, or those of a teacher of its "own"
    momentum: float = share(0.999)  # alpha of a teacher of its own; 0: it is the student after the last step
    weighted: bool = True  # whether pseudo-labels weigh by the share of confident pixels; False: they weigh 1

    def __post_init__(self) -> None:
        if self.teacher == HOST and self.momentum != MICSettings.momentum:
            raise MethodError(
                f"TERMS.MIC.MOMENTUM is {self.momentum}, which an own teacher has: expected TERMS.MIC.TEACHER {OWN!r}"
            )
        if self.domain == SOURCE and self.teacher == OWN:
            raise MethodError(f"TERMS.MIC.TEACHER is {OWN!r}, but source images have labels: expected {HOST!r}")


@term("mic")
class MIC(Term[MICSettings]):
    """L_M: consistency of the student on a masked target image with the host teacher on the whole one.

    The labels are the host's pseudo-labels, with their weights, at all pixels, masked or not (MIC, Eq. 4 to 8). Masked
    pixels are 0 after normalization, that is: the encoder's mean colour. The image has its own draw of jitter and blur.
    ``weight`` scales all of it, also the detail's share of a student of two resolutions. (The authors' code leaves that
    share out of lambda; published runs have 1.)

    The published variants, by the authors' settings:

    - Cityscapes to ACDC and Dark Zurich: ``domain both``, ``augment False``. The first half (rounded up) of the source
      and of the target batch are masked: one image each of the published two. Source images have their labels and
      weight 1.
    - Domain study (Table 6): ``domain`` source, target, both.
    - Ablation (Table 7): ``augment False``; ``ratio 0``; ``teacher own`` with ``momentum 0`` for "without EMA teacher";
      ``weighted False`` for "without quality weight".

    An own teacher starts as a copy of the student and follows it after each step, with its own pseudo-labels and their
    weight; pixels that the host distrusts have weight 0 in every variant.
    """

    Settings = MICSettings
    view = OWN
    settings: MICSettings

    def __init__(self, settings: MICSettings, segmentor: Segmentor, crop: tuple[int, int]) -> None:
        super().__init__(settings, segmentor, crop)
        self.teacher = Teacher(segmentor, settings.momentum) if settings.teacher == OWN else None

    def update(self, student: Segmentor, iteration: int) -> None:
        if self.teacher is not None:
            self.teacher.update(student, iteration)

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        return {"loss_mic": step.view("mic", *self._masked(step)).loss()}

    def pictures(self, step: TrainingStep) -> Pictures:
        return {"masked by MIC": self._masked(step)[0]}

    def _masked(self, step: TrainingStep) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Masked images, (B, 3, H, W), with labels and weights, (B, H, W)."""
        images, labels, weights = self._whole(step)
        if self.settings.augment:
            images = step.settings.strong(images, step.draws("mic/augmentation"))
        batch, _, height, width = images.shape
        mask = block_mask(batch, height, width, self.settings.block, self.settings.ratio, step.draws("mic/mask"))
        return torch.where(mask.bool(), step.student.encoder.pixel_mean.to(images.dtype), images), labels, weights

    def _whole(self, step: TrainingStep) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Images before masking, (B, 3, H, W), with labels and weights, (B, H, W)."""
        source = step.source_batch
        if self.settings.domain == SOURCE:
            return source.images, source.labels, None
        pseudo = self._pseudo(step)
        weights = pseudo.weights
        if not self.settings.weighted:
            ones = torch.ones_like(weights)
            weights = ones if step.target_valid is None else ones * step.target_valid
        if self.settings.domain == TARGET:
            return step.plain_target, pseudo.labels, weights
        return (
            step.of_whole(_halves, source.images, step.plain_target),
            step.of_whole(_halves, source.labels, pseudo.labels),
            step.of_whole(_halves, torch.ones_like(weights), weights),
        )

    def _pseudo(self, step: TrainingStep) -> PseudoLabels:
        return step.pseudo if self.teacher is None else step.labels_of(self.teacher)


def _halves(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The first half, rounded up, of the source and of the target batch."""
    half = (len(source) + 1) // 2
    return torch.cat([source[:half], target[:half]])


register(
    MethodPart("mic", "masked image consistency on target images, added to a host (Hoyer et al., 2023)", terms=("mic",))
)
