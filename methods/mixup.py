"""Feature mixup, of which MRM is a special case (arXiv 2509.13801 v2, supplement 8.4; Verma et al., ICML 2019)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from methods.base.ranges import above_zero, at_least_one, choice, share
from methods.framework.recipes import MethodPart, register
from methods.framework.step import MIXED, TARGET, TrainingStep, View
from methods.framework.term import Term, TermSettings, term
from methods.networks import Prediction, Segmentor
from methods.parts.loss import segmentation_loss
from methods.parts.masking import bernoulli_mask, fuse, resize_mask

GLOBAL, LOCAL = "global", "local"


@dataclass(frozen=True)
class MixupSettings(TermSettings):
    """What is mixed, and how much."""

    # "global": Eq. 9 everywhere; "local": Eq. 8 at masked tokens, with another sample's features.
    scope: str = choice(GLOBAL, LOCAL)
    # Whose features are mixed: "mixed" shares the host's pass, "target" costs a pass of its own.
    view: str = choice(MIXED, TARGET)
    # With "global": alpha of Beta(alpha, alpha), of which the shares are drawn. Manifold Mixup's authors run 2 for
    # hidden layers (and 1 for images).
    alpha: float = above_zero(2.0)
    ratio: float = share(0.4)  # with "local": probability that a token is masked, MRM's
    resolution: int = at_least_one(16)  # with "local": side of the token grid, MRM's


@term("mixup")
class Mixup(Term[MixupSettings]):
    """Cross-entropy of decoded features that samples i of the batch share with their partners j, the ones before them.

    ``global``: f_mix = l * f_i + (1 - l) * f_j with l ~ Beta(alpha, alpha), one l a step as in the authors' code;
    loss = l * L(y_i) + (1 - l) * L(y_j), each with its own weights.
    ``local``: f_mix = M * f_j + (1 - M) * f_i with MRM's random token mask M, which also mixes labels and weights.

    All stages are mixed alike. A student with two resolutions (HRDA) sees one detail window in all samples, so that i
    and j meet at the same place: l is that of both scales, and M is drawn on the whole crop and cut to the window for
    the detail.
    """

    Settings = MixupSettings
    settings: MixupSettings

    def __init__(self, settings: MixupSettings, segmentor: Segmentor, crop: tuple[int, int]) -> None:
        super().__init__(settings, segmentor, crop)
        self.view = settings.view

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        view: View = getattr(step, self.view)
        return {"loss_mixup": self._global(step, view) if self.settings.scope == GLOBAL else self._local(step, view)}

    def _global(self, step: TrainingStep, view: View) -> torch.Tensor:
        share = draw_share(self.settings.alpha, step.generator("mixup/share"))
        prediction = view.predict(blend(view.features, share), "mixup/decoder")
        weights = None if view.weights is None else partner(view.weights)
        other = _loss(step, view, prediction, partner(view.labels), weights)
        return share * view.loss(prediction) + (1 - share) * other

    def _local(self, step: TrainingStep, view: View) -> torch.Tensor:
        side = self.settings.resolution
        mask = bernoulli_mask(len(view.images), side, side, self.settings.ratio, step.draws("mixup/mask"))
        pixels = resize_mask(mask, view.size)
        masks = [pixels] if view.window is None else [pixels, view.window.of(pixels)]
        fused = [
            feature
            for scale, part in zip(step.student.scales(view.features), masks, strict=True)
            for feature in fuse(scale, [partner(feature) for feature in scale], part)
        ]
        masked = pixels[:, 0].bool()
        labels = torch.where(masked, partner(view.labels), view.labels)
        weights = None if view.weights is None else torch.where(masked, partner(view.weights), view.weights)
        return _loss(step, view, view.predict(fused, "mixup/decoder"), labels, weights)


def partner(samples: torch.Tensor) -> torch.Tensor:
    """(B, ...) -> the partner j of each sample i."""
    return samples.roll(1, dims=0)


def blend(features: list[torch.Tensor], share: float) -> list[torch.Tensor]:
    """Eq. 9: l * f_i + (1 - l) * f_j for (B, C_i, h_i, w_i) features and the share l in [0, 1]."""
    return [share * feature + (1 - share) * partner(feature) for feature in features]


def draw_share(alpha: float, generator: torch.Generator) -> float:
    """l ~ Beta(alpha, alpha), by numpy: torch's Beta takes no generator."""
    return float(np.random.default_rng(generator.initial_seed()).beta(alpha, alpha))


def _loss(
    step: TrainingStep, view: View, prediction: Prediction, labels: torch.Tensor, weights: torch.Tensor | None
) -> torch.Tensor:
    return segmentation_loss(prediction, labels, weights, view.window, step.student.detail_weight)


register(
    MethodPart(
        "mixup",
        "feature mixup between the samples of a batch (Verma et al., 2019; arXiv 2509.13801, Eq. 9)",
        terms=("mixup",),
        min_batch=2,
        one_process=True,
    )
)
register(
    MethodPart(
        "mixup-local",
        "feature mixup at masked tokens, with another sample's features (arXiv 2509.13801, supplement 8.4)",
        terms=("mixup",),
        min_batch=2,
        one_process=True,
        config={"TERMS.MIXUP.SCOPE": LOCAL},
    )
)
