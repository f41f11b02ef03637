"""What a search measured: all its trials, the best beside the setting it begins from, plots, and what to run next."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.trial import FrozenTrial, TrialState

from ablations.study import study as attributes
from ablations.study.search_plots import Drawn, complete, draw, importance_text, pareto_front
from ablations.study.search_rerun import dashboard_line, rerun_command, write_grid
from ablations.study.study import Objective, Search
from ablations.sweep.grid_checks import label_of
from benchmarks.config.keys import PLACE_KEYS
from benchmarks.config.remarks import remarks
from benchmarks.core.errors import ConfigError
from benchmarks.core.files_first import not_written
from results.forms.cells import as_csv, markdown
from results.forms.folding import render_table
from results.plots.files import FORMATS
from results.plots.style import COLUMN
from results.records.images import about_images
from results.records.record import FINISHED, write_text
from results.tables.frame import damaged, from_folders

ORACLE = "ORACLE: chosen by labels of the target, which UDA does not have; not a result to report as UDA."
TARGET = "target_miou_oracle"  # column: labels of the target are for judging, whatever the trials were chosen by
DAMAGED, MISSING = "damaged", "missing"  # of a trial's record
_MEASURED = {"miou": TARGET, "source_miou": "source_miou", "confidence": "confidence"}
_TARGET_HEAD = "mIoU on the target [%] (not used)"
_DIGITS = 4


@dataclass(frozen=True)
class SearchReport:
    """A search's results.

    Attributes:
        text: what is printed.
        files: paths of what was written.
        complete: number of trials that have a value of the objective.
        unwritten: why not all files could be written; None where they were.
    """

    text: str
    files: tuple[Path, ...]
    complete: int
    unwritten: ConfigError | None = None


def write_search_report(
    study: optuna.Study,
    search: Search,
    folder: Path,
    output: Path,
    top: int = 3,
    *,
    storage: str | None = None,
    formats: Sequence[str] = FORMATS,
    width: float = COLUMN,
    records: Path | None = None,
) -> SearchReport:
    """Write trials.csv, best.md, the plots and the grid of the best trials into ``folder``.

    Columns of trials.csv: ``number``, ``state`` (of Optuna), ``outcome`` and ``reason``, the objectives by name (of
    complete trials alone), ``last_reported`` (what the pruner saw last), the parameters by name, ``target_miou_oracle``
    and ``source_miou`` in percent, ``confidence`` from 0 to 1, ``iterations`` done, ``seconds`` of the run, ``run``
    (its id), ``record`` ("read", "damaged", "missing"), ``retry_of`` (number of the trial that it makes again),
    ``base`` (whether it is where the search begins). Figures of a run are those of its record: a trial whose record is
    damaged, which is named, or gone has none, one without an end no criteria.

    Args:
        study: its trials may go on meanwhile: they are read once.
        search: what it is of.
        folder: of the study.
        output: of the run folders.
        top: settings that are chosen; with two objectives the Pareto front is.
        storage: where optuna-dashboard finds the study: a URL, or the path of a journal; None: in memory.
        formats: of the plots.
        width: of the plots, in inches.
        records: where the runs are, if not in ``output``; best.md has no command then, since its paths are a reader's,
            and nothing tells of sampler and pruner, which trials.csv does not know.
    """
    trials, runs = study.get_trials(deepcopy=False), records or output
    frame = trials_frame(trials, search, runs)
    best, base = chosen(trials, search, top), _base(trials)
    counts = _counts(trials)
    told = [*([ORACLE] if _is_oracle(search) else []), *_correlations(frame, search), *_left_out(frame)]
    caption = _caption(search, counts, drawn_here=records is None)
    caption += about_images(_folders(trials, runs), unrecorded=False)
    shown, about, following = _best(best, base, frame, search), [_about_base(base, search)], list[str]()
    drawn, files = Drawn(), [folder / "trials.csv", folder / "best.md"]
    unwritten: ConfigError | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(files[0], as_csv(frame))
        marked = base if base is not None and base.state == TrialState.COMPLETE else None
        drawn = draw(trials, search, marked, folder, formats, width)
        files += drawn.files
        if best:
            files.append(write_grid(search, best, base, folder))
            following = [
                f"The best of {len(complete(trials))} trials on one seed is optimistic: it was chosen for its value. "
                f"On other seeds, beside the {search.base_name} setting and the host alone:",
                f"    {rerun_command(search, files[-1], output)}",
            ]
        table = [render_table(shown, "markdown")] if best else []
        after = about if records else [*about, *following]
        write_text(files[1], "\n\n".join([*table, markdown(" ".join([caption, *told])), *after]) + "\n")
    except OSError as error:
        unwritten, files = not_written(folder, error), []
    parts = [
        [caption, *told],
        [render_table(shown, "table"), ""] if best else [],
        about + following,
        [importance_text(drawn, len(complete(trials)))] if drawn.importances else [],
        drawn.notes,
        [dashboard_line(storage)] if storage else [],
        ["files:", *(f"  {path}" for path in files)] if files else [],
    ]
    text = "\n".join(line for part in parts for line in part)
    return SearchReport(text, tuple(files), len(complete(trials)), unwritten)


def trials_frame(trials: Sequence[FrozenTrial], search: Search, output: Path) -> pd.DataFrame:
    """One row a trial, in order; the columns are those of trials.csv."""
    folders = _folders(trials, output)
    runs = from_folders(folders)
    without = {str(folder) for folder in damaged(folders, runs)}
    records = runs.set_index("folder").to_dict("index")
    rows = []
    for trial in trials:
        known, values = trial.user_attrs, trial.values if trial.state == TrialState.COMPLETE else None
        folder = str(output / known.get(attributes.FOLDER, ""))
        record: Mapping[Any, Any] = records.get(folder, {})
        finished = record.get("status") == FINISHED
        rows.append(
            {
                "number": trial.number,
                "state": trial.state.name.lower(),
                "outcome": known.get(attributes.OUTCOME, ""),
                "reason": known.get(attributes.REASON, ""),
                **{each.name: values[i] if values else None for i, each in enumerate(search.objectives)},
                "last_reported": None if trial.last_step is None else trial.intermediate_values[trial.last_step],
                **{each.name: trial.params.get(each.name) for each in search.space},
                **{column: record.get(name) if finished else None for name, column in _MEASURED.items()},
                "iterations": record.get("iterations"),
                "seconds": record.get("wall_seconds"),
                "run": known.get(attributes.RUN, ""),
                "record": "read" if record else DAMAGED if folder in without else MISSING,
                "retry_of": known.get(attributes.RETRY_OF),
                "base": bool(known.get(attributes.BASE, False)),
            }
        )
    return pd.DataFrame(rows).astype({"iterations": "Int64", "retry_of": "Int64"}) if rows else pd.DataFrame()


def _folders(trials: Sequence[FrozenTrial], output: Path) -> list[Path]:
    """The folders of the trials' runs, each once."""
    names = dict.fromkeys(trial.user_attrs.get(attributes.FOLDER) for trial in trials)
    return [output / name for name in names if name]


