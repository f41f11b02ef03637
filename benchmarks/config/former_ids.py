"""The ids that earlier versions gave a run: its folder is found under them, and it is not made again."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from detectron2.config import CfgNode

from benchmarks.config.deciding import (
    PERIOD,
    digits,
    first_defaults,
    idle_keys,
    recorded_defaults,
    same,
    used_values,
)
from benchmarks.config.protocol_file import PROTOCOLS, read_protocol
from methods.framework.recipes import parse

# Left out of ids while they were 0 or empty.
_LEFT_OUT = ("TEST.SOURCE_IMAGES", "TEST.CONFIDENCE_IMAGES", "NUMERICS", "PLUGINS", "SAMPLING.BY_AREA")


def former_ids(cfg: CfgNode) -> list[str]:
    """The ids under which earlier versions may have made the run, the most likely first."""
    values = _values_then(cfg)
    return [] if values is None else list(dict.fromkeys(map(digits, _hashed(cfg, values))))


def _hashed(cfg: CfgNode, values: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """What ids were hashes of: all keys, those that decide nothing as they are where nobody sets them.

    Before that they were as set, so that runs which differ in such a key alone had several ids. Those of the usual
    evaluation periods are given: the config's own, the protocol's, and that of a search.
    """
    first, usual = first_defaults(), usual_period(cfg.PROTOCOL, cfg.METHOD)
    yield values | {key: first[key] for key in idle_keys(cfg) if key in values} | {PERIOD: usual}
    periods = (cfg.TEST.PERIOD, usual)
    for period in dict.fromkeys([*periods, *(period_to_prune_by(each, cfg.SOLVER.ITERS) for each in periods)]):
        yield values | {PERIOD: period}


def _values_then(cfg: CfgNode) -> dict[str, Any] | None:
    """The used keys that there were, with their values; None for a run that a key decides which came later."""
    first, recorded, idle = first_defaults(), recorded_defaults(), idle_keys(cfg)
    sections = {_section(key) for key in recorded}
    found = {}
    for key, value in used_values(cfg).items():
        # Keys of terms from outside are not recorded, and were in the id.
        if key in recorded or (key.startswith("TERMS.") and _section(key) not in sections):
            if value or key not in _LEFT_OUT:
                found[key] = value
        elif key not in idle and not same(value, first[key]):
            return None
    return found


def _section(key: str) -> str:
    """The section of a key: ``TERMS.MRM`` of ``TERMS.MRM.RATIO``."""
    return key.rpartition(".")[0]


def period_to_prune_by(period: int, iterations: int) -> int:
    """The evaluation period of a search's trials: at least five scores in a run."""
    return min(period, -(-iterations // 5))


@cache
def usual_period(protocol: str, method: str) -> int:
    """TEST.PERIOD of a method under a protocol that ships, where nobody sets it; of all the user's own, the default."""
    defaults = first_defaults()
    period: int = defaults[PERIOD]
    path = PROTOCOLS / f"{protocol}.yaml"
    if not path.is_file():
        return period
    values = {**defaults, **read_protocol(path)}
    return int(parse(method).configure(values).get(PERIOD, values[PERIOD]))
