"""MRM: masked representation modeling (arXiv 2509.13801 v2, CVPR 2026), in latent space, with the Rebuilder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from methods.errors import MethodError
from methods.loss import pixel_cross_entropy
from methods.masking import bernoulli_mask, resize_mask
from methods.networks import Segmentor
from methods.randomness import to_device
from methods.rebuilder import Rebuilder
from methods.recipes import Part, register
from methods.step import MIXED, TARGET, TrainingStep, View
from methods.term import Term, TermSettings, term


@dataclass(frozen=True)
class MRMSettings(TermSettings):
    """Defaults are the published ones."""

    ratio: float = 0.4  # probability that a token is masked
    view: str = MIXED  # whose features are masked: "mixed" shares the host's pass, "target" costs a pass of its own
    learning_rate: float = 2e-4  # of the Rebuilder
    dim: int = 512
    blocks: int = 2
    heads: int = 16
    resolution: int = 16  # side of the token grid


@term("mrm")
class MRM(Term[MRMSettings]):
    """L_mrm = CrossEntropy(D(f_r), pseudo-label), where f_r are the encoder's features with masked places rebuilt.

    The features are those the host already computed for the view, with gradient, so a step costs a Rebuilder and a
    decoder pass more, not an encoder pass. Labels and weights are the view's. The Rebuilder belongs to this term alone:
    at inference there is only D(E(x)).
    """

    Settings = MRMSettings
    settings: MRMSettings

    def __init__(self, settings: MRMSettings, segmentor: Segmentor, crop: tuple[int, int]) -> None:
        super().__init__(settings, segmentor, crop)
        if settings.view not in (MIXED, TARGET):
            raise MethodError(f"TERMS.MRM.VIEW is {settings.view!r}: expected {MIXED!r} or {TARGET!r}")
        if settings.dim % 4 or settings.dim % settings.heads:
            raise MethodError(
                f"TERMS.MRM.DIM is {settings.dim}: expected a multiple of 4 and of TERMS.MRM.HEADS ({settings.heads})"
            )
        self.view = settings.view
        self.learning_rate = settings.learning_rate
        encoder = segmentor.encoder
        sizes = [(math.ceil(crop[0] / stride), math.ceil(crop[1] / stride)) for stride in encoder.strides]
        self.rebuilder = Rebuilder(
            encoder.channels,
            sizes,
            dim=settings.dim,
            blocks=settings.blocks,
            heads=settings.heads,
            resolution=settings.resolution,
        )

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        view: View = getattr(step, self.view)
        side = self.settings.resolution
        mask = bernoulli_mask(len(view.images), side, side, self.settings.ratio, step.generator("mrm/mask"))
        mask = to_device(mask, view.images)
        step.seed("mrm/rebuilder")
        rebuilt = fuse(view.features, self.rebuilder(view.features, mask), mask)
        logits = view.decode(rebuilt, "mrm/decoder")
        return {"loss_mrm": pixel_cross_entropy(logits, view.labels, view.weights)}


def fuse(
    features: Sequence[torch.Tensor], rebuilt: Sequence[torch.Tensor], mask: torch.Tensor
) -> list[torch.Tensor]:
    """f_r = M * f_o + (1 - M) * f_t at every scale (Eq. 8): rebuilt where masked, the encoder's own elsewhere.

    Args:
        features: f_t, (B, C_i, h_i, w_i).
        rebuilt: f_o, in the same shapes.
        mask: M, (B, 1, H', W'), 1 where masked; resized to each scale by nearest neighbour.
    """
    return [
        torch.where(resize_mask(mask, (kept.shape[-2], kept.shape[-1])).bool(), new.to(kept.dtype), kept)
        for kept, new in zip(features, rebuilt, strict=True)
    ]


register(
    Part(
        "mrm",
        "masked representation modeling: mask features, rebuild, decode against pseudo-labels (arXiv 2509.13801)",
        terms=("mrm",),
    )
)
