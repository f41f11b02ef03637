"""Two planes of what is told of labels over what of images: by noisy features, and by what is put under masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from ablations.mutual_information.measures import Settings
from ablations.mutual_information.tables import Method
from results.plots.layout import arrange, folded
from results.plots.style import COLUMN, looks, new_figure, plain, styled
from results.statistics.paired import mean_and_deviation

_INNER = 2.2  # inches of the axes
UNDER_MASKS = {"N": "neighbours", "R": "rebuilt", "Z": "features"}
"""What is compared under masks, by its letter: the mean of neighbours, the Rebuilder's output, what was masked."""


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
    points = {f"{noise:g}": (f"rate@{noise:g}", f"labels@{noise:g}") for noise in sorted(settings.noise)}
    _draw(axes, methods, points)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())  # within a decade minor ticks would have words, too, over each other
    axes.set_xlabel("I(Z~;X) at most: rate (nats a location)")
    axes.set_ylabel(folded("I(Z~;Y) at least: linear probe (nats a location)", 0.9 * _INNER, 7))
    arrange(figure, _INNER, title, ["Numbers are the noise's deviation; bars are deviations over seeds"])
    return figure


@styled()
def masked_plane(methods: Sequence[Method], title: str, width: float = COLUMN) -> Figure:
    """A line a method between what neighbours, its Rebuilder and its features tell of a masked place.

    A Rebuilder of classes stands high and to the left, one of pixels to the right. Arguments as of `information_plane`.
    """
    figure = new_figure(width)
    axes = figure.add_subplot()
    _draw(axes, methods, {
        letter: (f"masked_pixels_{kind}", f"masked_labels_{kind}") for letter, kind in UNDER_MASKS.items()
    })  # fmt: skip
    axes.set_xlabel("pixels rebuilt by a linear map (nats a location)")
    axes.set_ylabel(folded("labels at least: linear probe (nats a location)", 0.9 * _INNER, 7))
    note = "Under masks: N is the mean of visible neighbours, R the Rebuilder's output, Z what was masked"
    arrange(figure, _INNER, title, [note, "Bars are deviations over seeds"])
    return figure


def _draw(axes: Axes, methods: Sequence[Method], points: Mapping[str, tuple[str, str]]) -> None:
    """A curve a method through points, each of two measures by the point's name; those without numbers are left out."""
    look = looks(method.label for method in methods)
    last: dict[str, tuple[float, float]] = {}
    for method in methods:
        known = {name: tuple(method.values(each) for each in pair) for name, pair in points.items()}
        found = {name: [_with_error(list(each.values())) for each in pair]
                 for name, pair in known.items() if all(pair)}  # fmt: skip
        x, y = (list(zip(*(pair[axis] for pair in found.values()), strict=True)) or [(), ()] for axis in (0, 1))
        axes.errorbar(
            x[0], y[0], xerr=x[1], yerr=y[1], color=look[method.label].color, marker=look[method.label].marker,
            capsize=2, label=plain(f"{method.label} (n = {len(method.runs)})"),
        )  # fmt: skip
        last |= {name: (pair[0][0], pair[1][0]) for name, pair in found.items()}
    for name, place in last.items():  # beside the points of the last method that has them
        axes.annotate(name, place, (3, -9), textcoords="offset points", fontsize=6)
    axes.grid()


def _with_error(values: list[float]) -> tuple[float, float]:
    mean, deviation = mean_and_deviation(values)
    return mean, deviation or 0.0
