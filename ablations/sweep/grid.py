"""Reading a grid: a short YAML file that says which settings are compared, and what was published of them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ablations.sweep.grid_checks import (
    CHOICES,
    HOST,
    check_keys,
    is_number,
    keys_of,
    label_of,
    nearest,
    recipe_of,
    words_of,
)
from ablations.sweep.shipped import GRIDS, grids
from benchmarks.core.errors import ConfigError
from benchmarks.core.yaml_file import read_yaml
from methods.framework.recipes import parse

_KEYS = {"title", "method", "fixed", "axes", "settings", "reference", "published", "cost", "stability"}
# Columns of a report that an axis cannot be called.
_RESERVED = {"setting", "method", "network", "reference", "classes", "miou", "n", "difference", "iterations", "runs"}
_AXIS_KEYS = {"name", "key", "values", "scale"}
_REFERENCE_KEYS = {"label", "method", "value", "among"}
_PUBLISHED_KEYS = {"source", "protocol", "network", "host", "classes", "reference", "miou", "difference"}


@dataclass(frozen=True)
class Point:
    """One value of an axis.

    Attributes:
        label: as tables show it.
        value: the number it stands for; None where it is none.
        changes: config keys, or METHOD, NETWORK and HOST.
    """

    label: str
    value: float | None
    changes: Mapping[str, Any]


@dataclass(frozen=True)
class Axis:
    """What is varied. ``log``: whether a plot spaces its numbers by their logarithm."""

    name: str
    points: tuple[Point, ...]
    log: bool = False

    @property
    def numeric(self) -> bool:
        return all(point.value is not None for point in self.points)


@dataclass(frozen=True)
class Reference:
    """The run that others are compared with: a recipe without any value of the axes.

    ``value`` is its place on the axis where it has one, as the host alone is lambda 0. ``among``: a label of the second
    axis, whose settings are the references instead, each of those with its label of the first.
    """

    label: str
    method: str = HOST
    value: float | None = None
    among: str = ""


@dataclass(frozen=True)
class Published:
    """Figures of one publication, and the runs that they are of.

    Attributes:
        miou: mIoU in percent over ``classes`` classes, or words such as "out of memory", by the labels of a row.
        difference: to the reference, in percentage points, where it was published without the mIoU.
        reference: mIoU of the reference row.
    """

    source: str
    protocol: str
    network: str
    host: str
    classes: int
    reference: float | None
    miou: Mapping[tuple[str, ...], float | str]
    difference: Mapping[tuple[str, ...], float]


@dataclass(frozen=True)
class Grid:
    """A declared comparison.

    Attributes:
        name: of the file, without its ending.
        method: recipe of all rows whose values name none.
        fixed: config keys that are held, in all rows.
        pairs: of two axes, the pairs of points that are settings, where the file says them; else all are.
        cost: whether the table has counted multiply-adds.
        stability: whether it counts runs that diverged, and has the norms of gradients.
    """

    name: str
    path: Path
    title: str
    method: str
    fixed: Mapping[str, Any]
    axes: tuple[Axis, ...]
    reference: Reference
    published: tuple[Published, ...]
    cost: bool = False
    stability: bool = False
    pairs: tuple[tuple[Point, ...], ...] = ()

    @property
    def settings(self) -> tuple[tuple[Point, ...], ...]:
        """A point of each axis for each setting."""
        return self.pairs or tuple(itertools.product(*(axis.points for axis in self.axes)))

    def sets(self, key: str) -> bool:
        """Whether a setting has ``key`` of its own: a config key, or METHOD, NETWORK or HOST."""
        return key in self.varied

    @property
    def varied(self) -> set[str]:
        """The keys that settings have of their own."""
        return {key for points in self.settings for key in changes_of(points)}


def changes_of(points: Sequence[Point]) -> dict[str, Any]:
    """What the points of a setting change together."""
    return {key: value for point in points for key, value in point.changes.items()}


def read_grid(name: str) -> Grid:
    """The grid of that name, or of the file at a path that ends in .yaml.

    Raises:
        ConfigError: one line naming the file and what was expected in it.
    """
    path = GRIDS / f"{name}.yaml"
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if path.stem in grids():
            raise ConfigError(f"{name}: a grid of that name ships, expected another name for the file")
    elif name not in grids():
        raise ConfigError(f"unknown grid {name!r}; {nearest(name, grids())}")
    content = keys_of(read_yaml(path, "a grid"), str(path), _KEYS)
    for key in ("title", "axes"):
        if key not in content:
            raise ConfigError(f"{path}: {key} is missing")
    axes = content["axes"]
    if not isinstance(axes, list) or len(axes) not in (1, 2):
        raise ConfigError(f"{path}: axes is {axes!r:.60}, expected a list of one or two")
    pairs: tuple[tuple[Point, ...], ...] = ()
    if "settings" in content:
        read, pairs = _settings(content["settings"], axes, str(path))
        varied = [{key for pair in pairs for key in changes_of(pair)}]
    else:
        read = tuple(_axis(axis, f"{path}: axes") for axis in axes)
        varied = [{key for point in axis.points for key in point.changes} for axis in read]
        if len(read) == 2 and (twice := varied[0] & varied[1]):
            raise ConfigError(f"{path}: axes: {min(twice)} is varied by both, expected one of them to")
    fixed = content.get("fixed") or {}
    check_keys(fixed, f"{path}: fixed")
    if both := set(fixed) & set().union(*varied):
        raise ConfigError(f"{path}: {min(both)} is fixed and varied, expected one of them")
    for key in ("cost", "stability"):
        if not isinstance(content.get(key, False), bool):
            raise ConfigError(f"{path}: {key} is {content[key]!r:.60}, expected true or false")
    return Grid(
        path.stem,
        path,
        words_of(content["title"], f"{path}: title"),
        recipe_of(content.get("method", HOST), f"{path}: method"),
        fixed,
        read,
        _reference(content.get("reference") or {}, read, f"{path}: reference"),
        _published(content.get("published") or [], read, f"{path}: published"),
        content.get("cost", False),
        content.get("stability", False),
        pairs,
    )


def _axis(content: Any, where: str) -> Axis:
    content = keys_of(content, where, _AXIS_KEYS)
    name = words_of(content.get("name"), f"{where}: name")
    if name in _RESERVED:
        raise ConfigError(f"{where}: name is {name!r}, which is a column of the table already, expected another name")
    where = f"{where}: {name}"
    key, values = content.get("key"), content.get("values")
    if not isinstance(values, (list, dict)) or not values:
        raise ConfigError(f"{where}: values is {values!r:.60}, expected a list, or labels and their values")
    labelled = values if isinstance(values, dict) else {label_of(value): value for value in values}
    if len(labelled) < len(values):
        raise ConfigError(f"{where}: a value is named twice")
    points = []
    for label, value in labelled.items():
        if key is None and not isinstance(value, dict):
            raise ConfigError(f"{where}: {label} is {value!r:.60}, expected keys and values, or a key of the axis")
        changes = value if key is None else {key: value}
        check_keys(changes, f"{where}: {label_of(label)}", CHOICES)
        number = float(value) if is_number(value) else None
        points.append(Point(label_of(label), number, changes))
    axis = Axis(name, tuple(points), content.get("scale") == "log")
    if content.get("scale", "linear") not in ("linear", "log"):
        raise ConfigError(f"{where}: scale is {content['scale']!r}, expected linear or log")
    if axis.log and not all(point.value and point.value > 0 for point in points):
        raise ConfigError(f"{where}: scale is 'log', expected all values to be numbers above 0")
    return axis


def _settings(
    content: Any, names: Sequence[Any], where: str
) -> tuple[tuple[Axis, ...], tuple[tuple[Point, ...], ...]]:
    """Two axes and their settings, where not all pairs are one: the second point of a setting has what it changes."""
    if len(names) != 2 or not all(isinstance(name, str) and name not in _RESERVED for name in names):
        raise ConfigError(f"{where}: axes is {names!r:.60}, expected two names, as the file has settings")
    if not (isinstance(content, dict) and content and all(isinstance(row, dict) and row for row in content.values())):
        expected = f"labels of {names[0]}, each with some of {names[1]}"
        raise ConfigError(f"{where}: settings is {content!r:.60}, expected {expected}")
    pairs = []
    for first, row in content.items():
        for second, changes in row.items():
            check_keys(changes, f"{where}: settings: {label_of(first)}: {label_of(second)}", CHOICES)
            pairs.append((Point(label_of(first), None, {}), Point(label_of(second), None, changes)))
    points = [tuple({pair[place].label: pair[place] for pair in pairs}.values()) for place in range(2)]
    return (Axis(names[0], points[0]), Axis(names[1], points[1])), tuple(pairs)


def _reference(content: Any, axes: Sequence[Axis], where: str) -> Reference:
    content = keys_of(content, where, _REFERENCE_KEYS)
    value, among = content.get("value"), content.get("among", "")
    if among and (len(axes) < 2 or among not in (known := [point.label for point in axes[1].points])):
        hint = nearest(str(among), known) if len(axes) > 1 else "expected a second axis"
        raise ConfigError(f"{where}: among is {among!r}, which is no label of a second axis; {hint}")
    if value is not None and not is_number(value):
        raise ConfigError(f"{where}: value is {value!r}, expected its number on the axis")
    return Reference(
        label_of(content.get("label", among or "host alone")),
        recipe_of(content.get("method", HOST), f"{where}: method"),
        None if value is None else float(value),
        among,
    )


def _published(content: Any, axes: tuple[Axis, ...], where: str) -> tuple[Published, ...]:
    if not isinstance(content, list):
        raise ConfigError(f"{where} is {content!r:.60}, expected a list")
    blocks = []
    for block in content:
        block = keys_of(block, where, _PUBLISHED_KEYS)
        for key in sorted(_PUBLISHED_KEYS - {"reference", "miou", "difference"} - set(block)):
            raise ConfigError(f"{where}: {key} is missing, expected it: figures are shown only beside runs of the same")
        miou = _figures(block.get("miou") or {}, axes, f"{where}: miou")
        difference = _figures(block.get("difference") or {}, axes, f"{where}: difference")
        for labels, figure in difference.items():
            if not is_number(figure):
                raise ConfigError(f"{where}: difference: {', '.join(labels)} is {figure!r}, expected a number")
        if not is_number(block.get("reference", 0.0)) or type(block["classes"]) is not int:
            raise ConfigError(f"{where}: reference and classes are numbers, expected for example 52.1 and 19")
        blocks.append(
            Published(
                words_of(block["source"], f"{where}: source"),
                block["protocol"],
                block["network"],
                parse(recipe_of(block["host"], f"{where}: host")).name,
                block["classes"],
                block.get("reference"),
                miou,
                difference,
            )
        )
    return tuple(blocks)


def _figures(content: Any, axes: Sequence[Axis], where: str) -> dict[tuple[str, ...], Any]:
    """Published figures by labels: of ``{0.2: 54.3}`` or, of two axes, ``{0.4: {0.1: 54.7}}``."""
    if not isinstance(content, dict):
        raise ConfigError(f"{where} is {content!r:.60}, expected values of {axes[0].name} and their figures")
    known = [point.label for point in axes[0].points]
    found: dict[tuple[str, ...], Any] = {}
    for key, figure in content.items():
        label = label_of(key)
        if label not in known:
            raise ConfigError(f"{where}: {label} is no value of {axes[0].name}; {nearest(label, known)}")
        if len(axes) > 1:
            found |= {(label, *rest): f for rest, f in _figures(figure, axes[1:], f"{where}: {label}").items()}
        elif is_number(figure) or isinstance(figure, str):
            found[label,] = figure
        else:
            raise ConfigError(f"{where}: {label} is {figure!r:.60}, expected a number, or words")
    return found
