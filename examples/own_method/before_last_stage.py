"""MRM that masks before the last stage of an encoder: it is rebuilt there, and the last stage is made of that."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from methods.base.errors import MethodError
from methods.encoders.efficientnet import EfficientNetLite0
from methods.framework.recipes import MethodPart, register
from methods.framework.term import term
from methods.mrm import DECODED, MASK_ONLY, MRM, MRMSettings
from methods.networks import Segmentor

LAST_STAGE = 11  # the first block of EfficientNet-Lite0 at stride 32


@dataclass(frozen=True)
class EarlyMRMSettings(MRMSettings):
    """Those of MRM, for the objective that decodes what was rebuilt."""

    resolution: int = 8  # as many tokens a side as the stage before the last has places at crops of 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.objective not in DECODED or self.objective == MASK_ONLY:
            raise MethodError(f"TERMS.MRM_EARLY.OBJECTIVE is {self.objective!r}: expected {DECODED[0]!r}")


@term("mrm-early")
class EarlyMRM(MRM):
    """MRM on the stages before the last, from whose fused features the student's own last blocks make the last stage.

    So a place of the last stage has seen what was rebuilt as well as what was left, and the last blocks are trained to
    read both. Costs these blocks' pass besides.
    """

    Settings = EarlyMRMSettings

    def __init__(self, settings: EarlyMRMSettings, segmentor: Segmentor, crop: tuple[int, int]) -> None:
        if not isinstance(segmentor.encoder, EfficientNetLite0):
            found = type(segmentor.encoder).__name__
            raise MethodError(f"mrm-early knows the blocks of EfficientNet-Lite0 alone, found {found}")
        super().__init__(settings, segmentor, crop)

    def stages(self) -> slice:
        return slice(None, -1)

    def fused(self, student: Segmentor, features: list[torch.Tensor], mask: torch.Tensor) -> list[torch.Tensor]:
        fused = super().fused(student, features[:-1], mask)
        return [*fused, last_stage(student, fused[-1])]


def last_stage(student: Segmentor, x: torch.Tensor) -> torch.Tensor:
    """(B, 112, h, w) of the stage before the last -> (B, 320, h / 2, w / 2) of the last."""
    encoder = student.encoder
    assert isinstance(encoder, EfficientNetLite0)
    for block, rate in zip(encoder.blocks[LAST_STAGE:], encoder.drop_connect[LAST_STAGE:], strict=True):
        x = block(x, drop_connect_rate=rate)
    return x


register(MethodPart("mrm-early", "MRM that masks before the last stage of EfficientNet-Lite0", terms=("mrm-early",)))
