"""What a search varies: config keys and their ranges, read from ``lambda,mask-ratio,TERMS.MRM.BLOCKS=1..4``."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from detectron2.config import CfgNode
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from benchmarks.config.keys import flatten
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from benchmarks.core.nearest import did_you_mean
from results.files.bounded_yaml import load

RANGE_FORM = "LOW..HIGH, LOW..HIGH:log or ONE|OTHER"
# Trials are compared with each other: on the same data, equally long, scored in the same way.
_FIXED = ("DATA.", "TEST.", "SOLVER.ITERS", "SEED")
_MOST_WHOLE = 10**6  # far above any key's use, far below what a list of all values can hold


@dataclass(frozen=True)
class Dimension:
    """One config key that is searched.

    Attributes:
        name: what the study calls it: a short name, or the key.
        key: the config key.
        distribution: what is drawn from.
        base: its value where the search does not set it; None where the range does not hold that.
        grid: the values that ``--sampler grid`` takes; empty where there is no natural choice.
    """

    name: str
    key: str
    distribution: BaseDistribution
    base: Any
    grid: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """Lowest and highest value, or all of those that have no order."""
        if isinstance(self.distribution, CategoricalDistribution):
            return self.distribution.choices
        assert isinstance(self.distribution, (FloatDistribution, IntDistribution))
        return self.distribution.low, self.distribution.high

    @property
    def title(self) -> str:
        """What plots call it: in words where its key has a short name, otherwise the key."""
        return next((named.title for named in NAMED.values() if named.key == self.key), self.key)


@dataclass(frozen=True)
class _Named:
    key: str
    distribution: FloatDistribution
    grid: tuple[float, ...]
    title: str


_RATIOS = tuple(tenth / 10 for tenth in range(1, 10))
NAMED = {
    "lambda": _Named(
        "TERMS.MRM.WEIGHT", FloatDistribution(0.03, 10, log=True), (0.1, 0.5, 1.0, 2.0, 10.0), "λ (weight of MRM)"
    ),
    "mask-ratio": _Named("TERMS.MRM.RATIO", FloatDistribution(0.1, 0.9), _RATIOS, "mask ratio of MRM"),
}
"""Short names. Grids are those of the ablations of the same name."""


def read_space(text: str, base: Callable[[dict[str, Any]], RunSpec]) -> tuple[Dimension, ...]:
    """The dimensions that ``--space`` names.

    Args:
        text: comma-separated; each a short name or a config key, with ``=`` and a range in place of the usual one.
            A key's type is that of its default: numbers have ranges or values, words and switches values alone.
        base: the run of a trial that sets these keys.

    Raises:
        ConfigError: naming the entry: an unknown name or key (with the nearest), one that is named twice, that makes
            no difference to the method or may not be searched, or a range that is none.
        MethodError: a value that the method does not take.
    """
    dimensions: list[Dimension] = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        dimension = _dimension(entry, base)
        if any(known.key == dimension.key for known in dimensions):
            raise ConfigError(f"--space: {dimension.key} is named twice")
        dimensions.append(dimension)
    if not dimensions:
        raise ConfigError(f"--space is empty, expected names such as {','.join(NAMED)}")
    return tuple(dimensions)


def _dimension(entry: str, base: Callable[[dict[str, Any]], RunSpec]) -> Dimension:
    name, _, given = (part.strip() for part in entry.partition("="))
    named = NAMED.get(name)
    key = named.key if named else name
    cfg = base({}).resolve()
    known = flatten(cfg)
    if key not in known:
        hint = did_you_mean(name, [*NAMED, *known], f"expected a config key, or one of {', '.join(NAMED)}")
        raise ConfigError(f"--space: unknown name {name}; {hint}")
    if key.startswith(_FIXED):
        raise ConfigError(f"--space: {key} cannot be searched: trials are compared on the same data, equally long")
    if given:
        distribution = _read_range(name, given, known[key])
    elif named:
        distribution = named.distribution
    else:
        raise ConfigError(f"--space: {name} has no usual range, expected {name}={RANGE_FORM}")
    grid = _grid(distribution)
    if named and not grid:
        grid = tuple(value for value in named.grid if _holds(distribution, value))
    dimension = Dimension(name, key, distribution, known[key] if _holds(distribution, known[key]) else None, grid)
    _check_ends(dimension, base, cfg)
    return dimension


def _read_range(name: str, text: str, default: Any) -> BaseDistribution:
    where = f"--space: {name}={text}"
    if isinstance(default, tuple):
        raise ConfigError(f"{where}: expected a key that holds one number or word, not {list(default)}")
    if "|" in text:
        values = [_value(where, word, default) for word in text.split("|")]
        if len(set(values)) < len(values):
            raise ConfigError(f"{where}: a value is there twice")
        return CategoricalDistribution(values)
    low, dots, rest = text.partition("..")
    high, _, scale = rest.partition(":")
    if default is None and dots:  # numbers, of the kind that the first one is
        default = _value(where, low, None)
    if not dots or scale not in ("", "log") or isinstance(default, (bool, str)):
        form = "ONE|OTHER" if isinstance(default, (bool, str)) else RANGE_FORM
        raise ConfigError(f"{where}: expected {name}={form}")
    ends = _value(where, low, default), _value(where, high, default)
    if ends[0] >= ends[1] or (scale and ends[0] <= 0):
        raise ConfigError(f"{where}: expected LOW below HIGH" + (", both above 0" if scale else ""))
    if isinstance(default, int) and max(map(abs, ends)) > _MOST_WHOLE:
        raise ConfigError(f"{where}: expected whole numbers of at most {_MOST_WHOLE}")
    kind = IntDistribution if isinstance(default, int) else FloatDistribution
    return kind(*ends, log=bool(scale))


def _value(where: str, text: str, default: Any) -> Any:
    """A value in the default's type."""
    try:
        value = load(text)
        if isinstance(default, bool) == isinstance(value, bool):
            if default is None:  # of a key that may be None: what else it takes is checked with the method
                return value
            if isinstance(default, float):
                return float(value)  # YAML reads 1e-3 as text
            if isinstance(value, type(default)):
                return value
    except (yaml.YAMLError, ValueError, TypeError):
        pass
    kinds: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number"}
    raise ConfigError(f"{where}: {text!r}: expected {kinds.get(type(default), 'a word')} (default {default!r})")


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    if isinstance(distribution, (FloatDistribution, IntDistribution)):
        return value is not None and distribution.low <= value <= distribution.high
    return isinstance(distribution, CategoricalDistribution) and value in distribution.choices


