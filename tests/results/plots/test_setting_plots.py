"""What plots of settings show: differences paired by seed, their reference, what is published, what did not finish."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from drawn_texts import assert_texts_fit, drawn_texts
from matplotlib import cbook, pyplot
from matplotlib.axes import Axes
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from results.plots.heat_map import heat_map
from results.plots.line import line
from results.plots.marks import Mark
from results.plots.points import points
from results.plots.style import COLUMN, PAGE

REFERENCE = Mark("0", 0.0, 22.5, 1.1, 3)
MARKS = [
    Mark("0.1", 0.1, 22.0, 1.2, 3, -0.5, 0.3, 3, published=54.7, published_difference=2.6),
    Mark("1", 1.0, 21.5, 1.4, 2, -1.0, 0.25, 2, "1 failed", 55.9, 3.8, is_published=True),
    Mark("10", 10.0, unfinished="3 diverged"),
]
WIDTHS = [COLUMN, PAGE]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for each in figure.legends for text in each.get_texts()]


def points_of(axes: Axes, label: str) -> list[tuple[float, float]]:
    """Where the marks of this name in the legend are."""
    (found,) = (each for each in axes.lines if each.get_label() == label)
    return [(float(x), float(y)) for x, y in zip(*found.get_data(), strict=True)]


def measured(axes: Axes) -> ErrorbarContainer:
    (found,) = (each for each in axes.containers if isinstance(each, ErrorbarContainer))
    return found


def ends(axes: Axes, axis: int) -> list[tuple[float, float]]:
    """The ends of the error bars that there are."""
    (bars,) = measured(axes).lines[2]
    found = (np.array(bar) for bar in bars.get_segments())
    return [(float(bar[0, axis]), float(bar[1, axis])) for bar in found if bar.shape == (2, 2)]


def below(figure: Figure) -> str:
    return " ".join(figure.get_supxlabel().split())


@pytest.mark.parametrize("width", WIDTHS)
def test_a_line_has_the_paired_difference_and_its_own_deviation(width: float) -> None:
    figure = line(MARKS, REFERENCE, title="T", x_label="λ", log=True, width=width)
    axes = figure.axes[0]
    assert list(measured(axes).lines[0].get_ydata()[:2]) == [-0.5, -1.0]
    assert ends(axes, 1) == [(-0.8, -0.2), (-1.25, -0.75)]  # not the 1.2 and 1.4 of the mIoU itself
    told = " ".join(axes.get_ylabel().split())
    assert told == "mIoU − reference (points) ± deviation, paired by seed, n ≤ 3"
    assert set(legend(figure)) == {
        "reference: λ 0, 22.5 ± 1.1", "± 1.1 of its seeds, not paired", "measured", "published",
        "the published setting", "no finished run",
    }  # fmt: skip
    assert axes.get_xscale() == "log" and axes.get_xlabel() == "λ"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "0.1", "1", "10"]
    assert 0 < axes.get_xticks()[0] < 0.1  # apart, left of the others
    assert points_of(axes, "published") == [(0.1, 2.6), (1.0, 3.8)]
    assert points_of(axes, "the published setting") == [(1.0, -1.0)]
    assert points_of(axes, "no finished run") == [(10.0, 0.03)]
    (band,) = (patch for patch in axes.patches if str(patch.get_label()).startswith("±"))
    assert band.get_extents().transformed(axes.transData.inverted()).intervaly.tolist() == pytest.approx([-1.1, 1.1])
    assert below(figure) == "1: n = 2, 1 failed. 10: 3 diverged"
    assert_texts_fit(figure)
    assert pyplot.get_fignums() == []  # none is left open


def test_a_reference_without_seeds_in_common_leaves_the_miou_with_its_own_deviation() -> None:
    marks = [replace(mark, difference=math.nan, paired_deviation=math.nan, pairs=0) for mark in MARKS]
    figure = line(marks, replace(REFERENCE, miou=math.nan, n=0), title="T", x_label="λ", log=True)
    axes = figure.axes[0]
    assert list(measured(axes).lines[0].get_ydata()[:2]) == [22.0, 21.5]
    assert ends(axes, 1)[0] == pytest.approx((20.8, 23.2))
    told = " ".join(axes.get_ylabel().split())
    assert told == "mIoU (%), no reference ± deviation over seeds, not paired, n ≤ 3"
    assert points_of(axes, "published") == [(0.1, 54.7), (1.0, 55.9)]
    assert not any("reference" in text for text in legend(figure))


def test_one_seed_has_no_error_bars_and_the_axis_says_so() -> None:
    marks = [replace(mark, deviation=math.nan, paired_deviation=math.nan, pairs=1) for mark in MARKS[:2]]
    figure = line(marks, replace(REFERENCE, deviation=math.nan), title="T", x_label="λ")
    assert "one seed each, no deviation" in " ".join(figure.axes[0].get_ylabel().split())
    assert [low - high for low, high in ends(figure.axes[0], 1)] == [0.0, 0.0]
    assert not any("±" in text for text in legend(figure))


def test_points_are_a_row_a_setting_and_name_what_has_none() -> None:
    figure = points(MARKS, [REFERENCE], title="T")
    axes = figure.axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["0.1", "1", "10"]
    low, high = axes.get_ylim()
    assert low > high  # the first is above
    assert ends(axes, 0) == [(-0.8, -0.2), (-1.25, -0.75)]
    assert points_of(axes, "published") == [(2.6, 0.0), (3.8, 1.0)]
    assert points_of(axes, "no finished run") == [(0.03, 2.0)]
    assert "λ" not in axes.get_xlabel() and "paired by seed" in " ".join(axes.get_xlabel().split())
    assert "10: 3 diverged" in below(figure)


def test_points_with_several_references_say_which_is_whose() -> None:
    marks = [replace(mark, beside="(reference: 20.0 ± 0.5)") for mark in MARKS[:2]]
    other = replace(REFERENCE, label="another", unfinished="1 failed")
    figure = points(marks, [REFERENCE, other], title="T")
    ticks = [" ".join(tick.get_text().split()) for tick in figure.axes[0].get_yticklabels()]
    assert ticks == ["0.1 (reference: 20.0 ± 0.5)", "1 (reference: 20.0 ± 0.5)"]
    assert "reference of each, at the left" in legend(figure)
    assert "another: 1 failed" in below(figure)
    assert_texts_fit(figure)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_heat_map_names_each_cell(width: float) -> None:
    figure = heat_map(
        [MARKS, MARKS[::-1]], REFERENCE, title="T", x_label="λ", y_label="ratio", x_ticks=["0.1", "1", "10"],
        y_ticks=["0.2", "0.4"], width=width,
    )  # fmt: skip
    axes = figure.axes[0]
    values = axes.images[0].get_array()
    assert values.shape == (2, 3) and values[0, 1] == values[1, 1] == -1.0 and values.mask[0, 2] and values.mask[1, 0]
    low, high = axes.images[0].get_clim()
    assert low == -high  # no difference is in the middle of the colours
    found = {text.get_position(): text.get_text() for text in axes.texts}
    assert found[0, 0] == "-0.5\n± 0.3\n[+2.6]" and found[0, 1] == "-"
    framed = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert [(round(patch.get_center()[0]), round(patch.get_center()[1])) for patch in framed] == [(1, 0), (1, 1)]
    assert "Reference: 0, 22.5 ± 1.1 mIoU" in figure.get_suptitle()
    for part in ("Framed: the published setting", "In brackets: published", "10: 3 diverged"):
        assert part in below(figure)
    assert "paired by seed" in " ".join(figure.axes[1].get_ylabel().split())
    assert_texts_fit(figure)


def test_nothing_finished_is_still_a_plot() -> None:
    reference, *none = [Mark(mark.label, mark.value, unfinished="1 failed") for mark in (REFERENCE, *MARKS)]
    ticks = ["a", "b", "c"]
    for figure in (
        line(none, reference, title="T", x_label="x", log=True),
        points(none, [reference], title="T"),
        heat_map([none], reference, title="T", x_label="x", y_label="y", x_ticks=ticks, y_ticks=["d"]),
    ):
        assert "1 failed" in below(figure)
        assert_texts_fit(figure)


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_and_many_of_them_fit(width: float) -> None:
    long = "DeepLabV3+ ResNet-101 with an output stride of 8, DACS, and MRM"
    marks = [replace(MARKS[1], label=f"{long} {index}", unfinished="2 not started, 1 failed") for index in range(9)]
    title = f"{long} in all its forms\n{long}, {long}\nNot as published: {', '.join(['TERMS.MRM.RATIO 0.5'] * 6)}"
    figure = points(marks, [replace(REFERENCE, label="the host alone, without anything")], title=title, width=width)
    assert_texts_fit(figure)
    assert len(drawn_texts(figure)) > 12
    ratios = [replace(MARKS[1], label=f"0.{index}", value=index / 10) for index in range(1, 10)]
    assert_texts_fit(line(ratios, REFERENCE, title=title, x_label="the share of features that are masked", width=width))


def test_dollar_signs_are_shown_and_not_read_as_tex() -> None:
    text = r"a $\nothing$ of $1"
    marks = [replace(mark, label=f"{mark.label} {text}", unfinished=text) for mark in (REFERENCE, *MARKS[:2])]
    for figure in (
        line(marks[1:], marks[0], title=text, x_label=text, log=True),
        points(marks[1:], marks[:1], title=text),
        heat_map([marks], marks[0], title=text, x_label=text, y_label=text, x_ticks=[text] * 3, y_ticks=[text]),
    ):
        drawn = [each for each, _ in drawn_texts(figure)]
        assert not any(map(cbook.is_math_text, drawn))
        assert sum(r"\$\nothing" in each for each in drawn) > 3
