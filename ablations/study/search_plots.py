"""Plots and importances of a search, by Optuna's functions, of its trials as they were at one moment."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from optuna.visualization import matplotlib as plots

from ablations.study.study import Objective, Search
from results.plots.files import write_figure
from results.plots.style import plain
from results.tables.run_table import render_table

LEAST_TRIALS = 10
"""Complete trials that importances take: with fewer, the best tenth that they look at is one trial or none."""
_MOST_PARAMETERS = 4  # of a contour plot, which has a panel for each two
_SIZE, _PANEL = (8.0, 5.0), 3.0  # inches: 1200 pixels wide, at least
LABEL = "where the search begins"
_BASE_MARK: dict[str, Any] = {"color": "tab:orange", "zorder": 5}


@dataclass
class Drawn:
    """What was drawn.

    Attributes:
        files: paths of the plots.
        notes: one line for each plot that could not be made, with the reason.
        importances: by objective and parameter, from 0 to 1, in sum 1; without objectives that have none.
    """

    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    importances: dict[str, dict[str, float]] = field(default_factory=dict)


def complete(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that have values of the objectives."""
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def pareto_front(trials: Sequence[FrozenTrial], objectives: Sequence[Objective]) -> list[FrozenTrial]:
    """Complete trials that no other is better than in all objectives; of one objective, those of the best value."""
    with _quiet():
        best = {trial.number for trial in _study(trials, objectives).best_trials} if complete(trials) else set()
    return [trial for trial in trials if trial.number in best]


def draw(trials: Sequence[FrozenTrial], search: Search, base: FrozenTrial | None, folder: Path) -> Drawn:
    """Draw what the trials allow: history, contour or slice, Pareto front, importances, as files in ``folder``.

    History, contour and slice are of the first objective. Matplotlib's backend becomes Agg, which needs no display.

    Args:
        trials: all of the study, in order of their numbers.
        search: what they are of.
        base: the complete trial of the setting that the search begins from, which is marked.
        folder: exists.
    """
    done, drawn, first = complete(trials), Drawn(), search.objectives[0]
    if not done:
        drawn.notes.append("no plots: no trial is complete")
        return drawn
    title = f"{search.name}: {len(done)} of {len(trials)} trials complete"
    plt.switch_backend("Agg")
    # Optuna's functions set a style of their own, for all figures of the process.
    with _quiet(), matplotlib.rc_context({"figure.figsize": _SIZE, "figure.constrained_layout.use": True}):
        study = _study(trials, [first])
        axes = plots.plot_optimization_history(study, target_name=first.title)
        if base is not None:
            axes.axhline(base.values[0], linestyle="--", label=LABEL, **_BASE_MARK)
        axes.legend(fontsize=8)
        drawn.files += _save(axes, folder / "history", title)
        if len(search.objectives) == 2:
            axes = plots.plot_pareto_front(
                _study(trials, search.objectives), target_names=[each.title for each in search.objectives]
            )
            if base is not None:
                _star(axes, *base.values)
            axes.legend(fontsize=8)
            drawn.files += _save(axes, folder / "pareto", title)
        _importances(trials, search, title, folder, drawn)
        _parameters(study, search, base, title, folder, drawn)
    return drawn


def _importances(trials: Sequence[FrozenTrial], search: Search, title: str, folder: Path, drawn: Drawn) -> None:
    """A bar for each parameter and objective.

    Each objective is taken alone, in its own direction: Optuna's plot of several takes all as minimized.
    """
    count = len(complete(trials))
    if len(search.space) < 2:
        drawn.notes.append("no importances: there is one parameter")
    elif count < LEAST_TRIALS:
        drawn.notes.append(f"no importances: they take {LEAST_TRIALS} complete trials or more, there are {count}")
    else:
        for index, objective in enumerate(search.objectives):
            if len({trial.values[index] for trial in complete(trials)}) < 2:
                drawn.notes.append(f"no importances of {objective.title}: its values are all equal")
                continue
            found = get_param_importances(
                _study(trials, [objective], index), evaluator=PedAnovaImportanceEvaluator()
            )
            drawn.importances[objective.title] = {name: float(share) for name, share in found.items()}
    if not drawn.importances:
        return
    names = list(next(iter(drawn.importances.values())))[::-1]  # the first is on top
    height = 0.8 / len(drawn.importances)
    axes = plt.subplots()[1]
    for index, (name, shares) in enumerate(drawn.importances.items()):
        places = np.arange(len(names)) - height * (index - (len(drawn.importances) - 1) / 2)
        bars = axes.barh(places, [shares[each] for each in names], height, label=name)
        axes.bar_label(bars, fmt="%.2f", padding=3)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlim(0, 1.1)
    axes.set_xlabel("importance for reaching the best tenth of trials (PED-ANOVA)")
    axes.legend(fontsize=8)
    drawn.files += _save(axes, folder / "importances", title)


