"""A term that ships, with a schedule of its weight: MRM whose λ rises from 0 in the first iterations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch

from methods.base.ranges import at_least_one
from methods.framework.recipes import MethodPart, register
from methods.framework.step import TrainingStep
from methods.framework.term import term
from methods.mrm import MRM, MRMSettings

Losses = Callable[[TrainingStep], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class WarmMRMSettings(MRMSettings):
    """Those of MRM, and one more."""

    warmup: int = at_least_one(1500)  # TERMS.MRM_WARM.WARMUP: iterations until λ is TERMS.MRM_WARM.WEIGHT


@term("mrm-warm")
class WarmMRM(MRM):
    """MRM with λ min(1, (t + 1) / warmup) at iteration t, so that the Rebuilder learns before the student heeds it.

    AdamW divides a gradient by its size, so that the Rebuilder, which only this loss trains, learns from the start.
    """

    Settings = WarmMRMSettings

    def losses_by_view(self) -> Mapping[str, Losses]:
        return {view: partial(self._warmed, losses) for view, losses in super().losses_by_view().items()}

    def _warmed(self, losses: Losses, step: TrainingStep) -> dict[str, torch.Tensor]:
        assert isinstance(self.settings, WarmMRMSettings)
        weight = min(1.0, (step.iteration + 1) / self.settings.warmup)
        return {name: weight * loss for name, loss in losses(step).items()}


register(MethodPart("mrm-warm", "MRM whose weight rises in the first iterations", terms=("mrm-warm",)))
