"""Which config keys decide a run's numbers, and with which values."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from benchmarks.config.keys import PLACE_KEYS, config_name, flatten, get_config
from benchmarks.config.label_space import roles_of
from benchmarks.core.yaml_file import read_yaml
from methods.framework.recipes import parse
from methods.framework.term import TERMS
from methods.networks import NETWORKS
from methods.networks.registry import is_weights_name
from methods.networks.weights import weights_file
from methods.pretrained.published_weights import file_sha256

PERIOD = "TEST.PERIOD"
_FEATURE_DISTANCE = "feature-distance"  # the term that DATA.THINGS is for
_FIRST_DEFAULTS = Path(__file__).with_name("first_defaults.yaml")


def used_values(cfg: CfgNode) -> dict[str, Any]:
    """The flat keys with their values, without places and without sections that recipe or run do not use."""
    recipe = parse(cfg.METHOD)
    foreign = tuple(f"TERMS.{config_name(name)}." for name in TERMS if name not in recipe.terms)
    if not recipe.host.teacher:
        foreign += ("SELF_TRAINING.",)
    if not cfg.SAMPLING.RARE_CLASSES:
        foreign += ("SAMPLING.",)
    if not cfg.HRDA.ENABLED:
        foreign += ("HRDA.",)
    without = (*PLACE_KEYS, "DESCRIPTION", "DATA.COLOURS")
    values = {
        key: value for key, value in flatten(cfg).items() if key not in without and not key.startswith(foreign)
    }
    if NETWORKS[cfg.NETWORK].default_weights == cfg.WEIGHTS:
        values["WEIGHTS"] = "imagenet"
    elif not is_weights_name(cfg.NETWORK, cfg.WEIGHTS) and (file := weights_file(Path(cfg.WEIGHTS))).is_file():
        # A path decides nothing, the file's content does.
        values["WEIGHTS"] = file_sha256(file)
    return values


def idle_keys(cfg: CfgNode) -> set[str]:
    """Used keys that decide nothing in this run, whatever their value.

    What a weight of 0, a warm-up of 0 iterations or a frozen encoder makes idle, labels of the target where none is
    learned from, things without feature distance, the weight of a data set that is the only one.
    """
    recipe, targets, few = parse(cfg.METHOD), roles_of(cfg, "TARGET"), cfg.DATA.LABELLED_TARGET
    unread = targets if not (recipe.oracle or recipe.few_labels) else targets[1:] if few else []
    idle = {f"DATA.{role}.{key}" for role in unread for key in ("LABELS", "IDS")}
    idle |= {f"DATA.{roles[0]}.WEIGHT" for roles in (roles_of(cfg, "SOURCE"), targets) if len(roles) == 1}
    if not few:
        idle.add("DATA.LABELLED_SEED")
    if not recipe.few_labels:
        idle.add("SOLVER.LABELLED_BATCH")
    if _FEATURE_DISTANCE not in recipe.terms:
        idle.add("DATA.THINGS")
    if cfg.SOLVER.WARMUP_ITERS == 0:
        idle.add("SOLVER.WARMUP_FACTOR")
    if cfg.SOLVER.FREEZE_ENCODER:
        idle |= {"SOLVER.ENCODER_LR", "SOLVER.LAYER_DECAY"}
    for name in recipe.terms:
        section = f"TERMS.{config_name(name)}."
        if cfg.TERMS[config_name(name)].WEIGHT == 0:
            idle |= {key for key in flatten(cfg.TERMS, "TERMS.") if key.startswith(section)} - {f"{section}WEIGHT"}
    return idle


def first_defaults() -> dict[str, Any]:
    """The default that each key had first, which may be another by now; of keys that are not recorded, that of now."""
    return {**_defaults_of(tuple(TERMS.items())), **recorded_defaults()}


@cache
def recorded_defaults() -> dict[str, Any]:
    """The first defaults that are written down: those of the time when ids began to leave defaults out."""
    return dict(read_yaml(_FIRST_DEFAULTS, "first defaults"))


@cache
def _defaults_of(terms: tuple[tuple[str, type], ...]) -> dict[str, Any]:
    """The defaults of now; ``terms``: those that are registered by now, whose settings have keys."""
    return flatten(get_config())


def same(one: Any, other: Any) -> bool:
    """Whether two values are hashed alike: a list is a tuple, as YAML has it."""
    if type(one) is type(other) and isinstance(one, (str, int)):  # most values, told apart a hundred times for each id
        return bool(one == other)
    return json.dumps(one) == json.dumps(other)


def digits(values: Mapping[str, Any]) -> str:
    """12 hexadecimal digits of values by key, in whatever order."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
