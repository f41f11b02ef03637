"""Networks: an encoder E and a decoder D, composed into the segmentor F = D . E.

    segmentor = build_segmentor("daformer-lite0", num_classes=19)
    logits = segmentor(images)  # (B, 3, H, W) in [0, 1] -> (B, 19, H, W)
    logits = segmentor.decode(segmentor.encode(images))  # before upsampling: (B, 19, H / 4, W / 4)

Methods work on the features between `encode` and `decode`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import methods.networks.shipped  # noqa: F401  (registers the networks that ship)
from methods.networks.registry import NETWORKS, NetworkSpec, build_segmentor, register_network

if TYPE_CHECKING:
    from methods.encoders.encoder import Encoder
    from methods.networks.segmentor import Prediction, Segmentor, Window

__all__ = [
    "NETWORKS",
    "Encoder",
    "NetworkSpec",
    "Prediction",
    "Segmentor",
    "Window",
    "build_segmentor",
    "register_network",
]

_SEGMENTOR = f"{__name__}.segmentor"
_WITH_TORCH = {
    "Encoder": "methods.encoders.encoder",
    "Prediction": _SEGMENTOR,
    "Segmentor": _SEGMENTOR,
    "Window": _SEGMENTOR,
}


def __getattr__(name: str) -> Any:
    """What needs torch, imported when it is asked for: a list of the networks does not wait for it."""
    if name not in _WITH_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WITH_TORCH[name]), name)
