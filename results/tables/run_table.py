"""Tables of runs, for people and for other programs."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from results.files.errors import ResultsError
from results.forms.cells import as_csv
from results.forms.folding import render_table
from results.records.columns import COUNTED, ScoreKey
from results.records.record import FINISHED
from results.records.scores import HEADLINE, STUDENT
from results.records.settings import settings_of
from results.tables.frame import say

# What of a run people read: heads and columns; CSV has all columns.
_SHOWN = {
    "run": "run",
    "protocol": "protocol",
    "method": "method",
    "network": "network",
    "seed": "seed",
    "status": "status",
}


def with_settings(
    runs: pd.DataFrame, keys: Sequence[str], say: Callable[[str], None] = say
) -> pd.DataFrame:
    """Runs with a column for each config key, as TERMS.MRM.RATIO, read from the config.yaml of the run folders.

    A run without config.yaml, or whose config has no such key, has none; of a damaged one ``say`` is told.

    Raises:
        ResultsError: a key that no run has (with the nearest).
    """
    if not keys:
        return runs
    settings = list(settings_of(runs["folder"].tolist(), lambda line: say(f"left out: {line}")))
    check_keys(keys, set().union(*({id(each.shared): each.shared for each in settings}.values())))
    further = {key: [each.own.get(key, each.shared.get(key)) for each in settings] for key in keys}
    return runs.assign(**{key: pd.Series(values, index=runs.index, dtype=object) for key, values in further.items()})


def check_keys(keys: Sequence[str], known: set[str]) -> None:
    """Raise ResultsError for a config key that is not ``known`` (with the nearest), where any is."""
    for key in keys:
        if known and key not in known:
            near = difflib.get_close_matches(key.upper(), sorted(known), n=1)
            hint = f"did you mean {near[0]}?" if near else "expected one of config.yaml, such as SOLVER.ITERS"
            raise ResultsError(f"no run has the config key {key}; {hint}")


def runs_table(runs: pd.DataFrame, form: str, keys: Sequence[str] = ()) -> str:
    """One row a run, failed and diverged ones too.

    Args:
        runs: rows of ``results.tables.frame``, with ``keys`` as columns.
        form: one of ``FORMS``: ``csv`` has all columns at full precision, the others what people read.
        keys: further columns to show.
    """
    if form == "csv":
        return as_csv(runs)
    scores = [key for key in runs if isinstance(key, ScoreKey) and not key.statistic and key.model == STUDENT]
    shown = {head: [str(value) for value in runs[column]] for head, column in _SHOWN.items()}
    shown |= {key: ["-" if value is None else str(value) for value in runs[key]] for key in keys}
    for key in scores:
        if key.metric == HEADLINE:
            counted = runs["counted"].where(
                runs["classes"] == key.classes, runs.get(ScoreKey("", key.classes, statistic=COUNTED))
            )
            shown[key.title] = [
                text if text == "-" or pd.isna(number) or number == key.classes else f"{text} ({number:.0f} classes)"
                for text, number in zip(_figures(runs, key, ".1f"), counted, strict=True)
            ]
    shown["teacher"] = _figures(runs, "teacher_miou", ".1f")
    shown |= {key.title: _figures(runs, key, ".1f") for key in scores if key.metric != HEADLINE}
    shown["iterations"] = [
        f"{done}" if done == planned else f"{done} of {planned}"
        for done, planned in zip(runs["iterations"], runs["max_iterations"], strict=True)
    ]
    shown["s/iteration"] = [_number(value, ".3f") for value in runs["seconds_per_iteration"]]
    shown["peak MiB"] = [_number(value, ".0f") for value in runs["peak_memory_mib"]]
    if (runs["shared"] > 0).any():
        shown["shared"] = [
            f"{part:.0%}, with {others:.0f}" if part > 0 else "-"
            for part, others in zip(runs["shared"], runs["others"], strict=True)
        ]
    return render_table(shown, form)


def _figures(runs: pd.DataFrame, column: str | ScoreKey, form: str) -> list[str]:
    """Scores of finished runs alone."""
    finished = runs["status"] == FINISHED
    return [_number(value, form) if done else "-" for value, done in zip(runs[column], finished, strict=True)]


def _number(value: Any, form: str) -> str:
    return "-" if pd.isna(value) else f"{value:{form}}"
