"""Sizes of images that fit a network of patches: those of a protocol, as the nearest multiples of the patch."""

from __future__ import annotations

import math
from collections.abc import Iterable, Set
from itertools import count

from detectron2.config import CfgNode

from methods.networks import NETWORKS


def fit_sizes(cfg: CfgNode, given: Set[str]) -> None:
    """Change crops, and the images that they are cut from, to the next size that the network's patches fill.

    512 becomes 518 for patches of 14, and Cityscapes at 1024x512 becomes 1036x518, so that a crop shows what it showed;
    so do the images of the embedded benchmark. Where a protocol leaves target images as they are, they may have no more
    than the crop's pixels, and it becomes the next smaller one: 1022 for 1024. With two resolutions (HRDA) it is one of
    which context and detail fit: 1064, or 1008. Test images get the next multiples. Keys that are ``given`` stay: the
    network resamples what does not fit.
    """
    patch = NETWORKS[cfg.NETWORK].patch
    if not patch:
        return
    drawn = tuple(cfg.DATA.STREETS.SIZE) if cfg.DATA.STREETS.SOURCE_IMAGES else ()
    crop, scale = tuple(cfg.INPUT.CROP), 1.0
    if "INPUT.CROP" not in given:
        enlarged = bool(cfg.INPUT.TARGET_RESIZE or drawn)
        cfg.INPUT.CROP = tuple(_fitting(side, cfg, patch, enlarged) for side in crop)
        scale = max(1.0, *(new / old for new, old in zip(cfg.INPUT.CROP, crop, strict=True)))
    if scale > 1:
        for key in ("INPUT.SOURCE_RESIZE", "INPUT.TARGET_RESIZE"):
            if key not in given and (size := cfg.INPUT[key.rpartition(".")[2]] or drawn):
                cfg.INPUT[key.rpartition(".")[2]] = tuple(math.ceil(side * scale) for side in size)
        if "INPUT.TARGET_MARGINS" not in given:
            cfg.INPUT.TARGET_MARGINS = tuple(round(pixels * scale) for pixels in cfg.INPUT.TARGET_MARGINS)
    for key, size in (("RESIZE", cfg.TEST.RESIZE or drawn), ("WINDOW", cfg.TEST.WINDOW)):
        if size and f"TEST.{key}" not in given and any(side % patch for side in size):
            cfg.TEST[key] = tuple(_multiple(side * scale, patch) for side in size)


def fitted_sizes(configs: Iterable[CfgNode]) -> list[str]:
    """A line for each network that sees other sizes than the usual powers of two: which, or that it resamples."""
    lines: dict[str, None] = {}
    for cfg in configs:
        patch, crop = NETWORKS[cfg.NETWORK].patch, cfg.INPUT.CROP
        if patch and any(side % patch for side in crop):
            told = f"crops of {_sides(crop)} are resampled to {_sides(_multiple(side, patch) for side in crop)}"
        elif patch & (patch - 1):
            test = f", test images {_sides(cfg.TEST.RESIZE)}" if cfg.TEST.RESIZE else ""
            told = f"crops are {_sides(crop)}{test}"
        else:
            continue
        lines[f"{cfg.NETWORK} sees patches of {patch}x{patch} pixels: {told}"] = None
    return list(lines)


def _fitting(side: int, cfg: CfgNode, patch: int, enlarged: bool) -> int:
    """The next side of a crop that fits, from ``side`` up or down; with two resolutions, as HRDA's grid asks."""
    step, detail = patch, 1.0
    if cfg.HRDA.ENABLED:
        step, detail = patch * round(1 / cfg.HRDA.CONTEXT_SCALE), cfg.HRDA.DETAIL_SIZE
    first = math.ceil(side / step) if enlarged else max(1, side // step)
    numbers = count(first) if enlarged else range(first, 0, -1)
    return next((step * each for each in numbers if round(step * each * detail) % step == 0), side)


def _multiple(side: float, patch: int) -> int:
    return math.ceil(side / patch) * patch


def _sides(size: Iterable[int]) -> str:
    return "x".join(map(str, size))
