"""Which values a config key may have; those of methods' settings are beside their fields (methods/base/ranges.py)."""

from __future__ import annotations

import math
from typing import Any

from methods.networks.segmentor import LEAST_SIDE

# By the last part of a key.
_AT_LEAST_ONE = {"ITERS", "BATCH", "PERIOD", "CHECKPOINT_PERIOD"}
_SHARES = {"FLIP", "MAX_CLASS_SHARE", "MOMENTUM", "WARMUP_FACTOR"}
_OPTIONAL_SIZES = {"SOURCE_RESIZE", "TARGET_RESIZE", "RESIZE", "WINDOW", "STRIDE"}
_SIZES = {"SIZE", "CROP"} | _OPTIONAL_SIZES
_SEEN = {"CROP", "WINDOW", "RESIZE"}  # what a network is given
_PIXEL_COUNTS = {"IGNORED_ROWS": ("top", "bottom"), "TARGET_MARGINS": ("top", "bottom", "sides")}

CHOICES = {"SOLVER.PRECISION": ("fp32", "bf16", "fp16"), "SOLVER.OPTIMIZER": ("adamw", "sgd")}
"""Keys that hold one of a few words."""

SET_ELSEWHERE = {
    "PROTOCOL": "--protocol",
    "PROTOCOL_FILE": "--protocol",
    "METHOD": "--methods",
    "SEED": "--seeds",
    "DESCRIPTION": "the protocol's file",
    "DATA.STREETS.VERSION": "the code that draws",
    "NUMERICS": "the code of the methods",
    "PLUGINS": "--plugin",
}
"""Keys that are not set as KEY VALUE, and what sets them."""


def expected(key: str, value: Any) -> str | None:
    """What the value of a key, of the right type, should have been, as "at least 1"; None where it is in range."""
    if key in CHOICES:
        *first, last = CHOICES[key]
        return None if value in CHOICES[key] else f"{', '.join(first)} or {last}"
    name = key.rsplit(".", 1)[-1]
    if name in _PIXEL_COUNTS:
        fits = len(value) == len(_PIXEL_COUNTS[name]) and min(value) >= 0
        return None if fits else f"pixels at {', '.join(_PIXEL_COUNTS[name])}"
    if name in _SIZES:
        least = LEAST_SIDE if name in _SEEN else 1
        if len(value) == 2 and min(value) >= least:
            return None
        optional = name in _OPTIONAL_SIZES
        sides = "a width and a height in pixels" + (f" of at least {least}" if least > 1 else "")
        return None if optional and not value else sides + " or []" * optional
    if isinstance(value, (bool, str, tuple)):
        return None
    if name in _AT_LEAST_ONE:
        return None if value >= 1 else "at least 1"
    if name == "TEMPERATURE":
        return None if 0 < value < math.inf else "a finite number above 0"
    if name in _SHARES:
        return None if 0 <= value <= 1 else "a number from 0 to 1"
    return None if value >= 0 and math.isfinite(value) else "a finite number of at least 0"
