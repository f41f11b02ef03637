"""The networks that ship, registered when `methods.networks` is imported. torch is imported only to build one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from methods.networks.registry import NetworkSpec, register_network
from methods.pretrained.published_weights import DETECTRON2, PUBLISHED

if TYPE_CHECKING:
    from torch import nn

    from methods.encoders.encoder import Encoder

# Width of daformer-lite0's decoder: at 64 of the published 256 channels a laptop's two cores can train it.
LITE_WIDTH = 64
TINY_WIDTH = 16


def _deeplabv2(depth: int, dilations: tuple[int, ...]) -> NetworkSpec:
    def make_encoder() -> Encoder:
        from methods.encoders.resnet import V1C_STRIDE_8, DilatedResNet

        return DilatedResNet(depth, V1C_STRIDE_8)

    def make_decoder(encoder: Encoder, num_classes: int) -> nn.Module:
        from methods.decoders.convolutional import DeepLabV2Decoder

        return DeepLabV2Decoder(encoder.channels[-1], num_classes, dilations)

    branches = ", ".join(map(str, dilations))
    return NetworkSpec(
        f"DeepLabV2: deep-stem ResNet-{depth} at output stride 8, branches of dilation {branches}",
        make_encoder,
        make_decoder,
        PUBLISHED[f"resnet{depth}_v1c"],
        stride=8,
    )


def _deeplabv3plus(depth: int) -> NetworkSpec:
    """The cross-architecture rows'.

    They were measured with the code base of MIC, whose DeepLabV3+ has OpenMMLab's ResNetV1c at output stride 8 (public
    config deeplabv3plus_r50-d8) and pyramid dilations 12, 24, 36. Its head is 512 wide with separable convolutions;
    ours is detectron2's.
    """

    def make_encoder() -> Encoder:
        from methods.encoders.resnet import V1C_STRIDE_8, DilatedResNet

        return DilatedResNet(depth, V1C_STRIDE_8, outputs=("res2", "res5"))

    return NetworkSpec(
        f"DeepLabV3+: deep-stem ResNet-{depth} at output stride 8, detectron2's head",
        make_encoder,
        partial(_deeplabv3plus_decoder, (12, 24, 36)),
        PUBLISHED[f"resnet{depth}_v1c"],
        stride=8,
    )


def _deeplabv3plus_detectron2(depth: int, zoo_name: str) -> NetworkSpec:
    """DeepLabV3+ of detectron2's Cityscapes config deeplab_v3_plus_R_103_os16_mg124, on its ImageNet weights."""

    def make_encoder() -> Encoder:
        from methods.encoders.resnet import DETECTRON2_STRIDE_16, DilatedResNet

        return DilatedResNet(depth, DETECTRON2_STRIDE_16, outputs=("res2", "res5"))

    return NetworkSpec(
        f"DeepLabV3+ as detectron2 trains it on Cityscapes: {zoo_name} (ResNet-{depth}, deep stem) at output stride 16",
        make_encoder,
        partial(_deeplabv3plus_decoder, (6, 12, 18)),
        PUBLISHED[f"{DETECTRON2}DeepLab/{zoo_name}.pkl"],
        stride=16,
    )


def _deeplabv3plus_decoder(dilations: tuple[int, ...], encoder: Encoder, num_classes: int) -> nn.Module:
    from methods.decoders.deeplabv3plus import DeepLabV3PlusDecoder

    return DeepLabV3PlusDecoder(encoder.channels, encoder.strides, num_classes, dilations)


def _daformer_decoder(width: int, encoder: Encoder, num_classes: int) -> nn.Module:
    from methods.decoders.convolutional import DAFormerDecoder

    return DAFormerDecoder(encoder.channels, num_classes, width)


def _daformer_mit(size: str) -> NetworkSpec:
    def make_encoder() -> Encoder:
        from methods.encoders.mit import MixTransformer

        return MixTransformer(size)

    return NetworkSpec(
        f"DAFormer: Mix Transformer {size.upper()}, context-aware decoder of width 256",
        make_encoder,
        partial(_daformer_decoder, 256),
        PUBLISHED[f"nvidia/mit-{size}"],
        stride=32,
    )


