"""The networks by name, and how a segmentor is built from one. torch is imported only to build one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from methods.base.choices import nearest
from methods.base.errors import MethodError
from methods.pretrained.published_folder import is_hub_address
from methods.pretrained.published_weights import DETECTRON2, PUBLISHED, PublishedWeights

if TYPE_CHECKING:
    from torch import nn

    from methods.encoders.encoder import Encoder
    from methods.networks.segmentor import Segmentor


@dataclass(frozen=True)
class NetworkSpec:
    """A network that `build_segmentor` knows.

    Attributes:
        description: one line for ``--list``.
        make_encoder: imports its libraries only when called.
        make_decoder: of that encoder and a number of classes, likewise.
        weights: the published weights of its encoder, which "imagenet" stands for; None where there are none.
        patch: side in pixels of the patches of a plain Vision Transformer, of which images' sides should be multiples;
            0 for other networks.
        stride: of the encoder's last stage, in pixels; 0: not told.
    """

    description: str
    make_encoder: Callable[[], Encoder]
    make_decoder: Callable[[Encoder, int], nn.Module]
    weights: PublishedWeights | None = None
    patch: int = 0
    stride: int = 0

    @property
    def default_weights(self) -> str | None:
        """The name of `weights`."""
        return None if self.weights is None else self.weights.name


NETWORKS: dict[str, NetworkSpec] = {}


def register_network(name: str, spec: NetworkSpec) -> NetworkSpec:
    """Make a network known by its name."""
    if name in NETWORKS:
        raise ValueError(f"two networks are called {name!r}")
    NETWORKS[name] = spec
    return spec


def build_segmentor(name: str, num_classes: int, weights: str = "imagenet") -> Segmentor:
    """The network `name` for `num_classes` classes, in train mode on the CPU (or torch's default device).

    `weights` is "imagenet" (the network's own, also by their name `NetworkSpec.default_weights`), "none" (random), or
    the path of a checkpoint: of the encoder in any published spelling, or of a whole Segmentor, also as published
    (`methods.pretrained.published_folder`) by path or ``hf:owner/name@revision``. Initialisation draws
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
    if spec.weights is not None and weights in ("imagenet", spec.weights.name):
        return spec.weights.find()
    if is_hub_address(weights) or Path(weights).exists():
        return weights
    known = ["none"] if spec.weights is None else ["imagenet", "none", spec.weights.name]
    takes = f"{name} takes {', '.join(known)} or the path of a checkpoint"
    if spec.weights is None and weights == "imagenet":
        raise MethodError(f"weights imagenet: {name} has no published weights; {takes}")
    if weights in PUBLISHED:
        own = "no published weights" if spec.weights is None else spec.weights.description
        raise MethodError(f"weights {weights}: of {PUBLISHED[weights].description}; {name} has {own}; {takes}")
    if weights.startswith((DETECTRON2, "catalog://")):
        zoo = ", ".join(known for known in PUBLISHED if known.startswith(DETECTRON2))
        raise MethodError(
            f"weights {weights}: fit no network here; of detectron2's zoo {zoo} do, whose ResNets have a deep stem: "
            f"others have a plain 7x7 one, and MSRA's take BGR and have strides in the 1x1 convolutions; {takes}"
        )
    raise MethodError(f"weights {weights!r}: no such file{_nearest(weights, known)}; {takes}")


def _nearest(name: str, known: list[str]) -> str:
    return f", {hint}" if (hint := nearest(name, known)) else ""
