"""What is asked for: a spec, resolved to a config."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

import datasets.streets
from benchmarks.config.data_lists import without_lists
from benchmarks.config.keys import SET_ELSEWHERE, WRITERS, config_name, flatten, from_node, get_config, ranges
from benchmarks.config.label_space import check_also, check_classes, reported, roles_of
from benchmarks.config.network_sizes import fit_sizes
from benchmarks.config.overrides import apply
from benchmarks.config.plugins import used_plugins
from benchmarks.config.protocol_file import is_path, nearest, protocol_values, protocols
from benchmarks.config.ranges import scaled
from benchmarks.config.sliding_window import sliding
from benchmarks.core.errors import ConfigError
from benchmarks.core.nearest import did_you_mean
from datasets.batches.rare_classes import RareClasses, of_crop
from methods.framework.recipes import parse
from methods.framework.term import TERMS
from methods.networks import NETWORKS
from methods.networks.multi_resolution import MultiResolution
from methods.pretrained.published_folder import pinned


@dataclass(frozen=True)
class RunSpec:
    """One run to be made. ``overrides`` are config keys above protocol and recipe."""

    protocol: str  # a name, or the path of a YAML file
    method: str
    network: str | None = None  # None: the protocol's default
    seed: int = 0
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self) -> CfgNode:
        """Defaults, then the protocol, then the recipe (which sees overridden DATA), then the overrides; frozen.

        Sizes that are not overridden are those that fit the network (`benchmarks.config.network_sizes`).

        Raises:
            ConfigError or MethodError: an unknown name or key, or a value out of range, in one line.
        """
        cfg = get_config()
        values = without_lists(protocol_values(self.protocol), f"protocol {self.protocol}")
        overrides = without_lists(self.overrides, "KEY VALUE")
        _refuse({key: value for key, value in values.items() if key != "DESCRIPTION"}, None, self.protocol)
        apply(cfg, values, f"protocol {self.protocol}")
        recipe = parse(self.method)
        _refuse(overrides, self.network)
        # Recipes go by what the data are, whoever says so: by things and ignored rows of a pair as by the protocol's.
        apply(cfg, {key: value for key, value in overrides.items() if key.startswith("DATA.")}, "KEY VALUE")
        check_values(flatten(cfg.DATA, "DATA."))
        apply(cfg, recipe.configure(flatten(cfg)), f"recipe {recipe.name}")
        apply(cfg, overrides, "KEY VALUE")
        cfg.WEIGHTS = pinned(cfg.WEIGHTS)  # what a branch of a hub's repository holds may be another tomorrow
        cfg.TEST.ALSO = tuple(str(Path(name).absolute()) if is_path(name) else name for name in cfg.TEST.ALSO)
        cfg.PROTOCOL, cfg.METHOD, cfg.SEED = self.protocol, recipe.name, self.seed
        if is_path(self.protocol):
            cfg.PROTOCOL, cfg.PROTOCOL_FILE = Path(self.protocol).stem, str(Path(self.protocol).absolute())
            _scale_sampling(cfg, {*values, *overrides})
        if cfg.TEST.CLASSES == 0:
            cfg.TEST.CLASSES = reported(cfg)[0]
        if self.network is not None:
            cfg.NETWORK = self.network
        if cfg.DATA.STREETS.SOURCE_IMAGES:
            cfg.DATA.STREETS.VERSION = datasets.streets.VERSION
        _check(cfg, overrides)
        fit_sizes(cfg, overrides.keys())
        cfg.NUMERICS = numerics(cfg)
        cfg.PLUGINS = used_plugins(cfg.METHOD, cfg.NETWORK)
        cfg.freeze()
        return cfg


def _scale_sampling(cfg: CfgNode, given: Set[str]) -> None:
    """Rare class sampling's thresholds are of GTA's labels and of 512x512 crops: own data gets them by area."""
    if not given & {"SAMPLING.MIN_PIXELS", "SAMPLING.BY_AREA"}:
        cfg.SAMPLING.BY_AREA = True
    if "SAMPLING.MIN_CROP_PIXELS" not in given:
        cfg.SAMPLING.MIN_CROP_PIXELS = of_crop(RareClasses.min_crop_pixels, tuple(cfg.INPUT.CROP))


def numerics(cfg: CfgNode) -> tuple[str, ...]:
    """The terms that this code trains with other numbers than its first version, as "mrm 2" (``Term.numerics``)."""
    found = []
    for name in parse(cfg.METHOD).terms:
        values = from_node(TERMS[name].Settings, cfg.TERMS[config_name(name)])
        if values.weight and (number := TERMS[name].numerics(values)) > 1:
            found.append(f"{name} {number}")
    return tuple(found)


def _check(cfg: CfgNode, overrides: Mapping[str, Any]) -> None:
    if cfg.NETWORK not in NETWORKS:
        raise ConfigError(f"unknown network {cfg.NETWORK!r}; {nearest(cfg.NETWORK, list(NETWORKS))}")
    check_classes(cfg)
    check_also(cfg, protocols())
    for writer in cfg.LOG.WRITERS:
        if writer in WRITERS and find_spec(writer) is None:
            raise ConfigError(
                f"--writer {writer}: the package {writer} is not installed here, expected one that is "
                f"(pip install {writer})"
            )
    recipe = parse(cfg.METHOD)
    # Of a term that the recipe lacks, what was set all the same: a slip of the command, which other methods share.
    seen = {f"TERMS.{config_name(name)}" for name in recipe.terms} | {key.rpartition(".")[0] for key in overrides}
    check_values(
        {
            key: value
            for key, value in flatten(cfg).items()
            if not key.startswith("TERMS.") or key.rpartition(".")[0] in seen
        }
    )
    if cfg.SOLVER.OPTIMIZER == "adamw" and _usual_momentum() != cfg.SOLVER.MOMENTUM:
        raise ConfigError(f"SOLVER.MOMENTUM is {cfg.SOLVER.MOMENTUM}, which is of sgd: expected SOLVER.OPTIMIZER sgd")
    _check_scales(cfg)
    _check_margins(cfg)
    if recipe.oracle and cfg.TEST.SOURCE_IMAGES:
        raise ConfigError(
            f"TEST.SOURCE_IMAGES is {cfg.TEST.SOURCE_IMAGES}, expected 0 for {recipe.name}, which trains on no source"
        )
    for name in recipe.terms:
        from_node(TERMS[name].Settings, cfg.TERMS[config_name(name)])  # raises what makes no sense together
    for part in recipe.parts:
        if part.min_batch > cfg.SOLVER.BATCH:
            raise ConfigError(f"SOLVER.BATCH is {cfg.SOLVER.BATCH}, expected at least {part.min_batch} for {part.name}")
    from_node(MultiResolution, cfg.HRDA)
    sliding(cfg)


def check_values(values: Mapping[str, Any]) -> None:
    """Check each value. Raises ConfigError for the first that is out of the range of its key."""
    known = ranges()
    for key, value in values.items():
        if key in known and not known[key].allows(value):
            hint = did_you_mean(value, words, "", quote="'") if (words := known[key].words) else ""
            raise ConfigError("; ".join(filter(None, (f"{key} is {value!r}, expected {known[key].expected}", hint))))


@cache
def _usual_momentum() -> float:
    return float(get_config().SOLVER.MOMENTUM)


def _check_scales(cfg: CfgNode) -> None:
    for family in ("SOURCE", "TARGET"):
        for role in roles_of(cfg, family):
            if (scale := cfg.DATA[role].SCALE) != 1 and not cfg.INPUT[f"{family}_RESIZE"]:
                raise ConfigError(
                    f"DATA.{role}.SCALE is {scale}, which is of INPUT.{family}_RESIZE: expected 1.0, or a size there"
                )


def _check_margins(cfg: CfgNode) -> None:
    """Margins that leave nothing of a target image, where the protocol says how large it is."""
    usual = cfg.INPUT.TARGET_RESIZE or (cfg.DATA.STREETS.SIZE if cfg.DATA.STREETS.SOURCE_IMAGES else None)
    top, bottom, sides = cfg.INPUT.TARGET_MARGINS
    for node in (cfg.DATA[role] for role in roles_of(cfg, "TARGET")):
        size = scaled(tuple(usual or ()), node.SCALE)
        if size is None or not node.MARGINS:
            continue
        if top + bottom < size[1] and 2 * sides < size[0]:
            continue
        raise ConfigError(
            f"INPUT.TARGET_MARGINS is {cfg.INPUT.TARGET_MARGINS}, expected margins that leave something of target "
            f"images of {size[0]}x{size[1]}"
        )


def _refuse(overrides: Mapping[str, Any], network: str | None, where: str = "KEY VALUE") -> None:
    for key in overrides:
        if key in SET_ELSEWHERE:
            raise ConfigError(f"{where}: {key} is set by {SET_ELSEWHERE[key]}")
        if key == "NETWORK" and network is not None:
            raise ConfigError("KEY VALUE: NETWORK is set by --network already")
