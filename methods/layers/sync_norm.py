"""Batch norm over the images of all processes, so that N of them train what one with the whole batch would.

torch's SyncBatchNorm is for GPUs alone, and detectron2's NaiveSyncBatchNorm keeps the biased variance and takes its
sums in half precision under bfloat16: with either, scores would depend on how many processes there were.
"""

from __future__ import annotations

import torch
from fvcore.nn.distributed import differentiable_all_gather
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


class SyncBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d whose statistics in train mode are of all processes, each of which has as many images.

    Means and variances of the processes are gathered and combined (Chan et al., 1979), in float32, also under autocast.
    In eval mode, and in one process, it is BatchNorm2d.
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> the same shape."""
        if not self.training:
            return super().forward(input)
        x = input.float()
        own = torch.stack(torch.var_mean(x, dim=(0, 2, 3), correction=0))
        variances, means = torch.stack(differentiable_all_gather(own)).unbind(1)  # (ranks, C) each
        mean = means.mean(0)
        variance = (variances + (means - mean).square()).mean(0)
        if self.track_running_stats:
            self._track(mean.detach(), variance.detach(), len(means) * x.numel() // x.shape[1])
        scale = self.weight * torch.rsqrt(variance + self.eps)
        shift = self.bias - mean * scale
        return (x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)).to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: torch.Tensor, variance: torch.Tensor, count: int) -> None:
        assert self.momentum is not None and self.num_batches_tracked is not None
        assert self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / max(1, count - 1)), self.momentum)


def synchronize_norms(network: nn.Module) -> None:
    """Make all batch norms of a network such, in place; what they hold, and its names, stay.

    Raises:
        TypeError: a batch norm of another kind.
    """
    for name, module in network.named_modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncBatchNorm2d  # it has no state that BatchNorm2d has not
        elif isinstance(module, _BatchNorm) and not isinstance(module, SyncBatchNorm2d):
            raise TypeError(f"{name} is {type(module).__name__}, which several processes cannot share")
