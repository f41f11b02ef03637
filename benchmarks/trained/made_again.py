"""How a run is made again: the keys in which it differs from what protocol and method have, and the command."""

from __future__ import annotations

import shlex
from typing import Any

from detectron2.config import CfgNode

from benchmarks.config.deciding import used_values
from benchmarks.config.keys import PLACE_KEYS, SET_ELSEWHERE, flatten
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from datasets.errors import DataError
from methods.base.errors import MethodError
from results.files.bounded_yaml import as_word

_BY_OPTION = ("NETWORK", "WEIGHTS", *PLACE_KEYS, *SET_ELSEWHERE)
Changed = dict[str, tuple[Any, Any]]
"""By key a run's value, and that of protocol and method."""


def changed_keys(cfg: CfgNode) -> Changed | None:
    """The keys that a run sets otherwise than protocol and method; None where the protocol is not here.

    Of keys that the run uses; not NETWORK, WEIGHTS and what options set.
    """
    try:
        usual = flatten(RunSpec(cfg.PROTOCOL_FILE or cfg.PROTOCOL, cfg.METHOD, cfg.NETWORK, cfg.SEED).resolve())
    except (ConfigError, DataError, MethodError):
        return None
    own = flatten(cfg)
    keys = [key for key in used_values(cfg) if key not in _BY_OPTION]
    return {key: (own[key], usual[key]) for key in keys if _plain(own[key]) != _plain(usual[key])}


def training_command(cfg: CfgNode, changed: Changed | None) -> str:
    """The command that makes a run with the same numbers, quoted for a shell; ``changed``: `changed_keys`."""
    words = [".venv/bin/python", "benchmarks/run.py", "--methods", cfg.METHOD]
    words += ["--protocol", cfg.PROTOCOL_FILE or cfg.PROTOCOL, "--network", cfg.NETWORK, "--seeds", str(cfg.SEED)]
    words += ["--weights", cfg.WEIGHTS] if cfg.WEIGHTS != "imagenet" else []
    words += [] if cfg.DATA.STREETS.SOURCE_IMAGES or cfg.PROTOCOL_FILE else ["--data-root", "DATA"]
    for key, (value, _) in (changed or {}).items():
        words += [key, as_word(value)]
    return shlex.join(words)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
