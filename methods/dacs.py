"""DACS: self-training on class-mixed images (Tranheden et al., WACV 2021), in both of its published forms.

``dacs`` is the baseline that DAFormer, HRDA, MIC and MRM report: DAFormer's code base, AdamW with warm-up, 40,000
iterations; the config's defaults. ``dacs-original`` is the recipe of the paper itself, from the authors' public code
and configuration: SGD with momentum 0.9 and weight decay 5e-4, 2.5e-4 for the encoder and ten times that for the
classifier, polynomial decay of power 0.9 without warm-up, 250,000 iterations, no flips, no crops drawn again for a
dominant class, jitter of strength 0.25, the ignored label among those that ClassMix draws from, source loss averaged
over labelled pixels. Batch of 2, threshold, teacher and blur are the same.

What of theirs is not in ``dacs-original``: the network, a plain-stem ResNet-101 pretrained on COCO, with frozen scale
and shift in its batch norms and four branches (``--network deeplabv2-r101-4b`` comes nearest); bilinear upsampling with
aligned corners; GTA resized bicubically to exactly 1280x720; a teacher that is the student after its first step (here
half of it); scores at 1024x512 instead of the labels' size, of the best checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from methods.framework.recipes import MethodPart, register
from methods.framework.step import MIXED, TrainingStep
from methods.framework.term import Pictures, Term, TermSettings, term


@term("self-training")
class SelfTrainingLoss(Term[TermSettings]):
    """L_uda: cross-entropy of the student on the mixed image against source labels and pseudo-labels (DACS, Eq. 1).

    The mixed image, its labels and weights are the training step's, made with the config's ``SELF_TRAINING`` settings.
    """

    view = MIXED

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        return {"loss_mixed": step.mixed.loss()}

    def pictures(self, step: TrainingStep) -> Pictures:
        return {"mixed image": step.mixed.images, "mixed label": step.mixed.labels}


register(
    MethodPart(
        "dacs",
        "mean teacher, confidence-weighted pseudo-labels, ClassMix across domains (Tranheden et al., 2021)",
        terms=("supervised", "self-training"),
        host=True,
        teacher=True,
        network="deeplabv2-r101",
    )
)

# The schedule that protocols at the field's published sizes state: DAFormer's.
_ITERS, _ENCODER_LR = 40_000, 6e-5


def _original(values: Mapping[str, Any]) -> dict[str, Any]:
    """Rates and length of the original, by what the protocol makes of DAFormer's.

    Rates are changed by the factor by which the protocol changes DAFormer's (the embedded benchmark: 16.7). The length
    is the original's where the protocol has DAFormer's, with as many evaluations; a protocol of another length gives
    every method the same.
    """
    rate = 2.5e-4 * (values["SOLVER.ENCODER_LR"] / _ENCODER_LR)
    changes: dict[str, Any] = {"SOLVER.ENCODER_LR": rate, "SOLVER.DECODER_LR": 10 * rate}
    if values["SOLVER.ITERS"] == _ITERS:
        changes |= {"SOLVER.ITERS": 250_000, "TEST.PERIOD": 25_000}
    return changes


register(
    MethodPart(
        "dacs-original",
        "DACS by its first recipe: SGD, no warm-up, 250k iterations (Tranheden et al., 2021)",
        terms=("supervised", "self-training"),
        host=True,
        teacher=True,
        config={
            "SOLVER.OPTIMIZER": "sgd",
            "SOLVER.MOMENTUM": 0.9,
            "SOLVER.WEIGHT_DECAY": 5e-4,
            "SOLVER.WARMUP_ITERS": 0,
            "SOLVER.POWER": 0.9,
            "INPUT.FLIP": 0.0,
            "INPUT.MAX_CLASS_SHARE": 1.0,
            "SELF_TRAINING.JITTER_STRENGTH": 0.25,
            "SELF_TRAINING.MIX_IGNORED": True,
            "TERMS.SUPERVISED.LABELLED_MEAN": True,
        },
        adapt=_original,
    )
)
