"""Networks: an encoder E and a decoder D, composed into the segmentor F = D . E.

    segmentor = build_segmentor("daformer-lite0", num_classes=19)
    logits = segmentor(images)  # (B, 3, H, W) in [0, 1] -> (B, 19, H, W)
    logits = segmentor.decode(segmentor.encode(images))  # before upsampling: (B, 19, H / 4, W / 4)

Methods work on the features between `encode` and `decode`.
"""

from methods.networks.encoder import Encoder
from methods.networks.registry import NETWORKS, NetworkSpec, build_segmentor
from methods.networks.segmentor import Prediction, Segmentor, Window

__all__ = ["NETWORKS", "Encoder", "NetworkSpec", "Prediction", "Segmentor", "Window", "build_segmentor"]
