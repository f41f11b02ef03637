"""Decoders of one feature of patches: a linear one, and VFM-UDA's.

Oquab et al., TMLR 2024 (arXiv 2304.07193); Englert et al., CVPR workshops 2024 (arXiv 2406.09896), and its public code.
B = batch, C = channels, K = classes, h x w = patches down and across.
"""

from torch import Tensor, nn

from methods.layers.channel_norm import ChannelLayerNorm


class LinearDecoder(nn.Module):
    """Batch norm and a 1x1 convolution, as DINOv2 is probed for segmentation (arXiv 2304.07193, section 7.4)."""

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels)
        self.classifier = nn.Conv2d(in_channels, num_classes, 1)
        nn.init.normal_(self.classifier.weight, std=0.01)
        assert self.classifier.bias is not None
        nn.init.zeros_(self.classifier.bias)

    def forward(self, features: list[Tensor]) -> Tensor:
        """One feature map [(B, C, h, w)] -> logits (B, K, h, w)."""
        (feature,) = features
        logits: Tensor = self.classifier(self.norm(feature))
        return logits


class UpscalingDecoder(nn.Module):
    """VFM-UDA's: doubled twice by transposed convolutions, a 3x3 and a 1x1 convolution, channel norms between.

    What differs from the other decoders: no batch norm, no bias, a classifier that begins with deviation 0.1. Its
    logits are four times as fine as its feature, a stride of 3.5 pixels for patches of 14.
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        half, quarter = in_channels // 2, in_channels // 4
        self.upscale = nn.Sequential(
            nn.ConvTranspose2d(in_channels, half, 2, stride=2, bias=False),
            ChannelLayerNorm(half),
            nn.GELU(),
            nn.ConvTranspose2d(half, quarter, 2, stride=2, bias=False),
            ChannelLayerNorm(quarter),
            nn.Conv2d(quarter, quarter, 3, padding=1, bias=False),
            ChannelLayerNorm(quarter),
        )
        self.classifier = nn.Conv2d(quarter, num_classes, 1, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """One feature map [(B, C, h, w)] -> logits (B, K, 4 h, 4 w)."""
        (feature,) = features
        logits: Tensor = self.classifier(self.upscale(feature))
        return logits
