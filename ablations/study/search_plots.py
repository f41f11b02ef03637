"""Plots and importances of a search, of its trials as they were at one moment."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import optuna
from matplotlib.figure import Figure
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from ablations.study.study import Objective, Search
from ablations.study.trial_figures import LEAST_TRIALS, bars, history, pareto, values_over
from results.forms.folding import render_table
from results.plots.files import FORMATS, write_figure
from results.plots.style import COLUMN

_MOST_PARAMETERS = 4  # of a contour plot, which has a panel for each two


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


def draw(
    trials: Sequence[FrozenTrial],
    search: Search,
    base: FrozenTrial | None,
    folder: Path,
    formats: Sequence[str] = FORMATS,
    width: float = COLUMN,
) -> Drawn:
    """Draw what the trials allow: history, contour or slice, Pareto front, importances, as files in ``folder``.

    History, contour and slice are of the first objective.

    Args:
        trials: all of the study, in order of their numbers.
        search: what they are of.
        base: the complete trial of the setting that the search begins from, which is marked.
        folder: exists.
        formats: of the files.
        width: of the plots, in inches.
    """
    done, drawn, first = complete(trials), Drawn(), search.objectives[0]
    if not done:
        drawn.notes.append("no plots: no trial is complete")
        return drawn
    cfg = search.cfg
    title = (
        f"{cfg.PROTOCOL}, {cfg.NETWORK}, {cfg.METHOD}, {cfg.SOLVER.ITERS} iterations, seed {search.seed}\n"
        f"{len(done)} of {len(trials)} trials complete"
    )

    def save(figure: Figure, name: str) -> None:
        drawn.files.extend(write_figure(figure, folder / name, formats))

    save(history(done, base, first.title, first.direction, title=title, width=width), "history")
    if len(search.objectives) == 2:
        titles = [each.title for each in search.objectives]
        save(pareto(done, pareto_front(trials, search.objectives), base, titles, title=title, width=width), "pareto")
    drawn.importances = _importances(trials, search, drawn.notes)
    if drawn.importances:
        names = {each.name: each.title for each in search.space}
        label = "importance for reaching the best tenth of trials (PED-ANOVA)"
        save(bars(drawn.importances, names, label, title=title, width=width), "importances")
    varied = _varied(done, search, drawn)
    if varied:
        space = [each for each in search.space if each.name in varied]
        figure = values_over(done, space, base, first.title, first.direction, title=title, width=width)
        save(figure, "slice" if len(space) == 1 else "contour")
    return drawn


def _importances(trials: Sequence[FrozenTrial], search: Search, notes: list[str]) -> dict[str, dict[str, float]]:
    """The importances by objective and parameter, each objective in its own direction; a note where there are none."""
    done = complete(trials)
    if len(search.space) < 2:
        notes.append("no importances: there is one parameter")
        return {}
    if len(done) < LEAST_TRIALS:
        notes.append(f"no importances: they take {LEAST_TRIALS} complete trials or more, there are {len(done)}")
        return {}
    found = {}
    for index, objective in enumerate(search.objectives):
        if len({trial.values[index] for trial in done}) < 2:
            notes.append(f"no importances of {objective.title}: its values are all equal")
            continue
        with _quiet():
            study = _study(trials, [objective], index)
            shares = get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
        found[objective.title] = {name: float(share) for name, share in shares.items()}
    return found


def _varied(done: Sequence[FrozenTrial], search: Search, drawn: Drawn) -> list[str]:
    """The parameters that a plot of the first objective is over; empty, and a note, where there is none."""
    varied = [each.name for each in search.space if len({trial.params[each.name] for trial in done}) > 1]
    kind = "contour" if len(search.space) > 1 else "slice"
    if not varied or len(done) < 3:
        drawn.notes.append(f"no {kind} plot: it takes 3 complete trials with different parameters")
        return []
    if len(varied) == 1 and kind == "contour":
        drawn.notes.append(f"no contour plot: of the parameters {varied[0]} alone varies")
    elif len({trial.values[0] for trial in done}) < 2 and kind == "contour":
        drawn.notes.append("no contour plot: the values are all equal")
        return []
    elif kind == "contour" and len(done) < LEAST_TRIALS:
        drawn.notes.append(f"no contour in contour.*: it takes {LEAST_TRIALS} complete trials, there are {len(done)}")
    if len(varied) > _MOST_PARAMETERS:
        order = list(drawn.importances.get(search.objectives[0].title, varied))
        varied = sorted(varied, key=order.index)[:_MOST_PARAMETERS]
        drawn.notes.append(f"the contour plot is of {_MOST_PARAMETERS} parameters: {', '.join(varied)}")
    return varied


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
                    params=trial.params,
                    distributions=trial.distributions,
                )
            )
    return study


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
