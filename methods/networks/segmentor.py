"""The segmentor F = D . E that every method trains."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.encoders.encoder import Encoder

LEAST_SIDE = 32
"""Pixels along a side that every network takes, the coarsest stride: below that, some stages have no pixel left."""


class Window(NamedTuple):
    """A part of an image: its upper left corner and its size, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def of(self, maps: Tensor) -> Tensor:
        """The part of (..., H, W) maps that it shows."""
        return maps[..., self.top : self.top + self.height, self.left : self.left + self.width]


class Prediction(NamedTuple):
    """What a student predicts in training.

    logits: (B, K, H, W) float32, at the size of the image. detail: the logits of the detail window alone, (B, K, h, w)
    at its size, of a segmentor that looks at two resolutions; else None.
    """

    logits: Tensor
    detail: Tensor | None = None


class Segmentor(nn.Module):
    """Encoder and decoder with the features between them in reach: methods mask, rebuild and compare those.

    `name` is the network's name in `NETWORKS`. B = batch, K = classes, H x W = image size in pixels. Features are a
    list of maps, finest first, whose values a method may replace by others of the same shapes.
    """

    encoder: Encoder
    decoder: nn.Module
    # Share of the detail window's own loss in the segmentation loss: nothing where there is but one resolution.
    detail_weight: float = 0.0

    def __init__(self, name: str, encoder: Encoder, decoder: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.encoder = encoder
        self.decoder = decoder

    def window(self, size: tuple[int, int], generator: torch.Generator) -> Window | None:
        """The part of a training image of `size` (height, width) seen in detail; None without a second resolution."""
        return None

    def encode(self, images: Tensor, window: Window | None = None) -> list[Tensor]:
        """Images (B, 3, H, W), RGB in [0, 1] -> features, finest first: see `encoder.channels`, `encoder.strides`."""
        return self.encoder(images)

    def scales(self, features: list[Tensor]) -> list[list[Tensor]]:
        """The features by the resolution that the encoder saw them at: each list has `encoder.channels`."""
        return [features]

    def scale_sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """(height, width) of the image that the encoder sees at each of `scales`, for a training image of `size`."""
        return [size]

    def decode(self, features: list[Tensor]) -> Tensor:
        """Features of one scale -> logits (B, K, h, w) at the decoder's own stride, that of the finest feature.

        Any list of the encoder's channels and sizes will do, rebuilt features included.
        """
        return self.decoder(features)

    def predict(self, features: list[Tensor], size: tuple[int, int], window: Window | None = None) -> Prediction:
        """All of `encode`'s features -> logits at the image's `size` (height, width)."""
        return Prediction(self.upsample(self.decode(features), size))

    @staticmethod
    def upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits (B, K, h, w) -> float32 logits (B, K, *size), bilinear with align_corners=False.

        In float32 also under autocast: the loss needs that precision, and converting before the upsampling is cheaper.
        """
        return F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)

    def infer(self, images: Tensor) -> Tensor:
        """Inference: images (B, 3, H, W), RGB in [0, 1] -> logits (B, K, h, w) at the decoder's own stride."""
        return self.decode(self.encode(images))

    def forward(self, images: Tensor) -> Tensor:
        """Inference: images (B, 3, H, W), RGB in [0, 1] -> logits (B, K, H, W)."""
        return self.upsample(self.infer(images), (images.shape[-2], images.shape[-1]))
