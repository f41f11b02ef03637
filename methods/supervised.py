"""Supervised cross-entropy on labelled images: alone, the source-only baseline or the target-trained oracle."""

from __future__ import annotations

import torch

from methods.loss import pixel_cross_entropy
from methods.recipes import Part, register
from methods.step import SOURCE, TrainingStep
from methods.term import Term, TermSettings, term


@term("supervised")
class Supervised(Term[TermSettings]):
    """L_sup: cross-entropy of the student on the labelled batch."""

    view = SOURCE

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        return {"loss_supervised": pixel_cross_entropy(step.source.logits, step.source.labels)}


register(
    Part(
        "source-only",
        "supervised on source labels, no adaptation: the lower reference",
        terms=("supervised",),
        host=True,
    )
)
register(
    Part(
        "target-only",
        "oracle: supervised on the target's training labels, which UDA does not have: the upper reference",
        terms=("supervised",),
        host=True,
        labelled="target",
    )
)
