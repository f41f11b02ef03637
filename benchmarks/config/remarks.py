"""What is said of runs before they begin, and under their tables: a line for each thing."""

from __future__ import annotations

from collections.abc import Iterable

from detectron2.config import CfgNode

from benchmarks.config.network_sizes import fitted_sizes
from benchmarks.config.published_network import other_networks
from benchmarks.config.token_grid import fine_token_grids
from methods.framework.recipes import parse
from methods.networks import NETWORKS


def remarks(configs: Iterable[CfgNode]) -> list[str]:
    """Return what is to be known of these runs: of networks and sizes, a loss that harms, masks that hide nothing."""
    configs = list(configs)
    return [*other_networks(configs), *fitted_sizes(configs), *harmful_distances(configs), *fine_token_grids(configs)]


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
