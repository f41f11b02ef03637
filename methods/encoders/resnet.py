"""Dilated ResNet (DeepLab's encoder) from detectron2's blocks and the deep stem of its DeepLab project."""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from detectron2.modeling.backbone.resnet import BottleneckBlock, ResNet
from detectron2.projects.deeplab.resnet import DeepLabStem
from torch import Tensor, nn

from methods.encoders.encoder import Encoder

_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_STAGES = ("res2", "res3", "res4", "res5")


class Layout(NamedTuple):
    """A stem's width, and each stage's stride and dilations: one a block, the last for the rest of the stage.

    channels: of the first stage's output; each further stage has twice those before it. 256 in all that is published.
    """

    stem_channels: int
    strides: tuple[int, int, int, int]
    dilations: tuple[tuple[int, ...], ...]
    channels: int = 256


# OpenMMLab's ResNetV1c at output stride 8, the networks behind the published UDA numbers: the first block of a dilated
# stage keeps half its dilation ("contracted").
V1C_STRIDE_8 = Layout(64, (1, 2, 1, 1), ((1,), (1,), (1, 2), (2, 4)))
# detectron2's DeepLabV3+ on Cityscapes (R-103, os16, mg124): the last stage at dilation 2 times the grid 1, 2, 4.
DETECTRON2_STRIDE_16 = Layout(128, (1, 2, 2, 1), ((1,), (1,), (1,), (2, 4, 8)))

# torchvision's and OpenMMLab's spellings -> detectron2's; the deep stem there is a Sequential of conv, BN, ReLU.
_RENAMES = (
    (re.compile(r"^stem\.([036])\."), lambda m: f"stem.conv{int(m[1]) // 3 + 1}."),
    (re.compile(r"^stem\.([147])\."), lambda m: f"stem.conv{int(m[1]) // 3 + 1}.norm."),
    (re.compile(r"^conv1\."), lambda m: "stem.conv1."),
    (re.compile(r"^bn1\."), lambda m: "stem.conv1.norm."),
    (re.compile(r"^layer([1-4])\.(\d+)\.bn([123])\."), lambda m: f"res{int(m[1]) + 1}.{m[2]}.conv{m[3]}.norm."),
    (re.compile(r"^layer([1-4])\.(\d+)\.downsample\.0\."), lambda m: f"res{int(m[1]) + 1}.{m[2]}.shortcut."),
    (re.compile(r"^layer([1-4])\.(\d+)\.downsample\.1\."), lambda m: f"res{int(m[1]) + 1}.{m[2]}.shortcut.norm."),
    (re.compile(r"^layer([1-4])\."), lambda m: f"res{int(m[1]) + 1}."),
)


class DilatedResNet(Encoder):
    """ResNet-50 or -101 whose stem is three 3x3 convolutions, with trained batch norm; strides sit in the 3x3.

    The stages named in `outputs` are returned. All published weights that fit (OpenMMLab's v1c, detectron2's R-52 and
    R-103) were trained on RGB with ImageNet's mean and deviation. Those of a plain 7x7 stem (torchvision's; MSRA's, on
    BGR and with strides in the 1x1 convolutions) lack the stem's parameters and are refused when loaded.
    """

    # detectron2's converted files keep the classifier beside the stem.
    classifier_prefixes = ("fc.", "stem.fc.")

    def __init__(self, depth: int, layout: Layout, outputs: Sequence[str] = ("res5",)) -> None:
        super().__init__()
        self.outputs = tuple(outputs)
        self.stem = DeepLabStem(in_channels=3, out_channels=layout.stem_channels, norm="BN")
        in_channels, total_stride = layout.stem_channels, 4
        channels, strides = [], []
        for index, (name, blocks, stride) in enumerate(zip(_STAGES, _BLOCKS[depth], layout.strides, strict=True)):
            out_channels = layout.channels * 2**index
            given = layout.dilations[index]
            stage = ResNet.make_stage(
                BottleneckBlock,
                blocks,
                in_channels=in_channels,
                out_channels=out_channels,
                bottleneck_channels=out_channels // 4,
                norm="BN",
                stride_in_1x1=False,
                stride_per_block=[stride] + [1] * (blocks - 1),
                dilation_per_block=[*given, *[given[-1]] * (blocks - len(given))],
            )
            self.add_module(name, nn.Sequential(*stage))
            in_channels, total_stride = out_channels, total_stride * stride
            if name in outputs:
                channels.append(out_channels)
                strides.append(total_stride)
        self.channels, self.strides = tuple(channels), tuple(strides)

    def extract(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        features = []
        for name in _STAGES:
            x = self.get_submodule(name)(x)
            if name in self.outputs:
                features.append(x)
        return features

    def residual_blocks(self) -> Iterable[nn.Module]:
        return chain.from_iterable(self.get_submodule(name).children() for name in _STAGES)

    def rename_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename weights from the names of torchvision and OpenMMLab; detectron2's are its own."""
        renamed = {}
        for key, value in state.items():
            for pattern, spell in _RENAMES:
                key, found = pattern.subn(spell, key)
                if found:
                    break
            renamed[key] = value
        return renamed