def _daformer_lite0() -> NetworkSpec:
    def make_encoder() -> Encoder:
        from methods.encoders.efficientnet import EfficientNetLite0

        return EfficientNetLite0()

    return NetworkSpec(
        f"EfficientNet-Lite0 with DAFormer's decoder at width {LITE_WIDTH}: small enough to train on a laptop",
        make_encoder,
        partial(_daformer_decoder, LITE_WIDTH),
        PUBLISHED["efficientnet-lite0"],
        stride=32,
    )


def _daformer_tiny() -> NetworkSpec:
    def make_encoder() -> Encoder:
        from methods.encoders.tiny import TinyEncoder

        return TinyEncoder()

    return NetworkSpec(
        f"a few convolutions with DAFormer's decoder at width {TINY_WIDTH}, no published weights: to try a set-up out",
        make_encoder,
        partial(_daformer_decoder, TINY_WIDTH),
        stride=32,
    )


def _plain_transformer(version: int, size: str, decoder: str) -> NetworkSpec:
    """DINOv2 or DINOv3; "daformer" taps four blocks, the other decoders see the last one alone."""
    make, told = _PATCH_DECODERS[decoder]

    def make_encoder() -> Encoder:
        from methods.encoders import vit

        model = vit.DINOv2 if version == 2 else vit.DINOv3
        return model(vit.SIZES[size], taps=4 if decoder == "daformer" else 1)

    name = _DINOV2[size] if version == 2 else f"facebook/dinov3-vit{size}16-pretrain-lvd1689m"
    patch = 14 if version == 2 else 16
    return NetworkSpec(
        f"DINOv{version} ViT-{size.upper()}/{patch} (foundation model), {told}",
        make_encoder,
        make,
        PUBLISHED[name],
        patch,
        stride=patch,
    )


def _linear_decoder(encoder: Encoder, num_classes: int) -> nn.Module:
    from methods.decoders.patch_decoders import LinearDecoder

    return LinearDecoder(encoder.channels[-1], num_classes)


def _upscaling_decoder(encoder: Encoder, num_classes: int) -> nn.Module:
    from methods.decoders.patch_decoders import UpscalingDecoder

    return UpscalingDecoder(encoder.channels[-1], num_classes)


_PATCH_DECODERS: dict[str, tuple[Callable[[Encoder, int], nn.Module], str]] = {
    "linear": (_linear_decoder, "batch norm and a 1x1 convolution"),
    "daformer": (partial(_daformer_decoder, 256), "context-aware decoder of width 256 on four blocks"),
    "vfmuda": (_upscaling_decoder, "VFM-UDA's decoder"),
}
_DINOV2 = {size: f"facebook/dinov2-{name}" for size, name in (("s", "small"), ("b", "base"), ("l", "large"))}

register_network("deeplabv2-r101", _deeplabv2(101, (6, 12)))
register_network("deeplabv2-r101-4b", _deeplabv2(101, (6, 12, 18, 24)))
register_network("deeplabv2-r50", _deeplabv2(50, (6, 12)))
register_network("deeplabv3plus-r101", _deeplabv3plus(101))
register_network("deeplabv3plus-r50", _deeplabv3plus(50))
register_network("deeplabv3plus-r103", _deeplabv3plus_detectron2(101, "R-103"))
register_network("deeplabv3plus-r52", _deeplabv3plus_detectron2(50, "R-52"))
for _size in ("b0", "b1", "b2", "b3", "b4", "b5"):
    register_network(f"daformer-mit{_size}", _daformer_mit(_size))
register_network("daformer-lite0", _daformer_lite0())
register_network("daformer-tiny", _daformer_tiny())
for _version in (2, 3):
    for _size in ("s", "b", "l"):
        for _decoder in _PATCH_DECODERS:
            if (_version, _decoder) != (3, "vfmuda"):  # which nobody has published
                register_network(f"dinov{_version}-{_size}-{_decoder}", _plain_transformer(_version, _size, _decoder))
