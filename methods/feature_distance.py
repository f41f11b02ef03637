"""Feature distance: the encoder may not forget what ImageNet taught it of thing classes (DAFormer, section 3.3).

Hoyer et al., CVPR 2022. Where the paper leaves a choice, this is what the authors' public code does: one class must
cover the share of a cell by itself, a share of exactly ``min_share`` counts, the mean is over the cells of the whole
batch, and labels are pooled from the size of the crop, also where the encoder sees it at half size (HRDA). Theirs logs
NaN where no cell is left and backpropagates the distance by itself; here that is exactly 0, and the gradient of the
sum is the same.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from methods.base.errors import MethodError
from methods.base.ranges import at_least_zero, share
from methods.framework.step import SOURCE, TrainingStep
from methods.framework.term import Term, TermSettings, term
from methods.networks import Segmentor

# Train ids are stored in a byte, 255 is ignored.
_LAST_TRAIN_ID = 254


@dataclass(frozen=True)
class FeatureDistanceSettings(TermSettings):
    """Defaults are the published ones."""

    weight: float = at_least_zero(0.005)
    # Train ids of the thing classes: Cityscapes' lights, signs, people, riders and vehicles. Own data: recipes set
    # those of DATA.THINGS.
    classes: tuple[int, ...] = (6, 7, 11, 12, 13, 14, 15, 16, 17, 18)
    min_share: float = share(0.75)  # least share of a feature cell's pixels that one of the classes covers


@term("feature-distance")
class FeatureDistance(Term[FeatureDistanceSettings]):
    """L_FD: mean Euclidean distance of the student's last encoder features from those of a frozen encoder.

    Per cell over the channels, on source images, at the cells that show a thing class; 0 where there is none. The
    frozen encoder is the student's as it is when the term is built: with its ImageNet weights, or whatever the run
    starts from (random weights hold the student to its random features). It stays in eval mode, so its batch norms use
    ImageNet's statistics, and it is part of the term's state. A student of two resolutions is compared on the context
    alone, as HRDA's published settings have it.
    """

    Settings = FeatureDistanceSettings
    view = SOURCE
    settings: FeatureDistanceSettings

    _classes: torch.Tensor

    def __init__(self, settings: FeatureDistanceSettings, segmentor: Segmentor, crop: tuple[int, int]) -> None:
        """Copy the encoder. Raises MethodError where the classes are no train ids or there are none."""
        super().__init__(settings, segmentor, crop)
        if not settings.classes:
            raise MethodError(
                "TERMS.FEATURE_DISTANCE.CLASSES is empty: expected the train ids of thing classes (of own data, "
                "DATA.THINGS names them), or TERMS.FEATURE_DISTANCE.WEIGHT 0"
            )
        if min(settings.classes) < 0 or max(settings.classes) > _LAST_TRAIN_ID:
            raise MethodError(
                f"TERMS.FEATURE_DISTANCE.CLASSES is {settings.classes}: expected train ids from 0 to {_LAST_TRAIN_ID}"
            )
        self.frozen = copy.deepcopy(segmentor.encoder).requires_grad_(False)
        self.register_buffer("_classes", torch.tensor(settings.classes).view(1, -1, 1, 1), persistent=False)
        self.train()

    def train(self, mode: bool = True) -> FeatureDistance:
        super().train(mode)
        self.frozen.eval()
        return self

    def losses(self, step: TrainingStep) -> dict[str, torch.Tensor]:
        source = step.source
        student = step.student.scales(source.features)[0][-1]
        with torch.no_grad():
            size = step.student.scale_sizes(source.size)[0]
            frozen = self.frozen(_resized(source.images, size))[-1]
            shown = self.shown(source.labels, (student.shape[-2], student.shape[-1]))
        distance = torch.linalg.vector_norm(student.float() - frozen.float(), dim=1)
        # No boolean indexing: its size would have to come from the device.
        total = torch.where(shown, distance, 0).sum()
        return {"loss_feature_distance": step.mean_over(total, shown.sum())}

    def shown(self, labels: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Labels (B, H, W) -> bool (B, *grid), True where one of the classes covers ``min_share`` of a cell.

        Cells divide the image evenly, as where features are upsampled to it; where a side is a multiple of the stride
        they are the stride's squares, else neighbours share the pixels that a border runs through.
        """
        members = (labels[:, None] == self._classes).float()  # (B, classes, H, W)
        return F.adaptive_avg_pool2d(members, grid).amax(dim=1) >= self.settings.min_share


def _resized(images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """(B, 3, H, W) at ``size``, as the segmentor of two resolutions sees them."""
    if images.shape[-2:] == size:
        return images
    return F.interpolate(images, size, mode="bilinear", align_corners=False)
