"""What a run is: a spec, resolved to a config, named by a hash of what decides its numbers."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from detectron2.config import CfgNode

import datasets.streets
from benchmarks.config import PLACE_KEYS, flatten, get_config
from benchmarks.errors import ConfigError
from benchmarks.overrides import apply
from datasets.labels import CLASS_SETS
from methods.networks import NETWORKS
from methods.recipes import parse

PROTOCOLS = Path(__file__).parent / "protocols"


@dataclass(frozen=True)
class RunSpec:
    """One run to be made. ``overrides`` are config keys above protocol and recipe."""

    protocol: str
    method: str
    network: str | None = None  # None: the protocol's default
    seed: int = 0
    overrides: Mapping[str, Any] = field(default_factory=dict)

    def resolve(self) -> CfgNode:
        """Defaults, then the protocol, then the recipe, then the overrides; frozen.

        Raises:
            ConfigError or MethodError: an unknown name or key, or a value out of range, in one line.
        """
        cfg = get_config()
        apply(cfg, protocol_values(self.protocol), f"protocol {self.protocol}")
        recipe = parse(self.method)
        apply(cfg, recipe.config, f"recipe {recipe.name}")
        apply(cfg, self.overrides, "KEY VALUE")
        cfg.PROTOCOL, cfg.METHOD, cfg.SEED = self.protocol, recipe.name, self.seed
        if self.network is not None:
            cfg.NETWORK = self.network
        if cfg.DATA.STREETS.SOURCE_IMAGES:
            cfg.DATA.STREETS.VERSION = datasets.streets.VERSION
        _check(cfg)
        cfg.freeze()
        return cfg


def protocols() -> list[str]:
    """Names of the protocols that ship."""
    return sorted(path.stem for path in PROTOCOLS.glob("*.yaml"))


def protocol_values(name: str) -> dict[str, Any]:
    """The keys that a protocol sets."""
    path = PROTOCOLS / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(f"unknown protocol {name!r}; {_nearest(name, protocols())}")
    return flatten(CfgNode(yaml.safe_load(path.read_text())))


def run_id(cfg: CfgNode) -> str:
    """12 hexadecimal digits: the same for the same numbers, whatever the paths, the hardware or the launcher."""
    values = {key: value for key, value in flatten(cfg).items() if key not in (*PLACE_KEYS, "DESCRIPTION")}
    weights = Path(values["WEIGHTS"])
    if weights.is_file():  # a path decides nothing, the file's content does
        values["WEIGHTS"] = hashlib.sha256(weights.read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]


def run_folder(output: Path, cfg: CfgNode) -> Path:
    """``<output>/<protocol>/<method>/<network>/<id>``."""
    return output / cfg.PROTOCOL / cfg.METHOD / cfg.NETWORK / run_id(cfg)


def _check(cfg: CfgNode) -> None:
    if cfg.NETWORK not in NETWORKS:
        raise ConfigError(f"unknown network {cfg.NETWORK!r}; {_nearest(cfg.NETWORK, list(NETWORKS))}")
    if cfg.SOLVER.PRECISION not in ("fp32", "bf16", "fp16"):
        raise ConfigError(f"SOLVER.PRECISION is {cfg.SOLVER.PRECISION!r}, expected fp32, bf16 or fp16")
    if cfg.TEST.CLASSES not in CLASS_SETS:
        raise ConfigError(f"TEST.CLASSES is {cfg.TEST.CLASSES}, expected {', '.join(map(str, CLASS_SETS))}")
    for key in ("SOLVER.ITERS", "SOLVER.BATCH", "TEST.PERIOD", "CHECKPOINT_PERIOD"):
        value = flatten(cfg)[key]
        if value < 1:
            raise ConfigError(f"{key} is {value}, expected at least 1")
    for key, value in flatten(cfg).items():
        if key.endswith(".RATIO") and not 0 <= value <= 1:
            raise ConfigError(f"{key} is {value}, expected a probability from 0 to 1")
        if key.endswith(".WEIGHT") and value < 0:
            raise ConfigError(f"{key} is {value}, expected 0 or more")


def _nearest(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
