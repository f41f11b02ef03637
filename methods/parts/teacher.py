"""The mean teacher: an exponential moving average of the student (Tarvainen and Valpola, 2017)."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from methods.networks import Segmentor


class Teacher(nn.Module):
    """Holds the averaged copy of a student segmentor and predicts with it, without gradient.

    Parameters are averaged, buffers are not: the teacher's batch norms stay in train mode, so they normalise with the
    statistics of the target batch they see, and keep running statistics of their own for evaluation. Dropout and drop
    path are off. Both follow the authors' code of DACS, DAFormer and MIC.
    """

    def __init__(self, student: Segmentor, momentum: float) -> None:
        """Copy the student; ``momentum`` is the average's upper bound alpha, in [0, 1)."""
        super().__init__()
        self.momentum = momentum
        self.segmentor = copy.deepcopy(student).requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> Teacher:
        super().train(False)
        for module in self.modules():
            if isinstance(module, _BatchNorm):
                module.train(mode)
        return self

    @torch.no_grad()
    def update(self, student: Segmentor, iteration: int) -> None:
        """Average the student in, once after the optimizer step of ``iteration`` (0-based).

        alpha_t = min(1 - 1 / (t + 1), alpha) with t = iteration + 1 updates made: the first update takes half of the
        student, and the warm-up ends where 1 - 1 / (t + 1) passes alpha (DACS, section 3.1 and its code).
        """
        alpha = min(1 - 1 / (iteration + 2), self.momentum)
        torch._foreach_lerp_(list(self.segmentor.parameters()), list(student.parameters()), 1 - alpha)

    @torch.no_grad()
    def logits(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) images in [0, 1] -> (B, K, H, W) logits."""
        return self.segmentor(images)
