"""Randomness as a function of what is drawn, not of what was drawn before."""

from __future__ import annotations

import hashlib
import operator

import numpy as np


def keyed_rng(*key: int | str) -> np.random.Generator:
    """A generator that the key alone decides, e.g. `keyed_rng(seed, "source-view", iteration, index)`.

    Equal keys give equal draws in every process and on every machine with the same numpy; keys that differ anywhere
    give independent ones. Raises `TypeError` for parts that are neither integers nor strings.
    """
    # A numpy integer is the key that the Python integer is; what has no index is refused rather than rounded.
    parts = tuple(part if isinstance(part, str) else operator.index(part) for part in key)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(repr(parts).encode()).digest(), "big"))
