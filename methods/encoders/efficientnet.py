"""EfficientNet-Lite0 as an encoder: Tan and Le, ICML 2019, with ReLU6 and without squeeze-and-excitation."""

from collections.abc import Iterable, Mapping
from typing import Any

from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn

from methods.encoders.encoder import Encoder
from methods.layers.depthwise import DepthwiseConv2d

# The last block before each halving of the resolution, and the last one: strides 4, 8, 16, 32.
_TAPS = (2, 4, 10, 15)
_RENAMES = {"_conv_stem.": "stem.0.", "_bn0.": "stem.1.", "_blocks.": "blocks."}


class EfficientNetLite0(Encoder):
    """The blocks of efficientnet-lite-pytorch without its classification head: 3.0 M parameters.

    Drop-connect (stochastic depth, 0.2 at the last block) is kept; it draws from torch's global generator.
    """

    channels = (24, 40, 112, 320)
    strides = (4, 8, 16, 32)
    classifier_prefixes = ("_conv_head.", "_bn1.", "_fc.")

    def __init__(self) -> None:
        # The Lite models were trained on (x - 127) / 128 of 8-bit values, not on ImageNet's mean and deviation.
        super().__init__(pixel_mean=(127 / 255,) * 3, pixel_std=(128 / 255,) * 3)
        network = EfficientNet.from_name("efficientnet-lite0")
        self.stem = nn.Sequential(network._conv_stem, network._bn0, nn.ReLU6())
        self.blocks = network._blocks
        rate = network._global_params.drop_connect_rate
        self.drop_connect = tuple(rate * index / len(self.blocks) for index in range(len(self.blocks)))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                # The published 0.01 is meant for 300 epochs; over the few hundred steps of a laptop run the running
                # statistics would still be ImageNet's. 0.1 is what the other networks here have.
                module.momentum = 0.1
            _pad_inside(module)
        for block in self.blocks:
            block._depthwise_conv = _Depthwise(block._depthwise_conv)

    def extract(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x, drop_connect_rate=self.drop_connect[index])
            if index in _TAPS:
                features.append(x)
        return features

    def residual_blocks(self) -> Iterable[nn.Module]:
        return self.blocks

    def rename_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename weights from the names of efficientnet-lite-pytorch."""
        renamed = {}
        for key, value in state.items():
            prefix = next((p for p in _RENAMES if key.startswith(p)), None)
            renamed[_RENAMES[prefix] + key[len(prefix) :] if prefix else key] = value
        return renamed


class _Depthwise(DepthwiseConv2d):
    """A depthwise convolution of the package, with its weight and its padding."""

    def __init__(self, of: Any) -> None:
        size, stride, padding = of.kernel_size[0], of.stride[0], of.padding[0]
        # On no device, where nothing is drawn: what decoders draw comes after it.
        super().__init__(
            of.in_channels, of.out_channels, size, stride, padding, groups=of.groups, bias=False, device="meta"
        )
        self.weight = of.weight
        self.static_padding: nn.Module = of.static_padding

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.static_padding(x))


def _pad_inside(module: nn.Module) -> None:
    """Let a convolution do symmetric zero padding itself: the package pads by a copy of the whole feature map first.

    Its "same" padding is worked out for 224 pixels and holds for every image whose sides are multiples of 32.
    """
    pad = getattr(module, "static_padding", None)
    if isinstance(module, nn.Conv2d) and isinstance(pad, nn.ZeroPad2d):
        left, right, top, bottom = pad.padding
        if left == right and top == bottom:
            module.padding = (top, left)
            module.static_padding = nn.Identity()
