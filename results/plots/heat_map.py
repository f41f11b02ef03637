"""mIoU over two settings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from results.plots.layout import arrange, folded
from results.plots.marks import Mark, Shown, notes, shown
from results.plots.style import BLACK, DIVERGING, PAGE, SEQUENTIAL, SMALL, new_figure, plain, styled


@styled()
def heat_map(
    marks: Sequence[Sequence[Mark]],
    reference: Mark,
    *,
    title: str,
    x_label: str,
    y_label: str,
    x_ticks: Sequence[str],
    y_ticks: Sequence[str],
    width: float = PAGE,
) -> Figure:
    """Differences to the reference over two settings, each with its error and, where known, the published one.

    Args:
        marks: a row a value of y, from below, with a mark a value of x.
        reference: what they are compared with.
        title: of one line or more.
        x_label: what the values of x are.
        y_label: what those of y are.
        x_ticks: the values of x.
        y_ticks: those of y.
        width: in inches.
    """
    figure = new_figure(width)
    axes = figure.add_subplot()
    flat = [mark for row in marks for mark in row]
    drawn = shown(flat)
    values = np.ma.masked_invalid(np.array(drawn.values).reshape(len(y_ticks), len(x_ticks)))
    limit = max(abs(values).max(), 0.1) if values.count() else 1.0
    scale = {"cmap": DIVERGING, "vmin": -limit, "vmax": limit} if drawn.paired else {"cmap": SEQUENTIAL}
    image = axes.imshow(values, aspect="auto", origin="lower", **scale)
    axes.set_facecolor("#EEEEEE")
    for index, mark in enumerate(flat):
        y, x = divmod(index, len(x_ticks))
        ink = BLACK
        if not math.isnan(drawn.values[index]):
            red, green, blue, _ = image.cmap(image.norm(np.array(drawn.values[index])))
            ink = BLACK if 0.3 * red + 0.6 * green + 0.1 * blue > 0.5 else "white"
        axes.text(x, y, _cell(drawn, index), ha="center", va="center", color=ink, fontsize=SMALL + 0.5)
        if mark.is_published:
            axes.add_patch(Rectangle((x - 0.46, y - 0.46), 0.92, 0.92, fill=False, edgecolor=BLACK, linewidth=1.5))
    axes.set_xticks(range(len(x_ticks)), [plain(text) for text in x_ticks])
    axes.set_yticks(range(len(y_ticks)), [plain(text) for text in y_ticks])
    axes.set_xlabel(plain(x_label))
    axes.set_ylabel(plain(y_label))
    inner = 0.5 + 0.42 * max(3, len(y_ticks))
    figure.colorbar(image, ax=axes, label=folded(drawn.axis, 0.8 * inner, 7))
    legend = ["Framed: the published setting"] if any(mark.is_published for mark in flat) else []
    legend += ["In brackets: published"] if any(value is not None for value in drawn.published) else []
    told = notes([*flat, reference], [*drawn.counts, reference.n])
    arrange(figure, inner, f"{title}\nReference: {reference.label}, {reference.text} mIoU", [*legend, *told])
    return figure


def _cell(drawn: Shown, index: int) -> str:
    """The value of a cell, its error, and what is published of it: a line each."""
    value, error, published = drawn.values[index], drawn.errors[index], drawn.published[index]
    sign = "+" if drawn.paired else ""
    lines = ["-" if math.isnan(value) else f"{round(value, 1) + 0.0:{sign}.1f}"]  # never -0.0
    lines += [f"± {error:.1f}"] if error > 0 else []
    lines += [f"[{published:{sign}.1f}]"] if published is not None else []
    return "\n".join(lines)
