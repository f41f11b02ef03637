"""The segmentor F = D . E that every method trains."""

from torch import Tensor, nn
from torch.nn import functional as F

from methods.networks.encoder import Encoder


class Segmentor(nn.Module):
    """Encoder and decoder with the features between them in reach: methods mask, rebuild and compare those.

    `name` is the network's name in `NETWORKS`. B = batch, K = classes, H x W = image size in pixels.
    """

    encoder: Encoder
    decoder: nn.Module

    def __init__(self, name: str, encoder: Encoder, decoder: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W), RGB in [0, 1] -> features, finest first: see `encoder.channels`, `encoder.strides`."""
        return self.encoder(images)

    def decode(self, features: list[Tensor]) -> Tensor:
        """Features -> logits (B, K, h, w) at the decoder's own stride, that of the finest feature.

        Any list of the encoder's channels and sizes will do, rebuilt features included.
        """
        return self.decoder(features)

    @staticmethod
    def upsample(logits: Tensor, size: tuple[int, int]) -> Tensor:
        """Logits (B, K, h, w) -> float32 logits (B, K, *size), bilinear with align_corners=False.

        In float32 also under autocast: the loss needs that precision, and converting before the upsampling is cheaper.
        """
        return F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W), RGB in [0, 1] -> logits (B, K, H, W)."""
        return self.upsample(self.decode(self.encode(images)), (images.shape[-2], images.shape[-1]))
