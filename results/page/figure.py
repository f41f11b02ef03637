"""Figures of the report: where things are in an SVG, which a template then draws."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from results.page.table import Table
from results.plots.style import Look

WIDTH, HEIGHT = 480, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 466, 30, 258
BARS = "Bars are the sample deviation over seeds."
MOST_SERIES = 24  # of a figure: beyond it nothing is told apart
_MOST_MARKED = 25  # points of a line that has a mark on each
_MOST_LABELS = 8


@dataclass(frozen=True)
class Point:
    """A point of a series; ``deviation``: half the length of its bar or band, None for none."""

    x: float
    y: float
    deviation: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Series:
    """What belongs together in a figure.

    Attributes:
        label: its name in the legend.
        look: its colour and marker.
        points: from left to right.
        line: whether they are joined. band: whether deviations are a band, else bars. hollow: whether marks are.
    """

    label: str
    look: Look
    points: Sequence[Point]
    line: bool = True
    band: bool = False
    hollow: bool = False

    @property
    def marked(self) -> Sequence[Point]:
        """The points that have a mark: all, or the last of many."""
        return self.points if len(self.points) <= _MOST_MARKED or not self.line else self.points[-1:]


@dataclass(frozen=True)
class Scale:
    """Values on an axis, from ``low`` at pixel ``begin`` to ``high`` at ``end``, with ticks by value."""

    low: float
    high: float
    begin: float
    end: float
    ticks: Sequence[tuple[float, str]]
    log: bool = False

    def __call__(self, value: float) -> float:
        """The pixel of a value, to a tenth."""
        low, high, at = (math.log(each) for each in (self.low, self.high, value)) if self.log else (
            self.low, self.high, value
        )  # fmt: skip
        return round(self.begin + (self.end - self.begin) * (at - low) / (high - low), 1)

    @classmethod
    def of(cls, values: Sequence[float], begin: float, end: float, labels: dict[float, str] | None = None) -> Scale:
        """A scale that holds all values; ticks at round numbers, or where ``labels`` are.

        Labelled numbers above 0 that reach over more than a factor of 20 are on a logarithmic scale.
        """
        from matplotlib.ticker import MaxNLocator

        low, high = min(values), max(values)
        log = labels is not None and low > 0 and high / low > 20
        if log:
            low, high = low / 1.3, high * 1.3
        elif labels is not None:
            low, high = (low - 0.06 * (high - low), high + 0.06 * (high - low)) if high > low else (low - 1, high + 1)
        else:
            margin = 0.05 * (high - low) or max(abs(high) * 0.05, 0.5)
            low, high = (0.0 if 0 <= low < 2 * margin else low - margin), high + margin
        if labels is not None and len(labels) <= _MOST_LABELS:
            ticks = list(labels.items())
        else:
            found = MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
            ticks = [(float(at), f"{round(float(at), 9):,.10g}") for at in found if low <= at <= high]
        return cls(low, high, begin, end, ticks, log)


@dataclass(frozen=True)
class Figure:
    """A figure with the table that says the same.

    Attributes:
        title: what is drawn. x_label, y_label: with units.
        series: at most MOST_SERIES of them are drawn.
        table: its numbers.
        labels: of values of x, where those are the settings that were tried, and not any number.
        level: a value of y that a line stands for, and its name.
        front: the points that a stepped line joins, and its name.
        notes: below it. bars: the note on deviations, where there are any.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    table: Table
    labels: dict[float, str] | None = None
    level: tuple[float, str] | None = None
    front: tuple[Sequence[Point], str] | None = None
    notes: Sequence[str] = ()
    bars: str = ""

    @property
    def drawn(self) -> Sequence[Series]:
        """The series that are drawn."""
        return self.series[:MOST_SERIES]

    @property
    def left_out(self) -> int:
        """How many are in the table alone."""
        return max(0, len(self.series) - MOST_SERIES)

    @property
    def has_bars(self) -> bool:
        """Whether a point has a deviation: of one seed there is none."""
        return any(point.deviation is not None for series in self.series for point in series.points)

    @cached_property
    def x(self) -> Scale:
        """The horizontal scale."""
        values = [point.x for series in self.drawn for point in series.points]
        return Scale.of([*values, *(self.labels or {})], _LEFT, _RIGHT, self.labels)

    @cached_property
    def y(self) -> Scale:
        """The vertical scale."""
        reach = [(point.y, point.deviation or 0.0) for series in self.drawn for point in series.points]
        ends = [y + sign * deviation for y, deviation in reach for sign in (-1, 1)]
        return Scale.of([*ends, *([self.level[0]] if self.level else [])], _BOTTOM, _TOP)

    def path(self, points: Sequence[Point], sign: int = 0) -> str:
        """The corners of a line through points, moved by ``sign`` deviations."""
        return " ".join(f"{self.x(each.x)},{self.y(each.y + sign * (each.deviation or 0.0))}" for each in points)

    def band(self, series: Series) -> str:
        """The corners of the area that deviations cover; "" where there are none."""
        points = [point for point in series.points if point.deviation is not None]
        return f"{self.path(points, 1)} {self.path(points[::-1], -1)}" if points else ""

    def steps(self, points: Sequence[Point]) -> str:
        """The corners of a stepped line: from each point to the right, then up to the next."""
        return " ".join(self._corners(points))

    def _corners(self, points: Sequence[Point]) -> Iterator[str]:
        for point, following in zip(points, [*points[1:], None], strict=True):
            yield f"{self.x(point.x)},{self.y(point.y)}"
            yield f"{self.x(following.x) if following else _RIGHT},{self.y(point.y)}"
