"""Semi-supervised adaptation: a few target images are learned from with their labels, beside whatever a host does."""

from __future__ import annotations

import torch

from methods.framework.recipes import MethodPart, register
from methods.framework.step import LABELLED, TrainingStep
from methods.framework.term import Pictures, Term, TermSettings, term


@term("semi")
class LabelledTarget(Term[TermSettings]):
    """L_semi: cross-entropy of the student on labelled target images, as L_sup is on the source's.

    They come as a batch of their own (DATA.LABELLED_TARGET, SOLVER.LABELLED_BATCH) beside the unlabelled target's, of
    whose images they are some. With ``source-only`` it is joint training on the labels of both domains, which
    semi-supervised adaptation is measured against (Wang et al., CVPR workshops 2020, arXiv 2004.00794; Morales-Brotons
    et al., arXiv 2411.18728).
    """

    view = LABELLED

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        return {"loss_semi": step.labelled.loss()}

    def pictures(self, step: TrainingStep) -> Pictures:
        return {"labelled target": step.labelled.images, "its label": step.labelled.labels}


register(
    MethodPart(
        "semi",
        "supervised on the target images that DATA.LABELLED_TARGET labels, added to a host or to source-only",
        terms=("semi",),
        pseudo_labels=False,
        few_labels=True,
    )
)
