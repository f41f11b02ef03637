"""The mean teacher: an exponential moving average of the student (Tarvainen and Valpola, 2017)."""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from methods.networks import Encoder, Segmentor


class Teacher(nn.Module):
    """Holds the averaged copy of a student segmentor and predicts with it, without gradient.

    Parameters are averaged, buffers are not: the teacher's batch norms stay in train mode, so they normalise with the
    statistics of the target batch they see, and keep running statistics of their own for evaluation. Dropout and drop
    path are off. Both follow the authors' code of DACS, DAFormer and MIC. An encoder that is frozen is the student's.
    """

    def __init__(self, student: Segmentor, momentum: float) -> None:
        """Copy the student; ``momentum`` is the average's upper bound alpha, in [0, 1)."""
        super().__init__()
        self.momentum = momentum
        shared = {id(encoder): encoder for encoder in _frozen(student)}  # what is not trained has no average
        self.segmentor = copy.deepcopy(student, shared).requires_grad_(False)
        self._followed: weakref.ref[Segmentor] | None = None  # whose parameters are listed
        self._averages: list[torch.Tensor] = []
        self._averaged: list[torch.Tensor] = []
        self.train()

    def train(self, mode: bool = True) -> Teacher:
        super().train(False)
        frozen = {module for encoder in _frozen(self) for module in encoder.modules()}
        for module in self.modules():
            if isinstance(module, _BatchNorm) and module not in frozen:
                module.train(mode)
        return self

    @torch.no_grad()
    def update(self, student: Segmentor, iteration: int) -> None:
        """Average the student in, once after the optimizer step of ``iteration`` (0-based).

        alpha_t = min(1 - 1 / (t + 1), alpha) with t = iteration + 1 updates made: the first update takes half of the
        student, and the warm-up ends where 1 - 1 / (t + 1) passes alpha (DACS, section 3.1 and its code).
        """
        alpha = min(1 - 1 / (iteration + 2), self.momentum)
        if self._followed is None or self._followed() is not student:
            # Once: walking through both networks takes ten milliseconds, in which a GPU has nothing to do.
            both = zip(self.segmentor.parameters(), student.parameters(), strict=True)
            trained = [pair for pair in both if pair[0] is not pair[1]]
            self._averages, self._averaged = [own for own, _ in trained], [theirs for _, theirs in trained]
            self._followed = weakref.ref(student)
        torch._foreach_lerp_(self._averages, self._averaged, 1 - alpha)

    @torch.no_grad()
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) images in [0, 1] -> (B, K, H, W) logits."""
        return self.segmentor(images)


def _frozen(network: nn.Module) -> Iterator[Encoder]:
    return (module for module in network.modules() if isinstance(module, Encoder) and module.frozen)
