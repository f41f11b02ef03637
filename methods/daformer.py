"""DAFormer's training: self-training with rare class sampling, feature distance and warm-up (Hoyer et al., CVPR 2022).

The network is the protocol's or the user's choice (``--network daformer-mitb5`` is the published one). Everything that
is not set here is as in DACS: warm-up over 1,500 iterations, jitter, blur, the threshold of pseudo-labels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from methods.framework.recipes import MethodPart, register

TERMS = ("supervised", "self-training", "feature-distance")

CONFIG: Mapping[str, Any] = {"SELF_TRAINING.MOMENTUM": 0.999, "SAMPLING.RARE_CLASSES": True}
"""What DAFormer sets whatever the protocol; HRDA is built on it."""


def adapt(values: Mapping[str, Any]) -> dict[str, Any]:
    """What DAFormer takes from the protocol.

    Pseudo-labels of the rows that the protocol distrusts get weight 0. Rows are those of the target image, so that a
    crop that does not reach its border loses none (the authors' first code cuts them off every crop, which is the same
    at the published sizes, where crops are as high as the image; their later code does as here). Of own data, the
    feature distance looks at the classes that are called things.
    """
    changes: dict[str, Any] = {"INPUT.TARGET_MARGINS": (*values["DATA.IGNORED_ROWS"], 0)}
    if names := values["DATA.CLASSES"]:
        # A thing that is no class is told where the config is checked.
        things = tuple(names.index(thing) for thing in values["DATA.THINGS"] if thing in names)
        changes["TERMS.FEATURE_DISTANCE.CLASSES"] = things
    return changes


register(
    MethodPart(
        "daformer",
        "DACS with rare class sampling, feature distance of thing classes, slower teacher (Hoyer et al., CVPR 2022)",
        terms=TERMS,
        host=True,
        teacher=True,
        network="daformer-mitb5",
        config=CONFIG,
        adapt=adapt,
    )
)