def _grid(distribution: BaseDistribution) -> tuple[Any, ...]:
    """All values, where they are countable."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices
    if isinstance(distribution, IntDistribution):
        return tuple(range(distribution.low, distribution.high + 1, distribution.step))
    return ()


def _check_ends(dimension: Dimension, base: Callable[[dict[str, Any]], RunSpec], cfg: CfgNode) -> None:
    """Resolve a run of each end, so that a range that goes too far is found before the first trial."""
    ids = {run_id(base({dimension.key: value}).resolve()) for value in dimension.ends} | {run_id(cfg)}
    if len(ids) == 1:
        raise ConfigError(f"--space: {dimension.key} makes no difference to {cfg.METHOD}, expected a key that does")


def grid_points(dimensions: Sequence[Dimension]) -> list[dict[str, Any]]:
    """All combinations of the grids' values, by name.

    Raises:
        ConfigError: naming a dimension whose range has no natural grid.
    """
    for dimension in dimensions:
        if not dimension.grid:
            raise ConfigError(
                f"--sampler grid: {dimension.name} is a range, expected values: --space {dimension.name}=ONE|OTHER"
            )
    names = [dimension.name for dimension in dimensions]
    return [
        dict(zip(names, values, strict=True))
        for values in itertools.product(*(dimension.grid for dimension in dimensions))
    ]
