"""mIoU of settings that are no numbers: a row each, as there is room for names."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from results.plots.layout import arrange, folded
from results.plots.marks import Mark, draw_marks, notes, reference_line, shown
from results.plots.style import COLUMN, GREY, new_figure, styled


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
    draw_marks(axes, marks, rows, drawn, across=False)
    axes.set_yticks(rows, labels)
    axes.set_ylim(len(marks) - 0.4, -0.6)
    axes.margins(x=0.08)
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
