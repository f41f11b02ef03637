"""The decoders D of DAFormer (Hoyer et al., CVPR 2022, sec. 3.2) and DeepLabV2 (Chen et al., TPAMI 2018, sec. 3.2).

B = batch, C = channels, K = classes, h x w = size of a feature map.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.layers.depthwise import DilatedDepthwiseConv2d

CLASSIFIER_STD = 0.01


def _norm_relu(conv: nn.Conv2d) -> nn.Sequential:
    """The convolution (made without bias), trained batch norm, ReLU."""
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels), nn.ReLU())


def _conv(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    return _norm_relu(nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False))


def _separable(in_channels: int, out_channels: int, dilation: int) -> nn.Sequential:
    """Depthwise 3x3 then pointwise 1x1, each with batch norm and ReLU."""
    return nn.Sequential(_norm_relu(DilatedDepthwiseConv2d(in_channels, dilation)), _conv(in_channels, out_channels, 1))


def _classifier(in_channels: int, num_classes: int, kernel_size: int = 1, dilation: int = 1) -> nn.Conv2d:
    padding = dilation * (kernel_size // 2)
    conv = nn.Conv2d(in_channels, num_classes, kernel_size, padding=padding, dilation=dilation)
    nn.init.normal_(conv.weight, std=CLASSIFIER_STD)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


class DAFormerDecoder(nn.Module):
    """Context-aware fusion of all encoder stages by one depthwise-separable ASPP.

    Each stage is embedded linearly to `width` channels and upsampled to the finest one; the concatenation goes through
    a 1x1 branch and separable 3x3 branches of dilation 6, 12 and 18 (no image pooling), a 3x3 bottleneck, channel
    dropout of 0.1 and a 1x1 classifier. The published decoder has width 256.
    """

    DILATIONS = (6, 12, 18)
    DROPOUT = 0.1

    def __init__(self, in_channels: Sequence[int], num_classes: int, width: int = 256) -> None:
        super().__init__()
        fused = width * len(in_channels)
        self.embeddings = nn.ModuleList(nn.Conv2d(channels, width, 1) for channels in in_channels)
        self.aspp = nn.ModuleList([_conv(fused, width, 1)])
        self.aspp.extend(_separable(fused, width, dilation) for dilation in self.DILATIONS)
        self.bottleneck = _conv(width * len(self.aspp), width, 3)
        self.dropout = nn.Dropout2d(self.DROPOUT)
        self.classifier = _classifier(width, num_classes)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features (B, C_i, h_i, w_i), finest first -> logits (B, K, h_0, w_0)."""
        size = features[0].shape[-2:]
        embedded = [embed(feature) for embed, feature in zip(self.embeddings, features, strict=True)]
        fused = torch.cat(
            [embedded[0], *(F.interpolate(e, size, mode="bilinear", align_corners=False) for e in embedded[1:])], dim=1
        )
        context = torch.cat([branch(fused) for branch in self.aspp], dim=1)
        return self.classifier(self.dropout(self.bottleneck(context)))


class DeepLabV2Decoder(nn.Module):
    """Atrous spatial pyramid: parallel dilated 3x3 convolutions from features to classes, summed; no batch norm.

    `dilations` (6, 12, 18, 24) is the paper's. The numbers that the field compares with come from (6, 12): the code
    they were made with returned after two branches.
    """

    def __init__(self, in_channels: int, num_classes: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            _classifier(in_channels, num_classes, kernel_size=3, dilation=dilation) for dilation in dilations
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """One feature map [(B, C, h, w)] -> logits (B, K, h, w)."""
        (feature,) = features
        logits = self.branches[0](feature)
        for branch in self.branches[1:]:
            logits = logits + branch(feature)
        return logits
