"""What stands below a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pandas as pd

from results.files.text import one_line
from results.records.columns import ScoreKey
from results.records.images import MadeOf
from results.records.record import FINISHED
from results.records.scores import AT, HEADLINE, STUDENT
from results.tables.beside_published import Beside, not_as_published
from results.tables.class_means import said
from results.tables.scores_by_seed import LAST, RULES
from results.tables.summary import Summary
from results.tables.summary_text import SHARED

SELECTION = f"mIoU in percent of the {STUDENT} {RULES[LAST]}"
SHARED_WITH = f"{SHARED.strip()} With other runs on the same GPU or cores: not to be compared with those of runs alone"
_REASONS = 5  # of runs that are not finished, named


def notes_on(runs: pd.DataFrame, made_of: MadeOf, model: str, rule: str, baseline: str | None) -> str:
    """Lines on whose scores they are, what differences and intervals are, and the runs that are not in the table."""
    notes = [f"In percent, of the {model} {RULES[rule]}; ± is the sample deviation over seeds."]
    if baseline:
        notes.append(f"{on_differences(baseline)}.")
    if elsewhere := on_further_sets(runs.columns):
        notes.append(f"{elsewhere}.")
    notes += on_counted(runs)
    if mixed := made_of.told(unrecorded=False).strip():
        notes.append(mixed)
    notes += on_unfinished(runs)
    return "\n".join(one_line(note) for note in notes)


def on_counted(runs: pd.DataFrame) -> list[str]:
    """A line for each protocol of which a mean does not count all classes."""
    counted = ((protocol, said(group)) for protocol, group in runs.groupby("protocol", sort=False))
    return [f"{protocol}: {text}." for protocol, text in counted if text]


def on_unfinished(runs: pd.DataFrame) -> list[str]:
    """A line for each status but finished: how many runs, the first of them by name, with their reasons."""
    notes = []
    unfinished = runs[runs["status"] != FINISHED]
    for status, group in unfinished.groupby("status"):
        first = group.head(_REASONS)
        reasons = [
            f"{method} seed {seed}" + (f" ({reason})" if reason else "")
            for method, seed, reason in zip(first["method"], first["seed"], first["reason"], strict=True)
        ]
        more = f" and {len(group) - _REASONS} more" if len(group) > _REASONS else ""
        notes.append(f"{len(group)} {status}: {'; '.join(reasons)}{more}.")
    return notes


def on_differences(baseline: str) -> str:
    """What differences and intervals are."""
    return (
        f"Differences to {baseline} are paired by seed, and ± is theirs; 95% (seeds) is Student's t of "
        "them; 95% (images, seeds), where all runs left counts of their images, a bootstrap of both"
    )


def on_shared(summaries: Iterable[Summary]) -> str:
    """What the mark of shared seconds and memory says; "" where none has it."""
    if not any(each.cost.shared for each in summaries):
        return ""
    return SHARED_WITH


def on_further_sets(columns: Iterable[object]) -> str:
    """What columns such as ``mIoU@acdc`` are of; "" where there are none."""
    if not any(isinstance(key, ScoreKey) and AT in key.metric for key in columns):
        return ""
    return (
        f"{HEADLINE}{AT} and the like are of further test sets, over the classes that their labels have, with images "
        "scaled to the short side of the protocol's test size"
    )


def class_sources(labels: Sequence[str], published: Sequence[Beside]) -> str:
    """Lines on where published IoU of classes is from, and on what of each row, by its label, is not as published."""
    lines = []
    for label, each in zip(labels, published, strict=True):
        lines += [f"{label}, published: {each.source}."] if each.iou else []
        lines += [f"{label}, not as published: {each.other}."] if each.iou and each.other else []
    return "\n".join(one_line(line) for line in lines)


def sources(published: Sequence[Beside]) -> str:
    """The line on where published figures are from, and on what is not as published where no column says it."""
    known = dict.fromkeys(each.source for each in published if each.source)
    others = not_as_published(published)
    one = f" Not as published: {others[0]}." if len(others) == 1 and others[0] else ""
    return one_line(f"Published: {'; '.join(known)}.{one}") if known else ""
