"""MRM in input space: mask tokens replace image patches before the encoder (arXiv 2509.13801 v2, Table 6)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from methods.base.ranges import at_least_one, at_least_zero, choice, share
from methods.framework.recipes import MethodPart, register
from methods.framework.step import MIXED, TARGET, TrainingStep, View
from methods.framework.term import OWN, Pictures, Term, TermSettings, term
from methods.networks import Segmentor
from methods.parts.masking import bernoulli_mask, resize_mask


@dataclass(frozen=True)
class MRMInputSettings(TermSettings):
    """Defaults are those of MRM in latent space, which Table 6 compares with."""

    ratio: float = share(0.4)  # probability that a patch is masked
    view: str = choice(MIXED, TARGET)  # whose images are masked: "mixed" or "target"
    learning_rate: float = at_least_zero(2e-4)  # learning rate of the mask token
    resolution: int = at_least_one(16)  # patches a side


@term("mrm-input")
class MRMInput(Term[MRMInputSettings]):
    """CrossEntropy(D(E(masked image)), pseudo-label): a second pass of the whole network, and no Rebuilder.

    The image is that of the view, with its augmentation; the labels and weights are the view's, at all pixels, masked
    or not. The paper says that mask tokens replace patches, as in BERT, and no more. Chosen here: a token is one
    learnable patch of pixels, the same at every masked place (SimMIM, Xie et al., CVPR 2022, has one token, too), in
    the units that the encoder takes after normalization, initialized as the Rebuilder's mask token.
    A view of its own: with two resolutions (HRDA) it also has a detail window of its own.
    """

    Settings = MRMInputSettings
    view = OWN
    settings: MRMInputSettings

    def __init__(self, settings: MRMInputSettings, segmentor: Segmentor, crop: tuple[int, int]) -> None:
        super().__init__(settings, segmentor, crop)
        self.learning_rate = settings.learning_rate
        side = settings.resolution
        self.mask_token = nn.Parameter(torch.empty(1, 3, math.ceil(crop[0] / side), math.ceil(crop[1] / side)))
        nn.init.normal_(self.mask_token, std=0.02)

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        # The shared view's graph may be gone by now; its images are drawn again, equal, and cost no pass.
        shared: View = getattr(step, self.settings.view)
        view = step.view("mrm-input", self._images(step), shared.labels, shared.weights, shared.probability)
        return {"loss_mrm_input": view.loss()}

    def pictures(self, step: TrainingStep) -> Pictures:
        return {"masked by MRM (input)": self._images(step)}

    def _images(self, step: TrainingStep) -> torch.Tensor:
        shared: View = getattr(step, self.settings.view)
        side = self.settings.resolution
        mask = bernoulli_mask(len(shared.images), side, side, self.settings.ratio, step.draws("mrm-input/mask"))
        return self.masked(shared.images, mask, step.student)

    def masked(self, images: torch.Tensor, mask: torch.Tensor, student: Segmentor) -> torch.Tensor:
        """Put the mask token in the place of masked patches.

        Args:
            images: (B, 3, H, W) in [0, 1], of the training crop's size.
            mask: (B, 1, S, S), 1 where masked.
            student: whose encoder says how images are normalised.

        Returns:
            (B, 3, H, W), in the units of ``images``; token pixels may lie outside [0, 1].
        """
        height, width = images.shape[-2], images.shape[-1]
        side, encoder = self.settings.resolution, student.encoder
        patches = F.interpolate(self.mask_token.tile(1, 1, side, side), (height, width), mode="nearest")
        tokens = patches * encoder.pixel_std + encoder.pixel_mean
        return torch.where(resize_mask(mask, (height, width)).bool(), tokens, images)


register(
    MethodPart(
        "mrm-input",
        "MRM in input space: mask tokens in place of image patches, a second pass (arXiv 2509.13801, Table 6)",
        terms=("mrm-input",),
    )
)
