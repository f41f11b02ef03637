"""From a grid to its runs: one row a setting, one run a row and seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from ablations.sweep.grid import Grid, Point, changes_of
from ablations.sweep.grid_checks import HOST
from benchmarks.config.run import Run
from benchmarks.config.run_id import run_id
from benchmarks.config.spec import RunSpec
from benchmarks.core.errors import ConfigError
from methods.base.errors import MethodError
from methods.framework.recipes import parse
from results.tables.beside_published import METHOD_KEYS, UNSTATED


@dataclass(frozen=True, eq=False)
class Row:
    """One setting of a grid.

    Attributes:
        labels: one an axis; of the reference alone its own label, and "" for a second axis.
        values: the numbers that the labels stand for, None where they are none.
        host: the canonical recipe that the row's reference runs.
        group: rows of one group have one reference: host and network, or the label of the first axis.
        runs: one a seed.
        is_reference: whether the rows of its group are compared with it.
        is_pure: whether nothing of the method is set but what the labels say, as in published figures of the grid.
        is_default: whether nothing of the method is set at all: published figures of the recipe are its own.
    """

    labels: tuple[str, ...]
    values: tuple[float | None, ...]
    host: str
    group: tuple[str, ...]
    runs: tuple[Run, ...]
    is_reference: bool
    is_pure: bool
    is_default: bool

    @property
    def cfg(self) -> CfgNode:
        """The config of the first seed."""
        return self.runs[0].cfg

    @property
    def label(self) -> str:
        return ", ".join(filter(None, self.labels))


def expand(
    grid: Grid,
    protocol: str,
    network: str | None,
    host: str | None,
    seeds: Sequence[int],
    overrides: Mapping[str, Any],
    output: Path,
) -> list[Row]:
    """The rows of a grid under a protocol; each group of rows (`Row.group`) begins with its reference.

    A reference that is one of the settings is that row; otherwise it is a row of its own. What a setting sets beside a
    network or host is of both: the reference has it too.

    Args:
        grid: what is varied.
        protocol: a name, or the path of a YAML file.
        network: None: the protocol's.
        host: recipe that ``{host}`` stands for; None: ``dacs``.
        seeds: at least one.
        overrides: config keys of all rows; they win over what the grid holds fixed.
        output: folder of run folders.

    Raises:
        ConfigError, MethodError: a name, key or value that cannot be, or that the grid sets itself, in one line.
    """
    for option, key, given in (("--network", "NETWORK", network), ("--host", "HOST", host)):
        if given is not None and grid.sets(key):
            raise ConfigError(f"{option} is {given}, but the grid {grid.name} sets it itself; expected no {option}")
    for key in overrides:
        if grid.sets(key):
            raise ConfigError(f"KEY VALUE: {key} is varied by the grid {grid.name}; expected other keys")
    host = parse(host or "dacs").name
    RunSpec(protocol, host, network, seeds[0], overrides).resolve()  # what is wrong here is not the grid's
    maker = _Maker(grid, protocol, network, host, seeds, overrides, output)
    rows = [maker.row(points) for points in grid.settings]
    return [row for group in dict.fromkeys(row.group for row in rows) for row in maker.with_reference(rows, group)]


def names_of(grid: Grid, rows: Sequence[Row]) -> list[str]:
    """What all rows are of: the protocol, and network and host where the grid does not set them itself."""
    names = {"NETWORK": rows[0].cfg.NETWORK, "HOST": rows[0].host}
    return [rows[0].cfg.PROTOCOL, *(name for key, name in names.items() if not grid.sets(key))]


@dataclass(frozen=True)
class _Maker:
    grid: Grid
    protocol: str
    network: str | None
    host: str
    seeds: Sequence[int]
    overrides: Mapping[str, Any]
    output: Path
    ids: dict[str, str] = field(default_factory=dict)  # most settings ask for the same few runs
    # By host and network what their settings set beside them, such as rates of their own: their reference has it too.
    beside: dict[tuple[str, ...], Mapping[str, Any]] = field(default_factory=dict)

    def row(self, points: Sequence[Point]) -> Row:
        changes = changes_of(points)
        where = f"{self.grid.path}: {', '.join(point.label for point in points)}"
        host = parse(changes.pop("HOST", self.host)).name
        network = changes.pop("NETWORK", self.network)
        method = changes.pop("METHOD", self.grid.method)
        runs, labels = self._runs(method, host, network, changes, where), tuple(point.label for point in points)
        row = Row(
            labels,
            tuple(point.value for point in points),
            host,
            labels[:1] if self.grid.reference.among else (host, runs[0].cfg.NETWORK),
            runs,
            is_reference=False,
            is_pure=self._has_alone(runs[0], changes),
            is_default=self._has_alone(runs[0], {}),
        )
        own = [point.changes for point in points if {"NETWORK", "HOST"} & point.changes.keys()]
        self.beside.setdefault(
            row.group, {key: value for each in own for key, value in each.items() if key in changes}
        )
        return row

    def with_reference(self, rows: Sequence[Row], group: tuple[str, ...]) -> list[Row]:
        """The rows of the group after their reference, or among them where it is one of them."""
        rows = [row for row in rows if row.group == group]
        reference, beside = self.grid.reference, self.beside[group]
        if reference.among:  # a row that is alone in its group is compared with none
            first = next((row for row in rows if row.labels[1] == reference.among), rows[0])
            return [replace(first, is_reference=True), *(row for row in rows if row is not first)]
        host, network = group
        runs = self._runs(reference.method, host, network, beside, f"{self.grid.path}: reference")
        same = [row for row in rows if row.runs[0].id == runs[0].id]
        if same:
            return [replace(same[0], is_reference=True), *(row for row in rows if row is not same[0])]
        axes = len(self.grid.axes)
        labels, values = (reference.label, *[""] * (axes - 1)), (reference.value, *[None] * (axes - 1))
        pure, usual = self._has_alone(runs[0], beside), self._has_alone(runs[0], {})
        return [Row(labels, values, host, group, runs, is_reference=True, is_pure=pure, is_default=usual), *rows]

    def _has_alone(self, run: Run, changes: Mapping[str, Any]) -> bool:
        """Whether, of the keys that make a method, ``changes`` alone decide the run."""
        others = {
            key: value
            for key, value in self.overrides.items()
            if not key.startswith(METHOD_KEYS) or key in UNSTATED  # published figures may be of any value
        }
        alone = replace(run.spec, overrides={**changes, **others})
        return alone == run.spec or self._id(alone) == run.id

    def _id(self, spec: RunSpec) -> str:
        known = self.ids.get(key := repr(spec))
        if known is None:
            known = self.ids[key] = run_id(spec.resolve())
        return known

    def _runs(
        self, method: str, host: str, network: str | None, changes: Mapping[str, Any], where: str
    ) -> tuple[Run, ...]:
        given = {**self.grid.fixed, **changes, **self.overrides}
        # What the command names as a pair is not named twice.
        network = None if "NETWORK" in self.overrides else network
        specs = [RunSpec(self.protocol, method.replace(HOST, host), network, seed, given) for seed in self.seeds]
        try:
            return tuple(Run.of(spec, self.output) for spec in specs)
        except (ConfigError, MethodError) as error:
            raise type(error)(f"{where}: {error}") from None
