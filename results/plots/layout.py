"""Where a figure's title, legend and notes stand: above and below its axes, each with the room that it needs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import text_to_path

from results.plots.style import SMALL, plain

_TITLE, _LEGEND = 7, 6.5  # points
_LINE = 1.25 / 72  # inches of a line of text, for each point of its size
_EDGE = 0.04  # inches


def arrange(figure: Figure, inner: float, title: str, notes: Sequence[str] = ()) -> None:
    """Put title, legend and notes round a figure's axes, and make the figure as high as that takes.

    Args:
        figure: has its axes, whose labelled artists the legend names.
        inner: inches that the axes take with their labels, from top to bottom.
        title: of one line or more; lines are folded.
        notes: sentences for below the legend.
    """
    width = figure.get_size_inches()[0]
    above = folded(title, width - 4 * _EDGE, _TITLE)
    below = folded(". ".join(notes), width - 4 * _EDGE, SMALL) if notes else ""
    named = list(zip(*figure.axes[0].get_legend_handles_labels(), strict=True))
    named.sort(key=lambda pair: not isinstance(pair[0], ErrorbarContainer))  # Matplotlib has them last
    handles, labels = [handle for handle, _ in named], [label for _, label in named]
    two = 2 * (max(map(_inches, labels), default=0.0) + 0.5) < width
    rows = -(-len(labels) // 2) if two else len(labels)
    head = _height(above, _TITLE) + 2 * _EDGE
    foot = _height(below, SMALL) + 2 * _EDGE
    legend = rows * _LEGEND * 1.5 / 72 + 2 * _EDGE if rows else 0.0
    height = inner + head + legend + foot
    figure.set_size_inches(width, height)
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, (foot + legend) / height, 1, inner / height))
    figure.suptitle(above, y=1 - _EDGE / height, va="top", fontsize=_TITLE).set_in_layout(False)
    if below:
        figure.supxlabel(below, y=_EDGE / height, va="bottom", fontsize=SMALL).set_in_layout(False)
    if rows:
        figure.legend(
            handles,
            labels,
            loc="lower center",
            bbox_to_anchor=(0.5, foot / height),
            ncols=2 if two else 1,
            fontsize=_LEGEND,
            borderaxespad=0,
            borderpad=0,
        ).set_in_layout(False)


def folded(text: str, inches: float, size: float) -> str:
    """A text whose lines are folded between words, to be at most that long at a size in points; no TeX in it.

    A word that is longer, as a key or a name of a file, is folded after its punctuation.
    """
    lines = []
    for line in text.splitlines():
        known = ""
        for word in line.split(" "):
            parts = [word] if _inches(word, size) <= inches else re.split(r"(?<=[-_./+=,])", word)
            for index, part in enumerate(parts):
                longer = known + (" " if known and not index else "") + part
                if known and _inches(longer, size) > inches:
                    lines.append(known)
                    longer = part
                known = longer
        lines.append(known)
    return plain("\n".join(lines))


def _inches(text: str, size: float = _LEGEND) -> float:
    return text_to_path.get_text_width_height_descent(text, FontProperties(size=size), ismath=False)[0] / 72


def _height(text: str, size: float) -> float:
    return (text.count("\n") + 1) * size * _LINE if text else 0.0
