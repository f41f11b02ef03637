"""A method of one's own: entropy minimization on the mixed image, as a term that any host can have."""

from dataclasses import dataclass

import torch

from methods.base.ranges import above_zero, share
from methods.framework.recipes import MethodPart, register
from methods.framework.step import MIXED, TrainingStep
from methods.framework.term import Term, TermSettings, term


@dataclass(frozen=True)
class EntropySettings(TermSettings):
    """What can be set: each field is a config key, and has a range beside its default."""

    temperature: float = above_zero(1.0)  # TERMS.ENTROPY.TEMPERATURE, refused at 0 and below
    kept: float = share(0.5)  # of the pixels, drawn anew each step


@term("entropy")
class Entropy(Term[EntropySettings]):
    """Minimize the entropy of the student on the mixed image."""

    Settings = EntropySettings
    view = MIXED  # whose graph the loss lives in

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        probability = (step.mixed.logits / self.settings.temperature).softmax(dim=1)
        entropy = -(probability * probability.clamp_min(1e-8).log()).sum(dim=1)  # (B, H, W)
        kept = step.rand("entropy/kept", tuple(entropy.shape)) < self.settings.kept
        return {"loss_entropy": (entropy * kept).mean()}


register(MethodPart("entropy", "entropy minimization on the mixed image", terms=("entropy",)))
