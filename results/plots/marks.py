"""What a plot of settings shows of each, and in which words its axis says so."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes

from results.plots.style import BLACK, BLUE, GREY, ORANGE, plain

MEASURED, PUBLISHED = BLUE, ORANGE


@dataclass(frozen=True)
class Mark:
    """What is plotted of one setting.

    Attributes:
        label: of the setting.
        value: the number it stands for, where it is one.
        miou: mean in percent; NaN where no run finished.
        deviation: sample standard deviation of the mIoU over seeds in percent; NaN for one run.
        n: finished runs.
        difference: mean of the differences to the reference, seed by seed, in percentage points; NaN where no seed has
            finished in both.
        paired_deviation: sample standard deviation of these differences; NaN for one seed.
        pairs: seeds that have finished in both.
        unfinished: the other runs, by status, as "1 diverged".
        published: mIoU in percent, where one is known of the same setting and runs.
        published_difference: the same less that of the reference, in percentage points.
        is_published: whether the setting is the published one, whatever has been published of it.
        beside: a line more of its label.
    """

    label: str
    value: float | None = None
    miou: float = math.nan
    deviation: float = math.nan
    n: int = 0
    difference: float = math.nan
    paired_deviation: float = math.nan
    pairs: int = 0
    unfinished: str = ""
    published: float | None = None
    published_difference: float | None = None
    is_published: bool = False
    beside: str = ""

    @property
    def text(self) -> str:
        """The mIoU for people: ``22.5 ± 1.1``."""
        if math.isnan(self.miou):
            return "-"
        return f"{self.miou:.1f}" if math.isnan(self.deviation) else f"{self.miou:.1f} ± {self.deviation:.1f}"


@dataclass(frozen=True)
class Shown:
    """What of the marks is drawn: differences to the reference, or mIoU where it has finished no seed that they have.

    Attributes:
        values: of each mark; NaN where there is none.
        errors: half the length of its error bar; 0 for none.
        published: likewise; None where nothing is.
        axis: what the axis says: the score with its unit, and what the error bars are.
        counts: seeds of each mark.
        paired: whether these are differences, paired by seed.
    """

    values: list[float]
    errors: list[float]
    published: list[float | None]
    axis: str
    counts: list[int]
    paired: bool


def shown(marks: Sequence[Mark]) -> Shown:
    """What is drawn of the marks."""
    paired = any(mark.pairs for mark in marks)
    if paired:
        values, deviations = [mark.difference for mark in marks], [mark.paired_deviation for mark in marks]
        published, counts = [mark.published_difference for mark in marks], [mark.pairs for mark in marks]
        name, many = "mIoU − reference (points)", "± deviation, paired by seed,"
    else:
        values, deviations = [mark.miou for mark in marks], [mark.deviation for mark in marks]
        published, counts = [mark.published for mark in marks], [mark.n for mark in marks]
        name, many = "mIoU (%), no reference", "± deviation over seeds, not paired,"
    known = {count for count in counts if count}
    bars = f"{many} n\N{NO-BREAK SPACE}{'=' if len(known) == 1 else '≤'}\N{NO-BREAK SPACE}{max(known, default=0)}"
    if max(known, default=0) <= 1:
        bars = "one seed each, no deviation" if known else ""
    errors = [0.0 if math.isnan(deviation) else deviation for deviation in deviations]
    return Shown(values, errors, published, "\n".join(filter(None, (name, bars))), counts, paired)


def notes(marks: Iterable[Mark], counts: Iterable[int]) -> list[str]:
    """What did not finish of each mark, and of how many seeds it is where others are of more."""
    pairs = list(zip(marks, counts, strict=True))
    most = max(count for _, count in pairs)
    lines = []
    for mark, count in pairs:
        told = ([f"n = {count}"] if 0 < count < most else []) + ([mark.unfinished] if mark.unfinished else [])
        if told:
            lines.append(f"{mark.label}: {', '.join(told)}")
    return lines


def draw_marks(axes: Axes, marks: Sequence[Mark], places: Sequence[float], drawn: Shown, across: bool = True) -> None:
    """Draw what is measured and published of marks at their places, which one is the published setting, and which none.

    ``across``: whether the places are along the x axis, and joined by a line; else down the y axis, each by itself.
    """

    def plot(pairs: Sequence[tuple[float, float]], *form: str, **look: Any) -> None:
        if pairs:
            along, values = zip(*pairs, strict=True)
            axes.plot(*((along, values) if across else (values, along)), *form, **look)

    known = list(zip(places, drawn.values, drawn.published, marks, strict=True))
    ends = "y" if across else "x"
    points: dict[str, Any] = {"x": places, "y": places} | {ends: drawn.values, f"{ends}err": drawn.errors}
    axes.errorbar(**points, fmt="o-" if across else "o", color=MEASURED, capsize=2, label="measured")
    published = [(place, value) for place, _, value, _ in known if value is not None]
    plot(published, "D--" if across else "D", label="published", **DIAMOND)
    star = [(place, value) for place, value, _, mark in known if mark.is_published]
    plot(star, linestyle="none", label="the published setting", **STAR)
    none = [(place, 0.03) for place, value, _, _ in known if math.isnan(value)]
    edge = axes.get_xaxis_transform() if across else axes.get_yaxis_transform()
    plot(none, "x", color=BLACK, transform=edge, label="no finished run")
    axes.grid(axis="y" if across else "x")


def reference_line(axes: Axes, reference: Mark, name: str, across: bool = True) -> None:
    """Draw the reference as a dashed line at its difference of 0, and its own deviation over seeds as a grey band.

    ``across``: whether the line is horizontal.
    """
    line, span = (axes.axhline, axes.axhspan) if across else (axes.axvline, axes.axvspan)
    line(0.0, color=GREY, linestyle="--", linewidth=0.8, label=plain(f"reference: {name}, {reference.text}"))
    if reference.deviation > 0:
        label = f"± {reference.deviation:.1f} of its seeds, not paired"
        span(-reference.deviation, reference.deviation, color=GREY, alpha=0.15, linewidth=0, label=label)


STAR: dict[str, Any] = {
    "marker": "*",
    "markersize": 9,
    "color": MEASURED,
    "markeredgecolor": BLACK,
    "markeredgewidth": 0.5,
    "zorder": 4,
}
"""How the published setting's mark is drawn."""
DIAMOND: dict[str, Any] = {"color": PUBLISHED, "markerfacecolor": "white", "markersize": 5, "zorder": 1.9}
"""How published figures are drawn."""
