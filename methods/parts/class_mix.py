"""ClassMix between domains: paste half of the classes of a source image onto a target image (DACS, section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from methods.base.to_device import to_device
from methods.parts.loss import IGNORE


def choose_classes(
    present: Sequence[Sequence[int]], generator: torch.Generator, ignored: bool = False
) -> list[list[int]]:
    """Choose ceil(n / 2) of the n classes present in each image, without replacement.

    Classes are those of the image itself, as ClassMix (Olsson et al., 2021) describes it; the ignored label is among
    them only if ``ignored``, as in DACS's own code. (The authors' DAFormer code draws from the classes of the whole
    batch, 255 included: an image can then get fewer of its own classes, or none.)
    """
    chosen = []
    for classes in present:
        candidates = [c for c in classes if ignored or c != IGNORE]
        order = torch.randperm(len(candidates), generator=generator)[: (len(candidates) + 1) // 2]
        chosen.append([candidates[i] for i in order.tolist()])
    return chosen


def paste_mask(labels: torch.Tensor, chosen: Sequence[Sequence[int]]) -> torch.Tensor:
    """(B, H, W) labels and the classes chosen for each image -> (B, H, W) bool, True where the source is pasted."""
    table = torch.zeros(len(chosen), 256, dtype=torch.bool)
    for row, classes in enumerate(chosen):
        table[row, list(classes)] = True
    return torch.gather(to_device(table, labels.device), 1, labels.flatten(1)).view_as(labels)


def mix(mask: torch.Tensor, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Source where ``mask`` (B, H, W) is True, target elsewhere; for images (B, 3, H, W) and maps (B, H, W) alike."""
    return torch.where(mask[:, None] if source.dim() == 4 else mask, source, target)
