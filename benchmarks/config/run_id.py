"""A run's id, a hash of the config keys that decide its numbers; that of now, those of earlier versions, its folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from benchmarks.config.keys import LATER_KEYS, PLACE_KEYS, config_name, flatten, get_config
from benchmarks.config.protocol_file import PROTOCOLS, read_protocol
from methods.framework.recipes import parse
from methods.framework.term import TERMS
from methods.networks import NETWORKS
from methods.networks.published_weights import file_sha256
from methods.networks.registry import is_weights_name
from methods.networks.weights import weights_file
from results.records.record import FILE as RECORD
from results.records.record import is_over, record_or_none

_PERIOD = "TEST.PERIOD"
_FEATURE_DISTANCE = "feature-distance"  # the term that DATA.THINGS is for


def run_id(cfg: CfgNode) -> str:
    """12 hexadecimal digits: the same for the same numbers, whatever the paths, the hardware or the launcher."""
    return _digits(decisive(cfg))


def former_ids(cfg: CfgNode) -> list[str]:
    """The ids under which earlier versions may have made the run, the most likely first; without that of now."""
    ids = dict.fromkeys(_digits(values) for values in formerly_decisive(cfg))
    ids.pop(run_id(cfg), None)
    return list(ids)


def run_folder(output: Path, cfg: CfgNode) -> Path:
    """The folder of a run: ``<output>/<protocol>/<method>/<network>/<id>``.

    Where the run is there already under a former id, that folder: one that is over before one that can be gone on with.
    """
    group = output / cfg.PROTOCOL / cfg.METHOD / cfg.NETWORK
    usual = group / run_id(cfg)
    if not group.is_dir():
        return usual
    folders = (usual, *(group / each for each in former_ids(cfg)))
    there = [folder for folder in folders if (folder / RECORD).is_file()]
    over = [folder for folder in there if is_over(record_or_none(folder))]
    return next(iter([*over, *there]), usual)


def _digits(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def decisive(cfg: CfgNode) -> dict[str, Any]:
    """The flat keys that decide a run's numbers, with their values.

    A key that decides nothing in this run is in it as it is where nobody sets it, so that a run which never set it
    keeps its id: how often is evaluated (the last iterate always is), what a weight of 0 or a warm-up of 0
    iterations makes idle, labels of the target but for the oracle, things without feature distance.
    """
    values, usual = _given(cfg), _defaults()
    recipe = parse(cfg.METHOD)
    values[_PERIOD] = usual_period(cfg.PROTOCOL, cfg.METHOD)
    idle = [] if recipe.oracle else ["DATA.TARGET.LABELS", "DATA.TARGET.IDS"]
    if _FEATURE_DISTANCE not in recipe.terms:
        idle.append("DATA.THINGS")
    if cfg.SOLVER.WARMUP_ITERS == 0:
        idle.append("SOLVER.WARMUP_FACTOR")
    for name in recipe.terms:
        if cfg.TERMS[config_name(name)].WEIGHT == 0:
            section = f"TERMS.{config_name(name)}."
            idle += [key for key in values if key.startswith(section) and key != f"{section}WEIGHT"]
    return values | {key: usual[key] for key in idle}


def formerly_decisive(cfg: CfgNode) -> Iterator[dict[str, Any]]:
    """What ids were hashes of before keys that decide nothing were left out.

    Runs that differ in such a key alone had several ids. Those of the usual evaluation periods are given: the config's
    own, the protocol's, and that of a search.
    """
    values = _given(cfg)
    usual = usual_period(cfg.PROTOCOL, cfg.METHOD)
    periods = (cfg.TEST.PERIOD, usual)
    for period in dict.fromkeys([*periods, *(period_to_prune_by(each, cfg.SOLVER.ITERS) for each in periods)]):
        yield values | {_PERIOD: period}


def period_to_prune_by(period: int, iterations: int) -> int:
    """The evaluation period of a search's trials: at least five scores in a run."""
    return min(period, -(-iterations // 5))


def _given(cfg: CfgNode) -> dict[str, Any]:
    """The keys without places, and without sections that the recipe, or the run, does not use."""
    recipe = parse(cfg.METHOD)
    foreign = tuple(f"TERMS.{config_name(name)}." for name in TERMS if name not in recipe.terms)
    if not recipe.host.teacher:
        foreign += ("SELF_TRAINING.",)
    if not cfg.SAMPLING.RARE_CLASSES:
        foreign += ("SAMPLING.",)
    if not cfg.HRDA.ENABLED:
        foreign += ("HRDA.",)
    values = {
        key: value
        for key, value in flatten(cfg).items()
        if key not in (*PLACE_KEYS, "DESCRIPTION", "DATA.COLOURS") and not key.startswith(foreign)
        if value or key not in LATER_KEYS
    }
    if NETWORKS[cfg.NETWORK].default_weights == cfg.WEIGHTS:
        values["WEIGHTS"] = "imagenet"
    elif not is_weights_name(cfg.NETWORK, cfg.WEIGHTS) and (file := weights_file(Path(cfg.WEIGHTS))).is_file():
        # A path decides nothing, the file's content does.
        values["WEIGHTS"] = file_sha256(file)
    return values


def _defaults() -> dict[str, Any]:
    return _defaults_of(tuple(TERMS))


@cache
def _defaults_of(terms: tuple[str, ...]) -> dict[str, Any]:
    """The defaults with the keys of ``terms``, those that are registered by now."""
    return flatten(get_config())


@cache
def usual_period(protocol: str, method: str) -> int:
    """TEST.PERIOD of a method under a protocol that ships, where nobody sets it; of all the user's own, the default."""
    period: int = _defaults()[_PERIOD]
    path = PROTOCOLS / f"{protocol}.yaml"
    if not path.is_file():
        return period
    values = {**_defaults(), **read_protocol(path)}
    return int(parse(method).configure(values).get(_PERIOD, values[_PERIOD]))
