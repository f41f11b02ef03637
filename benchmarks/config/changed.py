"""What of a run's config somebody set: neither its protocol nor its recipe says it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from detectron2.config import CfgNode

from benchmarks.config.keys import PLACE_KEYS, SET_ELSEWHERE, flatten
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from datasets.errors import DataError
from methods.base.errors import MethodError

Changed = dict[str, tuple[Any, Any]]
"""By key a run's value, and that of protocol and recipe."""


def changed_keys(cfg: CfgNode) -> Changed | None:
    """Return what a run has by key beside what its protocol and recipe say; not where it ran, nor what options set.

    A recipe that goes by the data, as which rows it ignores, is asked with the run's own DATA. None where the
    protocol's file is gone, or another by now.
    """
    own = flatten(cfg)

    def differing(overrides: Mapping[str, Any]) -> Changed:
        spec = RunSpec(cfg.PROTOCOL_FILE or cfg.PROTOCOL, cfg.METHOD, cfg.NETWORK, cfg.SEED, overrides)
        usual = {key: value for key, value in flatten(spec.resolve()).items() if key not in left_out}
        return {key: (own[key], value) for key, value in usual.items() if _plain(own.get(key, value)) != _plain(value)}

    left_out = {*PLACE_KEYS, *SET_ELSEWHERE}
    try:
        data = {key: pair for key, pair in differing({}).items() if key.startswith("DATA.")}
        return data | differing({key: value for key, (value, _) in data.items()})
    except (ConfigError, DataError, MethodError):
        return None


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
