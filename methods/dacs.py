"""DACS: self-training on class-mixed images (Tranheden et al., WACV 2021)."""

from __future__ import annotations

import torch

from methods.loss import pixel_cross_entropy
from methods.recipes import Part, register
from methods.step import MIXED, TrainingStep
from methods.term import Term, TermSettings, term


@term("self-training")
class SelfTrainingLoss(Term[TermSettings]):
    """L_uda: cross-entropy of the student on the mixed image against source labels and pseudo-labels (DACS, Eq. 1).

    The mixed image, its labels and weights are the training step's, made with the config's ``SELF_TRAINING`` settings.
    """

    view = MIXED

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        mixed = step.mixed
        return {"loss_mixed": pixel_cross_entropy(mixed.logits, mixed.labels, mixed.weights)}


register(
    Part(
        "dacs",
        "mean teacher, confidence-weighted pseudo-labels, ClassMix across domains (Tranheden et al., 2021)",
        terms=("supervised", "self-training"),
        host=True,
        teacher=True,
    )
)