def _parameters(
    study: optuna.Study, search: Search, base: FrozenTrial | None, title: str, folder: Path, drawn: Drawn
) -> None:
    """The objective over the parameters that vary: a contour of two or more, a slice of one."""
    done, objective = complete(study.trials), search.objectives[0]
    varied = [each.name for each in search.space if len({trial.params[each.name] for trial in done}) > 1]
    kind = "contour" if len(search.space) > 1 else "slice"
    if not varied or len(done) < 3:
        drawn.notes.append(f"no {kind} plot: it takes 3 complete trials with different parameters")
        return
    if len(varied) == 1:
        if kind == "contour":
            drawn.notes.append(f"no contour plot: of the parameters {varied[0]} alone varies")
        axes: Any = plots.plot_slice(study, params=varied, target_name=objective.title)
        if base is not None:
            _mark(axes, study, base, varied, base.values[0])
        drawn.files += _save(axes, folder / "slice", title)
        return
    if len({trial.value for trial in done}) < 2:
        drawn.notes.append("no contour plot: the values are all equal")
        return
    if len(varied) > _MOST_PARAMETERS:
        order = list(drawn.importances.get(objective.title, varied))
        varied = sorted(varied, key=order.index)[:_MOST_PARAMETERS]
        drawn.notes.append(f"the contour plot is of {_MOST_PARAMETERS} parameters: {', '.join(varied)}")
    made: Any = plots.plot_contour(study, params=varied, target_name=objective.title)
    if len(varied) == 2:
        if base is not None:
            _mark(made, study, base, sorted(varied))  # Optuna sorts them
    else:
        made[0, 0].figure.set_size_inches(_PANEL * len(varied), _PANEL * len(varied) * 0.8)
        for axes in made.flat:
            axes.label_outer()
    drawn.files += _save(made, folder / "contour", title)


def _mark(
    axes: Axes, study: optuna.Study, base: FrozenTrial, names: Sequence[str], value: float | None = None
) -> None:
    """Mark the setting that the search begins from, unless an axis has words, whose places are Optuna's own."""
    if any(isinstance(study.trials[base.number].distributions[name], _WORDS) for name in names):
        return
    places = [base.params[name] for name in names]
    star = _star(axes, *places, *([] if value is None else [value]))
    axes.legend(handles=[star], fontsize=8)  # Optuna names what it has none of


_WORDS = optuna.distributions.CategoricalDistribution


def _star(axes: Axes, x: float, y: float) -> PathCollection:
    return axes.scatter(
        [x], [y], marker="*", s=180, edgecolors="black", linewidths=0.6, label=LABEL, **_BASE_MARK
    )


def _save(made: Any, stem: Path, title: str) -> list[Path]:
    """Write the figure of one or more axes, and close it; returns the files."""
    figure: Any = (made if isinstance(made, Axes) else made.flat[0]).figure
    if isinstance(made, Axes):
        made.set_title(title, fontsize=11)
    else:
        figure.suptitle(title, fontsize=11)
    try:
        return write_figure(figure, stem)
    finally:
        plt.close(figure)


def _study(trials: Sequence[FrozenTrial], objectives: Sequence[Objective], first: int = 0) -> optuna.Study:
    """These trials in memory, with their numbers; the values from the ``first`` on. What is not complete has none."""
    study = optuna.create_study(directions=[StudyDirection[each.direction.upper()] for each in objectives])
    for trial in trials:
        values = trial.values[first : first + len(objectives)] if trial.state == TrialState.COMPLETE else None
        if values is None:
            study.add_trial(optuna.create_trial(state=TrialState.FAIL))
        else:
            study.add_trial(
                optuna.create_trial(
                    values=values,
                    params={name: _plain(value) for name, value in trial.params.items()},
                    distributions={name: _plain_choices(each) for name, each in trial.distributions.items()},
                )
            )
    return study


def _plain(value: Any) -> Any:
    return plain(value) if isinstance(value, str) else value


def _plain_choices(distribution: Any) -> Any:
    """Words become ticks of axes; names of parameters are config keys, and the title is a study's name."""
    if not isinstance(distribution, _WORDS):
        return distribution
    return _WORDS([_plain(choice) for choice in distribution.choices])


def importance_text(drawn: Drawn, count: int) -> str:
    """The importances as a table, and what they rest on: ``count`` complete trials."""
    names = list(next(iter(drawn.importances.values())))
    shown = {"parameter": names}
    shown |= {head: [f"{found[name]:.2f}" for name in names] for head, found in drawn.importances.items()}
    tenth = math.ceil(count / 10)
    # "preferable to include at least 5 trials" (Optuna's documentation of the evaluator)
    caution = " (a hint: it should be 5 or more)" if tenth < 5 else ""
    basis = f"Importances for reaching the best tenth, here {tenth} of {count} complete trials{caution}:"
    return f"{basis}\n{render_table(shown, 'table')}\n"


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out Optuna's lines about studies in memory, and about functions that it calls experimental."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(level)
