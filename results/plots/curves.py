"""Learning curves: means over seeds, with bands of their deviation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from results.plots.layout import arrange, folded
from results.plots.style import COLUMN, Look, new_figure, plain, styled
from results.tables.summary import Mean

_BAND = 0.2  # opacity, so that bands that overlap are both seen
_MARKED = 20  # points of a curve, at most, that have a marker each


@styled()
def curves(
    means: Mapping[str, Mapping[float, Mean]],
    looks: Mapping[str, Look],
    *,
    title: str,
    y_label: str,
    note: str = "",
    width: float = COLUMN,
) -> Figure:
    """A line a row over iterations; a band is the sample deviation over seeds, where there are several.

    Args:
        means: by label and iteration.
        looks: by label.
        title: of one line or more.
        y_label: what is drawn.
        note: a sentence for below the legend.
        width: in inches.
    """
    figure = new_figure(width)
    axes = figure.add_subplot()
    for label, points in means.items():
        x, y = np.array(list(points)), np.array([point.mean for point in points.values()])
        spread = np.array([point.deviation or 0.0 for point in points.values()])
        look = looks[label]
        marker = look.marker if len(points) <= _MARKED else None
        axes.plot(x, y, color=look.color, marker=marker, markersize=3, label=plain(label))
        if spread.any():
            axes.fill_between(x, y - spread, y + spread, color=look.color, alpha=_BAND, linewidth=0)
    axes.set_xlabel("iteration")
    inner = 2.0 if width < 5 else 2.8
    axes.set_ylabel(folded(y_label, 0.8 * inner, 7))
    axes.grid(axis="y")
    arrange(figure, inner, title, [note] if note else [])
    return figure
