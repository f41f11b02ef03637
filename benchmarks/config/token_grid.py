"""Whether MRM hides anything from its Rebuilder: its tokens beside the places of the encoder's last stage."""

from __future__ import annotations

import math
from collections.abc import Iterable

from detectron2.config import CfgNode

from methods.framework.recipes import parse
from methods.networks import NETWORKS

_NO_REBUILDER = "mask-only"


def fine_token_grids(configs: Iterable[CfgNode]) -> list[str]:
    """A line for each network and crop whose last stage is coarser than MRM's grid of tokens, with all such grids.

    Tokens are interpolated from the last stage (methods/parts/rebuilder.py). With more tokens than places a masked one
    is a sum of those left around it; with twice as many a side all are. Published runs have 16 tokens a side of 64
    places (DeepLabV2 at crops of 512) or of 16 (Mix Transformers).
    """
    grids: dict[tuple[str, int, int], set[int]] = {}
    for cfg in configs:
        stride = NETWORKS[cfg.NETWORK].stride
        if not stride or "mrm" not in parse(cfg.METHOD).terms or cfg.TERMS.MRM.OBJECTIVE == _NO_REBUILDER:
            continue
        scale = cfg.HRDA.CONTEXT_SCALE if cfg.HRDA.ENABLED else 1
        height, width = (math.ceil(side * scale / stride) for side in cfg.INPUT.CROP)
        tokens = cfg.TERMS.MRM.RESOLUTION
        if cfg.TERMS.MRM.WEIGHT and tokens > min(height, width):
            grids.setdefault((cfg.NETWORK, height, width), set()).add(tokens)
    return [
        f"MRM masks {' or '.join(f'{side}x{side}' for side in sorted(tokens))} tokens that are interpolated from "
        f"{height}x{width} places of the last stage of {network}: those left tell what is masked, and the Rebuilder "
        f"has little to guess; TERMS.MRM.RESOLUTION {min(height, width)} hides it"
        for (network, height, width), tokens in grids.items()
    ]
