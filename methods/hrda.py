"""HRDA: DAFormer at full resolution, with context and detail crops (Hoyer et al., ECCV 2022).

The network of two resolutions and its settings, config keys ``HRDA.*``, are in ``networks/multi_resolution.py``; with
``HRDA.ENABLED True`` other hosts have it too (table 2 of the paper), at the sizes of the protocol.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from methods import daformer
from methods.framework.recipes import MethodPart, register

CONFIG: Mapping[str, Any] = {**daformer.CONFIG, "HRDA.ENABLED": True, "TEST.SLIDING": True}
# What DAFormer's protocols shrink by two, and HRDA does not (lhoyer/HRDA, configs/hrda/gtaHR2csHR_hrda.py).
_HALVED = ("INPUT.SOURCE_RESIZE", "INPUT.TARGET_RESIZE", "INPUT.CROP", "TEST.RESIZE")


def adapt(values: Mapping[str, Any]) -> dict[str, Any]:
    """What DAFormer takes from the protocol, at twice its sizes, and the window of inference.

    Where the protocol resizes target images, all sizes in pixels become those of the published settings: for Cityscapes
    2048x1024, crops of 1024, from GTA at 2560x1440 and SYNTHIA at 2560x1520; four times the pixels of a wanted class
    in a crop; blocks of 64 for MIC. No pseudo-label counts in the top 30 and bottom 240 rows and, where rows are
    distrusted at all, in as many columns at the sides as rows at the top. A protocol that leaves target images as they
    are is at full resolution already and keeps its sizes: the context is half of that.

    Test images are seen through windows as large as a training crop, half a window apart, as published.
    """
    changes = daformer.adapt(values)
    values = {**values, **changes}
    if values["INPUT.TARGET_RESIZE"]:
        top, bottom, _ = values["INPUT.TARGET_MARGINS"]
        changes |= {key: tuple(2 * side for side in values[key]) for key in _HALVED}
        changes["INPUT.TARGET_MARGINS"] = (2 * top, 2 * bottom, 2 * top)
        changes["SAMPLING.MIN_CROP_PIXELS"] = 4 * values["SAMPLING.MIN_CROP_PIXELS"]
        changes["TERMS.MIC.BLOCK"] = 2 * values["TERMS.MIC.BLOCK"]
    return changes


register(
    MethodPart(
        "hrda",
        "DAFormer at full resolution: context and detail crops, learned scale attention (Hoyer et al., ECCV 2022)",
        terms=daformer.TERMS,
        host=True,
        teacher=True,
        network="daformer-mitb5",
        config=CONFIG,
        adapt=adapt,
    )
)
