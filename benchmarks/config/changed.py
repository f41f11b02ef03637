"""What of a run's config somebody set: neither its protocol nor its recipe says it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from detectron2.config import CfgNode

from benchmarks.config.keys import PLACE_KEYS, SET_ELSEWHERE, flatten
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from datasets.base.errors import DataError
from methods.base.errors import MethodError
from methods.framework.term import TERMS

Changed = dict[str, tuple[Any, Any]]
"""By key a run's value, and that of protocol and recipe."""


def changed_keys(cfg: CfgNode) -> Changed | None:
    """Return what a run has by key beside what its protocol and recipe say; not where it ran, nor what options set.

    A recipe that goes by the data, as which rows it ignores, is asked with the run's own DATA. None where the
    protocol's file is gone, or another by now.
    """
    own = flatten(cfg)
    names = (cfg.PROTOCOL_FILE or cfg.PROTOCOL, cfg.METHOD, cfg.NETWORK, tuple(TERMS.items()))

    def differing(data: Mapping[str, Any]) -> Changed:
        usual = _usual(*names, tuple((key, _hashable(value)) for key, value in data.items()))
        both = {key: (own[key], value) for key, value in usual.items() if key in own}
        return {key: (ours, value) for key, (ours, value) in both.items() if _hashable(ours) != _hashable(value)}

    try:
        data = {key: pair for key, pair in differing({}).items() if key.startswith("DATA.")}
        return data | differing({key: value for key, (value, _) in data.items()})
    except (ConfigError, DataError, MethodError):
        return None


@lru_cache(maxsize=8)  # a grid of a thousand runs has a record each before one begins
def _usual(
    protocol: str, method: str, network: str, terms: object, data: tuple[tuple[str, Any], ...]
) -> dict[str, Any]:
    """What protocol and recipe say by key; ``terms``: those registered by now, whose settings are keys."""
    usual = flatten(RunSpec(protocol, method, network, overrides=dict(data)).resolve())
    return {key: value for key, value in usual.items() if key not in {*PLACE_KEYS, *SET_ELSEWHERE}}


def _hashable(value: Any) -> Any:
    return tuple(map(_hashable, value)) if isinstance(value, (list, tuple)) else value
