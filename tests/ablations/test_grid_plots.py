"""From a grid's records to its plot: differences paired by seed, published ones, and what the title says."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from drawn_texts import assert_texts_fit
from grid_runs import Scores, rows_of, write_runs
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from ablations.sweep.expand import Row
from ablations.sweep.grid import read_grid
from ablations.sweep.grid_plot import other_than_published, plot_grid, title_of
from ablations.sweep.report import report
from ablations.sweep.shipped import grids
from results.plots.style import COLUMN, PAGE

# The reference's seeds lie 2 apart, and so do those of the rows: the differences do not.
LAMBDA: Scores = {
    "0": [20.0, 22.0, 24.0],
    "0.1": [21.0, 23.5, 25.0],
    "0.5": [21.0, 21.0, "diverged"],
    "1": ["failed", "failed", "failed"],
    "2": [19.0],
}


def plotted(name: str, rows: list[Row], *widths: float) -> list[Figure]:
    grid = replace(read_grid(name), cost=False)
    frame = report(grid, rows, {}, "T").frame
    return [plot_grid(grid, rows, frame, width) for width in widths or (COLUMN,)]


def measured(figure: Figure, axis: int) -> list[tuple[float, float, float]]:
    """Value, and the ends of its error bar, of each mark that has them."""
    (found,) = (each for each in figure.axes[0].containers if isinstance(each, ErrorbarContainer))
    values = found.lines[0].get_data()[axis]
    drawn = [pair for pair in zip(values, found.lines[2][0].get_segments(), strict=True) if not math.isnan(pair[0])]
    return [(float(value), float(bar[0][axis]), float(bar[1][axis])) for value, bar in drawn]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for each in figure.legends for text in each.get_texts()]


def test_error_bars_are_of_the_paired_difference(tmp_path: Path) -> None:
    rows = rows_of("lambda", output=tmp_path)
    write_runs(rows, LAMBDA)
    (figure,) = plotted("lambda", rows)
    first, second = [1.0, 1.5, 1.0], [1.0, -1.0]  # by seed; 0.5 has finished two
    expected = [(statistics.mean(each), statistics.stdev(each)) for each in (first, second)]
    found = [(value, (high - low) / 2) for value, low, high in measured(figure, 1)]
    assert found == [*(pytest.approx(each) for each in expected), pytest.approx((-1.0, 0.0))]
    assert found[0][1] < 0.3 < 2.0 == statistics.stdev([20.0, 22.0, 24.0])
    assert "reference: λ 0, 22.0 ± 2.0" in legend(figure) and "no finished run" in legend(figure)
    assert "the published setting" in legend(figure)  # though its runs have failed


def test_one_reference_for_each_architecture(tmp_path: Path) -> None:
    rows = rows_of("architectures", "gta-cityscapes", output=tmp_path)
    scores = {row.label: [50.0 + index, 51.0 + index, 52.5 + index] for index, row in enumerate(rows)}
    write_runs(rows, scores)
    for figure in plotted("architectures", rows, COLUMN, PAGE):
        ticks = [" ".join(tick.get_text().split()) for tick in figure.axes[0].get_yticklabels()]
        assert ticks[0] == "DeepLabV2 ResNet-50, DACS, MRM (reference: 51.2 ± 1.3)" and len(ticks) == 5
        assert [value for value, _, _ in measured(figure, 0)] == pytest.approx([1.0] * 5)
        assert legend(figure) == ["measured", "reference of each, at the left", "published", "the published setting"]
        assert_texts_fit(figure)


@pytest.mark.slow
@pytest.mark.parametrize("name", grids())
def test_all_that_ships_fits(name: str, tmp_path: Path) -> None:
    # Published data sets are scaled to a size, which streets does not have.
    for protocol in ("gta-cityscapes", "streets")[: 1 if name == "sources" else 2]:
        rows = rows_of(name, protocol, seeds=[0, 1], overrides={"SOLVER.ITERS": 250}, output=tmp_path)
        scores = {row.label: [20.0 + index, 21.5 + index] for index, row in enumerate(rows)}
        write_runs(rows, {**scores, rows[-1].label: ["failed", "diverged"]})
        for figure in plotted(name, rows, COLUMN, PAGE):
            assert_texts_fit(figure)


def published_settings(name: str, **given: Any) -> list[str]:
    """The labels of the marks that are the published setting."""
    (figure,) = plotted(name, rows_of(name, **({"seeds": [0]} | given)))
    lines = [each for each in figure.axes[0].lines if each.get_label() == "the published setting"]
    across = figure.axes[0].get_xlim()[0] < figure.axes[0].get_xlim()[1] and name in ("mask-ratio", "lambda")
    axis = figure.axes[0].xaxis if across else figure.axes[0].yaxis
    ticks = dict(zip(map(float, axis.get_ticklocs()), axis.get_ticklabels(), strict=True))
    return [ticks[float(place)].get_text() for each in lines for place in each.get_data()[0 if across else 1]]


def test_the_published_setting_is_marked_whatever_else_is_set() -> None:
    assert published_settings("mask-ratio") == ["0.4"]
    assert published_settings("lambda", overrides={"TERMS.MRM.DIM": 128}) == ["1"]
    assert published_settings("masking-location") == ["latent"]
    assert published_settings("domain") == ["target"]


def test_published_ones_are_drawn_beside_the_same_runs_alone(tmp_path: Path) -> None:
    for protocol, there in (("gta-cityscapes", True), ("streets", False)):
        rows = rows_of("mask-ratio", protocol, seeds=[0], output=tmp_path)
        write_runs(rows, {"without MRM": [50.0], "0.4": [51.0]})
        (figure,) = plotted("mask-ratio", rows)
        drawn = [each for each in figure.axes[0].lines if each.get_label() == "published"]
        assert bool(drawn) == there == ("published" in legend(figure))
        if there:
            places, values = drawn[0].get_data()
            assert list(zip(places, values, strict=True)) == [
                (0.2, 2.2), (0.4, pytest.approx(3.8)), (0.6, pytest.approx(3.1)), (0.8, 2.0)
            ]  # fmt: skip


def test_the_title_says_iterations_and_what_is_not_as_published() -> None:
    def told(name: str, *given: str, **rows: Any) -> list[str]:
        title = title_of(read_grid(name), rows_of(name, *given, **({"seeds": [0]} | rows)))
        return title.replace("\N{NO-BREAK SPACE}", " ").splitlines()

    # DACS states its iterations, MRM none: there they are the protocol's.
    assert told("mask-ratio", "gta-cityscapes") == [
        "Mask ratio of MRM",
        "gta-cityscapes, deeplabv2-r101, dacs, 19 classes, 40000 iterations",
        "Not as published: iterations 40000 (published: 250000)",
    ]
    assert len(told("domain", "gta-cityscapes", overrides={"SOLVER.ITERS": 250000})) == 2
    shorter = told("lambda", overrides={"SOLVER.ITERS": 250, "TERMS.MRM.DIM": 128, "NUM_WORKERS": 1, "TEST.PERIOD": 9})
    assert shorter[1] == "streets, daformer-lite0, dacs, 19 classes, 250 iterations"
    assert shorter[2] == (
        "Not as published: protocol streets, network daformer-lite0, 250 of 350 iterations, TERMS.MRM.DIM 128"
    )
    assert told("architectures", "gta-cityscapes")[1] == "gta-cityscapes, 19 classes, 40000 iterations"


def test_what_is_set_is_told_where_it_is_not_the_published_value() -> None:
    def others(**overrides: Any) -> list[str]:
        given = {key.replace("__", "."): value for key, value in overrides.items()}
        rows = rows_of("mask-ratio", "gta-cityscapes", seeds=[0], overrides=given)
        return other_than_published(read_grid("mask-ratio"), rows)

    assert others(SOLVER__ITERS=250000, TERMS__MRM__WEIGHT=2.0) == ["TERMS.MRM.WEIGHT 2"]
    assert others(SOLVER__ITERS=250000, TERMS__MRM__WEIGHT=1.0) == []
    assert others(SOLVER__ITERS=250000, TERMS__MRM__VIEW="target") == ["TERMS.MRM.VIEW target (not stated)"]
    objective = rows_of("objective", "gta-cityscapes", seeds=[0], overrides={"SOLVER.ITERS": 250000})
    assert other_than_published(read_grid("objective"), objective) == []  # what it varies is not told
    assert others(SOLVER__BATCH=4)[:2] == ["iterations 40000 (published: 250000)", "batch 4 (published: 2)"]
