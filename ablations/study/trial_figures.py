"""Figures of a search's trials: over time, over what was varied, and over two objectives."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.tri import Triangulation
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from ablations.study.space import Dimension
from results.plots.layout import arrange, folded
from results.plots.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    PAGE,
    PALETTE,
    SEQUENTIAL,
    VERMILLION,
    new_figure,
    plain,
    styled,
)

LEAST_TRIALS = 10
"""Finished trials of a contour: between fewer there is too little to draw one from."""
_BASE: dict[str, Any] = {"marker": "*", "s": 80, "color": ORANGE, "edgecolors": BLACK, "linewidths": 0.5, "zorder": 5}
_BEST: dict[str, Any] = {"marker": "D", "s": 34, "facecolors": "none", "edgecolors": VERMILLION, "linewidths": 1.5}
_POINT: dict[str, Any] = {"s": 14, "edgecolors": BLACK, "linewidths": 0.5}
_NUMBERS = (1, 2, 5)  # a tick of a logarithmic axis is one of these times a power of ten
_MOST_TICKS = 6


@styled()
def history(
    trials: Sequence[FrozenTrial],
    base: FrozenTrial | None,
    value: str,
    direction: Literal["maximize", "minimize"],
    *,
    title: str,
    width: float,
) -> Figure:
    """The value of each trial by its number, and the best so far; the best trial and that of ``base`` are marked."""
    figure = new_figure(width)
    axes = figure.add_subplot()
    values = [trial.values[0] for trial in trials]
    so_far = list(itertools.accumulate(values, max if direction == "maximize" else min))
    numbers = [trial.number for trial in trials]
    axes.step(numbers, so_far, where="post", color=GREY, linewidth=1, label="best so far")
    axes.scatter(numbers, values, s=12, color=BLUE, label="finished trial")
    _marked(axes, best_of(trials, direction), base, lambda trial: (trial.number, trial.values[0]))
    axes.set_xlabel("trial")
    axes.grid(axis="y")
    inner = 2.0 if width < 5 else 2.8
    axes.set_ylabel(folded(value, 0.8 * inner, 7))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    arrange(figure, inner, title)
    return figure


@styled()
def values_over(
    trials: Sequence[FrozenTrial],
    space: Sequence[Dimension],
    base: FrozenTrial | None,
    value: str,
    direction: Literal["maximize", "minimize"],
    *,
    title: str,
    width: float,
) -> Figure:
    """The value of each trial over what was varied: one dimension against it, or a panel for each two of them.

    A panel has a contour from ``LEAST_TRIALS`` trials on, inside the area that they span, and else the trials alone;
    between words there is none. Three dimensions and more are as wide as a page.
    """
    figure = new_figure(width if len(space) < 3 else PAGE)
    best = best_of(trials, direction)
    if len(space) == 1:
        axes = figure.add_subplot()
        places = [_place(space[0], trial) for trial in trials]
        axes.scatter(places, [trial.values[0] for trial in trials], s=12, color=BLUE, label="finished trial")
        _marked(axes, best, base, lambda trial: (_place(space[0], trial), trial.values[0]))
        _axis(axes, "x", space[0], trials)
        axes.grid(axis="y")
        axes.set_ylabel(folded(value, 1.6, 7))
        arrange(figure, 2.0, title)
        return figure
    count = len(space) - 1
    grid = figure.subplots(count, count, squeeze=False, sharex="col", sharey="row")
    values = np.array([trial.values[0] for trial in trials])
    colours: dict[str, Any] = {
        "cmap": SEQUENTIAL if direction == "maximize" else f"{SEQUENTIAL}_r",
        "vmin": values.min(),
        "vmax": values.max(),
    }
    for row, column in itertools.product(range(count), repeat=2):
        axes, x, y = grid[row, column], space[column], space[row + 1]
        if column > row:
            axes.remove()
            continue
        across, up = ([_place(dimension, trial) for trial in trials] for dimension in (x, y))
        if len(trials) >= LEAST_TRIALS and not any(_choices(dimension, trials) for dimension in (x, y)):
            _contour(axes, across, up, values, colours)
        drawn = axes.scatter(across, up, c=values, label="finished trial", **_POINT, **colours)
        _marked(axes, best, base, partial(_places, x, y))
        axes.use_sticky_edges = False  # of a contour, which cut the marks there
        axes.margins(0.06)
        if row == count - 1:
            _axis(axes, "x", x, trials)
        if column == 0:
            _axis(axes, "y", y, trials)
    inner = 2.4 if count == 1 else 1.7 * count
    figure.colorbar(drawn, ax=list(figure.axes), label=folded(value, 0.8 * inner, 7))
    arrange(figure, inner, title)
    return figure


@styled()
def pareto(
    trials: Sequence[FrozenTrial],
    front: Sequence[FrozenTrial],
    base: FrozenTrial | None,
    values: Sequence[str],
    *,
    title: str,
    width: float,
) -> Figure:
    """The second objective over the first, of all trials and of those that no other is better than in both."""
    figure = new_figure(width)
    axes = figure.add_subplot()
    others = [trial for trial in trials if trial not in front]
    axes.scatter(*_values(others), s=12, color=GREY, label="finished trial")
    ordered = sorted(front, key=lambda trial: trial.values)
    axes.plot(*_values(ordered), "o-", color=BLUE, linewidth=0.8, label="Pareto front")
    _marked(axes, None, base, lambda trial: (trial.values[0], trial.values[1]))
    axes.grid()
    axes.set_xlabel(folded(values[0], 0.7 * width, 7))
    axes.set_ylabel(folded(values[1], 1.6, 7))
    arrange(figure, 2.2, title)
    return figure


@styled()
def bars(
    shares: Mapping[str, Mapping[str, float]], names: Mapping[str, str], label: str, *, title: str, width: float
) -> Figure:
    """A bar for each parameter and objective, from 0 to 1, with its value.

    Args:
        shares: by objective and parameter; all objectives have the same ones.
        names: words for the parameters.
        label: what the shares are.
        title: of one line or more.
        width: in inches.
    """
    figure = new_figure(width)
    axes = figure.add_subplot()
    order = list(next(iter(shares.values())))
    height = 0.8 / len(shares)
    for index, (objective, found) in enumerate(shares.items()):
        places = np.arange(len(order)) + height * (index - (len(shares) - 1) / 2)
        drawn = axes.barh(places, [found[name] for name in order], height, color=PALETTE[index], label=plain(objective))
        axes.bar_label(drawn, fmt="%.2f", padding=2, fontsize=6.5)
    axes.set_yticks(range(len(order)), [folded(names[name], 0.35 * width, 7) for name in order])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.15)
    axes.set_xlabel(folded(label, 0.6 * width, 7))
    arrange(figure, 0.6 + len(order) * max(0.2 * len(shares), 0.3), title)
    return figure


def best_of(trials: Sequence[FrozenTrial], direction: str) -> FrozenTrial:
    """The trial of the best first value; of equals the first."""
    sign = -1 if direction == "maximize" else 1
    return min(trials, key=lambda trial: (sign * trial.values[0], trial.number))


def _values(trials: Sequence[FrozenTrial]) -> tuple[list[float], list[float]]:
    return [trial.values[0] for trial in trials], [trial.values[1] for trial in trials]


def _marked(
    axes: Axes, best: FrozenTrial | None, base: FrozenTrial | None, at: Callable[[FrozenTrial], tuple[float, float]]
) -> None:
    if base is not None:
        axes.scatter(*at(base), label=f"where the search begins (trial {base.number})", **_BASE)
    if best is not None:
        axes.scatter(*at(best), label=f"best (trial {best.number})", zorder=6, **_BEST)


def _contour(
    axes: Axes, x: Sequence[float], y: Sequence[float], values: np.ndarray, colours: Mapping[str, Any]
) -> None:
    """Linear between neighbouring trials; nothing where all lie on a line, or have one value."""
    if len({*values.tolist()}) < 2:
        return
    reach = [max(each) - min(each) or 1.0 for each in (x, y)]
    try:
        between = Triangulation(np.array(x) / reach[0], np.array(y) / reach[1])  # neighbours as one sees them
    except (RuntimeError, ValueError):
        return
    area = Triangulation(np.array(x), np.array(y), between.triangles)
    axes.tricontourf(area, values, levels=9, **colours)


def _place(dimension: Dimension, trial: FrozenTrial) -> float:
    """The place of a trial on an axis: words are numbered, and logarithms taken."""
    distribution, value = trial.distributions[dimension.name], trial.params[dimension.name]
    if isinstance(distribution, CategoricalDistribution):
        return float(distribution.choices.index(value))
    return math.log10(value) if _is_log(distribution) else float(value)


def _places(x: Dimension, y: Dimension, trial: FrozenTrial) -> tuple[float, float]:
    return _place(x, trial), _place(y, trial)


def _is_log(distribution: Any) -> bool:
    return isinstance(distribution, (FloatDistribution, IntDistribution)) and distribution.log


def _axis(axes: Axes, which: Literal["x", "y"], dimension: Dimension, trials: Sequence[FrozenTrial]) -> None:
    """The name of an axis, and its ticks as people write the values."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    distribution = trials[0].distributions[dimension.name]
    axis.set_label_text(folded(dimension.title, 2.0, 7))
    if words := _choices(dimension, trials):
        axis.set_ticks(range(len(words)), [folded(word, 0.7, 7) for word in words])
        (axes.set_xlim if which == "x" else axes.set_ylim)(-0.5, len(words) - 0.5)
    elif _is_log(distribution):
        places = [_place(dimension, trial) for trial in trials]
        ticks = _log_ticks(min(places), max(places))
        axis.set_ticks([math.log10(tick) for tick in ticks], [f"{tick:g}" for tick in ticks])
    elif isinstance(distribution, IntDistribution):
        axis.set_major_locator(MaxNLocator(6, integer=True))


def _choices(dimension: Dimension, trials: Sequence[FrozenTrial]) -> list[str]:
    """The words of a dimension that has no order; of numbers there are none."""
    distribution = trials[0].distributions[dimension.name]
    return [str(choice) for choice in distribution.choices] if isinstance(distribution, CategoricalDistribution) else []


def _log_ticks(low: float, high: float) -> list[float]:
    """Round numbers from 10^low to 10^high, as few as are read beside each other."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    for numbers in (_NUMBERS, (1, 3), (1,)):
        every = [number * 10.0**power for power in powers for number in numbers]
        inside = [tick for tick in every if low - 0.05 <= math.log10(tick) <= high + 0.05]
        if len(inside) <= _MOST_TICKS:
            return inside or [10.0 ** ((low + high) / 2)]
    return inside[:: math.ceil(len(inside) / _MOST_TICKS)]
