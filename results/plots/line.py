"""mIoU over a number."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from results.plots.layout import arrange, folded
from results.plots.marks import Mark, draw_marks, notes, reference_line, shown
from results.plots.style import BLACK, COLUMN, GREY, new_figure, plain, styled


@styled()
def line(
    marks: Sequence[Mark], reference: Mark, *, title: str, x_label: str, log: bool = False, width: float = COLUMN
) -> Figure:
    """Differences to the reference over a number, with published ones where marks have them.

    The reference is a line at 0, and a mark where it has a value. On a logarithmic axis one at 0 stands apart, left of
    a dotted line.

    Args:
        marks: of settings that stand for a number each.
        reference: what they are compared with.
        title: of one line or more.
        x_label: what the numbers are.
        log: whether they are spaced by their logarithm; all are above 0, but for the reference's.
        width: in inches.
    """
    figure = new_figure(width)
    axes = figure.add_subplot()
    own_place = reference.value is not None
    name = f"{x_label} {reference.label}" if own_place else reference.label
    drawn = shown(marks)
    places = [float(mark.value) for mark in marks if mark.value is not None]
    ticks = list(zip(places, [plain(mark.label) for mark in marks], strict=True))
    if drawn.paired:
        reference_line(axes, reference, name)
    draw_marks(axes, marks, places, drawn)
    if reference.value is not None:
        place = reference.value
        if log and place <= 0:
            axes.axvline(min(places) / math.sqrt(3), color=BLACK, linestyle=":", linewidth=0.6)
            place = min(places) / 3
        ticks.insert(0, (place, plain(reference.label)))
        if drawn.paired:
            axes.plot([place], [0.0], "o", color=GREY)
    if log:
        axes.set_xscale("log")
    axes.set_xticks([place for place, _ in ticks], [label for _, label in ticks])
    axes.minorticks_off()
    axes.margins(x=0.06, y=0.12)
    axes.set_xlabel(plain(x_label))
    inner = 2.0 if width < 5 else 2.8
    axes.set_ylabel(folded(drawn.axis, 0.8 * inner, 7))
    arrange(figure, inner, title, notes([*marks, reference], [*drawn.counts, reference.n]))
    return figure
