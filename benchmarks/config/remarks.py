"""What is said of runs before they begin, and under their tables: a line for each thing."""

from __future__ import annotations

import math
from collections.abc import Iterable

from detectron2.config import CfgNode

from benchmarks.config.network_sizes import fitted_sizes
from benchmarks.config.published_network import other_networks
from methods.framework.recipes import parse
from methods.networks import NETWORKS

_NO_REBUILDER = "mask-only"


def remarks(configs: Iterable[CfgNode]) -> list[str]:
    """Return what is to be known of these runs: of networks and sizes, a loss that harms, masks that hide nothing."""
    configs = list(configs)
    of_masks = [*fine_token_grids(configs), *whole_grid_blocks(configs)]
    return [*other_networks(configs), *fitted_sizes(configs), *harmful_distances(configs), *of_masks]


def harmful_distances(configs: Iterable[CfgNode]) -> list[str]:
    """A line for each host that holds a foundation network to its first features (arXiv 2503.10685, abstract)."""
    lines: dict[str, None] = {}
    for cfg in configs:
        recipe = parse(cfg.METHOD)
        held = "feature-distance" in recipe.terms and cfg.TERMS.FEATURE_DISTANCE.WEIGHT
        if held and NETWORKS[cfg.NETWORK].patch and not cfg.SOLVER.FREEZE_ENCODER:
            lines[
                f"{recipe.host.name} holds {cfg.NETWORK} to its first features, which harms foundation networks "
                "(arXiv 2503.10685): TERMS.FEATURE_DISTANCE.WEIGHT 0 trains without"
            ] = None
    return list(lines)


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


def whole_grid_blocks(configs: Iterable[CfgNode]) -> list[str]:
    """A line where MRM masks in blocks that are the whole grid of tokens, with the grids' sides."""
    sides = {
        cfg.TERMS.MRM.BLOCK
        for cfg in configs
        if "mrm" in parse(cfg.METHOD).terms
        and (cfg.TERMS.MRM.STRATEGY, cfg.TERMS.MRM.BLOCK) == ("block", cfg.TERMS.MRM.RESOLUTION)
    }
    return [
        f"MRM masks in blocks of {side}x{side} tokens, which is all there are: an image is masked as a whole or not at "
        f"all; a smaller TERMS.MRM.BLOCK masks a part of it"
        for side in sorted(sides)
    ]
