"""Random draws for the images of a batch: an image gets the same ones, however many processes share the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from methods.base.batch_share import ALONE, Share
from methods.base.to_device import to_device


@dataclass(frozen=True)
class Draws:
    """What one named draw of an iteration draws from.

    Sizes are those of this process: what is drawn is drawn on the CPU for the whole batch, in the order of its images,
    and this process's rows of it are moved to ``device`` without making the host wait.
    """

    generator: torch.Generator  # on the CPU; for what is one for the whole batch
    share: Share = ALONE
    device: torch.device | str = "cpu"

    def rand(self, shape: Sequence[int], dim: int = 0) -> torch.Tensor:
        """Uniform in [0, 1); ``dim`` is that of the images."""
        whole = [self.share.global_size(size) if axis == dim else size for axis, size in enumerate(shape)]
        return self._mine(torch.rand(whole, generator=self.generator), dim)

    def orders(self, rows: int, length: int) -> torch.Tensor:
        """(rows, length) int64, in each row a random order of 0 .. length - 1."""
        return self._mine(torch.rand(self.share.global_size(rows), length, generator=self.generator).argsort(dim=1))

    def _mine(self, drawn: torch.Tensor, dim: int = 0) -> torch.Tensor:
        return to_device(self.share.local_rows(drawn, dim), self.device)
