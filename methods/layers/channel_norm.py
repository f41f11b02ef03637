"""Layer norm over the channels of a feature map."""

from torch import Tensor, nn


class ChannelLayerNorm(nn.LayerNorm):
    """LayerNorm over the channels of (B, C, H, W); eps is 1e-6, as timm's LayerNorm2d has it.

    That is what the authors' modules use, MRM's Rebuilder and VFM-UDA's decoder.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
