"""How a run is made again: the keys in which it differs from what protocol and method have, and the command."""

from __future__ import annotations

import shlex

from detectron2.config import CfgNode

from benchmarks.config.changed import Changed, changed_keys
from benchmarks.config.deciding import used_values
from results.files.bounded_yaml import as_word

_BY_OPTION = ("NETWORK", "WEIGHTS")


def changed_where_used(cfg: CfgNode) -> Changed | None:
    """Return `changed_keys` of those that the run uses, but for NETWORK and WEIGHTS, which have options."""
    changed = changed_keys(cfg)
    used = used_values(cfg)
    return None if changed is None else {k: v for k, v in changed.items() if k in used and k not in _BY_OPTION}


def training_command(cfg: CfgNode, changed: Changed | None) -> str:
    """The command that makes a run with the same numbers, quoted for a shell; ``changed``: `changed_where_used`."""
    words = [".venv/bin/python", "benchmarks/run.py", "--methods", cfg.METHOD]
    words += ["--protocol", cfg.PROTOCOL_FILE or cfg.PROTOCOL, "--network", cfg.NETWORK, "--seeds", str(cfg.SEED)]
    words += ["--weights", cfg.WEIGHTS] if cfg.WEIGHTS != "imagenet" else []
    words += [] if cfg.DATA.STREETS.SOURCE_IMAGES or cfg.PROTOCOL_FILE else ["--data-root", "DATA"]
    for key, (value, _) in (changed or {}).items():
        words += [key, as_word(value)]
    return shlex.join(words)
