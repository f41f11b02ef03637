"""A network of one's own: four convolutions, which a laptop trains in no time and which learn accordingly little."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.networks import Encoder, NetworkSpec, register_network


class TinyEncoder(Encoder):
    """Images -> features at strides 4 and 8."""

    channels = (16, 32)
    strides = (4, 8)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_block(3, 16, 2), _block(16, 16, 2))
        self.stage = _block(16, 32, 2)
        self.residual = _block(32, 32, 1)

    def extract(self, x: Tensor) -> list[Tensor]:
        fine = self.stem(x)
        coarse = self.stage(fine)
        return [fine, coarse + self.residual(coarse)]

    def residual_blocks(self) -> Iterable[nn.Module]:
        return [self.residual]


class TinyDecoder(nn.Module):
    """Both features, the coarse one upsampled, to logits by one 1x1 convolution."""

    def __init__(self, channels: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.classifier = nn.Conv2d(sum(channels), num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """[(B, 16, h, w), (B, 32, h / 2, w / 2)] -> logits (B, K, h, w)."""
        fine, coarse = features
        up = F.interpolate(coarse, fine.shape[-2:], mode="bilinear", align_corners=False)
        logits: Tensor = self.classifier(torch.cat([fine, up], dim=1))
        return logits


def _block(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())


register_network(
    "tiny",
    NetworkSpec(
        "four convolutions at strides 4 and 8, a linear decoder",
        make_encoder=TinyEncoder,
        make_decoder=lambda encoder, num_classes: TinyDecoder(encoder.channels, num_classes),
        stride=8,  # of the encoder's last stage
    ),
)
