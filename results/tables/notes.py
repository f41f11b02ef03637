"""What stands below a comparison."""

from __future__ import annotations

import pandas as pd

from results.files.text import one_line
from results.records.images import MadeOf
from results.records.record import FINISHED
from results.tables.class_means import said
from results.tables.scores_by_seed import RULES

_REASONS = 5  # of runs that are not finished, named


def notes_on(runs: pd.DataFrame, made_of: MadeOf, model: str, rule: str, baseline: str | None) -> str:
    """Lines on whose scores they are, what differences and intervals are, and the runs that are not in the table."""
    notes = [f"In percent, of the {model} {RULES[rule]}; ± is the sample deviation over seeds."]
    if baseline:
        notes.append(
            f"Differences to {baseline} are paired by seed, and ± is theirs; 95% (seeds) is Student's t of "
            "them; 95% (images, seeds), where all runs left counts of their images, a bootstrap of both."
        )
    for protocol, group in runs.groupby("protocol", sort=False):
        if counted := said(group):
            notes.append(f"{protocol}: {counted}.")
    if mixed := made_of.told(unrecorded=False).strip():
        notes.append(mixed)
    unfinished = runs[runs["status"] != FINISHED]
    for status, group in unfinished.groupby("status"):
        first = group.head(_REASONS)
        reasons = [
            f"{method} seed {seed}" + (f" ({reason})" if reason else "")
            for method, seed, reason in zip(first["method"], first["seed"], first["reason"], strict=True)
        ]
        more = f" and {len(group) - _REASONS} more" if len(group) > _REASONS else ""
        notes.append(f"{len(group)} {status}: {'; '.join(reasons)}{more}.")
    return "\n".join(one_line(note) for note in notes)
