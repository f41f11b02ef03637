"""The sections of the paper, read from ``paper.yaml``: each is a grid, or some values of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ablations.sweep.grid import Grid, Point, read_grid
from ablations.sweep.grid_checks import keys_of, label_of
from benchmarks.core.errors import ConfigError
from benchmarks.core.nearest import nearest
from benchmarks.core.yaml_file import read_yaml

PAPER = Path(__file__).with_name("paper.yaml")
_KEYS = {"name", "grid", "where", "about", "values", "protocol", "one_network", "cost"}


@dataclass(frozen=True)
class Section:
    """A table or an ablation of the paper.

    Attributes:
        name: for ``--only``, and of its files.
        grid: what is varied, with its published figures.
        where: in the paper.
        about: what is asked, in a sentence.
        protocol: of this section alone; "" for the paper's.
        one_network: whether off the paper's protocols, and where a network is named, all rows have one network.
    """

    name: str
    grid: Grid
    where: str
    about: str
    protocol: str = ""
    one_network: bool = False


@dataclass(frozen=True)
class Paper:
    """The sections in their order, and the protocol that they are of."""

    protocol: str
    sections: tuple[Section, ...]

    @property
    def protocols(self) -> set[str]:
        """All protocols that the paper has figures of."""
        return {self.protocol, *(section.protocol for section in self.sections if section.protocol)}

    def named(self, text: str | None) -> list[Section]:
        """The sections of a comma-separated text, in the order of the paper; of None all.

        Raises:
            ConfigError: a name that none has (with the nearest), or no name.
        """
        known = {section.name: section for section in self.sections}
        names = list(known) if text is None else [name.strip() for name in text.split(",") if name.strip()]
        for name in names:
            if name not in known:
                raise ConfigError(f"--only: unknown section {name!r}; {nearest(name, known)}")
        if not names:
            raise ConfigError(f"--only is empty, expected some of {', '.join(known)}")
        return [section for name, section in known.items() if name in names]


def read_paper(path: Path = PAPER) -> Paper:
    """The list of sections in a file. Raises ConfigError where it is not as its first lines say."""
    content = keys_of(read_yaml(path, "sections"), str(path), {"protocol", "sections"})
    sections = tuple(_section(each, str(path)) for each in content["sections"])
    names = [section.name for section in sections]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"{path}: {twice[0]} is the name of two sections, expected one")
    return Paper(content["protocol"], sections)


def _section(content: Mapping[str, Any], path: str) -> Section:
    content = keys_of(content, path, _KEYS)
    if lacking := sorted({"name", "grid", "where", "about"} - content.keys()):
        raise ConfigError(f"{path}: {content.get('name', content)}: {lacking[0]} is missing")
    grid = replace(read_grid(content["grid"]), cost=content.get("cost", False))
    if "values" in content:
        grid = _with_values(grid, [label_of(value) for value in content["values"]], f"{path}: {content['name']}")
    given = {key: content[key] for key in ("protocol", "one_network") if key in content}
    return Section(content["name"], grid, content["where"], content["about"], **given)


def _with_values(grid: Grid, labels: Sequence[str], where: str) -> Grid:
    """The grid with these values of its first axis alone."""
    first, *others = grid.axes
    known = {point.label: point for point in first.points}
    for label in labels:
        if label not in known:
            raise ConfigError(f"{where}: values: {label} is no value of {first.name}; {nearest(label, known)}")
    axes = (replace(first, points=tuple(known[label] for label in labels)), *others)
    return replace(grid, axes=axes, pairs=tuple(pair for pair in grid.pairs if pair[0].label in labels))


def on_one_network(grid: Grid) -> Grid:
    """The grid without the networks that its values name."""
    axes = tuple(replace(axis, points=tuple(map(_without_network, axis.points))) for axis in grid.axes)
    return replace(grid, axes=axes, pairs=tuple(tuple(map(_without_network, pair)) for pair in grid.pairs))


def _without_network(point: Point) -> Point:
    return replace(point, changes={key: value for key, value in point.changes.items() if key != "NETWORK"})
