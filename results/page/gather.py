"""From run folders to what the report's template draws."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from typing import Any

from results.files.errors import ResultsError
from results.page.ablation import ablation_figures
from results.page.classes import class_table
from results.page.compared import Compared
from results.page.cost import cost_figures
from results.page.curves import miou_curves, training_curves
from results.page.pictures import galleries
from results.page.runs import MOST_RUNS, commands, made_with, run_table, settings_of, unfinished
from results.page.table import Table, shortened
from results.records.images import MadeOf
from results.records.record import Records
from results.tables.baselines import baselines_by_method
from results.tables.beside_published import beside_published, classes_beside_published
from results.tables.notes import class_sources, notes_on, on_shared, sources
from results.tables.rows import rows_of
from results.tables.scores_by_seed import LAST
from results.tables.selection import over_common_classes, read_runs, selected
from results.tables.summary import all_scores, summarize
from results.tables.summary_text import Shown, columns_of


def gather(
    folders: Sequence[str],
    where: Sequence[str],
    baseline: str | None,
    model: str,
    rule: str,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """What the template ``page.html.jinja`` is given, by name.

    Args:
        folders: that hold run folders.
        where: conditions on runs, KEY=VALUE.
        baseline: the method that others are compared with.
        model: STUDENT or TEACHER.
        rule: LAST or ORACLE.
        say: gets a line for each file that is damaged and left out, which the report has as well.

    Raises:
        ResultsError: no runs, an unknown name, or runs that cannot be in one table.
    """
    damaged: list[str] = []

    def tell(line: str) -> None:
        damaged.append(shortened(line))
        say(line)

    made_of, records = MadeOf(), Records(whole=True)
    runs = over_common_classes(selected(read_runs(folders, tell, made_of, records), where, tell))
    by = ["method", *(name for name in ("network", "protocol") if runs[name].nunique() > 1)]
    rows = rows_of(runs, by, tell, records)
    rows.sort(key=lambda row: {*row.runs["method"]} != {baseline})
    baselines = baselines_by_method(rows, baseline) if baseline else []
    scores = all_scores(rows)[: None if rule == LAST else 1]  # records keep no other on the way
    summaries = summarize(rows, scores, baselines, model, rule, tell)
    published = beside_published(rows, baselines)
    shown = Shown(baseline or "", cost=True, published=published)
    compared = Compared(runs, summaries, records, baseline, baselines, model, rule)
    beside = classes_beside_published(rows)
    try:
        classes, no_classes = class_table(compared, beside), "No run has an IoU of each class."
    except ResultsError as error:
        classes, no_classes = None, f"None: {error}."
    return {
        "title": ", ".join(dict.fromkeys(runs["protocol"])),
        "networks": list(dict.fromkeys(runs["network"])),
        "counts": {str(status): int(count) for status, count in runs["status"].value_counts().items()},
        "all_rows": len(rows),
        "baseline": baseline,
        "methods": Table.of("Methods over their seeds", columns_of(summaries, scores, shown)),
        "notes": [
            *notes_on(runs, made_of, model, rule, baseline).splitlines(),
            *sources(published).splitlines(),
            *([f"{shared}."] if (shared := on_shared(summaries)) else []),
        ],
        "why_none": [
            f"{each.row.label}: no difference to {baseline}, {each.why_none}" for each in summaries if each.why_none
        ],
        "besides": [
            f"{each.row.label}: {baseline} has other {', '.join(each.versus.besides)}, not the method alone"
            for each in summaries
            if each.versus and each.versus.besides
        ],
        "classes": classes,
        "no_classes": no_classes,
        "class_notes": class_sources([row.label for row in rows], beside).splitlines() if classes else [],
        "curves": miou_curves(compared),
        "ablations": ablation_figures(compared),
        "costs": cost_figures(compared),
        "galleries": galleries(compared, tell),
        "training": training_curves(compared, tell),
        "settings": settings_of(compared),
        "runs": run_table(compared),
        "all_runs": len(runs),
        "most_runs": MOST_RUNS,
        "made_with": made_with(compared),
        "commands": commands(compared),
        "unfinished": unfinished(compared),
        "damaged": damaged,
    }


def command_of(words: Sequence[str]) -> str:
    """The command that made the report, as a shell takes it."""
    return shlex.join(["python", "results/report.py", *words])