def chosen(trials: Sequence[FrozenTrial], search: Search, top: int) -> list[FrozenTrial]:
    """The ``top`` complete trials of different settings, best first; with two objectives all of the Pareto front."""
    several = len(search.objectives) > 1
    found = pareto_front(trials, search.objectives) if several else complete(trials)
    sign = -1 if search.objectives[0].direction == "maximize" else 1
    found.sort(key=lambda trial: (sign * trial.values[0], trial.number))
    different: list[FrozenTrial] = []
    for trial in found:
        if all(trial.params != other.params for other in different):
            different.append(trial)
    return different if several else different[:top]


def _base(trials: Sequence[FrozenTrial]) -> FrozenTrial | None:
    """The trial of the setting that the search begins from: a complete one where there is one, otherwise the last."""
    found = [trial for trial in trials if trial.user_attrs.get(attributes.BASE)]
    return next(iter([*complete(found), *reversed(found)]), None)


def _counts(trials: Sequence[FrozenTrial]) -> str:
    known = Counter(trial.user_attrs.get(attributes.OUTCOME) or trial.state.name.lower() for trial in trials)
    counts = ", ".join(f"{count} {outcome}" for outcome, count in known.most_common())
    return f"{len(trials)} trials" + (f": {counts}" if counts else "")


def _left_out(frame: pd.DataFrame) -> list[str]:
    runs = frame.loc[frame["record"] == DAMAGED, "run"].unique() if len(frame) else ()
    return [f"{len(runs)} records are damaged, and their figures left out: {', '.join(runs)}."] if len(runs) else []


def _is_oracle(search: Search) -> bool:
    return any(objective.oracle for objective in search.objectives)


