"""The networks by name, and how a segmentor is built from one. torch is imported only to build one."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from methods.base.errors import MethodError
from methods.networks.published_weights import DETECTRON2, PUBLISHED, PublishedWeights

if TYPE_CHECKING:
    from torch import nn

    from methods.networks.encoder import Encoder
    from methods.networks.segmentor import Segmentor

# Width of daformer-lite0's decoder: at 64 of the published 256 channels a laptop's two cores can train it.
LITE_WIDTH = 64


@dataclass(frozen=True)
class NetworkSpec:
    """A network that `build_segmentor` knows.

    `weights` are the published ImageNet weights of its encoder, which "imagenet" stands for. `make_encoder` and
    `make_decoder` import their libraries only when called.
    """

    description: str
    weights: PublishedWeights
    make_encoder: Callable[[], Encoder]
    make_decoder: Callable[[Encoder, int], nn.Module]

    @property
    def default_weights(self) -> str:
        """The name of `weights`."""
        return self.weights.name


def _deeplabv2(depth: int, dilations: tuple[int, ...]) -> NetworkSpec:
    def make_encoder() -> Encoder:
        from methods.networks.resnet import V1C_STRIDE_8, DilatedResNet

        return DilatedResNet(depth, V1C_STRIDE_8)

    def make_decoder(encoder: Encoder, num_classes: int) -> nn.Module:
        from methods.networks.decoders import DeepLabV2Decoder

        return DeepLabV2Decoder(encoder.channels[-1], num_classes, dilations)

    branches = ", ".join(map(str, dilations))
    return NetworkSpec(
        f"DeepLabV2: deep-stem ResNet-{depth} at output stride 8, branches of dilation {branches}",
        PUBLISHED[f"resnet{depth}_v1c"],
        make_encoder,
        make_decoder,
    )


def _deeplabv3plus(depth: int) -> NetworkSpec:
    """The cross-architecture rows'.

    They were measured with the code base of MIC, whose DeepLabV3+ has OpenMMLab's ResNetV1c at output stride 8 (public
    config deeplabv3plus_r50-d8) and pyramid dilations 12, 24, 36. Its head is 512 wide with separable convolutions;
    ours is detectron2's.
    """

    def make_encoder() -> Encoder:
        from methods.networks.resnet import V1C_STRIDE_8, DilatedResNet

        return DilatedResNet(depth, V1C_STRIDE_8, outputs=("res2", "res5"))

    return NetworkSpec(
        f"DeepLabV3+: deep-stem ResNet-{depth} at output stride 8, detectron2's head",
        PUBLISHED[f"resnet{depth}_v1c"],
        make_encoder,
        partial(_deeplabv3plus_decoder, (12, 24, 36)),
    )


def _deeplabv3plus_detectron2(depth: int, zoo_name: str) -> NetworkSpec:
    """As detectron2's Cityscapes config deeplab_v3_plus_R_103_os16_mg124 has it, on detectron2's ImageNet weights."""

    def make_encoder() -> Encoder:
        from methods.networks.resnet import DETECTRON2_STRIDE_16, DilatedResNet

        return DilatedResNet(depth, DETECTRON2_STRIDE_16, outputs=("res2", "res5"))

    return NetworkSpec(
        f"DeepLabV3+ as detectron2 trains it on Cityscapes: {zoo_name} (ResNet-{depth}, deep stem) at output stride 16",
        PUBLISHED[f"{DETECTRON2}DeepLab/{zoo_name}.pkl"],
        make_encoder,
        partial(_deeplabv3plus_decoder, (6, 12, 18)),
    )


def _deeplabv3plus_decoder(dilations: tuple[int, ...], encoder: Encoder, num_classes: int) -> nn.Module:
    from methods.networks.deeplabv3plus import DeepLabV3PlusDecoder

    return DeepLabV3PlusDecoder(encoder.channels, encoder.strides, num_classes, dilations)


def _daformer_decoder(width: int, encoder: Encoder, num_classes: int) -> nn.Module:
    from methods.networks.decoders import DAFormerDecoder

    return DAFormerDecoder(encoder.channels, num_classes, width)


def _daformer_mit(size: str) -> NetworkSpec:
    def make_encoder() -> Encoder:
        from methods.networks.mit import MixTransformer

        return MixTransformer(size)

    return NetworkSpec(
        f"DAFormer: Mix Transformer {size.upper()}, context-aware decoder of width 256",
        PUBLISHED[f"nvidia/mit-{size}"],
        make_encoder,
        partial(_daformer_decoder, 256),
    )


def _daformer_lite0() -> NetworkSpec:
    def make_encoder() -> Encoder:
        from methods.networks.efficientnet import EfficientNetLite0

        return EfficientNetLite0()

    return NetworkSpec(
        f"EfficientNet-Lite0 with DAFormer's decoder at width {LITE_WIDTH}: small enough to train on a laptop",
        PUBLISHED["efficientnet-lite0"],
        make_encoder,
        partial(_daformer_decoder, LITE_WIDTH),
    )


NETWORKS: dict[str, NetworkSpec] = {
    "deeplabv2-r101": _deeplabv2(101, (6, 12)),
    "deeplabv2-r101-4b": _deeplabv2(101, (6, 12, 18, 24)),
    "deeplabv2-r50": _deeplabv2(50, (6, 12)),
    "deeplabv3plus-r101": _deeplabv3plus(101),
    "deeplabv3plus-r50": _deeplabv3plus(50),
    "deeplabv3plus-r103": _deeplabv3plus_detectron2(101, "R-103"),
    "deeplabv3plus-r52": _deeplabv3plus_detectron2(50, "R-52"),
    **{f"daformer-mit{size}": _daformer_mit(size) for size in ("b0", "b1", "b2", "b3", "b4", "b5")},
    "daformer-lite0": _daformer_lite0(),
}


def build_segmentor(name: str, num_classes: int, weights: str = "imagenet") -> Segmentor:
    """The network `name` for `num_classes` classes, in train mode on the CPU (or torch's default device).

    `weights` is "imagenet" (the network's own, also by their name `NetworkSpec.default_weights`), "none" (random), or
    the path of a checkpoint: of the encoder in any published spelling, or of a whole Segmentor. Initialisation draws
    from torch's global generator; the decoder is random unless a whole Segmentor is loaded.

    Raises MethodError for an unknown network, weights that are neither known nor a path, and a checkpoint that does
    not fit.
    """
    if name not in NETWORKS:
        raise MethodError(f"network {name!r}: unknown{_nearest(name, list(NETWORKS))}; one of {', '.join(NETWORKS)}")
    if num_classes < 1:
        raise MethodError(f"num_classes {num_classes}: expected at least 1")
    from methods.networks.segmentor import Segmentor
    from methods.networks.weights import load_weights

    spec = NETWORKS[name]
    # Found before the network is built, so that a missing file is told at once.
    path = _resolve(name, spec, weights)
    encoder = spec.make_encoder()
    segmentor = Segmentor(name, encoder, spec.make_decoder(encoder, num_classes))
    if path is not None:
        load_weights(segmentor, path)
    return segmentor


def is_weights_name(network: str, weights: str) -> bool:
    """Whether ``weights`` are known by this name; a file or folder that happens to have it is not meant."""
    return weights in ("imagenet", "none", NETWORKS[network].default_weights)


def _resolve(name: str, spec: NetworkSpec, weights: str) -> str | None:
    if weights == "none":
        return None
    if weights in ("imagenet", spec.default_weights):
        return spec.weights.find()
    if Path(weights).exists():
        return weights
    known = ["imagenet", "none", spec.default_weights]
    takes = f"{name} takes {', '.join(known)} or the path of a checkpoint"
    if weights in PUBLISHED:
        raise MethodError(
            f"weights {weights}: of {PUBLISHED[weights].description}; {name} has {spec.weights.description}; {takes}"
        )
    if weights.startswith((DETECTRON2, "catalog://")):
        zoo = ", ".join(known for known in PUBLISHED if known.startswith(DETECTRON2))
        raise MethodError(
            f"weights {weights}: fit no network here; of detectron2's zoo {zoo} do, whose ResNets have a deep stem: "
            f"others have a plain 7x7 one, and MSRA's take BGR and have strides in the 1x1 convolutions; {takes}"
        )
    raise MethodError(f"weights {weights!r}: no such file{_nearest(weights, known)}; {takes}")


def _nearest(name: str, known: list[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""
