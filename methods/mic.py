"""MIC: masked image consistency (Hoyer et al., CVPR 2023)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from methods.loss import pixel_cross_entropy
from methods.masking import block_mask
from methods.randomness import to_device
from methods.recipes import Part, register
from methods.step import TrainingStep
from methods.term import OWN, Term, TermSettings, term


@dataclass(frozen=True)
class MICSettings(TermSettings):
    """Published: ratio 0.7, blocks of 64 pixels at Cityscapes' full resolution."""

    ratio: float = 0.7  # probability that a block is masked
    block: int = 32  # side of a block in pixels of the crop: 64 at full resolution, 32 where Cityscapes is halved


@term("mic")
class MIC(Term[MICSettings]):
    """L_M: consistency of the student on a masked target image with the host teacher on the whole one.

    The labels are the host's pseudo-labels, with their weights, at all pixels, masked or not (MIC, Eq. 4 to 8). Masked
    pixels are 0 after normalization, that is: the encoder's mean colour. The image has its own draw of jitter and blur.
    """

    Settings = MICSettings
    view = OWN
    settings: MICSettings

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        images = step.settings.strong(step.plain_target, step.generator("mic/augmentation"))
        batch, _, height, width = images.shape
        mask = block_mask(
            batch, height, width, self.settings.block, self.settings.ratio, step.generator("mic/mask")
        )
        mask = to_device(mask, images)
        masked = torch.where(mask.bool(), step.student.encoder.pixel_mean.to(images.dtype), images)
        view = step.view("mic", masked, step.pseudo.labels, step.pseudo.weights)
        return {"loss_mic": pixel_cross_entropy(view.logits, view.labels, view.weights)}


register(
    Part("mic", "masked image consistency on target images, added to a host (Hoyer et al., 2023)", terms=("mic",))
)