def _caption(search: Search, counts: str, drawn_here: bool) -> str:
    cfg = search.cfg
    besides = {key: value for key, value in search.overrides.items() if key not in (*PLACE_KEYS, "SOLVER.ITERS")}
    held = f" Set: {', '.join(f'{key} {_short(value)}' for key, value in besides.items())}." if besides else ""
    how = f"; sampler {search.sampler}, pruner {search.pruner}" if drawn_here else ""
    return (
        f"Search {search.name}: {cfg.PROTOCOL}, {cfg.TEST.CLASSES} classes, {cfg.NETWORK}, {cfg.METHOD}, "
        f"{cfg.SOLVER.ITERS} iterations, seed {search.seed}.{held} {counts}. Objective: "
        f"{' and '.join(f'{each.title} ({each.direction})' for each in search.objectives)}{how}. "
        "mIoU is of the student at the last iterate."
        + "".join(f" {line}." for line in remarks([cfg]))
    )


def _about_base(base: FrozenTrial | None, search: Search) -> str:
    if search.base is None:
        return f"The {search.base_name} setting lies outside the space."
    values = ", ".join(f"{name} {_short(value)}" for name, value in search.base.items())
    if base is None:
        return f"The {search.base_name} setting ({values}) has not been tried."
    if base.state != TrialState.COMPLETE:
        outcome = base.user_attrs.get(attributes.OUTCOME, base.state.name.lower())
        return f"The {search.base_name} setting ({values}) is trial {base.number}, {outcome}: it has no value."
    whose = "" if search.base_name == "published" else ", from the protocol, the method's defaults and your keys"
    return f"The {search.base_name} setting ({values}{whose}) is trial {base.number}."


def _best(
    best: Sequence[FrozenTrial], base: FrozenTrial | None, frame: pd.DataFrame, search: Search
) -> dict[str, list[str]]:
    """Columns of text: the chosen trials, and where the search begins last where it is not one of them."""
    is_chosen = base is not None and any(trial.params == base.params for trial in best)
    rows = [*best] if base is None or is_chosen else [*best, base]
    names = [base is not None and trial.params == base.params for trial in rows]
    mark = f" ({search.base_name})"
    shown = {"trial": [f"{row.number}{mark if own else ''}" for row, own in zip(rows, names, strict=True)]}
    for index, objective in enumerate(search.objectives):
        values = [row.values[index] if row.state == TrialState.COMPLETE else None for row in rows]
        reference = values[names.index(True)] if True in names else None
        versus = f"vs {search.base_name}"
        head = f"{objective.name} {versus}" if len(search.objectives) > 1 else versus
        shown |= _values(objective, values, reference, head)
    for dimension in search.space:
        shown[dimension.name] = [_short(row.params.get(dimension.name, "-")) for row in rows]
    by_number = frame.set_index("number")
    if not any(objective.column == "miou" for objective in search.objectives):
        mious = [by_number.at[row.number, TARGET] for row in rows]
        shown[_TARGET_HEAD] = ["-" if pd.isna(miou) else f"{miou:.2f}" for miou in mious]
    shown["run"] = [str(by_number.at[row.number, "run"]) for row in rows]
    return shown


def _values(
    objective: Objective, values: Sequence[float | None], reference: float | None, head: str
) -> dict[str, list[str]]:
    """An objective's column and that of its differences, with as many decimals as the largest value needs."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    decimals = max(0, _DIGITS - 1 - math.floor(math.log10(largest))) if 0 < largest < math.inf else 2
    differences = [None if value is None or reference is None else value - reference for value in values]
    return {
        objective.title: ["-" if value is None else f"{value:.{decimals}f}" for value in values],
        head: ["-" if each is None else f"{round(each, decimals) + 0.0:+.{decimals}f}" for each in differences],
    }


def _short(value: Any) -> str:
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else label_of(value)


def _correlations(frame: pd.DataFrame, search: Search) -> list[str]:
    """How well each honest criterion orders the runs, judged by labels of the target."""
    lines = []
    for objective in search.objectives:
        if objective.oracle or not objective.column:
            continue
        known = frame.reindex(columns=["run", objective.name, TARGET]).dropna()
        # Of two trials of one run either tells the same.
        known = known.drop_duplicates("run")[[objective.name, TARGET]].astype(float)
        told = f"Rank correlation (Spearman) of {objective.title} with mIoU on the target, which was not used"
        if len(known) < 3 or (known.nunique() < 2).any():
            lines.append(f"{told}: none, since n = {len(known)} finished runs have both, or one does not vary.")
            continue
        rho = known[objective.name].corr(known[TARGET], method="spearman")
        lines.append(f"{told}: {rho:+.2f} over n = {len(known)} finished runs; pruned ones are not among them.")
    return lines
