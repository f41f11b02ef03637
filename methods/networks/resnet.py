"""ResNet at output stride 8 (DeepLabV2's encoder) from detectron2's blocks and the deep stem of its DeepLab project."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from detectron2.modeling.backbone.resnet import BottleneckBlock, ResNet
from detectron2.projects.deeplab.resnet import DeepLabStem
from torch import Tensor, nn

from methods.errors import MethodError
from methods.networks.encoder import Encoder

_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_STRIDES = (1, 2, 1, 1)
_DILATIONS = (1, 1, 2, 4)
STEM_CHANNELS = 64
# The deep-stem ImageNet weights behind the published numbers, under the names that OpenMMLab's model zoo gives them.
WEIGHT_FILES = {50: "resnet50_v1c-2cccc1ad.pth", 101: "resnet101_v1c-e67eebb6.pth"}

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
    """ResNet-50 or -101 ("v1c": three 3x3 convolutions as stem) with trained batch norm; last stage only, stride 8.

    Stages have strides 1, 2, 1, 1 and dilations 1, 1, 2, 4; strides sit in the 3x3 convolution, and the first block
    of a dilated stage keeps half its dilation ("contracted"), as in the networks behind the published numbers.
    """

    channels = (2048,)
    strides = (8,)
    classifier_prefixes = ("fc.",)

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.stem = DeepLabStem(in_channels=3, out_channels=STEM_CHANNELS, norm="BN")
        stages = []
        in_channels = STEM_CHANNELS
        for index, (blocks, stride, dilation) in enumerate(zip(_BLOCKS[depth], _STRIDES, _DILATIONS, strict=True)):
            out_channels = 256 * 2**index
            stage = ResNet.make_stage(
                BottleneckBlock,
                blocks,
                in_channels=in_channels,
                out_channels=out_channels,
                bottleneck_channels=out_channels // 4,
                norm="BN",
                stride_in_1x1=False,
                stride_per_block=[stride] + [1] * (blocks - 1),
                dilation_per_block=[max(1, dilation // 2)] + [dilation] * (blocks - 1),
            )
            stages.append(nn.Sequential(*stage))
            in_channels = out_channels
        self.res2, self.res3, self.res4, self.res5 = stages

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (B, 3, H, W) in [0, 1] -> one feature map at stride 8 in a list."""
        x = self.stem(self.normalise(images))
        return [self.res5(self.res4(self.res3(self.res2(x))))]

    def rename_checkpoint(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """From the names of torchvision and OpenMMLab; detectron2's are its own."""
        renamed = {}
        for key, value in state.items():
            for pattern, spell in _RENAMES:
                key, found = pattern.subn(spell, key)
                if found:
                    break
            renamed[key] = value
        return renamed


def find_weights(depth: int) -> str:
    """Path of the deep-stem ImageNet weights among torch.hub's checkpoints, where OpenMMLab's tools leave them too.

    Raises MethodError where they are absent.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / WEIGHT_FILES[depth]
    if not path.is_file():
        raise MethodError(
            f"weights resnet{depth}_v1c: no {path}; fetch {path.name} (OpenMMLab's resnet{depth}_v1c) to there, "
            "or give the path of a checkpoint or 'none'"
        )
    return str(path)
