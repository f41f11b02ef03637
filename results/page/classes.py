"""IoU class by class as a table of colours: a heat map that can be read, sorted and copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from results.page.compared import Compared
from results.page.table import Cell, Table, cell
from results.tables.beside_published import Beside
from results.tables.by_class import PUBLISHED, by_class
from results.tables.summary import Summary
from results.tables.summary_text import difference_text, mean_text, published_class_text

_FULL = 20.0  # percent points that have the full colour, or the largest where that is less


def class_table(compared: Compared, published: Sequence[Beside]) -> Table | None:
    """Classes down, rows across: IoU, and the paired difference to the baseline; None where no run has any.

    After a row with published IoU, that, and below it what the measured mean differs from it by.

    Raises:
        ResultsError: records do not have the rule by class.
    """
    found = by_class(compared.rows, compared.baselines, compared.model, compared.rule)
    if not found:
        return None
    differences = [
        abs(each.versus.difference.mean)
        for line in found.values()
        for each in line
        if each.versus and not each.row.is_oracle  # beside it all others would be pale
    ]
    full = min(_FULL, max(differences, default=0.0)) or 1.0
    versus = f", below it the difference to {compared.baseline}" if compared.baseline else ""
    heads, rows = ["class"], {name: [cell(name)] for name in found}
    for place, (row, own) in enumerate(zip(compared.rows, published, strict=True)):
        heads += [row.label, row.label + PUBLISHED] if own.iou else [row.label]
        for name, line in found.items():
            rows[name].append(_cell(line[place], full, bool(compared.baseline)))
            if own.iou:
                rows[name].append(_published(line[place], own.iou.get(name)))
    beside = ", beside it published IoU with what is measured against it" if len(heads) > len(compared.rows) + 1 else ""
    return Table(f"IoU of each class in percent{versus}{beside}", heads, list(rows.values()))


def _published(summary: Summary, iou: float | None) -> Cell:
    text, difference = published_class_text(summary.means[0], iou)
    return replace(cell(text), note=difference)


def _cell(summary: Summary, full: float, with_baseline: bool) -> Cell:
    mean = summary.means[0]
    if mean is None:
        return cell("")
    text, note, share, strong = mean_text(mean, mean.n), "", 0.0, False
    if summary.versus:
        difference = summary.versus.difference
        note = difference_text(summary.versus)
        share = max(-1.0, min(1.0, difference.mean / full))
        strong = difference.interval is not None and difference.interval.holds
    elif not with_baseline:
        share = mean.mean / 100
    return Cell(text, mean.mean, note, round(share, 3), strong)
