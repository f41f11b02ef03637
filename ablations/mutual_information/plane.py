"""The information plane: what a noisy representation tells of labels, over what it tells of images at most."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from ablations.mutual_information.measures import Settings
from ablations.mutual_information.tables import Method
from results.plots.layout import arrange, folded
from results.plots.style import COLUMN, looks, new_figure, plain, styled
from results.statistics.paired import mean_and_deviation


@styled()
def information_plane(methods: Sequence[Method], settings: Settings, title: str, width: float = COLUMN) -> Figure:
    """A curve a method: each point is a size of the noise, bars are deviations over seeds.

    The upper left is where a bottleneck wants to be. Both axes are bounds (docs/information.md).

    Args:
        methods: with their numbers.
        settings: whose noise there are points of.
        title: of one line or more.
        width: in inches.
    """
    figure = new_figure(width)
    axes = figure.add_subplot()
    look = looks(method.label for method in methods)
    for method in methods:
        points = []
        for noise in sorted(settings.noise):
            along, up = (list(method.values(f"{name}@{noise:g}").values()) for name in ("rate", "labels"))
            points.append((*_with_error(along), *_with_error(up)))
        x, x_error, y, y_error = zip(*points, strict=True)
        axes.errorbar(
            x, y, xerr=x_error, yerr=y_error, color=look[method.label].color, marker=look[method.label].marker,
            capsize=2, label=plain(f"{method.label} (n = {len(method.runs)})"),
        )  # fmt: skip
    for noise, place in zip(sorted(settings.noise), points, strict=True):  # beside the last method's points
        axes.annotate(f"{noise:g}", (place[0], place[2]), (3, -9), textcoords="offset points", fontsize=6)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())  # within a decade minor ticks would have words, too, over each other
    axes.grid()
    inner = 2.2
    axes.set_xlabel("I(Z~;X) at most: rate (nats a location)")
    axes.set_ylabel(folded("I(Z~;Y) at least: linear probe (nats a location)", 0.9 * inner, 7))
    note = "Numbers are the noise's deviation; bars are deviations over seeds"
    arrange(figure, inner, title, [note])
    return figure


def _with_error(values: list[float]) -> tuple[float, float]:
    mean, deviation = mean_and_deviation(values)
    return mean, deviation or 0.0
