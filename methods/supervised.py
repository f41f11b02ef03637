"""Supervised cross-entropy on labelled images: alone, the source-only baseline or the target-trained oracle."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from methods.framework.recipes import MethodPart, register
from methods.framework.step import SOURCE, TrainingStep
from methods.framework.term import Term, TermSettings, term
from methods.parts.loss import IGNORE


@dataclass(frozen=True)
class SupervisedSettings(TermSettings):
    """The default is what DAFormer's code base and all that build on it do."""

    labelled_mean: bool = False  # True: mean over the labelled pixels, as in DACS's own code; False: over all pixels


@term("supervised")
class Supervised(Term[SupervisedSettings]):
    """L_sup: cross-entropy of the student on the labelled batch; 0 where nothing in it is labelled."""

    Settings = SupervisedSettings
    view = SOURCE
    settings: SupervisedSettings

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        loss = step.source.loss()
        if self.settings.labelled_mean:
            labelled = (step.source.labels != IGNORE).sum()
            loss = loss * step.mean_over(step.source.labels.numel(), labelled)
        return {"loss_supervised": loss}


register(
    MethodPart(
        "source-only",
        "supervised on source labels, no adaptation: the lower reference",
        terms=("supervised",),
        host=True,
    )
)
register(
    MethodPart(
        "target-only",
        "oracle: supervised on the target's training labels, which UDA does not have: the upper reference",
        terms=("supervised",),
        host=True,
        labelled="target",
    )
)
