"""The decoder D of DeepLabV3+ (Chen et al., ECCV 2018): the head of detectron2's DeepLab project."""

from collections.abc import Sequence

from detectron2.layers import ShapeSpec
from detectron2.projects.deeplab.semantic_seg import DeepLabV3PlusHead
from torch import Tensor, nn


class DeepLabV3PlusDecoder(nn.Module):
    """Atrous spatial pyramid with image pooling on the last feature, fused with the first one at its resolution.

    Widths are those of the paper and of detectron2's Cityscapes config: pyramid 256, dropout 0.1, the first feature
    projected to 48, two 3x3 convolutions to 256, a 1x1 classifier; plain convolutions, batch norm. `dilations` are
    (6, 12, 18) at output stride 16 and twice that at 8 (sec. 4 of DeepLabV3, which DeepLabV3+ takes over).
    """

    WIDTH = 256
    PROJECTED = 48
    DROPOUT = 0.1

    def __init__(
        self, in_channels: Sequence[int], strides: Sequence[int], num_classes: int, dilations: Sequence[int]
    ) -> None:
        super().__init__()
        (fine, coarse), (fine_stride, coarse_stride) = in_channels, strides
        self.head = DeepLabV3PlusHead(
            {
                "fine": ShapeSpec(channels=fine, stride=fine_stride),
                "coarse": ShapeSpec(channels=coarse, stride=coarse_stride),
            },
            project_channels=[self.PROJECTED],
            aspp_dilations=list(dilations),
            aspp_dropout=self.DROPOUT,
            decoder_channels=[self.WIDTH, self.WIDTH],
            common_stride=fine_stride,
            norm="BN",
            train_size=None,  # pool over the whole map, whatever its size
            num_classes=num_classes,
        )

    def forward(self, features: list[Tensor]) -> Tensor:
        """Features [(B, C_0, h, w), (B, C_1, h', w')], finest first -> logits (B, K, h, w)."""
        fine, coarse = features
        # The head's own forward would also upsample, and compute its loss in training.
        return self.head.layers({"fine": fine, "coarse": coarse})
