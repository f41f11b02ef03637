"""What plots of a search show: contour or points, the best trial, and axes in words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from drawn_texts import assert_texts_fit, drawn_texts
from matplotlib import cbook
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.contour import ContourSet
from matplotlib.figure import Figure
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from ablations.study.space import Dimension
from ablations.study.trial_figures import bars, history, pareto, values_over
from results.plots.style import COLUMN, PAGE

LAMBDA = Dimension("lambda", "TERMS.MRM.WEIGHT", FloatDistribution(0.03, 10, log=True), 1.0, ())
RATIO = Dimension("TERMS.MRM.RATIO", "TERMS.MRM.RATIO", FloatDistribution(0.1, 0.9), 0.4, ())  # by its key
BLOCKS = Dimension("TERMS.MRM.BLOCKS", "TERMS.MRM.BLOCKS", IntDistribution(1, 4), 2, (1, 2, 3, 4))
STRATEGY = Dimension(
    "TERMS.MRM.STRATEGY", "TERMS.MRM.STRATEGY", CategoricalDistribution(["random", "block"]), "random", ()
)
VALUE = "mIoU on the target [%], oracle"
GIVEN: dict[str, Any] = {"value": VALUE, "direction": "maximize", "title": "T", "width": COLUMN}


def trials_of(space: Sequence[Dimension], count: int, values: Sequence[Sequence[float]] = ()) -> list[FrozenTrial]:
    """Trials that lie apart; the best of the first value is that before the last."""
    study = optuna.create_study(directions=["maximize"] * (len(values[0]) if values else 1))
    for index in range(count):
        share = (index * 7 % count) / count
        known = {"lambda": 0.05 * 100**share, "TERMS.MRM.RATIO": 0.2 + 0.6 * index / count}
        known |= {"TERMS.MRM.BLOCKS": 1 + index % 4, "TERMS.MRM.STRATEGY": ("random", "block")[index % 2]}
        study.add_trial(
            optuna.create_trial(
                values=values[index] if values else [20.0 + index if index < count - 1 else 10.0],
                params={each.name: known[each.name] for each in space},
                distributions={each.name: each.distribution for each in space},
            )
        )
    return study.get_trials()


def marks(axes: Axes, label: str) -> list[tuple[float, float]]:
    """Where the marks are whose name in the legend begins so."""
    found = [each for each in axes.collections if isinstance(each, PathCollection)]
    places = [each.get_offsets() for each in found if str(each.get_label()).startswith(label)]
    return [(round(float(x), 6), round(float(y), 6)) for each in places for x, y in each]


def is_contour(figure: Figure) -> list[bool]:
    """Of each panel whether there is a contour; the last axes are the colours."""
    return [any(isinstance(each, ContourSet) for each in axes.collections) for axes in figure.axes[:-1]]


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def test_a_contour_from_ten_trials_on_and_else_points() -> None:
    for count, there in ((9, False), (10, True)):
        trials = trials_of((LAMBDA, RATIO), count)
        figure = values_over(trials, (LAMBDA, RATIO), trials[0], **GIVEN)
        assert is_contour(figure) == [there]
        assert len(marks(figure.axes[0], "finished trial")) == count
        assert_texts_fit(figure)


def test_the_best_trial_is_marked_in_each_plot() -> None:
    trials = trials_of((LAMBDA, RATIO), 12)
    (x, y), *others = marks(values_over(trials, (LAMBDA, RATIO), None, **GIVEN).axes[0], "best (trial 10)")
    assert not others and 10**x == pytest.approx(trials[10].params["lambda"], rel=1e-4) and y == 0.7
    assert marks(history(trials, None, **GIVEN).axes[0], "best (trial 10)") == [(10.0, 30.0)]
    lowest = history(trials, trials[0], **{**GIVEN, "direction": "minimize"}).axes[0]
    assert marks(lowest, "best (trial 11)") == [(11.0, 10.0)]
    assert marks(lowest, "where the search begins (trial 0)") == [(0.0, 20.0)]
    so_far = next(line for line in lowest.lines if line.get_label() == "best so far")
    assert list(so_far.get_ydata())[-2:] == [20.0, 10.0]


def test_axes_have_words_and_values_that_are_read() -> None:
    space = (LAMBDA, RATIO)
    axes = values_over(trials_of(space, 12), space, None, **GIVEN).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("λ (weight of MRM)", "mask ratio of MRM")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.05", "0.1", "0.2", "0.5", "1", "2"]
    others = (STRATEGY, BLOCKS)
    axes = values_over(trials_of(others, 12), others, None, **GIVEN).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("TERMS.MRM.STRATEGY", "TERMS.MRM.BLOCKS")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["random", "block"]


def test_there_is_nothing_between_words() -> None:
    space = (LAMBDA, STRATEGY, RATIO)
    figure = values_over(trials_of(space, 12), space, None, **GIVEN)
    # Strategy over λ, ratio over λ, ratio over strategy.
    assert sorted(is_contour(figure)) == [False, False, True]
    assert figure.get_size_inches()[0] == PAGE
    assert_texts_fit(figure)


def test_trials_on_a_line_or_of_one_value_have_no_contour() -> None:
    space = (LAMBDA, RATIO)
    equal = trials_of(space, 12, [[3.0]] * 12)
    assert is_contour(values_over(equal, space, None, **GIVEN)) == [False]
    line = trials_of(space, 12)
    for trial in line:
        trial.params = {"lambda": 1.0, "TERMS.MRM.RATIO": trial.params["TERMS.MRM.RATIO"]}
    assert is_contour(values_over(line, space, None, **GIVEN)) == [False]


def test_one_parameter_is_an_axis_and_its_value_the_other() -> None:
    trials = trials_of((STRATEGY,), 6)
    axes = values_over(trials, (STRATEGY,), trials[1], **GIVEN).axes[0]
    assert marks(axes, "best (trial 4)") == [(0.0, 24.0)] and marks(axes, "where the search begins") == [(1.0, 21.0)]
    assert axes.get_ylabel() == VALUE


def test_the_pareto_front_is_a_line_from_the_least_to_the_most() -> None:
    values = [[20.0, 100.0], [25.0, 140.0], [24.0, 120.0], [21.0, 150.0]]
    trials = trials_of((LAMBDA,), 4, values)
    figure = pareto(trials, trials[:3], trials[3], ["mIoU", "cost"], title="T", width=COLUMN)
    (front,) = figure.axes[0].lines
    assert list(map(tuple, front.get_xydata())) == [(20.0, 100.0), (24.0, 120.0), (25.0, 140.0)]
    assert marks(figure.axes[0], "where the search begins") == [(21.0, 150.0)]
    assert_texts_fit(figure)


@pytest.mark.parametrize("width", [COLUMN, PAGE])
def test_bars_are_in_words_with_their_values(width: float) -> None:
    shares = {"mIoU": {"lambda": 0.9, BLOCKS.name: 0.1}, "cost of a step": {"lambda": 0.0, BLOCKS.name: 1.0}}
    names = {each.name: each.title for each in (LAMBDA, BLOCKS)}
    figure = bars(shares, names, "importance", title="T", width=width)
    told = [bar.get_text() for axes in figure.axes for bar in axes.texts]
    assert told == ["0.90", "0.10", "0.00", "1.00"] and {*told} <= {text for text, _ in drawn_texts(figure)}
    ticks = [" ".join(tick.get_text().split()) for tick in figure.axes[0].get_yticklabels()]
    assert [tick.replace(" ", "") for tick in ticks] == ["λ(weightofMRM)", "TERMS.MRM.BLOCKS"]
    assert_texts_fit(figure)


def test_words_are_not_read_as_tex() -> None:
    words = Dimension("A.B", "A.B", CategoricalDistribution([r"$\nothing$", "=a|b"]), None, ())
    study = optuna.create_study()
    for choice in words.distribution.choices * 2:
        distributions = {"A.B": words.distribution}
        study.add_trial(optuna.create_trial(value=1.0, params={"A.B": choice}, distributions=distributions))
    figure = values_over(study.get_trials(), (words,), None, **{**GIVEN, "title": r"a $\nothing$"})
    drawn = [text for text, _ in drawn_texts(figure)]
    assert not any(map(cbook.is_math_text, drawn)) and sum(r"\$\nothing" in text for text in drawn) == 2
