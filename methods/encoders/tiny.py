"""A network of a few convolutions, to try a machine, a cluster or a plug-in out: steps take a fraction of a second."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from methods.encoders.encoder import Encoder

_WIDTH = 8  # of the stem
_DROP_PATH = 0.1


class TinyEncoder(Encoder):
    """A stem and four strided convolutions, the last with a residual block under drop path: 12 thousand parameters.

    Features have strides 4, 8, 16 and 32, as those of published encoders; it learns accordingly little.
    """

    channels = (8, 12, 16, 24)
    strides = (4, 8, 16, 32)

    def __init__(self) -> None:
        super().__init__()
        self.stem = _block(3, _WIDTH, 2)
        inputs = (_WIDTH, *self.channels)
        self.stages = nn.ModuleList(_block(*widths, 2) for widths in zip(inputs, self.channels, strict=False))
        self.residual = _block(self.channels[-1], self.channels[-1], 1)

    def extract(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        features[-1] = x + self._dropped(self.residual(x))
        return features

    def _dropped(self, x: Tensor) -> Tensor:
        """Stochastic depth (Huang et al., ECCV 2016): in training the residuals of some images are 0."""
        if not self.training:
            return x
        kept = torch.rand(len(x), 1, 1, 1, device=x.device) >= _DROP_PATH
        return x * kept / (1 - _DROP_PATH)

    def residual_blocks(self) -> Iterable[nn.Module]:
        return [self.residual]


def _block(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """3x3 convolution, batch norm, ReLU."""
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())
