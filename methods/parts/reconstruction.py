"""Objectives of MRM's ablation that reconstruct pixels or features in place of classifying pixels.

B batch, (C_i, h_i, w_i) decoder input i, H x W the image. Losses are means over masked places alone, in float32, and 0
where nothing is masked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from methods.networks import Segmentor, Window
from methods.parts.loss import mean_over
from methods.parts.masking import resize_mask

Mean = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class PixelHead(nn.Module):
    """Rebuilt last-stage features -> the normalised RGB pixels under them, by one linear layer a place, as in MAE."""

    def __init__(self, channels: int, stride: int) -> None:
        """Take ``channels`` and ``stride`` of the encoder's last stage: each place predicts stride x stride pixels."""
        super().__init__()
        self.predict = nn.Conv2d(channels, 3 * stride * stride, kernel_size=1)
        self.arrange = nn.PixelShuffle(stride)
        nn.init.xavier_uniform_(self.predict.weight)
        assert self.predict.bias is not None
        nn.init.zeros_(self.predict.bias)

    def forward(self, feature: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """(B, C, h, w) -> (B, 3, *size); a border that the stride added to the image is cut off.

        Of an encoder that leaves out the last pixels of a side that is no multiple of its stride, places are spread
        over all of it first.
        """
        stride = self.arrange.upscale_factor
        places = (-(-size[0] // stride), -(-size[1] // stride))
        if feature.shape[-2:] != places:
            feature = F.interpolate(feature, places, mode="bilinear", align_corners=False)
        return self.arrange(self.predict(feature))[..., : size[0], : size[1]]


def masked_mean_square(
    prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor, mean: Mean = mean_over
) -> torch.Tensor:
    """Mean of (prediction - target)^2 over channels and masked places.

    Args:
        prediction: (B, C, H, W).
        target: (B, C, H, W).
        mask: (B, 1, h, w), 1 where masked; resized to H x W by nearest neighbour.
        mean: of a sum over so many places: a step's ``mean_over``.
    """
    masked = resize_mask(mask, (target.shape[-2], target.shape[-1]))
    error = (prediction.float() - target.float()).square().mean(dim=1, keepdim=True)
    return mean((error * masked).sum(), masked.sum())


def masked_feature_loss(
    rebuilt: Sequence[torch.Tensor],
    targets: Sequence[torch.Tensor],
    mask: torch.Tensor,
    mean: Mean = mean_over,
) -> torch.Tensor:
    """Mean square between rebuilt features and normalised targets at masked places, averaged over stages.

    Targets are normalised over the channels of each place, without parameters, and get no gradient: so no stage
    outweighs the others and shrinking the features gains nothing (data2vec: Baevski et al., ICML 2022, section 3.3).

    Args:
        rebuilt: (B, C_i, h_i, w_i).
        targets: in the same shapes.
        mask: (B, 1, h, w), 1 where masked.
        mean: of a sum over so many places: a step's ``mean_over``.
    """
    losses = [
        masked_mean_square(new, _normalised(target.detach()), mask, mean)
        for new, target in zip(rebuilt, targets, strict=True)
    ]
    return torch.stack(losses).mean()


def _normalised(feature: torch.Tensor) -> torch.Tensor:
    places = feature.float().permute(0, 2, 3, 1)
    return F.layer_norm(places, places.shape[-1:]).permute(0, 3, 1, 2)


def teacher_features(teacher: Segmentor, images: torch.Tensor, window: Window | None) -> list[torch.Tensor]:
    """All features of the teacher's encoder on (B, 3, H, W) images in [0, 1], without gradient.

    Its batch norms normalise with the batch's statistics, as in every pass of the teacher, but keep no account of it:
    the running statistics that the host's teacher is evaluated with stay those of the host.
    """
    with torch.no_grad(), _untracked(teacher):
        return teacher.encode(images, window)


@contextmanager
def _untracked(network: nn.Module) -> Iterator[None]:
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    for norm in norms:
        norm.track_running_stats = False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
