"""The networks by name, and how a segmentor is built from one."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from torch import nn

from methods.errors import MethodError
from methods.networks.decoders import DAFormerDecoder, DeepLabV2Decoder
from methods.networks.encoder import Encoder
from methods.networks.segmentor import Segmentor
from methods.networks.weights import load_weights

# Width of daformer-lite0's decoder: at 64 of the published 256 channels a laptop's two cores can train it.
LITE_WIDTH = 64


@dataclass(frozen=True)
class NetworkSpec:
    """A network that `build_segmentor` knows.

    `default_weights` names the ImageNet weights that "imagenet" stands for; `find_weights` gives their path on this
    machine or raises MethodError. `make_encoder` imports its library only when called.
    """

    description: str
    default_weights: str
    make_encoder: Callable[[], Encoder]
    make_decoder: Callable[[Encoder, int], nn.Module]
    find_weights: Callable[[], str]


def _deeplabv2(depth: int, dilations: tuple[int, ...]) -> NetworkSpec:
    def make_encoder() -> Encoder:
        from methods.networks.resnet import DilatedResNet

        return DilatedResNet(depth)

    def find_weights() -> str:
        from methods.networks.resnet import find_weights

        return find_weights(depth)

    def make_decoder(encoder: Encoder, num_classes: int) -> nn.Module:
        return DeepLabV2Decoder(encoder.channels[-1], num_classes, dilations)

    branches = ", ".join(map(str, dilations))
    return NetworkSpec(
        f"DeepLabV2: deep-stem ResNet-{depth} at output stride 8, branches of dilation {branches}",
        f"resnet{depth}_v1c",
        make_encoder,
        make_decoder,
        find_weights,
    )


def _daformer_decoder(width: int, encoder: Encoder, num_classes: int) -> nn.Module:
    return DAFormerDecoder(encoder.channels, num_classes, width)


def _daformer_mit(size: str) -> NetworkSpec:
    def make_encoder() -> Encoder:
        from methods.networks.mit import MixTransformer

        return MixTransformer(size)

    def find_weights() -> str:
        from methods.networks.mit import find_weights

        return find_weights(size)

    return NetworkSpec(
        f"DAFormer: Mix Transformer {size.upper()}, context-aware decoder of width 256",
        f"nvidia/mit-{size}",
        make_encoder,
        partial(_daformer_decoder, 256),
        find_weights,
    )


def _daformer_lite0() -> NetworkSpec:
    def make_encoder() -> Encoder:
        from methods.networks.efficientnet import EfficientNetLite0

        return EfficientNetLite0()

    def find_weights() -> str:
        from methods.networks.efficientnet import find_weights

        return find_weights()

    return NetworkSpec(
        f"EfficientNet-Lite0 with DAFormer's decoder at width {LITE_WIDTH}: small enough to train on a laptop",
        "efficientnet-lite0",
        make_encoder,
        partial(_daformer_decoder, LITE_WIDTH),
        find_weights,
    )


NETWORKS: dict[str, NetworkSpec] = {
    "deeplabv2-r101": _deeplabv2(101, (6, 12)),
    "deeplabv2-r101-4b": _deeplabv2(101, (6, 12, 18, 24)),
    "deeplabv2-r50": _deeplabv2(50, (6, 12)),
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
    spec = NETWORKS[name]
    # Found before the network is built, so that a missing file is told at once.
    path = _resolve(name, spec, weights)
    encoder = spec.make_encoder()
    segmentor = Segmentor(name, encoder, spec.make_decoder(encoder, num_classes))
    if path is not None:
        load_weights(segmentor, path)
    return segmentor


def _resolve(name: str, spec: NetworkSpec, weights: str) -> str | None:
    if weights == "none":
        return None
    if weights in ("imagenet", spec.default_weights):
        return spec.find_weights()
    if Path(weights).exists():
        return weights
    known = ["imagenet", "none", spec.default_weights]
    raise MethodError(
        f"weights {weights!r}: no such file{_nearest(weights, known)}; "
        f"{name} takes {', '.join(known)} or the path of a checkpoint"
    )


def _nearest(name: str, known: list[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1)
    return f", did you mean {matches[0]!r}?" if matches else ""
