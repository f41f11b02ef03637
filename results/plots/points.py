"""mIoU of settings that are no numbers: a row each, as there is room for names."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from results.plots.layout import arrange, folded
from results.plots.marks import DIAMOND, MEASURED, STAR, Mark, notes, reference_line, shown
from results.plots.style import BLACK, COLUMN, GREY, new_figure, styled


@styled()
def points(marks: Sequence[Mark], references: Sequence[Mark], *, title: str, width: float = COLUMN) -> Figure:
    """Differences to the reference, a row a setting from above, with published ones where marks have them.

    No bars: differences are small beside the values, and bars that do not begin at 0 would make much of them.

    Args:
        marks: of all settings but references.
        references: what they are compared with; of several the marks say of which, `Mark.beside`.
        title: of one line or more.
        width: in inches.
    """
    labels = [folded("\n".join(filter(None, (mark.label, mark.beside))), 0.38 * width, 7) for mark in marks]
    figure = new_figure(width)
    axes = figure.add_subplot()
    several = len(references) > 1
    drawn = shown(marks)
    if drawn.paired and several:
        axes.axvline(0.0, color=GREY, linestyle="--", linewidth=0.8, label="reference of each, at the left")
    elif drawn.paired:
        reference_line(axes, references[0], references[0].label, across=False)
    rows = [float(row) for row in range(len(marks))]
    axes.errorbar(drawn.values, rows, xerr=drawn.errors, fmt="o", color=MEASURED, capsize=2, label="measured")
    published = [(value, row) for row, value in zip(rows, drawn.published, strict=True) if value is not None]
    if published:
        axes.plot(*zip(*published, strict=True), "D", label="published", **DIAMOND)
    star = [(value, row) for row, value, mark in zip(rows, drawn.values, marks, strict=True) if mark.is_published]
    if star:
        axes.plot(*zip(*star, strict=True), linestyle="none", label="the published setting", **STAR)
    none = [row for row, value in zip(rows, drawn.values, strict=True) if math.isnan(value)]
    if none:
        left = axes.get_yaxis_transform()
        axes.plot([0.03] * len(none), none, "x", color=BLACK, transform=left, label="no finished run")
    axes.set_yticks(rows, labels)
    axes.set_ylim(len(marks) - 0.4, -0.6)
    axes.margins(x=0.08)
    axes.grid(axis="x")
    axes.set_xlabel(folded(drawn.axis, 0.55 * width, 7))
    others = [mark for mark in references if mark not in marks]
    highest = max(label.count("\n") + 1 for label in labels)  # all rows are as high
    arrange(
        figure,
        0.6 + len(marks) * (0.08 + 0.125 * highest),
        title,
        notes([*marks, *others], [*drawn.counts, *(mark.n for mark in others)]),
    )
    return figure
